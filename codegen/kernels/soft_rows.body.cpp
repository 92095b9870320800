// Family soft_rows: rows that an encoder of images or sound made take the place
// of embeddings. Nothing is read of `soft` unless a row asks for it.
#include "codegen/kernels/body.h"

extern "C" {
extern const int32_t gm_k;
}

// Unit = row; y may be x.
extern "C" void gm_body(const float *x, const int32_t *from, const float *soft,
                        float *y, int32_t rows, int32_t begin, int32_t end) {
  const int64_t stride = (int64_t(gm_k) + 31) / 32 * 32;
  for (int64_t row = begin; row < end; ++row) {
    const float *source =
        from[row] < 0 ? x + row * stride : soft + from[row] * stride;
    float *to = y + row * stride;
    if (source == to)
      continue;
    int64_t j = 0;
    for (; j + 16 <= gm_k; j += 16)
      store(to + j, load<f32x16>(source + j));
    for (; j < gm_k; ++j)
      to[j] = source[j];
  }
}
