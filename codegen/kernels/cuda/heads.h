// Norm and two-dimensional rotation of a head of one row by a warp, shared by
// the families heads_q and heads_kv. Heads are stored in `headLanes` lanes,
// zeros behind gm_hd. Freestanding, for bodies of CUDA kernels only.
#ifndef GEMMAC_CODEGEN_KERNELS_CUDA_HEADS_H
#define GEMMAC_CODEGEN_KERNELS_CUDA_HEADS_H

#include "codegen/kernels/cuda/tower.h"

extern "C" {
extern const int32_t gm_heads, gm_hd, gm_cache_bf16;
extern const float gm_eps;
}

enum { Threads = 256, Warps = Threads / WarpLanes };

GM_INLINE int32_t headLanes() { return int32_t(paddedColumns(gm_hd)); }

// A head of products; `w` null: weightless.
struct HeadOfRow {
  const float *x, *w;
  Bounds clip;

  // (mean(clip(x)^2) + eps)^(-1/2), in one fixed order.
  GM_LAMBDA float inverseRms() const {
    float sum = 0;
    for (int32_t d = laneOf(); d < gm_hd; d += WarpLanes) {
      const float y = clip(x[d]);
      sum = fma(y, y, sum);
    }
    return 1.0f / squareRoot(sumOfWarp(sum) / float(gm_hd) + gm_eps);
  }
  GM_LAMBDA float normed(int32_t d, float scale) const {
    const float y = clip(x[d]) * scale;
    return w ? y * w[d] : y;
  }
  // Element `d`, turned by the row's table [hd / 2][2] of cos and sin: the
  // first half of a head by one coordinate, the second by the other.
  GM_LAMBDA float turned(int32_t d, float scale, const float *rope) const {
    const int32_t quarter = gm_hd / 4, half = d / (2 * quarter),
                  i = d % quarter, first = half * 2 * quarter + i;
    const float a = normed(first, scale), b = normed(first + quarter, scale);
    const float *turn = rope + 2 * (half * quarter + i);
    return d == first ? fma(a, turn[0], -(b * turn[1]))
                      : fma(b, turn[0], a * turn[1]);
  }
};

// f(d) for the lanes of this lane of a warp.
template <class F>
GM_INLINE void forLanes(F f) {
  for (int32_t d = laneOf(); d < headLanes(); d += WarpLanes)
    f(d);
}

// Stores number `i` at `to`.
GM_INLINE void storeNumber(uint8_t *to, int64_t i, float value) {
  storeElement(0, gm_cache_bf16, to, int32_t(i), value);
}

#endif
