// RMS norm and rotary embedding of one head of one row, shared by the families
// rope_q and append. Freestanding, for body files only.
#ifndef GEMMAC_CODEGEN_KERNELS_ROPE_H
#define GEMMAC_CODEGEN_KERNELS_ROPE_H

#include "codegen/kernels/body.h"

extern "C" {
extern const int32_t gm_heads, gm_hd, gm_pairs, gm_cache_bf16, gm_cache_q8;
extern const float gm_eps;
}

// cos and sin of every lane of half a head, from a row's table [pairs][2]; the
// lanes past `pairs` are not rotated.
GM_INLINE void turnTable(const float *rope, float *cosine, float *sine) {
  for (int32_t i = 0; i < gm_pairs; ++i)
    cosine[i] = rope[2 * i], sine[i] = rope[2 * i + 1];
  for (int32_t i = gm_pairs; i < gm_hd / 2; ++i)
    cosine[i] = 1, sine[i] = 0;
}

// (mean(x^2) + eps)^(-1/2) over a head, in one fixed order.
GM_INLINE float inverseRms(const float *x) {
  f32x16 sum = 0;
  for (int32_t d = 0; d < gm_hd; d += 16) {
    f32x16 v = load<f32x16>(x + d);
    sum = fma(v, v, sum);
  }
  return 1.0f / __builtin_elementwise_sqrt(sumLanes(sum) / gm_hd + gm_eps);
}

// Lanes d .. d + 15 of the norm; `w` null: weightless.
GM_INLINE f32x16 normed(const float *x, const float *w, float scale,
                        int32_t d) {
  f32x16 y = load<f32x16>(x + d) * scale;
  return w ? y * load<f32x16>(w + d) : y;
}

// f(d, lanes d .. d + 15, lanes d + hd/2 ..) over a head: norm of x times w,
// rotated.
template <class F>
GM_INLINE void normAndTurn(const float *x, const float *w, const float *cosine,
                           const float *sine, F f) {
  const float scale = inverseRms(x);
  const int32_t half = gm_hd / 2;
  for (int32_t d = 0; d < half; d += 16) {
    f32x16 a = normed(x, w, scale, d), b = normed(x, w, scale, d + half);
    f32x16 c = load<f32x16>(cosine + d), s = load<f32x16>(sine + d);
    f(d, fma(a, c, -(b * s)), fma(b, c, a * s));
  }
}

// The scale of lanes d .. d + n - 1.
GM_INLINE float scaleOfLanes(const float *x, int32_t d, int32_t n) {
  f32x16 most = 0;
  for (int32_t i = d; i < d + n; i += 16)
    most = larger(most, magnitude(load<f32x16>(x + i)));
  return scaleOf(maxLanes(most));
}

#endif
