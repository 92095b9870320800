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

// The sums h' that end a block, S: S.Squares areas of SquaresBytes are what
// S.measure makes of rows, for all threads; then S.at(parts, r, i) is an
// element of h'. `scale` null: 1.
//
// h' = add_norm(h, y).
struct AddNorm {
  enum { Squares = 1 };
  const float *h, *y, *post, *scale;

  GM_LAMBDA void measure(float *parts, int32_t rows, float eps) const {
    const int64_t stride = paddedColumns(gm_k);
    inverseRmsOfRows(parts, rows, eps, [&](int32_t r, int32_t i) GM_LAMBDA {
      return y[r * stride + i];
    });
  }
  GM_LAMBDA float at(const float *parts, int32_t r, int32_t i) const {
    const int64_t at = r * paddedColumns(gm_k) + i;
    const float sum = h[at] + y[at] * parts[r * RowWarps] * post[i];
    return scale ? sum * *scale : sum;
  }
};

// h' = add_norm3(h, dense, experts).
struct AddNorm3 {
  enum { Squares = 3 };
  const float *h, *dense, *experts, *wDense, *wExperts, *w, *scale;

  GM_INLINE const float *area(const float *parts, int32_t number) {
    return parts + number * (SquaresBytes / int32_t(sizeof(float)));
  }
  GM_LAMBDA float sum(const float *parts, int32_t r, int32_t i) const {
    const int64_t at = r * paddedColumns(gm_k) + i;
    return dense[at] * parts[r * RowWarps] * wDense[i] +
           experts[at] * area(parts, 1)[r * RowWarps] * wExperts[i];
  }
  GM_LAMBDA void measure(float *parts, int32_t rows, float eps) const {
    const int64_t stride = paddedColumns(gm_k);
    inverseRmsOfRows(parts, rows, eps, [&](int32_t r, int32_t i) GM_LAMBDA {
      return dense[r * stride + i];
    });
    inverseRmsOfRows(const_cast<float *>(area(parts, 1)), rows, eps,
                     [&](int32_t r, int32_t i)
                         GM_LAMBDA { return experts[r * stride + i]; });
    inverseRmsOfRows(const_cast<float *>(area(parts, 2)), rows, eps,
                     [&](int32_t r, int32_t i)
                         GM_LAMBDA { return sum(parts, r, i); });
  }
  GM_LAMBDA float at(const float *parts, int32_t r, int32_t i) const {
    const float total = h[r * paddedColumns(gm_k) + i] +
                        sum(parts, r, i) * area(parts, 2)[r * RowWarps] * w[i];
    return scale ? total * *scale : total;
  }
};

// x = norm(h'), or h' where `norm` is null. The first block stores h'.
template <class Sum>
struct Behind {
  Sum sum;
  const float *norm;
  float *out;
  float eps;

  GM_INLINE int32_t bytes() {
    return preparedBytes() + (Sum::Squares + 1) * SquaresBytes;
  }
  GM_LAMBDA void rows(uint8_t *memory, int32_t rows) const {
    auto *squares = reinterpret_cast<float *>(memory + preparedBytes()),
         *parts = squares + SquaresBytes / int32_t(sizeof(float));
    sum.measure(parts, rows, eps);
    if (norm)
      inverseRmsOfRows(squares, rows, eps, [&](int32_t r, int32_t i) GM_LAMBDA {
        return sum.at(parts, r, i);
      });
    const bool stores = blockX() == 0;
    storeRows(memory, rows, [&](int32_t r, int32_t i) GM_LAMBDA {
      const float x = sum.at(parts, r, i);
      if (stores)
        out[r * paddedColumns(gm_k) + i] = x;
      return norm ? x * squares[r * RowWarps] * norm[i] : x;
    });
  }
};
using Added = Behind<AddNorm>;
using Added3 = Behind<AddNorm3>;

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
