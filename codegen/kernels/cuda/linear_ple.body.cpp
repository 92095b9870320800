// Family linear_ple. Unit = 16 outputs, of quantised results 32.
#include "codegen/kernels/cuda/products.h"

// Two groups a unit of quantised results, else one.
template <int32_t U>
GM_INLINE auto storePle(const float *ple, uint8_t *y, int32_t stride,
                        int32_t pleStride, int32_t column) {
  return [=](Share share, Sums sums) GM_LAMBDA {
    auto value = [&](int32_t r, int32_t o) GM_LAMBDA {
      return gelu(sums.of(r, o)) *
             ple[int64_t(share.row + r) * pleStride + column +
                 share.first * (U * groupRows) + o];
    };
    if constexpr (U == 2)
      forEachUnit<2>(share, sums, [&](int32_t r, int32_t unit) GM_LAMBDA {
        storeUnit(y, share.row + r, stride, share.first + unit,
                  value(r, unit * 32 + laneOf()));
      });
    else
      forEachSum<1>(share, sums, [&](int32_t r, int32_t o, float) GM_LAMBDA {
        storeElement(0, gm_act_bf16,
                     y + (share.row + r) * rowBytes(0, gm_act_bf16, stride),
                     share.first * groupRows + o, value(r, o));
      });
  };
}

GM_BLOCKS(gm_few, fewBlocksOf())
GM_ENTRY(gm_few, fewThreadsOf(),
         (gm_act_q8 ? fewBytesOf<GM_FEW_ROWS, 2>()
                    : fewBytesOf<GM_FEW_ROWS, 1>()),
         1, 0)
(const uint8_t *x, const float *ple, const uint8_t *w, uint8_t *y,
 const gm_numbers *step, int32_t stride, int32_t ple_stride, int32_t column,
 int32_t begin, int32_t end) {
  if (gm_act_q8)
    few<2, 1>(x, w, nullptr, step->rows, begin, end,
              storePle<2>(ple, y, stride, ple_stride, column));
  else
    few<1, 1>(x, w, nullptr, step->rows, begin, end,
              storePle<1>(ple, y, stride, ple_stride, column));
}

GM_BLOCKS(gm_many, manyBlocksOf())
GM_ENTRY(gm_many, manyThreadsOf(), manyBytesOf<2>(),
         (gm_act_q8 ? manyUnitsOf<2, 1>() : manyUnitsOf<1, 1>()), manyRowsOf())
(const uint8_t *x, const float *ple, const uint8_t *w, uint8_t *y,
 const gm_numbers *step, int32_t stride, int32_t ple_stride, int32_t column,
 int32_t begin, int32_t end) {
  if (gm_act_q8)
    many<2, 1>(x, w, nullptr, step->rows, begin, end,
               storePle<2>(ple, y, stride, ple_stride, column));
  else
    many<1, 1>(x, w, nullptr, step->rows, begin, end,
               storePle<1>(ple, y, stride, ple_stride, column));
}
