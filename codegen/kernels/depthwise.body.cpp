// Family depthwise: the causal convolution of a conformer with its norm and
// activation. Rows before a sound's first are 0.
#include "codegen/kernels/vectors.h"

extern "C" {
extern const int32_t gm_k, gm_taps, gm_act_bf16, gm_act_q8;
extern const float gm_eps;
}

namespace {

// The convolution of row `row`, whose numbers are `stride` after those of the
// one before; `w` [taps][lanes].
GM_INLINE void convolve(float *c, const float *x, const float *w, int64_t row,
                        int64_t stride, int32_t lanes) {
  const int32_t missing = row + 1 < gm_taps ? gm_taps - 1 - int32_t(row) : 0;
  forVectors(gm_k, [&](int32_t j, auto whole) GM_LAMBDA {
    f32x16 sum = 0;
    for (int32_t i = missing; i < gm_taps; ++i)
      sum = fma(get(x + (row - gm_taps + 1 + i) * stride + j, whole),
                load<f32x16>(w + i * lanes + j), sum);
    store(c + j, sum);
  });
}

// Unit = row.
GM_INLINE void depthwise(const float *x, const float *w, const float *norm,
                         const Bounds &clip, uint8_t *y, int32_t begin,
                         int32_t end) {
  const int32_t lanes = roundUp(gm_k, 32);
  float *c = GM_WORDS(float, lanes), *taps = GM_WORDS(float, gm_taps *lanes),
        *scale = GM_WORDS(float, lanes);
  takeRow(scale, norm, gm_k);
  for (int32_t i = lanes - 32; i < lanes; ++i)
    c[i] = 0;
  for (int32_t i = 0; i < gm_taps; ++i)
    for (int32_t j = 0; j < lanes; ++j)
      taps[i * lanes + j] = j < gm_k ? w[j * gm_taps + i] : 0;
  const int64_t stride = rowBytes(0, 0, gm_k) / 4,
                bytes = rowBytes(gm_act_q8, gm_act_bf16, gm_k);
  for (int64_t row = begin; row < end; ++row) {
    convolve(c, x, taps, row, stride, lanes);
    const float rms = inverseRms(c, gm_k, gm_eps);
    for (int32_t j = 0; j < gm_k; j += 16)
      store(c + j,
            clip(silu(load<f32x16>(c + j) * rms * load<f32x16>(scale + j))));
    storeRow(gm_act_q8, gm_act_bf16, y + row * bytes, c, gm_k);
    // Bounds may make another number of the zeros behind the row.
    for (int32_t i = gm_k; i < lanes; ++i)
      c[i] = 0;
  }
}

} // namespace

extern "C" void gm_many(const float *x, const float *w, const float *norm,
                        const float *lo, const float *hi, uint8_t *y,
                        int32_t rows, int32_t begin, int32_t end) {
  depthwise(x, w, norm, bounds(lo, hi), y, begin, end);
}

extern "C" void gm_bare(const float *x, const float *w, const float *norm,
                        uint8_t *y, int32_t rows, int32_t begin, int32_t end) {
  depthwise(x, w, norm, noBounds(), y, begin, end);
}
