// See driver.h.
#include "runtime/cuda/driver.h"

#include <dlfcn.h>

namespace gm {

namespace {

struct Loading {
  Driver driver;
  Status status = open_driver("libcuda.so.1", driver);
};

Code code_of(CUresult error) {
  switch (error) {
  case CUDA_ERROR_OUT_OF_MEMORY:
    return RESOURCES;
  case CUDA_ERROR_DEVICE_UNAVAILABLE:
  case CUDA_ERROR_NO_DEVICE:
  case CUDA_ERROR_NO_BINARY_FOR_GPU:
  case CUDA_ERROR_UNSUPPORTED_PTX_VERSION:
  case CUDA_ERROR_SYSTEM_NOT_READY:
  case CUDA_ERROR_SYSTEM_DRIVER_MISMATCH:
  case CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE:
    return MACHINE;
  default:
    return RUN_ERROR;
  }
}

} // namespace

Status open_driver(const char *name, Driver &driver) {
  driver = {};
  void *library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
  if (!library)
    return failure(MACHINE,
                   "this program needs the NVIDIA driver: cannot load '%s': "
                   "%s; install the driver, or compile the model for a CPU "
                   "(gemmac --list-targets)",
                   name, dlerror());
  struct {
    const char *name;
    bool needed;
    void *found;
  } const calls[] = {
#define GM_FIND_CALL(name, needed) {#name, needed != 0, dlsym(library, #name)},
      GM_DRIVER_LIST(GM_FIND_CALL)
#undef GM_FIND_CALL
  };
  for (const auto &call : calls)
    if (call.needed && !call.found)
      return failure(MACHINE,
                     "the NVIDIA driver ('%s') has no '%s': this program needs "
                     "one of CUDA %d.%d or later; install a newer driver, or "
                     "compile the model for a CPU (gemmac --list-targets)",
                     name, call.name, OLDEST_DRIVER / 1000,
                     OLDEST_DRIVER % 1000 / 10);
  const auto *call = calls;
#define GM_SET_CALL(name, needed)                                              \
  driver.name = reinterpret_cast<decltype(&::name)>((call++)->found);
  GM_DRIVER_LIST(GM_SET_CALL)
#undef GM_SET_CALL
  int version = 0;
  if (CUresult error = driver.cuDriverGetVersion(&version))
    return failed(driver, error, "say its version");
  if (version < OLDEST_DRIVER)
    return failure(MACHINE,
                   "the NVIDIA driver ('%s') is of CUDA %d.%d: this program "
                   "needs one of CUDA %d.%d or later; install a newer driver, "
                   "or compile the model for a CPU (gemmac --list-targets)",
                   name, version / 1000, version % 1000 / 10,
                   OLDEST_DRIVER / 1000, OLDEST_DRIVER % 1000 / 10);
  return {};
}

Status load_driver(const Driver *&driver) {
  static const Loading loading;
  driver = &loading.driver;
  return loading.status;
}

Status failed(const Driver &driver, CUresult error, const char *what) {
  const char *name = nullptr, *text = nullptr;
  if (driver.cuGetErrorName(error, &name) || !name ||
      driver.cuGetErrorString(error, &text) || !text)
    return failure(code_of(error),
                   "the NVIDIA driver cannot %s: error %d, which it does not "
                   "know",
                   what, int(error));
  return failure(code_of(error), "the NVIDIA driver cannot %s: %s (%d: %s)",
                 what, name, int(error), text);
}

} // namespace gm
