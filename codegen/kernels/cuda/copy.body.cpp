// Family copy.
#include "codegen/kernels/cuda/rows.h"

// Unit = row.
GM_ENTRY(gm_body, Threads, 0, 1, 0)
(const float *x, float *y, const gm_numbers *step, int32_t begin, int32_t end) {
  const int64_t row = rowOfBlock(step, begin, end);
  if (row < 0)
    return;
  const int64_t at = row * paddedColumns(gm_k);
  forColumns([&](int32_t i) GM_LAMBDA { y[at + i] = x[at + i]; });
}
