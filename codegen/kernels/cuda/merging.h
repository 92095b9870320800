// How outputs of parts of the keys become one: the same arithmetic in attend's
// class many and in merge, so that both give the same bits.
#ifndef GEMMAC_CODEGEN_KERNELS_CUDA_MERGING_H
#define GEMMAC_CODEGEN_KERNELS_CUDA_MERGING_H

#include "codegen/kernels/cuda/device.h"

GM_INLINE float mergeOutput(float old, float part, MergeFactors f) {
  return fma(part, f.part, old * f.old);
}
// Whether a part with this largest score has a visible key.
GM_INLINE bool takesPart(float top) { return top > GM_LOWEST; }

#endif
