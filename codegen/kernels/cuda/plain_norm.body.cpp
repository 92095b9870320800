// Family plain_norm.
#include "codegen/kernels/cuda/tower_rows.h"

// Unit = row.
GM_ENTRY(gm_body, Threads, RmsBytes, 1, 0)
(const float *x, uint8_t *y, const gm_numbers *step, int32_t begin,
 int32_t end) {
  const int64_t row = rowOfBlock(step, begin, end);
  if (row < 0)
    return;
  x = rowAt(x, row);
  const float rms = inverseRms(x);
  storeAct(y, row, [&](int32_t i) GM_LAMBDA { return x[i] * rms; });
}
