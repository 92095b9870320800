// Family pool.
#include "codegen/kernels/cuda/tower_rows.h"

extern "C" {
extern const int32_t gm_n;
extern const float gm_factor;
}

// Unit = row.
GM_ENTRY(gm_body, Threads, 0, 1, 0)
(const float *x, float *y, const gm_numbers *step, int32_t begin, int32_t end) {
  const int64_t row = rowOfBlock(step, begin, end);
  if (row < 0)
    return;
  x = rowAt(x, row * gm_n), y = rowAt(y, row);
  const int64_t stride = paddedColumns(gm_k);
  forColumns([&](int32_t i) GM_LAMBDA {
    float sum = x[i];
    for (int32_t r = 1; r < gm_n; ++r)
      sum += x[r * stride + i];
    y[i] = sum * (gm_factor / float(gm_n));
  });
}
