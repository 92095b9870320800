// Family bias; y may be x.
#include "codegen/kernels/cuda/tower_rows.h"

// Unit = row.
GM_ENTRY(gm_body, Threads, 0, 1, 0)
(const float *x, const float *b, float *y, const gm_numbers *step,
 int32_t begin, int32_t end) {
  const int64_t row = rowOfBlock(step, begin, end);
  if (row < 0)
    return;
  x = rowAt(x, row), y = rowAt(y, row);
  forColumns([&](int32_t i) GM_LAMBDA { y[i] = x[i] + b[i]; });
}
