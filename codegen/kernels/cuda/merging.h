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

// Column `column` of a row's merged output: its partials [parts] of {o [heads]
// [hd], m [heads], l [heads]} begin at slot `first`.
GM_INLINE float mergedOutput(const float *partials, int64_t first,
                             int32_t parts, int32_t heads, int32_t hd,
                             int32_t column) {
  const int64_t size = int64_t(heads) * (hd + 2);
  const int32_t head = column / hd;
  const float *from = partials + first * size;
  Softmax merged = {GM_LOWEST, 0};
  float o = 0;
  for (int32_t part = 0; part < parts; ++part, from += size) {
    const float top = from[heads * hd + head];
    if (!takesPart(top))
      continue;
    const float sum = from[heads * (hd + 1) + head];
    const MergeFactors f = mergeSoftmax(merged, top, sum);
    o = mergeOutput(o, from[column], f);
  }
  return o / merged.sum;
}

#endif
