// Family add_norm. `out` may be `h`: an element of h is read only by the thread
// that writes the same element of out.
#include "codegen/kernels/cuda/rows.h"

// `s` null: 1.
GM_INLINE void addNorm(const float *h, const float *y, const float *w,
                       const float *s, float *out, int64_t row) {
  const int64_t at = row * paddedColumns(gm_k);
  h += at, y += at, out += at;
  const float rms = inverseRms(y);
  forColumns([&](int32_t i) GM_LAMBDA {
    const float sum = h[i] + y[i] * rms * w[i];
    out[i] = s ? sum * *s : sum;
  });
}

// Unit = row.
GM_ENTRY(gm_body, Threads, RmsBytes, 1, 0)
(const float *h, const float *y, const float *w, const float *s, float *out,
 const gm_numbers *step, int32_t begin, int32_t end) {
  if (const int64_t row = rowOfBlock(step, begin, end); row >= 0)
    addNorm(h, y, w, s, out, row);
}

GM_ENTRY(gm_bare, Threads, RmsBytes, 1, 0)
(const float *h, const float *y, const float *w, float *out,
 const gm_numbers *step, int32_t begin, int32_t end) {
  if (const int64_t row = rowOfBlock(step, begin, end); row >= 0)
    addNorm(h, y, w, nullptr, out, row);
}
