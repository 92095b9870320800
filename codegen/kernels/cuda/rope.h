// RMS norm and rotary embedding of one head of one row by a warp, shared by the
// families rope_q and append. Lane l holds elements l, l + 32, .. Freestanding,
// for bodies of CUDA kernels only.
#ifndef GEMMAC_CODEGEN_KERNELS_CUDA_ROPE_H
#define GEMMAC_CODEGEN_KERNELS_CUDA_ROPE_H

#include "codegen/kernels/cuda/device.h"

extern "C" {
extern const int32_t gm_heads, gm_hd, gm_pairs, gm_cache_bf16, gm_cache_q8;
extern const float gm_eps;
}

// (mean(x^2) + eps)^(-1/2) over a head, in one fixed order.
GM_INLINE float inverseRms(const float *x) {
  float sum = 0;
  for (int32_t d = laneOf(); d < gm_hd; d += WarpLanes)
    sum = fma(x[d], x[d], sum);
  return 1.0f / squareRoot(sumOfWarp(sum) / float(gm_hd) + gm_eps);
}

// A head and what turns it: `scale` is its inverseRms, `rope` the row's table
// [pairs][2] of cos and sin; pairs of lanes past it are not rotated.
struct Head {
  const float *x, *w, *rope;
  float scale;
};

GM_INLINE float normed(const Head &h, int32_t d) {
  return h.x[d] * h.scale * h.w[d];
}

// Element `d` of the norm, rotated.
GM_INLINE float turned(const Head &h, int32_t d) {
  const int32_t half = gm_hd / 2, i = d < half ? d : d - half;
  const float a = normed(h, i), b = normed(h, i + half);
  float cosine = 1, sine = 0;
  if (i < gm_pairs)
    cosine = h.rope[2 * i], sine = h.rope[2 * i + 1];
  return d < half ? fma(a, cosine, -(b * sine)) : fma(b, cosine, a * sine);
}

// f(d, element d, scale) of all elements, where those of keyBlock(hd) share the
// scale of their codes; d of a call: 32 in a row.
template <class F>
GM_INLINE void turnedBlocks(const Head &h, F f) {
  constexpr int32_t most = 128 / WarpLanes;
  const int32_t block = keyBlock(gm_hd), n = block / WarpLanes;
  for (int32_t d = laneOf(); d < gm_hd; d += block) {
    float values[most], largest = 0;
    GM_UNROLL for (int32_t j = 0; j < most; ++j) if (j < n) {
      values[j] = turned(h, d + j * WarpLanes);
      largest = larger(largest, magnitude(values[j]));
    }
    const float scale = scaleOf(mostOfWarp(largest));
    GM_UNROLL for (int32_t j = 0; j < most; ++j) if (j < n)
        f(d + j * WarpLanes, values[j], scale);
  }
}

#endif
