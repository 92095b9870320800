// Family merge: the partial softmaxes of a row (family attend, class few) in
// ascending order.
#include "codegen/kernels/cuda/merging.h"

extern "C" {
extern const int32_t gm_heads, gm_hd, gm_act_bf16, gm_act_q8;
}

enum { Threads = int(GM_FEW_ROWS) * int(WarpLanes) };

// Unit = 32 columns of y, which lie in one head; all rows, a warp each.
GM_ENTRY(gm_few, Threads, 0, 1, 0)
(const float *partials, const int32_t *parts, uint8_t *y,
 const gm_numbers *step, int32_t maxSplits, int32_t begin, int32_t end) {
  const int32_t unit = begin + blockX(), row = warpOf();
  if (unit >= end || unit >= gm_heads * gm_hd / blockValues ||
      row >= step->rows)
    return;
  const int64_t size = int64_t(gm_heads) * (gm_hd + 2);
  const int32_t column = unit * blockValues + laneOf(), head = column / gm_hd;
  const float *from = partials + int64_t(row) * maxSplits * size;
  Softmax merged = {GM_LOWEST, 0};
  float o = 0;
  for (int32_t part = 0; part < parts[row]; ++part, from += size) {
    const float top = from[gm_heads * gm_hd + head];
    if (!takesPart(top))
      continue;
    const float sum = from[gm_heads * (gm_hd + 1) + head];
    const MergeFactors f = mergeSoftmax(merged, top, sum);
    o = mergeOutput(o, from[column], f);
  }
  y += row * rowBytes(gm_act_q8, gm_act_bf16, gm_heads * gm_hd);
  storeElement(gm_act_q8, gm_act_bf16, y, column, o / merged.sum);
}
