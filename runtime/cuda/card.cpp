// See card.h.
#include "runtime/cuda/card.h"

namespace gm {

namespace {

// The driver, ready, and the device of that number.
Status choose(int64_t index, const Driver *&driver, CUdevice &device) {
  if (Status s = load_driver(driver); !s.ok())
    return s;
  const CUresult ready = driver->cuInit(0);
  int count = 0;
  if (ready == CUDA_SUCCESS)
    driver->cuDeviceGetCount(&count);
  if (ready == CUDA_ERROR_NO_DEVICE || (ready == CUDA_SUCCESS && !count))
    return failure(MACHINE,
                   "this machine has no NVIDIA card that its driver can use; "
                   "compile the model for a CPU (gemmac --list-targets)");
  if (ready != CUDA_SUCCESS)
    return failed(*driver, ready, "start");
  if (index < 0 || index >= count)
    return failure(USAGE,
                   "the device (--device) must be 0 to %d, this machine has "
                   "%d card%s, got %lld",
                   count - 1, count, count > 1 ? "s" : "", (long long)index);
  if (CUresult error = driver->cuDeviceGet(&device, int(index)))
    return failed(*driver, error, "open the card");
  return {};
}

Status describe(const Driver &driver, CUdevice device, DeviceFacts &facts) {
  int major = 0, minor = 0;
  size_t bytes = 0;
  CUresult error = driver.cuDriverGetVersion(&facts.driver);
  if (!error)
    error = driver.cuDeviceGetName(facts.name, sizeof facts.name, device);
  if (!error)
    error = driver.cuDeviceTotalMem_v2(&bytes, device);
  if (!error)
    error = driver.cuDeviceGetAttribute(
        &major, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, device);
  if (!error)
    error = driver.cuDeviceGetAttribute(
        &minor, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, device);
  facts.memory = bytes;
  facts.sm = 10 * major + minor;
  return error ? failed(driver, error, "describe the card") : Status();
}

} // namespace

Status find_device(int64_t index, DeviceFacts &facts) {
  const Driver *driver;
  CUdevice device;
  facts = {};
  if (Status s = choose(index, driver, device); !s.ok())
    return s;
  return describe(*driver, device, facts);
}

Status Card::open(int64_t index) {
  if (Status s = choose(index, driver, device); !s.ok())
    return s;
  if (Status s = describe(*driver, device, facts); !s.ok())
    return s;
  CUresult error = driver->cuDevicePrimaryCtxRetain(&context, device);
  if (error)
    context = nullptr;
  else
    error = driver->cuCtxSetCurrent(context);
  return check(error, "make a context on the card");
}

Card::~Card() {
  if (!context)
    return;
  driver->cuCtxSetCurrent(nullptr);
  driver->cuDevicePrimaryCtxRelease_v2(device);
}

} // namespace gm
