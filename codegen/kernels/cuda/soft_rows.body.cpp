// Family soft_rows: nothing is read of `soft` unless a row asks for it.
#include "codegen/kernels/cuda/rows.h"

// Unit = row; y may be x.
GM_ENTRY(gm_body, Threads, 0, 1, 0)
(const float *x, const int32_t *from, const float *soft, float *y,
 const gm_numbers *step, int32_t begin, int32_t end) {
  const int64_t row = rowOfBlock(step, begin, end);
  if (row < 0)
    return;
  const int64_t stride = paddedColumns(gm_k);
  const float *source =
      from[row] < 0 ? x + row * stride : soft + from[row] * stride;
  y += row * stride;
  if (source != y)
    forColumns([&](int32_t i) GM_LAMBDA { y[i] = source[i]; });
}
