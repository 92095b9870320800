// Family heads_kv: keys (norm, rotation) and values (weightless norm) of a
// picture's rows in pages, one after the other. The last row fills its page
// with keys of 0.
#include "codegen/kernels/heads.h"
#include "codegen/kernels/pages.h"

namespace {

GM_INLINE void storeKey(uint8_t *k, uint8_t *v, const float *newK,
                        const float *newV, int32_t key) {
  if (gm_cache_bf16)
    storeBf16(reinterpret_cast<uint16_t *>(k), reinterpret_cast<uint16_t *>(v),
              newK, newV, key, headLanes());
  else
    storeF32(reinterpret_cast<float *>(k), reinterpret_cast<float *>(v), newK,
             newV, key, headLanes());
}

// Unit = row.
GM_INLINE void heads(const float *kx, const float *vx, const float *rope,
                     const float *w, const Bounds &clipK, const Bounds &clipV,
                     uint8_t *k, uint8_t *v, int32_t rows, int32_t begin,
                     int32_t end) {
  const HeadScratch s = GM_HEAD_SCRATCH;
  float *newV = GM_WORDS(float, headLanes()),
        *nothing = GM_WORDS(float, headLanes());
  for (int32_t i = 0; i < headLanes(); i += 16)
    store(nothing + i, f32x16(0));
  takeRow(s.weight, w, gm_hd);
  const CacheShape &shape = cacheShape(0, gm_cache_bf16);
  const int64_t stride = rowBytes(0, 0, gm_heads * gm_hd) / 4,
                kBytes = keyPageBytes(shape, headLanes()),
                vBytes = valuePageBytes(shape, headLanes());
  for (int64_t row = begin; row < end; ++row) {
    takeTurns(s, rope + row * gm_hd);
    for (int32_t head = 0; head < gm_heads; ++head) {
      const int64_t page = row / GM_PAGE_KEYS * gm_heads + head;
      const int64_t from = row * stride + head * gm_hd;
      normAndTurn(s, kx + from, clipK);
      normHead(newV, vx + from, nullptr, clipV);
      int32_t key = row % GM_PAGE_KEYS;
      storeKey(k + page * kBytes, v + page * vBytes, s.turned, newV, key);
      while (row + 1 == rows && ++key < GM_PAGE_KEYS)
        storeKey(k + page * kBytes, v + page * vBytes, nothing, nothing, key);
    }
  }
}

} // namespace

extern "C" void gm_many(const float *kx, const float *vx, const float *rope,
                        const float *w, const float *kLo, const float *kHi,
                        const float *vLo, const float *vHi, uint8_t *k,
                        uint8_t *v, int32_t rows, int32_t begin, int32_t end) {
  heads(kx, vx, rope, w, bounds(kLo, kHi), bounds(vLo, vHi), k, v, rows, begin,
        end);
}

extern "C" void gm_bare(const float *kx, const float *vx, const float *rope,
                        const float *w, uint8_t *k, uint8_t *v, int32_t rows,
                        int32_t begin, int32_t end) {
  heads(kx, vx, rope, w, noBounds(), noBounds(), k, v, rows, begin, end);
}
