// Family experts_down. Unit = 16 outputs.
#include "codegen/kernels/cuda/mixture.h"

constexpr int32_t Warps = 8, WarpPairs = 8;

GM_RESIDENT(gm_few, fewBlocksOf())
GM_ENTRY(gm_few, fewThreadsOf(), (fewBytesOf<Together, Together>()), 1, 1)
(const uint8_t *x, const int32_t *ids, const float *weights,
 const int32_t *order, const uint8_t *w, float *y, const gm_numbers *step,
 int32_t stride, int32_t begin, int32_t end) {
  waitForLaunches();
  const int32_t unit = begin + blockX(), row = blockY();
  if (unit < end && row < step->rows)
    mixRow(x, ids, weights, w, y, stride, row, unit);
}

// A unit of all pairs a block, expert by expert; a warp has 8 pairs of one at a
// time. A row's experts ascend, so its pairs come in the order of their sum,
// and no two of an expert are of one row.
GM_RESIDENT(gm_many, 2)
GM_ENTRY(gm_many, Warps *WarpLanes,
         (aloneBytesOf<Warps, 1>() + 2 * 4 * gm_experts), 1, 0)
(const uint8_t *x, const int32_t *ids, const float *weights,
 const int32_t *order, const uint8_t *w, float *y, const gm_numbers *step,
 int32_t stride, int32_t begin, int32_t end) {
  waitForLaunches();
  const int32_t unit = begin + blockX(), pairs = step->rows * gm_top;
  if (unit >= end || pairs <= 0)
    return;
  y += unit * groupRows;
  withTileProduct([&](auto p) GM_LAMBDA {
    using P = decltype(p);
    constexpr int32_t rows = GM_FEW_ROWS;
    const int32_t bytes = warpBytes<P, rows, 1>();
    uint8_t *memory = sharedMemory();
    // Where the pairs of an expert lie in `order`.
    auto *firsts = reinterpret_cast<int32_t *>(memory + Warps * bytes),
         *lasts = firsts + gm_experts;
    for (int32_t i = threadOf(); i < gm_experts; i += threadsOf())
      firsts[i] = lasts[i] = 0;
    syncBlock();
    for (int32_t i = threadOf(); i < pairs; i += threadsOf()) {
      const int32_t expert = ids[order[i]];
      if (i == 0 || ids[order[i - 1]] != expert)
        firsts[expert] = i;
      if (i + 1 == pairs || ids[order[i + 1]] != expert)
        lasts[expert] = i + 1;
    }
    syncBlock();
    memory += warpOf() * bytes;
    for (int32_t expert = 0; expert < gm_experts; ++expert) {
      const int32_t last = lasts[expert];
      if (last == 0)
        continue;
      const Group groups[1] = {expertGroup<P>(w, expert, gm_n, unit)};
      for (int32_t first = firsts[expert] + warpOf() * WarpPairs; first < last;
           first += Warps * WarpPairs) {
        float total[1][4];
        sumAlone<P>(
            total, groups,
            [&](int32_t r)
                GM_LAMBDA { return x + order[first + r] * sliceBytes(); },
            smaller(last - first, WarpPairs), memory);
        GM_UNROLL for (int32_t c = 0; c < 2; ++c) {
          const int32_t place = first + 2 * inGroup() + c;
          if (place < last) {
            const int32_t pair = order[place];
            const float weight = weightOfPair(weights, pair);
            float *at = y + int64_t(pair / gm_top) * stride + 2 * groupLane();
            GM_UNROLL for (int32_t o = 0; o < 2; ++o) at[o] = addPair(
                pair % gm_top ? at[o] : 0.0f, weight, total[0][2 * o + c]);
          }
        }
      }
      syncBlock(); // the next expert's pairs may be of these rows
    }
  });
}
