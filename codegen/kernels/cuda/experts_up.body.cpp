// Family experts_up. Unit = 32 outputs: two groups of gate, two of up.
#include "codegen/kernels/cuda/gates.h"

constexpr int32_t Warps = 4, WarpPairs = 8;

// A pair's unit a block.
GM_RESIDENT(gm_few, fewBlocksOf())
GM_ENTRY(gm_few, fewThreadsOf(), (fewBytesOf<1, Groups>()), 1, -gm_top)
(const uint8_t *x, const int32_t *ids, const int32_t *order, const uint8_t *w,
 uint8_t *y, const gm_numbers *step, int32_t begin, int32_t end) {
  waitForLaunches();
  const int32_t unit = begin + blockX(), pair = blockY();
  if (unit < end && pair < step->rows * gm_top)
    multiplyPair(x, w, y, ids[pair], pair, unit);
}

// Up to 8 pairs of `order` from `first` on that have one expert.
template <class P>
GM_INLINE void multiplyPairs(const uint8_t *x, const int32_t *order,
                             const uint8_t *w, uint8_t *y, int32_t expert,
                             int32_t first, int32_t pairs, int32_t unit,
                             uint8_t *memory) {
  Group groups[Groups];
  unitGroups<P>(groups, w, expert, unit);
  float total[Groups][4];
  sumAlone<P>(
      total, groups,
      [&](int32_t r) GM_LAMBDA {
        return x + order[first + r] / gm_top *
                       rowBytes(gm_act_q8, gm_act_bf16, gm_k);
      },
      pairs, memory);
  syncWarp();
  auto *values = reinterpret_cast<float *>(memory); // [pair][output]
  GM_UNROLL for (int32_t j = 0; j < 2; ++j)
      GM_UNROLL for (int32_t i = 0; i < 4; ++i)
          values[(2 * inGroup() + i % 2) * WarpLanes + j * groupRows +
                 2 * groupLane() + i / 2] = gelu(total[j][i]) * total[j + 2][i];
  syncWarp();
  for (int32_t r = 0; r < pairs; ++r)
    storePair(y, order[first + r], unit, values[r * WarpLanes + laneOf()]);
}

// A unit of the pairs of 8 rows' number a block, 8 places of `order` at a time
// a warp.
GM_RESIDENT(gm_many, 3)
GM_ENTRY(gm_many, Warps *WarpLanes, (aloneBytesOf<Warps, Groups>()), 1,
         GM_FEW_ROWS)
(const uint8_t *x, const int32_t *ids, const int32_t *order, const uint8_t *w,
 uint8_t *y, const gm_numbers *step, int32_t begin, int32_t end) {
  waitForLaunches();
  const int32_t unit = begin + blockX(), pairs = step->rows * gm_top;
  if (unit >= end)
    return;
  withTileProduct([&](auto p) GM_LAMBDA {
    using P = decltype(p);
    uint8_t *memory =
        sharedMemory() + warpOf() * warpBytes<P, GM_FEW_ROWS, Groups>();
    for (int32_t i = warpOf(); i < gm_top; i += Warps) {
      int32_t first = (blockY() * gm_top + i) * WarpPairs;
      const int32_t last = smaller(first + WarpPairs, pairs);
      while (first < last) {
        const int32_t expert = ids[order[first]];
        int32_t next = first + 1;
        while (next < last && ids[order[next]] == expert)
          ++next;
        multiplyPairs<P>(x, order, w, y, expert, first, next - first, unit,
                         memory);
        first = next;
      }
    }
  });
}
