// Family logits. Unit = 16 outputs; 4 a block, for which rows are staged once.
#include "codegen/kernels/cuda/products.h"
#include "codegen/kernels/cuda/softcap.h"

extern "C" const float gm_cap;

constexpr int32_t Units = 4;

GM_INLINE auto storeCapped(float *y, int32_t stride) {
  return [=](Share share, Sums sums) GM_LAMBDA {
    forEachSum<1>(share, sums, [&](int32_t r, int32_t o, float sum) GM_LAMBDA {
      y[int64_t(share.row + r) * stride + share.first * groupRows + o] =
          gm_cap > 0 ? softcap(sum, gm_cap) : sum;
    });
  };
}

// With a second matrix (format q8_0_split).
GM_RESIDENT(gm_few, fewBlocksOf())
GM_ENTRY(gm_few, fewThreadsOf(), (fewBytesOf<GM_FEW_ROWS, Units>()), Units, 0)
(const uint8_t *x, const uint8_t *w, const uint8_t *low, float *y,
 const gm_numbers *step, int32_t stride, int32_t begin, int32_t end) {
  few<1, Units>(x, w, low, step->rows, begin, end, storeCapped(y, stride));
}
GM_RESIDENT(gm_many, manyBlocksOf())
GM_ENTRY(gm_many, manyThreadsOf(), manyBytesOf<Units>(),
         (manyUnitsOf<1, Units>()), manyRowsOf())
(const uint8_t *x, const uint8_t *w, const uint8_t *low, float *y,
 const gm_numbers *step, int32_t stride, int32_t begin, int32_t end) {
  many<1, Units>(x, w, low, step->rows, begin, end, storeCapped(y, stride));
}

// Without.
GM_RESIDENT(gm_bare_few, fewBlocksOf())
GM_ENTRY(gm_bare_few, fewThreadsOf(), (fewBytesOf<GM_FEW_ROWS, Units>()), Units,
         0)
(const uint8_t *x, const uint8_t *w, float *y, const gm_numbers *step,
 int32_t stride, int32_t begin, int32_t end) {
  few<1, Units>(x, w, nullptr, step->rows, begin, end, storeCapped(y, stride));
}
GM_RESIDENT(gm_bare_many, manyBlocksOf())
GM_ENTRY(gm_bare_many, manyThreadsOf(), manyBytesOf<Units>(),
         (manyUnitsOf<1, Units>()), manyRowsOf())
(const uint8_t *x, const uint8_t *w, float *y, const gm_numbers *step,
 int32_t stride, int32_t begin, int32_t end) {
  many<1, Units>(x, w, nullptr, step->rows, begin, end, storeCapped(y, stride));
}
