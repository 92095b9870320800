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
  waitForLaunches();
  const int32_t unit = begin + blockX(), row = warpOf();
  if (unit >= end || unit >= gm_heads * gm_hd / blockValues ||
      row >= step->rows)
    return;
  const int32_t column = unit * blockValues + laneOf();
  const float o = mergedOutput(partials, int64_t(row) * maxSplits, parts[row],
                               gm_heads, gm_hd, column);
  y += row * rowBytes(gm_act_q8, gm_act_bf16, gm_heads * gm_hd);
  storeElement(gm_act_q8, gm_act_bf16, y, column, o);
}
