// Family affine.
#include "codegen/kernels/cuda/tower_rows.h"

extern "C" {
extern const float gm_factor, gm_offset;
}

// Unit = row.
GM_ENTRY(gm_body, Threads, 0, 1, 0)
(const float *x, float *y, const gm_numbers *step, int32_t begin, int32_t end) {
  const int64_t row = rowOfBlock(step, begin, end);
  if (row < 0)
    return;
  x = rowAt(x, row), y = rowAt(y, row);
  forColumns([&](int32_t i) GM_LAMBDA { y[i] = x[i] * gm_factor + gm_offset; });
}
