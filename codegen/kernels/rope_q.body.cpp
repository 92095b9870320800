// Family rope_q: norm and rotation of the query heads of some rows. For caches
// of format q8 a head becomes blocks of encoding q8 of which those of one block
// of lanes (targets/blocks.h, keyBlock) have the same scale.
#include "codegen/kernels/rope.h"

namespace {

GM_INLINE void storeQuery(uint8_t *to, const float *q) {
  const int32_t block = keyBlock(gm_hd);
  for (int32_t d = 0; d < gm_hd; d += block) {
    const float scale = scaleOfLanes(q, d, block);
    for (int32_t i = d; i < d + block; i += 32, to += 40)
      storeCodes(to, load<f32x16>(q + i), load<f32x16>(q + i + 16), scale);
  }
}

} // namespace

// Unit = row.
extern "C" void gm_body(const float *x, const float *rope, const float *w,
                        uint8_t *q, int32_t rows, int32_t stride,
                        int32_t column, int32_t begin, int32_t end) {
  float *cosine = GM_WORDS(float, gm_hd / 2),
        *sine = GM_WORDS(float, gm_hd / 2), *turned = GM_WORDS(float, gm_hd);
  const int64_t headBytes =
      gm_cache_q8 ? gm_hd / 32 * 40 : gm_hd * (gm_cache_bf16 ? 2 : 4);
  for (int32_t row = begin; row < end; ++row) {
    turnTable(rope + int64_t(row) * gm_pairs * 2, cosine, sine);
    for (int32_t head = 0; head < gm_heads; ++head) {
      uint8_t *to = q + (int64_t(row) * gm_heads + head) * headBytes;
      void *y = gm_cache_q8 ? static_cast<void *>(turned) : to;
      normAndTurn(x + int64_t(row) * stride + column + head * gm_hd, w, cosine,
                  sine, [&](int32_t d, f32x16 a, f32x16 b) GM_LAMBDA {
                    storeAs(gm_cache_bf16, y, d, a);
                    storeAs(gm_cache_bf16, y, d + gm_hd / 2, b);
                  });
      if (gm_cache_q8)
        storeQuery(to, turned);
    }
  }
}
