// Family moe_sort: the (row, expert) pairs of all rows, stably by expert, by
// one block of threads. Warps have ranges of pairs, and count what they have of
// every expert; 32 pairs at a time.
#include "codegen/kernels/cuda/device.h"

extern "C" {
extern const int32_t gm_experts, gm_top;
}

// As many of `most` as have space for their counts.
GM_INLINE int32_t warpsOf(int32_t most) {
  return smaller(most, larger(8192 / gm_experts, 1));
}
GM_INLINE int32_t sharedBytes(int32_t most) {
  return (warpsOf(most) + 1) * gm_experts * int32_t(sizeof(int32_t));
}

// f(pair, its expert, the lanes with the same expert) for the pairs [from, to)
// of a warp; expert -1 where there are no more.
template <class F>
GM_INLINE void forPairs(const int32_t *ids, int32_t from, int32_t to, F f) {
  for (; from < to; from += WarpLanes) {
    const int32_t pair = from + laneOf(), id = pair < to ? ids[pair] : -1;
    f(pair, id, lanesWith(id));
  }
}

GM_INLINE void sortPairs(const int32_t *ids, int32_t *order, int32_t pairs,
                         int32_t warps) {
  const int32_t threads = warps * WarpLanes;
  // [warp][expert]: first how many, then where the next one goes.
  auto *places = reinterpret_cast<int32_t *>(sharedMemory());
  int32_t *own = places + warpOf() * gm_experts,
          *totals = places + warps * gm_experts;
  for (int32_t i = threadOf(); i < warps * gm_experts; i += threads)
    places[i] = 0;
  syncBlock();
  const int32_t range = (pairs + threads - 1) / threads * WarpLanes,
                from = warpOf() * range, to = smaller(from + range, pairs);
  const uint32_t before = (1u << laneOf()) - 1;
  forPairs(ids, from, to, [&](int32_t, int32_t id, uint32_t same) GM_LAMBDA {
    if (id >= 0 && !(same & before))
      own[id] += __builtin_popcount(same);
    syncWarp();
  });
  syncBlock();
  for (int32_t e = threadOf(); e < gm_experts; e += threads) {
    int32_t sum = 0;
    for (int32_t w = 0; w < warps; ++w) {
      const int32_t count = places[w * gm_experts + e];
      places[w * gm_experts + e] = sum;
      sum += count;
    }
    totals[e] = sum;
  }
  syncBlock();
  for (int32_t e = threadOf(); e < gm_experts; e += threads) {
    int32_t start = 0;
    for (int32_t f = 0; f < e; ++f)
      start += totals[f];
    for (int32_t w = 0; w < warps; ++w)
      places[w * gm_experts + e] += start;
  }
  syncBlock();
  forPairs(ids, from, to,
           [&](int32_t pair, int32_t id, uint32_t same) GM_LAMBDA {
             const int32_t at = id < 0 ? 0 : own[id];
             syncWarp();
             if (id >= 0) {
               order[at + __builtin_popcount(same & before)] = pair;
               if (!(same & before))
                 own[id] = at + __builtin_popcount(same);
             }
             syncWarp();
           });
}

GM_ENTRY(gm_few, warpsOf(2) * WarpLanes, sharedBytes(2), 1, 0)
(const int32_t *ids, int32_t *order, const gm_numbers *step, int32_t begin,
 int32_t end) {
  waitForLaunches();
  if (begin < end && blockX() == 0)
    sortPairs(ids, order, step->rows * gm_top, warpsOf(2));
}

GM_ENTRY(gm_many, warpsOf(32) * WarpLanes, sharedBytes(32), 1, 0)
(const int32_t *ids, int32_t *order, const gm_numbers *step, int32_t begin,
 int32_t end) {
  waitForLaunches();
  if (begin < end && blockX() == 0)
    sortPairs(ids, order, step->rows * gm_top, warpsOf(32));
}
