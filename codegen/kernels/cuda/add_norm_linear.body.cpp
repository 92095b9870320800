// Family add_norm_linear. Unit = 16 outputs.
#include "codegen/kernels/cuda/ends.h"
#include "codegen/kernels/cuda/prologue.h"

extern "C" {
extern const float gm_eps;
}

GM_RESIDENT(gm_few, fewBlocksOf())
GM_ENTRY(gm_few, fewThreadsOf(),
         (fewBytesOf<GM_FEW_ROWS, 1>() + Added::bytes()), 1, 0)
(const float *h, const float *y, const uint8_t *w, const float *post,
 const float *norm, const float *scale, float *z, float *out,
 const gm_numbers *step, int32_t stride, int32_t begin, int32_t end) {
  fewBehind<1>(Added{{h, y, post, scale}, norm, out, gm_eps}, w, step->rows,
               begin, end, storeSums(z, stride));
}

GM_RESIDENT(gm_bare, fewBlocksOf())
GM_ENTRY(gm_bare, fewThreadsOf(),
         (fewBytesOf<GM_FEW_ROWS, 1>() + Added::bytes()), 1, 0)
(const float *h, const float *y, const uint8_t *w, const float *post,
 const float *norm, float *z, float *out, const gm_numbers *step,
 int32_t stride, int32_t begin, int32_t end) {
  fewBehind<1>(Added{{h, y, post, nullptr}, norm, out, gm_eps}, w, step->rows,
               begin, end, storeSums(z, stride));
}
