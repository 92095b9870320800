// What the products of a mixture of experts share: where an expert's matrix
// begins, and products of a warp alone, for rows that are gathered. A pair is a
// row and one of its experts, number row * top + j. Freestanding, for body
// files only.
#ifndef GEMMAC_CODEGEN_KERNELS_CUDA_EXPERTS_H
#define GEMMAC_CODEGEN_KERNELS_CUDA_EXPERTS_H

#include "codegen/kernels/cuda/products.h"

extern "C" const int32_t gm_experts, gm_top;

// A group of the expert's matrix, which has `outputs` rows.
template <class P>
GM_INLINE Group expertGroup(const uint8_t *w, int32_t expert, int32_t outputs,
                            int32_t group) {
  const int32_t groups = (outputs + groupRows - 1) / groupRows;
  return groupAt<P>(w, nullptr, int64_t(expert) * groups + group);
}

// The sums of up to 8 rows over all of k, by one warp: the bits that sumFew
// and sumTile give them.
template <class P, int32_t G, class RowAt>
GM_INLINE void sumAlone(float (&total)[G][4], const Group (&groups)[G],
                        RowAt rowAt, int32_t rows, uint8_t *memory) {
  for (int32_t range = 0; range < ranges<P>(); ++range) {
    float acc[G][4];
    clear(acc);
    syncWarp(); // what was in memory before is used
    addRange<P, GM_FEW_ROWS, GM_FEW_ROWS, G, false>(
        acc, groups, rowAt, rows, rangeBegin<P>(range), rangeSteps<P>(range),
        memory);
    GM_UNROLL for (int32_t j = 0; j < G; ++j)
        GM_UNROLL for (int32_t i = 0; i < 4; ++i) total[j][i] =
            range == 0 ? acc[j][i] : total[j][i] + acc[j][i];
  }
}

// Shared memory of a block of Warps warps that call sumAlone.
template <int32_t Warps, int32_t G>
GM_INLINE int32_t aloneBytesOf() {
  int32_t bytes = 0;
  withTileProduct([&](auto p) GM_LAMBDA {
    bytes = Warps * warpBytes<decltype(p), GM_FEW_ROWS, G>();
  });
  return bytes;
}

#endif
