// Family linear. Unit = 16 outputs.
#include "codegen/kernels/cuda/ends.h"

GM_RESIDENT(gm_few, fewBlocksOf())
GM_ENTRY(gm_few, fewThreadsOf(), (fewBytesOf<GM_FEW_ROWS, 1>()), 1, 0)
(const uint8_t *x, const uint8_t *w, float *y, const gm_numbers *step,
 int32_t stride, int32_t begin, int32_t end) {
  few<1, 1>(x, w, nullptr, step->rows, begin, end, storeSums(y, stride));
}

GM_RESIDENT(gm_many, manyBlocksOf())
GM_ENTRY(gm_many, manyThreadsOf(), manyBytesOf<1>(), (manyUnitsOf<1, 1>()),
         manyRowsOf())
(const uint8_t *x, const uint8_t *w, float *y, const gm_numbers *step,
 int32_t stride, int32_t begin, int32_t end) {
  many<1, 1>(x, w, nullptr, step->rows, begin, end, storeSums(y, stride));
}
