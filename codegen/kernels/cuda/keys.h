// Keys (norm, rotation) and values (weightless norm) of a row in pages
// (targets/blocks.h), a head by a warp. Elements are stored one by one: those
// of other keys may share a word with them. Freestanding, for bodies of CUDA
// kernels only.
#ifndef GEMMAC_CODEGEN_KERNELS_CUDA_KEYS_H
#define GEMMAC_CODEGEN_KERNELS_CUDA_KEYS_H

#include "codegen/kernels/cuda/rope.h"

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

// The products and tables of all rows, and where in a row keys and values of
// the first head are.
struct AppendedRows {
  const float *x, *rope, *w;
  int32_t stride, kColumn, vColumn;
};

// Stores key (or value) of row `row` and head `head` of `heads`, at position
// `pos` of a sequence with these pages.
GM_INLINE void appendHead(const AppendedRows &a, uint8_t *kPool, uint8_t *vPool,
                          const int32_t *pages, int64_t row, int32_t pos,
                          int32_t head, int32_t heads, bool isValue) {
  const int64_t page = pages[pos / GM_PAGE_KEYS] * int64_t(heads) + head;
  const int32_t key = pos % GM_PAGE_KEYS;
  const float *from =
      a.x + row * a.stride + head * gm_hd + (isValue ? a.vColumn : a.kColumn);
  if (isValue)
    storeValue(vPool + page * valuePageBytes(shape(), gm_hd), from, key);
  else
    storeKey(kPool + page * keyPageBytes(shape(), gm_hd),
             {from, a.w, a.rope + row * gm_pairs * 2, inverseRms(from)}, key);
}

#endif
