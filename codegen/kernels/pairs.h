// Register tiles of attention: as many pairs (row, head) at a time as the
// machine's registers hold. Freestanding, for body files only.
#ifndef GEMMAC_CODEGEN_KERNELS_PAIRS_H
#define GEMMAC_CODEGEN_KERNELS_PAIRS_H

#include "codegen/kernels/body.h"

// f(Int<N>, i) for groups of N pairs from pair i on.
template <class F>
GM_INLINE void forPairs(int32_t count, F f) {
  int32_t i = 0;
  if constexpr (GM_PAIRS >= 8)
    for (; i + 8 <= count; i += 8)
      f(Int<8>(), i);
  for (; i + 4 <= count; i += 4)
    f(Int<4>(), i);
  for (; i + 2 <= count; i += 2)
    f(Int<2>(), i);
  if (i < count)
    f(Int<1>(), i);
}

#endif
