// Family rope_q: norm and rotation of the query heads of some rows.
#include "codegen/kernels/rope.h"

// Unit = row.
extern "C" void gm_body(const float *x, const float *rope, const float *w,
                        uint8_t *q, int32_t rows, int32_t stride,
                        int32_t column, int32_t begin, int32_t end) {
  float *cosine = GM_FLOATS(gm_hd / 2), *sine = GM_FLOATS(gm_hd / 2);
  const int32_t bytes = gm_cache_bf16 ? 2 : 4;
  for (int32_t row = begin; row < end; ++row) {
    turnTable(rope + int64_t(row) * gm_pairs * 2, cosine, sine);
    for (int32_t head = 0; head < gm_heads; ++head)
      normAndTurn(x + int64_t(row) * stride + column + head * gm_hd, w, cosine,
                  sine, q + (int64_t(row) * gm_heads + head) * gm_hd * bytes);
  }
}
