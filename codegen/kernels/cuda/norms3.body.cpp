// Family norms3.
#include "codegen/kernels/cuda/rows.h"

extern "C" {
extern const float gm_factor;
}

// Unit = row.
GM_ENTRY(gm_body, Threads, RmsBytes, 1, 0)
(const float *x, const float *wDense, const float *wRouter,
 const float *wExperts, uint8_t *dense, float *router, uint8_t *experts,
 const gm_numbers *step, int32_t begin, int32_t end) {
  const int64_t row = rowOfBlock(step, begin, end);
  if (row < 0)
    return;
  x += row * paddedColumns(gm_k);
  router += row * paddedColumns(gm_k);
  dense += row * rowBytes(gm_act_q8, gm_act_bf16, gm_k);
  experts += row * rowBytes(gm_act_q8, gm_act_bf16, gm_k);
  const float rms = inverseRms(x);
  forColumns([&](int32_t i) GM_LAMBDA {
    const float y = x[i] * rms;
    storeElement(gm_act_q8, gm_act_bf16, dense, i, y * wDense[i]);
    router[i] = y * wRouter[i] * gm_factor;
    storeElement(gm_act_q8, gm_act_bf16, experts, i, y * wExperts[i]);
  });
}
