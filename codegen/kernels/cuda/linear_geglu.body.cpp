// Family linear_geglu. Unit = 32 outputs: two groups of gate, two of up.
#include "codegen/kernels/cuda/ends.h"

GM_RESIDENT(gm_few, fewBlocksOf())
GM_ENTRY(gm_few, fewThreadsOf(), (fewBytesOf<GM_FEW_ROWS, 4>()), 1, 0)
(const uint8_t *x, const uint8_t *w, uint8_t *y, const gm_numbers *step,
 int32_t stride, int32_t begin, int32_t end) {
  few<4, 1>(x, w, nullptr, step->rows, begin, end, storeGated(y, stride));
}

GM_RESIDENT(gm_many, manyBlocksOf())
GM_ENTRY(gm_many, manyThreadsOf(), manyBytesOf<4>(), (manyUnitsOf<4, 1>()),
         manyRowsOf())
(const uint8_t *x, const uint8_t *w, uint8_t *y, const gm_numbers *step,
 int32_t stride, int32_t begin, int32_t end) {
  many<4, 1>(x, w, nullptr, step->rows, begin, end, storeGated(y, stride));
}
