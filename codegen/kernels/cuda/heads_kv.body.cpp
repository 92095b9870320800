// Family heads_kv: keys (norm, rotation) and values (weightless norm) of a
// picture's rows in pages, a warp each. The last row fills its page with keys
// and values of 0.
#include "codegen/kernels/cuda/heads.h"

struct KeysAndValues {
  const float *kx, *vx, *rope, *w;
  Bounds clipK, clipV;
  uint8_t *k, *v;
};

// Pages (targets/blocks.h) of a row's head.
GM_INLINE int64_t pageBytes(const CacheShape &c, int64_t row, int32_t head) {
  return (row / GM_PAGE_KEYS * gm_heads + head) * keyPageBytes(c, headLanes());
}

// Number of lane `d` of a key in a page of K or V.
GM_INLINE int32_t numberOf(const CacheShape &c, bool isValue, int32_t key,
                           int32_t d) {
  return isValue ? valueElement(c, key, d)
                 : keyWord(c, headLanes(), key, d / c.perWord) * c.perWord +
                       d % c.perWord;
}

GM_INLINE void keysAndValues(const KeysAndValues &a, const gm_numbers *step,
                             int32_t begin, int32_t end) {
  const int64_t row = begin + blockX();
  if (row >= end || row >= step->rows)
    return;
  const CacheShape &c = gm_cache_bf16 ? cacheBf16 : cacheF32;
  for (int32_t i = warpOf(); i < 2 * gm_heads; i += Warps) {
    const int32_t head = i / 2;
    const bool isValue = i % 2;
    const int64_t from = row * paddedColumns(gm_heads * gm_hd) + head * gm_hd;
    const HeadOfRow h = isValue ? HeadOfRow{a.vx + from, nullptr, a.clipV}
                                : HeadOfRow{a.kx + from, a.w, a.clipK};
    const float scale = h.inverseRms();
    uint8_t *page = (isValue ? a.v : a.k) + pageBytes(c, row, head);
    int32_t key = row % GM_PAGE_KEYS;
    forLanes([&](int32_t d) GM_LAMBDA {
      storeNumber(page, numberOf(c, isValue, key, d),
                  d >= gm_hd ? 0
                  : isValue  ? h.normed(d, scale)
                             : h.turned(d, scale, a.rope + row * gm_hd));
    });
    while (row + 1 == step->rows && ++key < GM_PAGE_KEYS)
      forLanes([&](int32_t d) GM_LAMBDA {
        storeNumber(page, numberOf(c, isValue, key, d), 0);
      });
  }
}

// Unit = row.
GM_ENTRY(gm_body, Threads, 0, 1, 0)
(const float *kx, const float *vx, const float *rope, const float *w,
 const float *kLo, const float *kHi, const float *vLo, const float *vHi,
 uint8_t *k, uint8_t *v, const gm_numbers *step, int32_t begin, int32_t end) {
  waitForLaunches();
  keysAndValues({kx, vx, rope, w, boundsOf(kLo, kHi), boundsOf(vLo, vHi), k, v},
                step, begin, end);
}

GM_ENTRY(gm_bare, Threads, 0, 1, 0)
(const float *kx, const float *vx, const float *rope, const float *w,
 uint8_t *k, uint8_t *v, const gm_numbers *step, int32_t begin, int32_t end) {
  waitForLaunches();
  keysAndValues({kx, vx, rope, w, noBounds(), noBounds(), k, v}, step, begin,
                end);
}
