// Family depthwise: the causal convolution of a conformer with its norm and
// activation. Rows before a sound's first are 0.
#include "codegen/kernels/cuda/tower_rows.h"

extern "C" {
extern const int32_t gm_taps;
}

GM_INLINE void convolveRow(const float *x, const float *w, const float *norm,
                           Bounds clip, uint8_t *y, int64_t row) {
  const int64_t stride = paddedColumns(gm_k);
  const int32_t missing = row + 1 < gm_taps ? gm_taps - 1 - int32_t(row) : 0;
  x += (row - gm_taps + 1) * stride;
  auto sum = [&](int32_t j) GM_LAMBDA {
    float c = 0;
    for (int32_t i = missing; i < gm_taps; ++i)
      c = fma(x[i * stride + j], w[j * gm_taps + i], c);
    return c;
  };
  const float rms = inverseRms(sum);
  storeAct(y, row, [&](int32_t j) GM_LAMBDA {
    return clip(silu(sum(j) * rms * norm[j]));
  });
}

// Unit = row.
GM_ENTRY(gm_body, Threads, RmsBytes, 1, 0)
(const float *x, const float *w, const float *norm, const float *lo,
 const float *hi, uint8_t *y, const gm_numbers *step, int32_t begin,
 int32_t end) {
  if (const int64_t row = rowOfBlock(step, begin, end); row >= 0)
    convolveRow(x, w, norm, boundsOf(lo, hi), y, row);
}

GM_ENTRY(gm_bare, Threads, RmsBytes, 1, 0)
(const float *x, const float *w, const float *norm, uint8_t *y,
 const gm_numbers *step, int32_t begin, int32_t end) {
  if (const int64_t row = rowOfBlock(step, begin, end); row >= 0)
    convolveRow(x, w, norm, noBounds(), y, row);
}
