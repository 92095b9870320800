// What families share whose unit is a row of `k` columns: a block of threads
// does a row. Freestanding, for bodies of CUDA kernels only.
#ifndef GEMMAC_CODEGEN_KERNELS_CUDA_ROWS_H
#define GEMMAC_CODEGEN_KERNELS_CUDA_ROWS_H

#include "codegen/kernels/cuda/device.h"

extern "C" {
extern const int32_t gm_k, gm_act_q8, gm_act_bf16;
extern const float gm_eps;
}

enum { Threads = 256, Warps = Threads / WarpLanes };

// Shared memory that inverseRms takes, each time it is called.
enum { RmsBytes = Warps * int32_t(sizeof(float)) };

// The row of this block; -1: none.
GM_INLINE int64_t rowOfBlock(const gm_numbers *step, int32_t begin,
                             int32_t end) {
  waitForLaunches();
  const int32_t row = begin + blockX();
  return row < end && row < step->rows ? row : -1;
}

// f(i) for the columns of this thread; whole warps if k is a multiple of 32.
template <class F>
GM_INLINE void forColumns(F f) {
  for (int32_t i = threadOf(); i < gm_k; i += Threads)
    f(i);
}

// (mean of value(i)^2 + eps)^(-1/2) over the columns, in one fixed order; the
// call `number` of a kernel.
template <class F>
GM_INLINE float inverseRms(F value, int32_t number = 0) {
  float sum = 0;
  forColumns([&](int32_t i) GM_LAMBDA {
    const float x = value(i);
    sum = fma(x, x, sum);
  });
  sum = sumOfBlock(
      sum, reinterpret_cast<float *>(sharedMemory()) + number * Warps, Warps);
  return 1.0f / squareRoot(sum * (1.0f / float(gm_k)) + gm_eps);
}
GM_INLINE float inverseRms(const float *x, int32_t number = 0) {
  return inverseRms([&](int32_t i) GM_LAMBDA { return x[i]; }, number);
}

#endif
