// Family heads_q: norm and rotation of the query heads of a picture's rows, a
// warp each.
#include "codegen/kernels/cuda/heads.h"

GM_INLINE void queries(const float *x, const float *rope, const float *w,
                       Bounds clip, uint8_t *q, const gm_numbers *step,
                       int32_t begin, int32_t end) {
  const int64_t row = begin + blockX();
  if (row >= end || row >= step->rows)
    return;
  for (int32_t head = warpOf(); head < gm_heads; head += Warps) {
    const HeadOfRow h = {
        x + row * paddedColumns(gm_heads * gm_hd) + head * gm_hd, w, clip};
    const float scale = h.inverseRms();
    uint8_t *to =
        q + (row * gm_heads + head) * rowBytes(0, gm_cache_bf16, headLanes());
    forLanes([&](int32_t d) GM_LAMBDA {
      storeNumber(to, d,
                  d < gm_hd ? h.turned(d, scale, rope + row * gm_hd) : 0);
    });
  }
}

// Unit = row.
GM_ENTRY(gm_body, Threads, 0, 1, 0)
(const float *x, const float *rope, const float *w, const float *lo,
 const float *hi, uint8_t *q, const gm_numbers *step, int32_t begin,
 int32_t end) {
  waitForLaunches();
  queries(x, rope, w, boundsOf(lo, hi), q, step, begin, end);
}

GM_ENTRY(gm_bare, Threads, 0, 1, 0)
(const float *x, const float *rope, const float *w, uint8_t *q,
 const gm_numbers *step, int32_t begin, int32_t end) {
  waitForLaunches();
  queries(x, rope, w, noBounds(), q, step, begin, end);
}
