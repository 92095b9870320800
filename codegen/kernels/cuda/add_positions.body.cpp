// Family add_positions; out may be x. The table lies as matrices of products
// do (targets/Layouts.h); its offsets are 64 bits.
#include "codegen/kernels/cuda/tower_rows.h"

extern "C" {
extern const int32_t gm_format_bf16;
}

GM_INLINE float entryOf(const void *table, int64_t row, int32_t i) {
  const int64_t group = row / groupRows * groupRows, lane = row % groupRows;
  if (!gm_format_bf16)
    return static_cast<const float *>(
        table)[group * gm_k + i * groupRows + lane];
  const int64_t pair = group * ((gm_k + 1) / 2) + i / 2 * groupRows + lane;
  return fromBf16(static_cast<const uint16_t *>(table)[2 * pair + i % 2]);
}

// Unit = row.
GM_ENTRY(gm_body, Threads, 0, 1, 0)
(const float *x, const int32_t *position, const void *table, float *out,
 const gm_numbers *step, int32_t apart, int32_t second, int32_t begin,
 int32_t end) {
  const int64_t row = rowOfBlock(step, begin, end);
  if (row < 0)
    return;
  x = rowAt(x, row), out = rowAt(out, row);
  const int64_t a = int64_t(position[2 * row]) * apart,
                b = int64_t(position[2 * row + 1]) * apart + second;
  forColumns([&](int32_t i) GM_LAMBDA {
    out[i] = x[i] + (entryOf(table, a, i) + entryOf(table, b, i));
  });
}
