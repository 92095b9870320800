// The NVIDIA driver, loaded when a program starts: a table of its calls.
// Programs are linked without it, so that they say what is missing where there
// is none. Must not know backends, nor what a call is used for.
#pragma once

#include "runtime/cuda/driver_api.h"
#include "runtime/gemma.h"

namespace gm {

// X(name, needed): every call that the runtime makes. Not needed: it came after
// OLDEST_DRIVER and is null in older drivers.
#define GM_DRIVER_LIST(X)                                                      \
  X(cuInit, 1)                                                                 \
  X(cuDriverGetVersion, 1)                                                     \
  X(cuGetErrorName, 1)                                                         \
  X(cuGetErrorString, 1)                                                       \
  X(cuDeviceGetCount, 1)                                                       \
  X(cuDeviceGet, 1)                                                            \
  X(cuDeviceGetName, 1)                                                        \
  X(cuDeviceTotalMem_v2, 1)                                                    \
  X(cuDeviceGetAttribute, 1)                                                   \
  X(cuDevicePrimaryCtxRetain, 1)                                               \
  X(cuDevicePrimaryCtxRelease_v2, 1)                                           \
  X(cuCtxSetCurrent, 1)                                                        \
  X(cuModuleLoadDataEx, 1)                                                     \
  X(cuModuleUnload, 1)                                                         \
  X(cuModuleGetFunction, 1)                                                    \
  X(cuFuncGetAttribute, 1)                                                     \
  X(cuFuncSetAttribute, 1)                                                     \
  X(cuMemGetInfo_v2, 1)                                                        \
  X(cuMemAlloc_v2, 1)                                                          \
  X(cuMemFree_v2, 1)                                                           \
  X(cuMemHostAlloc, 1)                                                         \
  X(cuMemFreeHost, 1)                                                          \
  X(cuMemHostRegister_v2, 1)                                                   \
  X(cuMemHostUnregister, 1)                                                    \
  X(cuMemHostGetDevicePointer_v2, 1)                                           \
  X(cuMemcpyHtoDAsync_v2, 1)                                                   \
  X(cuMemcpyDtoHAsync_v2, 1)                                                   \
  X(cuMemcpyDtoDAsync_v2, 1)                                                   \
  X(cuMemsetD8Async, 1)                                                        \
  X(cuMemsetD32Async, 1)                                                       \
  X(cuStreamCreate, 1)                                                         \
  X(cuStreamDestroy_v2, 1)                                                     \
  X(cuStreamSynchronize, 1)                                                    \
  X(cuStreamQuery, 1)                                                          \
  X(cuStreamBeginCapture_v2, 1)                                                \
  X(cuStreamEndCapture, 1)                                                     \
  X(cuGraphInstantiateWithFlags, 1)                                            \
  X(cuGraphLaunch, 1)                                                          \
  X(cuGraphExecDestroy, 1)                                                     \
  X(cuGraphDestroy, 1)                                                         \
  X(cuLaunchKernel, 1)                                                         \
  X(cuLaunchKernelEx, 0)                                                       \
  X(cuEventCreate, 1)                                                          \
  X(cuEventRecord, 1)                                                          \
  X(cuEventRecordWithFlags, 1)                                                 \
  X(cuEventSynchronize, 1)                                                     \
  X(cuEventElapsedTime, 1)                                                     \
  X(cuEventDestroy_v2, 1)

// The least version of CUDA that a driver must know: what the PTX of programs
// is written in (7.4), as cuDriverGetVersion counts.
enum { OLDEST_DRIVER = 11040 };

// The driver's calls under their own names: `driver.cuInit(0)`.
struct Driver {
#define GM_DRIVER_CALL(name, needed) decltype(&::name) name = nullptr;
  GM_DRIVER_LIST(GM_DRIVER_CALL)
#undef GM_DRIVER_CALL
};

// The driver of this machine, loaded at the first call and never unloaded;
// cuInit was not called yet. MACHINE if there is none or it is too old.
Status load_driver(const Driver *&driver);
// The same from the library `name`, anew at each call; for tests.
Status open_driver(const char *name, Driver &driver);

// What a call that gave `error` did not do: "the NVIDIA driver cannot `what`:
// <the error>". RESOURCES if memory is short, MACHINE if the fault is the
// card's or the driver's, else RUN_ERROR.
Status failed(const Driver &driver, CUresult error, const char *what);

} // namespace gm
