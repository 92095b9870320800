// Family layer_norm. Columns count from the first value on: of nearly equal
// ones, such as a cell of one colour has, the mean's rounding would be all that
// is left, and large over eps.
#include "codegen/kernels/cuda/tower_rows.h"

// `b` null: 0.
GM_INLINE void layerNorm(const float *x, const float *w, const float *b,
                         uint8_t *y, const gm_numbers *step, int32_t begin,
                         int32_t end) {
  const int64_t row = rowOfBlock(step, begin, end);
  if (row < 0)
    return;
  x = rowAt(x, row);
  const float first = x[0];
  float sum = 0;
  forColumns([&](int32_t i) GM_LAMBDA { sum += x[i] - first; });
  const float mean =
      sumOfBlock(sum, reinterpret_cast<float *>(sharedMemory()), Warps) *
      (1.0f / float(gm_k));
  auto centered = [&](int32_t i) GM_LAMBDA { return x[i] - first - mean; };
  const float rms = inverseRms(centered, 1);
  storeAct(y, row, [&](int32_t i) GM_LAMBDA {
    const float value = centered(i) * rms * w[i];
    return b ? value + b[i] : value;
  });
}

// Unit = row.
GM_ENTRY(gm_body, Threads, 2 * RmsBytes, 1, 0)
(const float *x, const float *w, const float *b, uint8_t *y,
 const gm_numbers *step, int32_t begin, int32_t end) {
  layerNorm(x, w, b, y, step, begin, end);
}

GM_ENTRY(gm_bare, Threads, 2 * RmsBytes, 1, 0)
(const float *x, const float *w, uint8_t *y, const gm_numbers *step,
 int32_t begin, int32_t end) {
  layerNorm(x, w, nullptr, y, step, begin, end);
}
