// The gated product of one pair of a row and an expert, for families experts_up
// and top_experts_up: a unit is 32 outputs, two groups of gate, two of up.
// Freestanding, for body files only.
#ifndef GEMMAC_CODEGEN_KERNELS_CUDA_GATES_H
#define GEMMAC_CODEGEN_KERNELS_CUDA_GATES_H

#include "codegen/kernels/cuda/experts.h"

extern "C" const int32_t gm_f;

constexpr int32_t Groups = 4;

template <class P>
GM_INLINE void unitGroups(Group (&groups)[Groups], const uint8_t *w,
                          int32_t expert, int32_t unit) {
  const int32_t outputs = 2 * int32_t(paddedColumns(gm_f));
  GM_UNROLL for (int32_t j = 0; j < Groups; ++j) groups[j] =
      expertGroup<P>(w, expert, outputs, unit * Groups + j);
}

GM_INLINE void storePair(uint8_t *y, int32_t pair, int32_t unit, float value) {
  storeUnit(y, pair, gm_f, unit, value);
}

// A unit of a pair, by a block of fewThreadsOf() threads.
GM_INLINE void multiplyPair(const uint8_t *x, const uint8_t *w, uint8_t *y,
                            int32_t expert, int32_t pair, int32_t unit) {
  x += pair / gm_top * rowBytes(gm_act_q8, gm_act_bf16, gm_k);
  withTileProduct([&](auto p) GM_LAMBDA {
    using P = decltype(p);
    Group groups[Groups];
    unitGroups<P>(groups, w, expert, unit);
    const Sums sums = sumFew<P, 1, 1, Groups, false>(
        groups, [&](int32_t) GM_LAMBDA { return x; }, 1);
    sums.share();
    if (warpOf() == 0)
      storePair(y, pair, unit,
                gelu(sums.of(0, laneOf())) * sums.of(0, laneOf() + 32));
  });
}

#endif
