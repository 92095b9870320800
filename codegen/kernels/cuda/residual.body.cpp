// Family residual; out may be h: an element of h is read only by the thread
// that writes the same element of out.
#include "codegen/kernels/cuda/tower_rows.h"

extern "C" {
extern const float gm_factor;
}

GM_INLINE void addNormed(const float *h, const float *y, const float *w,
                         Bounds clip, float *out, int64_t row) {
  h = rowAt(h, row), y = rowAt(y, row), out = rowAt(out, row);
  const float rms = inverseRms([&](int32_t i) GM_LAMBDA { return clip(y[i]); });
  forColumns([&](int32_t i) GM_LAMBDA {
    out[i] = h[i] + clip(y[i]) * rms * w[i] * gm_factor;
  });
}

// Unit = row.
GM_ENTRY(gm_body, Threads, RmsBytes, 1, 0)
(const float *h, const float *y, const float *w, const float *lo,
 const float *hi, float *out, const gm_numbers *step, int32_t begin,
 int32_t end) {
  if (const int64_t row = rowOfBlock(step, begin, end); row >= 0)
    addNormed(h, y, w, boundsOf(lo, hi), out, row);
}

GM_ENTRY(gm_bare, Threads, RmsBytes, 1, 0)
(const float *h, const float *y, const float *w, float *out,
 const gm_numbers *step, int32_t begin, int32_t end) {
  if (const int64_t row = rowOfBlock(step, begin, end); row >= 0)
    addNormed(h, y, w, noBounds(), out, row);
}
