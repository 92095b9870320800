// Family append: a warp does keys or values of a head of a row at a time.
#include "codegen/kernels/cuda/keys.h"

enum { Threads = 256, Warps = Threads / WarpLanes };

// Unit = tile.
GM_RESIDENT(gm_body, 6)
GM_ENTRY(gm_body, Threads, 0, 1, 0)
(const float *x, const float *rope, const gm_tile *tile, const float *w,
 uint8_t *kPool, uint8_t *vPool, const int32_t *pages, int32_t pageStride,
 const gm_numbers *step, int32_t stride, int32_t kColumn, int32_t vColumn,
 int32_t begin, int32_t end) {
  waitForLaunches();
  const int32_t unit = begin + blockX();
  if (unit >= end || unit >= step->tiles)
    return;
  const gm_tile t = tile[unit];
  const AppendedRows rows = {x, rope, w, stride, kColumn, vColumn};
  for (int32_t i = warpOf(); i < t.rows * gm_heads * 2; i += Warps) {
    const int32_t row = i / 2 / gm_heads;
    appendHead(rows, kPool, vPool, pages + int64_t(t.slot) * pageStride,
               t.row0 + row, t.pos0 + row, i / 2 % gm_heads, gm_heads, i % 2);
  }
}
