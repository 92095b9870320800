// Family merge: the partial softmaxes of a row (family attend, class few) in
// ascending order, with the arithmetic of attend's class many, so that both
// give the same bits.
#include "codegen/kernels/body.h"

extern "C" {
extern const int32_t gm_heads, gm_hd, gm_act_bf16, gm_act_q8;
}

// Unit = 32 columns of y, which lie in one head; all rows.
extern "C" void gm_few(const float *partials, const int32_t *parts, void *y,
                       int32_t rows, int32_t maxSplits, int32_t begin,
                       int32_t end) {
  const int64_t size = int64_t(gm_heads) * (gm_hd + 2);
  for (int32_t unit = begin; unit < end; ++unit)
    for (int32_t row = 0; row < rows; ++row) {
      const int32_t head = unit * 32 / gm_hd;
      Softmax merged = {GM_LOWEST, 0};
      f32x16 o[2] = {};
      for (int32_t part = 0; part < parts[row]; ++part) {
        const float *from = partials + (int64_t(row) * maxSplits + part) * size;
        const float top = from[gm_heads * gm_hd + head];
        if (!(top > GM_LOWEST))
          continue;
        const float sum = from[gm_heads * (gm_hd + 1) + head];
        const MergeFactors f = mergeSoftmax(merged, top, sum);
        o[0] = mergeOutputs(o[0], load<f32x16>(from + unit * 32), f);
        o[1] = mergeOutputs(o[1], load<f32x16>(from + unit * 32 + 16), f);
      }
      const int64_t to = int64_t(row) * gm_heads * gm_hd + unit * 32;
      storeBlock(gm_act_q8, gm_act_bf16, y, to, o[0] / merged.sum,
                 o[1] / merged.sum);
    }
}
