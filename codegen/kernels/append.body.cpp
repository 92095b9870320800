// Family append: K (norm, rotation) and V (weightless norm) of a tile's rows,
// stored in the page layouts of targets/blocks.h. Steps of the innermost loops
// are written out here and in pages.h, and tested against its formulas.
#include "codegen/kernels/pages.h"
#include "codegen/kernels/rope.h"

namespace {

// The same for format q8 (pages.h), which keeps four lanes of K, four keys of V
// side by side.
GM_INLINE void storeQ8(uint8_t *k, uint8_t *v, const float *newK,
                       const float *newV, int32_t key) {
  const int32_t block = keyBlock(gm_hd);
  uint8_t *scales = k + codePageBytes(gm_hd);
  for (int32_t d = 0; d < gm_hd; d += block) {
    const float scale = scaleOfLanes(newK, d, block),
                inverse = inverseOf(scale);
    store(scales + (d / block * GM_PAGE_KEYS + key) * 4, scale);
    for (int32_t i = d; i < d + block; i += 16) {
      uint32_t quads[4];
      store(quads, __builtin_convertvector(
                       codesOf(load<f32x16>(newK + i), inverse) + 128, u8x16));
      GM_UNROLL
      for (int32_t j = 0; j < 4; ++j)
        store(k + ((key / 32 * (gm_hd / 4) + i / 4 + j) * 32 + key % 32) * 4,
              quads[j]);
    }
  }
  const float scale = scaleOfLanes(newV, 0, gm_hd), inverse = inverseOf(scale);
  store(v + valueScaleAt(gm_hd, key), scale);
  for (int32_t d = 0; d < gm_hd; d += 16) {
    const i8x16 codes = __builtin_convertvector(
        codesOf(load<f32x16>(newV + d), inverse), i8x16);
    GM_UNROLL
    for (int32_t i = 0; i < 16; ++i)
      v[((d / 32 * 16 + key / 4) * 32 + d % 32 + i) * 4 + key % 4] =
          uint8_t(codes[i]);
  }
}

} // namespace

// Unit = tile.
extern "C" void gm_body(const float *x, const float *rope, const gm_tile *tile,
                        const float *w, uint8_t *kPool, uint8_t *vPool,
                        const int32_t *pages, int32_t pageStride, int32_t rows,
                        int32_t stride, int32_t kColumn, int32_t vColumn,
                        int32_t begin, int32_t end) {
  float *cosine = GM_WORDS(float, gm_hd / 2),
        *sine = GM_WORDS(float, gm_hd / 2);
  float *newK = GM_WORDS(float, gm_hd), *newV = GM_WORDS(float, gm_hd);
  const int64_t kBytes =
                    keyPageBytes(cacheShape(gm_cache_q8, gm_cache_bf16), gm_hd),
                vBytes = valuePageBytes(cacheShape(gm_cache_q8, gm_cache_bf16),
                                        gm_hd);
  for (int32_t unit = begin; unit < end; ++unit) {
    const gm_tile &t = tile[unit];
    for (int32_t i = 0; i < t.rows; ++i) {
      const int64_t row = t.row0 + i;
      const int32_t pos = t.pos0 + i, key = pos % GM_PAGE_KEYS;
      const int64_t page =
          pages[int64_t(t.slot) * pageStride + pos / GM_PAGE_KEYS];
      turnTable(rope + row * gm_pairs * 2, cosine, sine);
      for (int32_t head = 0; head < gm_heads; ++head) {
        uint8_t *k = kPool + (page * gm_heads + head) * kBytes,
                *v = vPool + (page * gm_heads + head) * vBytes;
        const float *from = x + row * stride + head * gm_hd;
        normAndTurn(from + kColumn, w, cosine, sine,
                    [&](int32_t d, f32x16 a, f32x16 b) GM_LAMBDA {
                      store(newK + d, a);
                      store(newK + d + gm_hd / 2, b);
                    });
        const float scale = inverseRms(from + vColumn);
        for (int32_t d = 0; d < gm_hd; d += 16)
          store(newV + d, normed(from + vColumn, nullptr, scale, d));
        if (gm_cache_q8)
          storeQ8(k, v, newK, newV, key);
        else if (gm_cache_bf16)
          storeBf16(reinterpret_cast<uint16_t *>(k),
                    reinterpret_cast<uint16_t *>(v), newK, newV, key, gm_hd);
        else
          storeF32(reinterpret_cast<float *>(k), reinterpret_cast<float *>(v),
                   newK, newV, key, gm_hd);
      }
    }
  }
}
