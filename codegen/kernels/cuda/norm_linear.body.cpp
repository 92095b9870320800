// Family norm_linear. Unit = 16 outputs.
#include "codegen/kernels/cuda/ends.h"
#include "codegen/kernels/cuda/prologue.h"

extern "C" {
extern const float gm_eps;
}

GM_RESIDENT(gm_few, fewBlocksOf())
GM_ENTRY(gm_few, fewThreadsOf(),
         (fewBytesOf<GM_FEW_ROWS, 1>() + Normed::bytes()), 1, 0)
(const float *h, const uint8_t *w, const float *norm, float *y,
 const gm_numbers *step, int32_t stride, int32_t begin, int32_t end) {
  fewBehind<1>(Normed{h, norm, gm_eps}, w, step->rows, begin, end,
               storeSums(y, stride));
}
