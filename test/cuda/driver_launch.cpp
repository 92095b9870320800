// Launches: what a card refuses before anything runs.
#include "test/cuda/driver.h"

namespace cuemu {

namespace {

struct Shape {
  u32 grid[3], block[3];
  u64 shared;
  CUstream stream;
  bool cooperative = false, early = false;
};

CUresult refused(const Kernel &k, const Shape &s) {
  static const u32 GRID[] = {0x7fffffff, 65535, 65535},
                   BLOCK[] = {1024, 1024, 64};
  u64 threads = 1, ctas = 1;
  for (int i = 0; i < 3; ++i) {
    if (!s.grid[i] || s.grid[i] > GRID[i] || !s.block[i] ||
        s.block[i] > BLOCK[i])
      return CUDA_ERROR_INVALID_VALUE;
    threads *= s.block[i], ctas *= s.grid[i];
  }
  if (threads > k.maxThreads ||
      (k.function->exactThreads && threads != k.maxThreads))
    return CUDA_ERROR_INVALID_VALUE;
  bool optedIn = k.maxDynamicShared > (48 << 10);
  u64 most = optedIn ? k.maxDynamicShared : (48 << 10) - k.staticShared;
  if (s.shared > most)
    return CUDA_ERROR_INVALID_VALUE;
  int fit = blocksPerSm(k, u32(threads), s.shared);
  if (!fit)
    return CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES;
  if (s.cooperative && ctas > u64(fit) * u64(machine().sms))
    return CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE;
  return CUDA_SUCCESS;
}

CUresult launch(CUfunction function, const Shape &s, void **params,
                void **extra) {
  return inContext([&]() -> CUresult {
    if (!known(function))
      return CUDA_ERROR_INVALID_HANDLE;
    const Kernel &k = *function->kernel;
    if (extra || (!params && !k.params.empty()))
      return CUDA_ERROR_INVALID_VALUE;
    if (CUresult r = refused(k, s))
      return r;
    Launch l;
    l.kernel = &k;
    for (int i = 0; i < 3; ++i)
      l.grid[i] = s.grid[i], l.block[i] = s.block[i];
    l.dynamicShared = s.shared;
    l.cooperative = s.cooperative;
    l.early = s.early;
    l.params.resize(k.paramBytes);
    for (size_t i = 0; i < k.params.size(); ++i) {
      if (!params[i])
        return CUDA_ERROR_INVALID_VALUE;
      memcpy(l.params.data() + k.params[i].offset, params[i],
             k.params[i].bytes);
    }
    return enqueue(s.stream, {std::move(l), nullptr});
  });
}

} // namespace

} // namespace cuemu

using namespace cuemu;

CUresult cuLaunchKernel(CUfunction function, unsigned gridX, unsigned gridY,
                        unsigned gridZ, unsigned blockX, unsigned blockY,
                        unsigned blockZ, unsigned sharedBytes, CUstream stream,
                        void **params, void **extra) {
  return launch(
      function,
      {{gridX, gridY, gridZ}, {blockX, blockY, blockZ}, sharedBytes, stream},
      params, extra);
}

CUresult cuLaunchKernelEx(const CUlaunchConfig *c, CUfunction function,
                          void **params, void **extra) {
  if (!c || (c->numAttrs && !c->attrs))
    return CUDA_ERROR_INVALID_VALUE;
  Shape s{{c->gridDimX, c->gridDimY, c->gridDimZ},
          {c->blockDimX, c->blockDimY, c->blockDimZ},
          c->sharedMemBytes,
          c->hStream};
  for (unsigned i = 0; i < c->numAttrs; ++i) {
    const CUlaunchAttribute &a = c->attrs[i];
    if (a.id == CU_LAUNCH_ATTRIBUTE_COOPERATIVE)
      s.cooperative = a.value != 0;
    else if (a.id == CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION)
      s.early = a.value != 0;
    else
      return CUDA_ERROR_NOT_SUPPORTED;
  }
  if (s.early && settings().sm < 90)
    return CUDA_ERROR_NOT_SUPPORTED;
  return launch(function, s, params, extra);
}

CUresult cuLaunchCooperativeKernel(CUfunction function, unsigned gridX,
                                   unsigned gridY, unsigned gridZ,
                                   unsigned blockX, unsigned blockY,
                                   unsigned blockZ, unsigned sharedBytes,
                                   CUstream stream, void **params) {
  return launch(function,
                {{gridX, gridY, gridZ},
                 {blockX, blockY, blockZ},
                 sharedBytes,
                 stream,
                 true},
                params, nullptr);
}
