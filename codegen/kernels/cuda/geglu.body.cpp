// Family geglu.
#include "codegen/kernels/cuda/tower_rows.h"

GM_INLINE void gegluRow(const float *g, const float *u, Bounds clipG,
                        Bounds clipU, Bounds clipIn, uint8_t *y, int64_t row) {
  g = rowAt(g, row), u = rowAt(u, row);
  storeAct(y, row, [&](int32_t i) GM_LAMBDA {
    return clipIn(gelu(clipG(g[i])) * clipU(u[i]));
  });
}

// Unit = row.
GM_ENTRY(gm_body, Threads, 0, 1, 0)
(const float *g, const float *u, const float *gLo, const float *gHi,
 const float *uLo, const float *uHi, const float *inLo, const float *inHi,
 uint8_t *y, const gm_numbers *step, int32_t begin, int32_t end) {
  if (const int64_t row = rowOfBlock(step, begin, end); row >= 0)
    gegluRow(g, u, boundsOf(gLo, gHi), boundsOf(uLo, uHi), boundsOf(inLo, inHi),
             y, row);
}

GM_ENTRY(gm_bare, Threads, 0, 1, 0)
(const float *g, const float *u, uint8_t *y, const gm_numbers *step,
 int32_t begin, int32_t end) {
  if (const int64_t row = rowOfBlock(step, begin, end); row >= 0)
    gegluRow(g, u, noBounds(), noBounds(), noBounds(), y, row);
}
