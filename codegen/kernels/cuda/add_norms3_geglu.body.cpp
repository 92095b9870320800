// Family add_norms3_geglu: units of gate and up, 32 outputs each, then units of
// the router, 16 outputs each. The router's rows are f32, so they are computed
// as its product stages them: they would take most of shared memory.
#include "codegen/kernels/cuda/ends.h"
#include "codegen/kernels/cuda/prologue.h"

extern "C" {
extern const int32_t gm_experts;
extern const float gm_eps, gm_factor;
}

// rowAt(r) is a function of the column.
struct RouterProduct : PlainProduct<false> {
  template <int32_t L, class RowAt>
  GM_INLINE void stage(uint8_t *to, RowAt rowAt, int32_t rows, int32_t begin,
                       int32_t end) {
    for (int32_t r = 0; r < rows; ++r)
      stageRow<L>(to, r, begin, end, rowAt(r));
  }
};

// h' = add_norm(h, y) and the three norms of it. The first block stores h' and
// the experts' rows.
struct Norms {
  AddNorm sum;
  const float *dense, *router, *experts;
  float *out;
  uint8_t *rowsOfExperts;

  enum { Floats = int32_t(SquaresBytes) / int32_t(sizeof(float)) };
  GM_INLINE int32_t squaresBytes() {
    return (AddNorm::Squares + 1) * int32_t(SquaresBytes);
  }
  GM_INLINE int32_t bytes() { return preparedBytes() + squaresBytes(); }

  GM_LAMBDA void measure(float *squares, int32_t rows) const {
    const float *parts = squares + Floats;
    sum.measure(squares + Floats, rows, gm_eps);
    inverseRmsOfRows(squares, rows, gm_eps,
                     [&](int32_t r, int32_t i)
                         GM_LAMBDA { return sum.at(parts, r, i); });
  }
  // The dense rows.
  GM_LAMBDA void rows(uint8_t *memory, int32_t rows) const {
    auto *squares = reinterpret_cast<float *>(memory + preparedBytes());
    measure(squares, rows);
    const bool stores = blockX() == 0;
    storeRows(memory, rows, [&](int32_t r, int32_t i) GM_LAMBDA {
      const float x = sum.at(squares + Floats, r, i),
                  y = x * squares[r * RowWarps];
      if (stores) {
        out[r * paddedColumns(gm_k) + i] = x;
        storeElement(gm_act_q8, gm_act_bf16,
                     rowsOfExperts + r * rowBytes(gm_act_q8, gm_act_bf16, gm_k),
                     i, y * experts[i]);
      }
      return y * dense[i];
    });
  }
  // An element of the router's rows.
  GM_LAMBDA float routed(const float *squares, int32_t r, int32_t i) const {
    const float y = sum.at(squares + Floats, r, i) * squares[r * RowWarps];
    return y * router[i] * gm_factor;
  }
};

GM_INLINE int32_t routerBytes() {
  return rangesBytes<RouterProduct, 1>(fewThreadsOf() / WarpLanes);
}
GM_INLINE int32_t sharedBytes() {
  return larger(fewBytesOf<GM_FEW_ROWS, 4>() + Norms::bytes(),
                routerBytes() + Norms::squaresBytes());
}

// `units`: of gate and up.
GM_INLINE void multiply(Norms norms, const uint8_t *w, const uint8_t *router,
                        uint8_t *z, float *logits, int32_t rows, int32_t stride,
                        int32_t units, int32_t begin, int32_t end) {
  const int32_t unit = begin + blockX() - units;
  if (unit < 0)
    return fewBehind<4>(norms, w, rows, begin, smaller(end, units),
                        storeGated(z, stride));
  rows = smaller(rows, int32_t(GM_FEW_ROWS));
  if (unit + units >= end || rows <= 0)
    return;
  auto *squares = reinterpret_cast<float *>(sharedMemory() + routerBytes());
  waitForLaunches();
  norms.measure(squares, rows);
  const Group groups[1] = {groupAt<RouterProduct>(router, nullptr, unit)};
  multiplyRanges<RouterProduct>(
      groups,
      [&](int32_t r) GM_LAMBDA {
        return [&norms, squares, r](int32_t i)
                   GM_LAMBDA { return norms.routed(squares, r, i); };
      },
      rows,
      [&](Sums sums) GM_LAMBDA {
        storeSums(logits, int32_t(paddedColumns(gm_experts)))(
            Share{unit, 1, 0, rows}, sums);
      });
}

GM_RESIDENT(gm_few, fewBlocksOf())
GM_ENTRY(gm_few, fewThreadsOf(), sharedBytes(), 1, 0)
(const float *h, const float *y, const uint8_t *w, const uint8_t *router,
 const float *post, const float *wDense, const float *wRouter,
 const float *wExperts, const float *scale, uint8_t *z, float *logits,
 uint8_t *experts, float *out, const gm_numbers *step, int32_t stride,
 int32_t units, int32_t begin, int32_t end) {
  multiply({{h, y, post, scale}, wDense, wRouter, wExperts, out, experts}, w,
           router, z, logits, step->rows, stride, units, begin, end);
}

GM_RESIDENT(gm_bare, fewBlocksOf())
GM_ENTRY(gm_bare, fewThreadsOf(), sharedBytes(), 1, 0)
(const float *h, const float *y, const uint8_t *w, const uint8_t *router,
 const float *post, const float *wDense, const float *wRouter,
 const float *wExperts, uint8_t *z, float *logits, uint8_t *experts, float *out,
 const gm_numbers *step, int32_t stride, int32_t units, int32_t begin,
 int32_t end) {
  multiply({{h, y, post, nullptr}, wDense, wRouter, wExperts, out, experts}, w,
           router, z, logits, step->rows, stride, units, begin, end);
}
