// Family append: K (norm, rotation) and V (weightless norm) of a tile's rows,
// stored in the page layouts of targets/blocks.h. A warp does K or V of a head
// of a row at a time. Elements are stored one by one: those of other keys may
// share a word with them.
#include "codegen/kernels/cuda/rope.h"

enum { Threads = 256, Warps = Threads / WarpLanes };

GM_INLINE const CacheShape &shape() {
  return gm_cache_q8 ? cacheQ8 : gm_cache_bf16 ? cacheBf16 : cacheF32;
}

// Stores number `i` of a page of bf16 or f32.
GM_INLINE void storeNumber(uint8_t *page, int32_t i, float value) {
  if (gm_cache_bf16)
    reinterpret_cast<uint16_t *>(page)[i] = toBf16(value);
  else
    reinterpret_cast<float *>(page)[i] = value;
}

GM_INLINE void storeKey(uint8_t *page, const Head &h, int32_t key) {
  const CacheShape &c = shape();
  auto at = [&](int32_t d) GM_LAMBDA {
    return keyWord(c, gm_hd, key, d / c.perWord) * c.perWord + d % c.perWord;
  };
  if (gm_cache_q8)
    turnedBlocks(h, [&](int32_t d, float value, float scale) GM_LAMBDA {
      page[at(d)] = uint8_t(codeOf(value, inverseOf(scale)) + 128);
      if (d % keyBlock(gm_hd) == 0)
        *reinterpret_cast<float *>(page + keyScaleAt(gm_hd, key, d)) = scale;
    });
  else
    for (int32_t d = laneOf(); d < gm_hd; d += WarpLanes)
      storeNumber(page, at(d), turned(h, d));
}

GM_INLINE void storeValue(uint8_t *page, const float *x, int32_t key) {
  const CacheShape &c = shape();
  const float rms = inverseRms(x);
  float scale = 0;
  if (gm_cache_q8) {
    float most = 0;
    for (int32_t d = laneOf(); d < gm_hd; d += WarpLanes)
      most = larger(most, magnitude(x[d] * rms));
    scale = scaleOf(mostOfWarp(most));
    if (laneOf() == 0)
      *reinterpret_cast<float *>(page + valueScaleAt(gm_hd, key)) = scale;
  }
  const float inverse = inverseOf(scale);
  for (int32_t d = laneOf(); d < gm_hd; d += WarpLanes) {
    const int32_t at = valueElement(c, key, d);
    if (gm_cache_q8)
      page[at] = uint8_t(codeOf(x[d] * rms, inverse));
    else
      storeNumber(page, at, x[d] * rms);
  }
}

// Unit = tile.
GM_ENTRY(gm_body, Threads, 0, 1, 0)
(const float *x, const float *rope, const gm_tile *tile, const float *w,
 uint8_t *kPool, uint8_t *vPool, const int32_t *pages, int32_t pageStride,
 const gm_numbers *step, int32_t stride, int32_t kColumn, int32_t vColumn,
 int32_t begin, int32_t end) {
  const int32_t unit = begin + blockX();
  if (unit >= end || unit >= step->tiles)
    return;
  const gm_tile t = tile[unit];
  const int64_t kBytes = keyPageBytes(shape(), gm_hd),
                vBytes = valuePageBytes(shape(), gm_hd);
  for (int32_t i = warpOf(); i < t.rows * gm_heads * 2; i += Warps) {
    const int32_t isValue = i % 2, head = i / 2 % gm_heads,
                  rowOfTile = i / 2 / gm_heads, pos = t.pos0 + rowOfTile,
                  key = pos % GM_PAGE_KEYS;
    const int64_t row = t.row0 + rowOfTile,
                  page =
                      pages[int64_t(t.slot) * pageStride + pos / GM_PAGE_KEYS] *
                          int64_t(gm_heads) +
                      head;
    const float *from = x + row * stride + head * gm_hd;
    if (isValue) {
      storeValue(vPool + page * vBytes, from + vColumn, key);
    } else {
      from += kColumn;
      storeKey(kPool + page * kBytes,
               {from, w, rope + row * gm_pairs * 2, inverseRms(from)}, key);
    }
  }
}
