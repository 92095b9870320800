// Family rope_q: norm and rotation of query heads, a warp each. For caches of
// format q8 a head becomes blocks of encoding q8 of which those of one block of
// lanes (targets/blocks.h, keyBlock) have the same scale.
#include "codegen/kernels/cuda/rope.h"

enum { Threads = 256, Warps = Threads / WarpLanes };

// Unit = row.
GM_ENTRY(gm_body, Threads, 0, 1, 0)
(const float *x, const float *rope, const float *w, uint8_t *q,
 const gm_numbers *step, int32_t stride, int32_t column, int32_t begin,
 int32_t end) {
  waitForLaunches();
  const int64_t row = begin + blockX();
  if (row >= end || row >= step->rows)
    return;
  const int64_t headBytes = rowBytes(gm_cache_q8, gm_cache_bf16, gm_hd);
  for (int32_t head = warpOf(); head < gm_heads; head += Warps) {
    const float *from = x + row * stride + column + head * gm_hd;
    const Head h = {from, w, rope + row * gm_pairs * 2, inverseRms(from)};
    uint8_t *to = q + (row * gm_heads + head) * headBytes;
    if (gm_cache_q8)
      turnedBlocks(h, [&](int32_t d, float value, float scale) GM_LAMBDA {
        storeCodes(to + d / blockValues * int64_t(sizeof(ActivationBlock)),
                   value, scale);
      });
    else
      for (int32_t d = laneOf(); d < gm_hd; d += WarpLanes)
        storeElement(0, gm_cache_bf16, to, d, turned(h, d));
  }
}
