// Family norm.
#include "codegen/kernels/cuda/rows.h"

// Unit = row.
GM_ENTRY(gm_body, Threads, RmsBytes, 1, 0)
(const float *x, const float *w, uint8_t *y, const gm_numbers *step,
 int32_t begin, int32_t end) {
  const int64_t row = rowOfBlock(step, begin, end);
  if (row < 0)
    return;
  x += row * paddedColumns(gm_k);
  y += row * rowBytes(gm_act_q8, gm_act_bf16, gm_k);
  const float scale = inverseRms(x);
  forColumns([&](int32_t i) GM_LAMBDA {
    storeElement(gm_act_q8, gm_act_bf16, y, i, x[i] * scale * w[i]);
  });
}
