// Rows that a product of class few computes itself, every block all of them, in
// shared memory: norms, the end of the block before them, merged attention. The
// bits are those of the families norm, add_norm, quant and merge.
// Freestanding, for body files only.
//
// A prologue P has P.bytes(), of shared memory; P.rows(memory, rows), which
// computes the rows, called by all threads; it leaves them in act, as rows of
// the arena are.
#ifndef GEMMAC_CODEGEN_KERNELS_CUDA_PROLOGUE_H
#define GEMMAC_CODEGEN_KERNELS_CUDA_PROLOGUE_H

#include "codegen/kernels/cuda/products.h"

// Sums that a block of family norm makes of a row: one of each warp.
enum { RowThreads = 256, RowWarps = RowThreads / WarpLanes };

GM_INLINE int32_t warpsOf() { return threadsOf() / WarpLanes; }
GM_INLINE int32_t preparedBytes() {
  return int32_t(GM_FEW_ROWS * rowBytes(gm_act_q8, gm_act_bf16, gm_k));
}
// Of sums of a row's squares.
enum {
  SquaresBytes = int32_t(GM_FEW_ROWS) * RowWarps * int32_t(sizeof(float))
};

// parts[r][0] = (mean of value(r, i)^2 + eps)^(-1/2), of the sums that the
// warps of a block of family norm make. Then all threads may read them.
template <class Value>
GM_INLINE void inverseRmsOfRows(float *parts, int32_t rows, float eps,
                                Value value) {
  for (int32_t task = warpOf(); task < rows * RowWarps; task += warpsOf()) {
    const int32_t r = task / RowWarps, w = task % RowWarps;
    float sum = 0;
    for (int32_t i = w * WarpLanes + laneOf(); i < gm_k; i += RowThreads) {
      const float x = value(r, i);
      sum = fma(x, x, sum);
    }
    sum = sumOfWarp(sum);
    if (laneOf() == 0)
      parts[task] = sum;
  }
  syncBlock();
  if (const int32_t r = threadOf(); r < rows) {
    float sum = parts[r * RowWarps];
    for (int32_t w = 1; w < RowWarps; ++w)
      sum += parts[r * RowWarps + w];
    parts[r * RowWarps] = 1.0f / squareRoot(sum * (1.0f / float(gm_k)) + eps);
  }
  syncBlock();
}

// Stores value(r, i) in act for all rows; q8: k is a multiple of 32. Then all
// threads may read them.
template <class Value>
GM_INLINE void storeRows(uint8_t *to, int32_t rows, Value value) {
  const int64_t bytes = rowBytes(gm_act_q8, gm_act_bf16, gm_k);
  const int32_t blocks = (gm_k + WarpLanes - 1) / WarpLanes;
  for (int32_t task = warpOf(); task < rows * blocks; task += warpsOf()) {
    const int32_t r = task / blocks, i = task % blocks * WarpLanes + laneOf();
    if (i < gm_k)
      storeElement(gm_act_q8, gm_act_bf16, to + r * bytes, i, value(r, i));
  }
  syncBlock();
}

// x = norm(h).
struct Normed {
  const float *h, *norm;
  float eps;

  GM_INLINE int32_t bytes() { return preparedBytes() + SquaresBytes; }
  GM_LAMBDA void rows(uint8_t *memory, int32_t rows) const {
    auto *parts = reinterpret_cast<float *>(memory + preparedBytes());
    const int64_t stride = paddedColumns(gm_k);
    inverseRmsOfRows(parts, rows, eps, [&](int32_t r, int32_t i) GM_LAMBDA {
      return h[r * stride + i];
    });
    storeRows(memory, rows, [&](int32_t r, int32_t i) GM_LAMBDA {
      return h[r * stride + i] * parts[r * RowWarps] * norm[i];
    });
  }
};

// h' = add_norm(h, y); x = norm(h'), or h' where `norm` is null. The first
// block stores h'. `scale` null: 1.
struct Added {
  const float *h, *y, *post, *norm, *scale;
  float *out;
  float eps;

  GM_INLINE int32_t bytes() { return preparedBytes() + 2 * SquaresBytes; }
  GM_LAMBDA void rows(uint8_t *memory, int32_t rows) const {
    auto *parts = reinterpret_cast<float *>(memory + preparedBytes()),
         *sums = parts + SquaresBytes / int32_t(sizeof(float));
    const int64_t stride = paddedColumns(gm_k);
    inverseRmsOfRows(parts, rows, eps, [&](int32_t r, int32_t i) GM_LAMBDA {
      return y[r * stride + i];
    });
    auto added = [&](int32_t r, int32_t i) GM_LAMBDA {
      const int64_t at = r * stride + i;
      const float sum = h[at] + y[at] * parts[r * RowWarps] * post[i];
      return scale ? sum * *scale : sum;
    };
    if (norm)
      inverseRmsOfRows(sums, rows, eps, added);
    const bool stores = blockX() == 0;
    storeRows(memory, rows, [&](int32_t r, int32_t i) GM_LAMBDA {
      const float x = added(r, i);
      if (stores)
        out[r * stride + i] = x;
      return norm ? x * sums[r * RowWarps] * norm[i] : x;
    });
  }
};

// The whole of an entry: units of U groups, one a block.
template <int32_t U, class Prologue, class Finish>
GM_INLINE void fewBehind(Prologue prologue, const uint8_t *w, int32_t rows,
                         int32_t begin, int32_t end, Finish finish) {
  const Share share = shareOf(1, GM_FEW_ROWS, rows, begin, end);
  if (share.units <= 0 || share.rows <= 0)
    return;
  uint8_t *memory = sharedMemory() + fewBytesOf<GM_FEW_ROWS, U>();
  productFew<U, 1>(memory, w, nullptr, share, finish, [&]() GM_LAMBDA {
    waitForLaunches();
    prologue.rows(memory, share.rows);
  });
}

#endif
