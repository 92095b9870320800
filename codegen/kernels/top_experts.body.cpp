// Family top_experts: the chosen experts of some rows and their weights.
#include "codegen/kernels/body.h"

extern "C" {
extern const int32_t gm_experts, gm_top;
}

namespace {

// `count` places, `ids` in ascending order; `taken` is scratch of one byte per
// expert. Always gives valid ids, whatever the logits.
GM_INLINE void choose(const float *logits, uint8_t *taken, int32_t *ids) {
  for (int32_t e = 0; e < gm_experts; ++e)
    taken[e] = 0;
  for (int32_t j = 0; j < gm_top; ++j) {
    int32_t best = -1;
    for (int32_t e = 0; e < gm_experts; ++e)
      if (!taken[e] && (best < 0 || logits[e] > logits[best]))
        best = e;
    taken[best] = 1;
  }
  for (int32_t e = 0, j = 0; e < gm_experts; ++e)
    if (taken[e])
      ids[j++] = e;
}

} // namespace

// Unit = row. The sum of the softmax over all experts cancels.
extern "C" void gm_body(const float *logits, const float *perExpert,
                        float *weights, int32_t *ids, int32_t rows,
                        int32_t begin, int32_t end) {
  uint8_t *taken = static_cast<uint8_t *>(__builtin_alloca(gm_experts));
  const int64_t logitStride = (gm_experts + 31) & -32,
                weightStride = (gm_top + 31) & -32;
  for (int64_t row = begin; row < end; ++row) {
    const float *g = logits + row * logitStride;
    float *w = weights + row * weightStride;
    int32_t *chosen = ids + row * gm_top;
    choose(g, taken, chosen);
    float largest = g[chosen[0]], sum = 0;
    for (int32_t j = 1; j < gm_top; ++j)
      largest = g[chosen[j]] > largest ? g[chosen[j]] : largest;
    for (int32_t j = 0; j < gm_top; ++j)
      sum += w[j] = weightOf(g[chosen[j]] - largest);
    for (int32_t j = 0; j < gm_top; ++j)
      w[j] = w[j] / sum * perExpert[chosen[j]];
  }
}
