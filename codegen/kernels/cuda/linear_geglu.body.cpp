// Family linear_geglu. Unit = 32 outputs: two groups of gate, two of up.
#include "codegen/kernels/cuda/products.h"

GM_INLINE auto storeGated(uint8_t *y, int32_t stride) {
  return [=](Share share, Sums sums) GM_LAMBDA {
    forEachUnit<4>(share, sums, [&](int32_t r, int32_t unit) GM_LAMBDA {
      const int32_t o = unit * 64 + laneOf();
      storeUnit(y, share.row + r, stride, share.first + unit,
                gelu(sums.of(r, o)) * sums.of(r, o + 32));
    });
  };
}

GM_BLOCKS(gm_few, fewBlocksOf())
GM_ENTRY(gm_few, fewThreadsOf(), (fewBytesOf<GM_FEW_ROWS, 4>()), 1, 0)
(const uint8_t *x, const uint8_t *w, uint8_t *y, const gm_numbers *step,
 int32_t stride, int32_t begin, int32_t end) {
  few<4, 1>(x, w, nullptr, step->rows, begin, end, storeGated(y, stride));
}

GM_BLOCKS(gm_many, manyBlocksOf())
GM_ENTRY(gm_many, manyThreadsOf(), manyBytesOf<4>(), (manyUnitsOf<4, 1>()),
         manyRowsOf())
(const uint8_t *x, const uint8_t *w, uint8_t *y, const gm_numbers *step,
 int32_t stride, int32_t begin, int32_t end) {
  many<4, 1>(x, w, nullptr, step->rows, begin, end, storeGated(y, stride));
}
