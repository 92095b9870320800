// Family add; out may be h.
#include "codegen/kernels/cuda/tower_rows.h"

GM_INLINE void addRow(const float *h, const float *y, Bounds clip, float *out,
                      int64_t row) {
  h = rowAt(h, row), y = rowAt(y, row), out = rowAt(out, row);
  forColumns([&](int32_t i) GM_LAMBDA { out[i] = h[i] + clip(y[i]); });
}

// Unit = row.
GM_ENTRY(gm_body, Threads, 0, 1, 0)
(const float *h, const float *y, const float *lo, const float *hi, float *out,
 const gm_numbers *step, int32_t begin, int32_t end) {
  if (const int64_t row = rowOfBlock(step, begin, end); row >= 0)
    addRow(h, y, boundsOf(lo, hi), out, row);
}

GM_ENTRY(gm_bare, Threads, 0, 1, 0)
(const float *h, const float *y, float *out, const gm_numbers *step,
 int32_t begin, int32_t end) {
  if (const int64_t row = rowOfBlock(step, begin, end); row >= 0)
    addRow(h, y, noBounds(), out, row);
}
