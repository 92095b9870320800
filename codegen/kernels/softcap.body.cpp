// The epilogue of family logits (linear.cpp). Freestanding.
#include "codegen/kernels/softcap.h"

// y[r * stride + i] = softcap of sums[r][i] for i < columns, a multiple of 16;
// `cap` as the bits of an f32.
extern "C" void gm_softcap(const float *sums, float *y, int64_t rows,
                           int64_t columns, int64_t stride, int32_t cap) {
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t i = 0; i < columns; i += 16)
      store(y + r * stride + i, softcap(load<f32x16>(sums + r * columns + i),
                                        __builtin_bit_cast(float, cap)));
}
