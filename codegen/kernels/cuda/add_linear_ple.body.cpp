// Family add_linear_ple. Unit = 16 outputs, of quantised results 32.
#include "codegen/kernels/cuda/ends.h"
#include "codegen/kernels/cuda/prologue.h"

extern "C" {
extern const float gm_eps;
}

GM_INLINE void plesBehind(Added added, const float *ple, const uint8_t *w,
                          uint8_t *z, int32_t rows, int32_t stride,
                          int32_t pleStride, int32_t column, int32_t begin,
                          int32_t end) {
  if (gm_act_q8)
    fewBehind<2>(added, w, rows, begin, end,
                 storePle<2>(ple, z, stride, pleStride, column));
  else
    fewBehind<1>(added, w, rows, begin, end,
                 storePle<1>(ple, z, stride, pleStride, column));
}
GM_INLINE int32_t sharedBytes() {
  return Added::bytes() + (gm_act_q8 ? fewBytesOf<GM_FEW_ROWS, 2>()
                                     : fewBytesOf<GM_FEW_ROWS, 1>());
}

GM_RESIDENT(gm_few, fewBlocksOf())
GM_ENTRY(gm_few, fewThreadsOf(), sharedBytes(), 1, 0)
(const float *h, const float *y, const float *ple, const uint8_t *w,
 const float *post, const float *scale, uint8_t *z, float *out,
 const gm_numbers *step, int32_t stride, int32_t pleStride, int32_t column,
 int32_t begin, int32_t end) {
  plesBehind({{h, y, post, scale}, nullptr, out, gm_eps}, ple, w, z, step->rows,
             stride, pleStride, column, begin, end);
}

GM_RESIDENT(gm_bare, fewBlocksOf())
GM_ENTRY(gm_bare, fewThreadsOf(), sharedBytes(), 1, 0)
(const float *h, const float *y, const float *ple, const uint8_t *w,
 const float *post, uint8_t *z, float *out, const gm_numbers *step,
 int32_t stride, int32_t pleStride, int32_t column, int32_t begin,
 int32_t end) {
  plesBehind({{h, y, post, nullptr}, nullptr, out, gm_eps}, ple, w, z,
             step->rows, stride, pleStride, column, begin, end);
}
