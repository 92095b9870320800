// Family linear_ple. Unit = 16 outputs, of quantised results 32.
#include "codegen/kernels/cuda/ends.h"

GM_RESIDENT(gm_few, fewBlocksOf())
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

GM_RESIDENT(gm_many, manyBlocksOf())
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
