// Family norm: a block of threads does a row.
#include "codegen/kernels/cuda/device.h"

extern "C" {
extern const int32_t gm_k, gm_act_q8, gm_act_bf16;
extern const float gm_eps;
}

enum { Threads = 256, Warps = Threads / WarpLanes };

// Unit = row.
GM_ENTRY(gm_body, Threads, Warps * 4, 1, 0)
(const float *x, const float *w, uint8_t *y, const gm_numbers *step,
 int32_t begin, int32_t end) {
  const int32_t row = begin + blockX();
  if (row >= end || row >= step->rows)
    return;
  x += row * paddedColumns(gm_k);
  y += row * rowBytes(gm_act_q8, gm_act_bf16, gm_k);
  float sum = 0;
  for (int32_t i = threadOf(); i < gm_k; i += Threads)
    sum = fma(x[i], x[i], sum);
  sum = sumOfBlock(sum, reinterpret_cast<float *>(sharedMemory()), Warps);
  const float scale = 1.0f / squareRoot(sum * (1.0f / float(gm_k)) + gm_eps);
  for (int32_t i = threadOf(); i < gm_k; i += Threads)
    storeElement(gm_act_q8, gm_act_bf16, y, i, x[i] * scale * w[i]);
}
