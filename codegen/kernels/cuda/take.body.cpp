// Family take.
#include "codegen/kernels/cuda/rows.h"

// Unit = row.
GM_ENTRY(gm_body, Threads, 0, 1, 0)
(const float *x, const int32_t *index, float *y, const gm_numbers *step,
 int32_t begin, int32_t end) {
  const int64_t row = rowOfBlock(step, begin, end);
  if (row < 0)
    return;
  x += index[row] * paddedColumns(gm_k);
  y += row * paddedColumns(gm_k);
  forColumns([&](int32_t i) GM_LAMBDA { y[i] = x[i]; });
}
