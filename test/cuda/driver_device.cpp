// cuInit, the device, contexts, and names of errors.
#include "test/cuda/driver.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

namespace cuemu {

thread_local CUcontext current = nullptr;

Driver &driver() {
  static Driver *made = new Driver; // outlives the program's own destructors
  return *made;
}

CUresult inContext(const std::function<CUresult()> &body) {
  Driver &d = driver();
  std::lock_guard lock(d.lock);
  if (!d.initialised)
    return CUDA_ERROR_NOT_INITIALIZED;
  if (!current)
    return CUDA_ERROR_INVALID_CONTEXT;
  if (d.sticky)
    return d.sticky;
  try {
    return body();
  } catch (Fault &fault) {
    return CUresult(fault.code);
  } catch (std::bad_alloc &) {
    return CUDA_ERROR_OUT_OF_MEMORY;
  }
}

Limits limits() {
  int sm = settings().sm;
  if (sm == 80)
    return {166912, 167936, 2048, 32};
  if (sm < 90 || sm >= 120)
    return {101376, 102400, 1536, sm == 86 ? 16u : 24u};
  return {232448, 233472, 2048, 32};
}

namespace {

struct ErrorText {
  CUresult error;
  const char *name, *text;
};

const ErrorText ERRORS[] = {
#define ERROR(NAME, TEXT) {NAME, #NAME, TEXT}
    ERROR(CUDA_SUCCESS, "no error"),
    ERROR(CUDA_ERROR_INVALID_VALUE, "invalid argument"),
    ERROR(CUDA_ERROR_OUT_OF_MEMORY, "out of memory"),
    ERROR(CUDA_ERROR_NOT_INITIALIZED, "initialization error"),
    ERROR(CUDA_ERROR_DEINITIALIZED, "driver shutting down"),
    ERROR(CUDA_ERROR_NO_DEVICE, "no CUDA-capable device is detected"),
    ERROR(CUDA_ERROR_INVALID_DEVICE, "invalid device ordinal"),
    ERROR(CUDA_ERROR_INVALID_IMAGE, "device kernel image is invalid"),
    ERROR(CUDA_ERROR_INVALID_CONTEXT, "invalid device context"),
    ERROR(CUDA_ERROR_NO_BINARY_FOR_GPU,
          "no kernel image is available for execution on the device"),
    ERROR(CUDA_ERROR_INVALID_PTX, "a PTX JIT compilation failed"),
    ERROR(CUDA_ERROR_UNSUPPORTED_PTX_VERSION,
          "the provided PTX was compiled with an unsupported toolchain."),
    ERROR(CUDA_ERROR_INVALID_SOURCE, "device kernel image is invalid"),
    ERROR(CUDA_ERROR_INVALID_HANDLE, "invalid resource handle"),
    ERROR(CUDA_ERROR_NOT_FOUND, "named symbol not found"),
    ERROR(CUDA_ERROR_NOT_READY, "device not ready"),
    ERROR(CUDA_ERROR_ILLEGAL_ADDRESS,
          "an illegal memory access was encountered"),
    ERROR(CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES,
          "too many resources requested for launch"),
    ERROR(CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED,
          "part or all of the requested memory range is already mapped"),
    ERROR(CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED,
          "pointer does not correspond to a registered memory region"),
    ERROR(CUDA_ERROR_ILLEGAL_INSTRUCTION,
          "an illegal instruction was encountered"),
    ERROR(CUDA_ERROR_MISALIGNED_ADDRESS, "misaligned address"),
    ERROR(CUDA_ERROR_LAUNCH_FAILED, "unspecified launch failure"),
    ERROR(CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE,
          "too many blocks in cooperative launch"),
    ERROR(CUDA_ERROR_NOT_SUPPORTED, "operation not supported"),
    ERROR(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED,
          "operation not permitted when stream is capturing"),
    ERROR(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED,
          "operation failed due to a previous error during capture"),
    ERROR(CUDA_ERROR_STREAM_CAPTURE_UNMATCHED,
          "capture was not initiated in this stream"),
    ERROR(CUDA_ERROR_UNKNOWN, "unknown error"),
#undef ERROR
};

const ErrorText *textOf(CUresult error) {
  for (const ErrorText &e : ERRORS)
    if (e.error == error)
      return &e;
  return nullptr;
}

CUresult onDevice(CUdevice device, bool valid) {
  if (!driver().initialised)
    return CUDA_ERROR_NOT_INITIALIZED;
  if (device < 0 || device >= machine().devices)
    return CUDA_ERROR_INVALID_DEVICE;
  return valid ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

int attribute(CUdevice_attribute what) {
  Limits l = limits();
  switch (what) {
  case CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK:
    return 1024;
  case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK:
    return 48 << 10;
  case CU_DEVICE_ATTRIBUTE_WARP_SIZE:
    return 32;
  case CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_BLOCK:
  case CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_MULTIPROCESSOR:
    return 65536;
  case CU_DEVICE_ATTRIBUTE_CLOCK_RATE:
    return 1000000; // kHz
  case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT:
    return machine().sms;
  case CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE:
    return 1000000;
  case CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH:
    return 256;
  case CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE:
    return 4 << 20; // small: programs measure with memory many times as large
  case CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR:
    return int(l.threadsPerSm);
  case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR:
    return settings().sm / 10;
  case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR:
    return settings().sm % 10;
  case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR:
    return int(l.sharedPerSm);
  case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN:
    return int(l.sharedOptIn);
  case CU_DEVICE_ATTRIBUTE_CAN_MAP_HOST_MEMORY:
  case CU_DEVICE_ATTRIBUTE_UNIFIED_ADDRESSING:
  case CU_DEVICE_ATTRIBUTE_COOPERATIVE_LAUNCH:
    return 1;
  default:
    return 0;
  }
}

void printReport() {
  fprintf(stderr, "cuda emulator: %llu launches, %.1f M warp instructions\n",
          static_cast<unsigned long long>(statistics().launches),
          1e-6 * double(statistics().instructions));
}

} // namespace

} // namespace cuemu

using namespace cuemu;

CUresult cuInit(unsigned flags) {
  if (flags)
    return CUDA_ERROR_INVALID_VALUE;
  if (machine().devices < 1)
    return CUDA_ERROR_NO_DEVICE;
  Driver &d = driver();
  std::lock_guard lock(d.lock);
  if (!d.initialised && machine().report)
    atexit(printReport);
  try {
    memory().limit = machine().memory;
  } catch (Fault &fault) {
    return CUresult(fault.code);
  }
  d.initialised = true;
  return CUDA_SUCCESS;
}

CUresult cuDriverGetVersion(int *version) {
  if (!version)
    return CUDA_ERROR_INVALID_VALUE;
  *version = machine().driver;
  return CUDA_SUCCESS;
}

CUresult cuGetErrorName(CUresult error, const char **name) {
  const ErrorText *e = textOf(error);
  *name = e ? e->name : nullptr;
  return e ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuGetErrorString(CUresult error, const char **text) {
  const ErrorText *e = textOf(error);
  *text = e ? e->text : nullptr;
  return e ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuDeviceGetCount(int *count) {
  if (!driver().initialised)
    return CUDA_ERROR_NOT_INITIALIZED;
  *count = machine().devices;
  return CUDA_SUCCESS;
}

CUresult cuDeviceGet(CUdevice *device, int ordinal) {
  CUresult r = onDevice(ordinal, device);
  if (!r)
    *device = ordinal;
  return r;
}

CUresult cuDeviceGetName(char *name, int bytes, CUdevice device) {
  CUresult r = onDevice(device, name && bytes > 0);
  if (!r)
    snprintf(name, size_t(bytes), "emulated sm_%d", settings().sm);
  return r;
}

CUresult cuDeviceTotalMem_v2(size_t *bytes, CUdevice device) {
  CUresult r = onDevice(device, bytes);
  if (!r)
    *bytes = machine().memory;
  return r;
}

CUresult cuDeviceGetAttribute(int *value, CUdevice_attribute what,
                              CUdevice device) {
  CUresult r = onDevice(device, value && what > 0);
  if (!r)
    *value = attribute(what);
  return r;
}

CUresult cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice device) {
  CUresult r = onDevice(device, context);
  if (r)
    return r;
  std::lock_guard lock(driver().lock);
  ++driver().context.retained;
  *context = &driver().context;
  return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxRelease_v2(CUdevice device) {
  CUresult r = onDevice(device, true);
  if (r)
    return r;
  std::lock_guard lock(driver().lock);
  if (!driver().context.retained)
    return CUDA_ERROR_INVALID_CONTEXT;
  --driver().context.retained;
  return CUDA_SUCCESS;
}

CUresult cuCtxSetCurrent(CUcontext context) {
  if (!driver().initialised)
    return CUDA_ERROR_NOT_INITIALIZED;
  if (context && context != &driver().context)
    return CUDA_ERROR_INVALID_CONTEXT;
  current = context;
  return CUDA_SUCCESS;
}

CUresult cuCtxGetCurrent(CUcontext *context) {
  *context = current;
  return driver().initialised ? CUDA_SUCCESS : CUDA_ERROR_NOT_INITIALIZED;
}

CUresult cuCtxSynchronize() {
  return inContext([] { return refuseInCapture(); });
}
