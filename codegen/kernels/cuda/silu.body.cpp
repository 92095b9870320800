// Family silu.
#include "codegen/kernels/cuda/tower_rows.h"

GM_INLINE void siluRow(const float *x, Bounds clip, Bounds clipIn, uint8_t *y,
                       int64_t row) {
  x = rowAt(x, row);
  storeAct(y, row,
           [&](int32_t i) GM_LAMBDA { return clipIn(silu(clip(x[i]))); });
}

// Unit = row.
GM_ENTRY(gm_body, Threads, 0, 1, 0)
(const float *x, const float *lo, const float *hi, const float *inLo,
 const float *inHi, uint8_t *y, const gm_numbers *step, int32_t begin,
 int32_t end) {
  if (const int64_t row = rowOfBlock(step, begin, end); row >= 0)
    siluRow(x, boundsOf(lo, hi), boundsOf(inLo, inHi), y, row);
}

GM_ENTRY(gm_bare, Threads, 0, 1, 0)
(const float *x, uint8_t *y, const gm_numbers *step, int32_t begin,
 int32_t end) {
  if (const int64_t row = rowOfBlock(step, begin, end); row >= 0)
    siluRow(x, noBounds(), noBounds(), y, row);
}
