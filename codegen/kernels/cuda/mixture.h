// The weighted sum of a row's experts, for families experts_down and
// experts_down_linear: a unit is 16 outputs. Freestanding, for body files only.
#ifndef GEMMAC_CODEGEN_KERNELS_CUDA_MIXTURE_H
#define GEMMAC_CODEGEN_KERNELS_CUDA_MIXTURE_H

#include "codegen/kernels/cuda/experts.h"

extern "C" const int32_t gm_n;

constexpr int32_t Together = 4;

GM_INLINE int64_t sliceBytes() {
  return rowBytes(gm_act_q8, gm_act_bf16, gm_k);
}
GM_INLINE float weightOfPair(const float *weights, int32_t pair) {
  return weights[pair / gm_top * paddedColumns(gm_top) + pair % gm_top];
}
// Adds a pair's product to what its row's earlier pairs gave.
GM_INLINE float addPair(float sum, float weight, float product) {
  return fma(weight, product, sum);
}

// A row's unit a block, G experts at a time.
template <class P>
GM_INLINE void multiplyRow(const uint8_t *x, const int32_t *ids,
                           const float *weights, const uint8_t *w, float *y,
                           int32_t row, int32_t unit) {
  constexpr int32_t G = Together;
  float sum = 0;
  for (int32_t first = 0; first < gm_top; first += G) {
    const int32_t pair = row * gm_top + first,
                  pairs = smaller(gm_top - first, G);
    Group groups[G];
    GM_UNROLL for (int32_t j = 0; j < G; ++j) groups[j] =
        expertGroup<P>(w, ids[pair + smaller(j, pairs - 1)], gm_n, unit);
    const Sums sums = sumFew<P, 1, G, G, true>(
        groups,
        [&](int32_t r) GM_LAMBDA { return x + (pair + r) * sliceBytes(); },
        pairs);
    sums.share();
    if (threadOf() < groupRows)
      for (int32_t j = 0; j < pairs; ++j)
        sum = addPair(sum, weightOfPair(weights, pair + j),
                      sums.of(0, j * groupRows + threadOf()));
  }
  if (threadOf() < groupRows)
    y[threadOf()] = sum;
}

// The same of rows of y, `stride` elements apart.
GM_INLINE void mixRow(const uint8_t *x, const int32_t *ids,
                      const float *weights, const uint8_t *w, float *y,
                      int32_t stride, int32_t row, int32_t unit) {
  y += int64_t(row) * stride + unit * groupRows;
  withTileProduct([&](auto p) GM_LAMBDA {
    multiplyRow<decltype(p)>(x, ids, weights, w, y, row, unit);
  });
}

#endif
