// Family append: K (norm, rotation) and V (weightless norm) of a tile's rows,
// stored in the page layouts of targets/Layouts.h, whose formulas are repeated
// here and tested against it.
#include "codegen/kernels/rope.h"

namespace {

// Key `key` of a head's pages of K and V: bf16 keeps two lanes of K, two keys
// of V side by side.
GM_INLINE void storeBf16(uint16_t *k, uint16_t *v, const uint16_t *newK,
                         const uint16_t *newV, int32_t key) {
  for (int32_t d = 0; d < gm_hd; d += 2) {
    uint16_t *to = k + ((key / 32 * (gm_hd / 2) + d / 2) * 32 + key % 32) * 2;
    to[0] = newK[d];
    to[1] = newK[d + 1];
  }
  for (int32_t d = 0; d < gm_hd; ++d)
    v[((d / 32 * 32 + key / 2) * 32 + d % 32) * 2 + key % 2] = newV[d];
}

GM_INLINE void storeF32(float *k, float *v, const float *newK,
                        const float *newV, int32_t key) {
  for (int32_t d = 0; d < gm_hd; ++d)
    k[(key / 16 * gm_hd + d) * 16 + key % 16] = newK[d];
  for (int32_t d = 0; d < gm_hd; d += 16)
    store(v + (d / 16 * GM_PAGE_KEYS + key) * 16, load<f32x16>(newV + d));
}

} // namespace

// Unit = tile.
extern "C" void gm_body(const float *x, const float *rope, const gm_tile *tile,
                        const float *w, uint8_t *kPool, uint8_t *vPool,
                        const int32_t *pages, int32_t pageStride, int32_t rows,
                        int32_t stride, int32_t kColumn, int32_t vColumn,
                        int32_t begin, int32_t end) {
  float *cosine = GM_FLOATS(gm_hd / 2), *sine = GM_FLOATS(gm_hd / 2);
  float *newK = GM_FLOATS(gm_hd),
        *newV = GM_FLOATS(gm_hd); // in the cache format
  const int64_t headBytes =
      int64_t(gm_hd) * GM_PAGE_KEYS * (gm_cache_bf16 ? 2 : 4);
  for (int32_t unit = begin; unit < end; ++unit) {
    const gm_tile &t = tile[unit];
    for (int32_t i = 0; i < t.rows; ++i) {
      const int64_t row = t.row0 + i;
      const int32_t pos = t.pos0 + i, key = pos % GM_PAGE_KEYS;
      const int64_t page =
          pages[int64_t(t.slot) * pageStride + pos / GM_PAGE_KEYS];
      turnTable(rope + row * gm_pairs * 2, cosine, sine);
      for (int32_t head = 0; head < gm_heads; ++head) {
        const int64_t offset = (page * gm_heads + head) * headBytes;
        const float *from = x + row * stride + head * gm_hd;
        normAndTurn(from + kColumn, w, cosine, sine, newK);
        const float scale = inverseRms(from + vColumn);
        for (int32_t d = 0; d < gm_hd; d += 16)
          storeAs(gm_cache_bf16, newV, d,
                  normed(from + vColumn, nullptr, scale, d));
        if (gm_cache_bf16)
          storeBf16(reinterpret_cast<uint16_t *>(kPool + offset),
                    reinterpret_cast<uint16_t *>(vPool + offset),
                    reinterpret_cast<uint16_t *>(newK),
                    reinterpret_cast<uint16_t *>(newV), key);
        else
          storeF32(reinterpret_cast<float *>(kPool + offset),
                   reinterpret_cast<float *>(vPool + offset), newK, newV, key);
      }
    }
  }
}
