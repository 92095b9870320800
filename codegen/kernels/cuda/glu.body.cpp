// Family glu: a row of x has 2 k columns.
#include "codegen/kernels/cuda/tower_rows.h"

GM_INLINE void gluRow(const float *x, Bounds clip, float *y, int64_t row) {
  x += row * paddedColumns(2 * int64_t(gm_k)), y = rowAt(y, row);
  forColumns([&](int32_t i)
                 GM_LAMBDA { y[i] = clip(x[i]) * sigmoid(clip(x[gm_k + i])); });
}

// Unit = row.
GM_ENTRY(gm_body, Threads, 0, 1, 0)
(const float *x, const float *lo, const float *hi, float *y,
 const gm_numbers *step, int32_t begin, int32_t end) {
  if (const int64_t row = rowOfBlock(step, begin, end); row >= 0)
    gluRow(x, boundsOf(lo, hi), y, row);
}

GM_ENTRY(gm_bare, Threads, 0, 1, 0)
(const float *x, float *y, const gm_numbers *step, int32_t begin, int32_t end) {
  if (const int64_t row = rowOfBlock(step, begin, end); row >= 0)
    gluRow(x, noBounds(), y, row);
}
