// Family heads_q: norm and rotation of the query heads of a picture's rows.
#include "codegen/kernels/heads.h"

namespace {

// Unit = row.
GM_INLINE void heads(const float *x, const float *rope, const float *w,
                     const Bounds &clip, uint8_t *q, int32_t begin,
                     int32_t end) {
  const HeadScratch s = GM_HEAD_SCRATCH;
  takeRow(s.weight, w, gm_hd);
  const int64_t stride = rowBytes(0, 0, gm_heads * gm_hd) / 4,
                bytes = headLanes() * (gm_cache_bf16 ? 2 : 4);
  for (int64_t row = begin; row < end; ++row) {
    takeTurns(s, rope + row * gm_hd);
    for (int32_t head = 0; head < gm_heads; ++head) {
      normAndTurn(s, x + row * stride + head * gm_hd, clip);
      storeRow(0, gm_cache_bf16, q + (row * gm_heads + head) * bytes, s.turned,
               gm_hd);
    }
  }
}

} // namespace

extern "C" void gm_many(const float *x, const float *rope, const float *w,
                        const float *lo, const float *hi, uint8_t *q,
                        int32_t rows, int32_t begin, int32_t end) {
  heads(x, rope, w, bounds(lo, hi), q, begin, end);
}

extern "C" void gm_bare(const float *x, const float *rope, const float *w,
                        uint8_t *q, int32_t rows, int32_t begin, int32_t end) {
  heads(x, rope, w, noBounds(), q, begin, end);
}
