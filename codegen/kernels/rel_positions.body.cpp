// Family rel_positions: the products of the sines of distances with a matrix,
// which depend on weights alone. Sines and cosines are made in double, four
// distances at a time by turning those before, and rounded to f32.
#include "codegen/kernels/vectors.h"

extern "C" {
extern const int32_t gm_k, gm_window, gm_format_bf16;
}

namespace {

enum { Distances = 4 };

// exp(x) of -10 .. 0, to 1e-15.
GM_INLINE double exponential(double x) {
  const double whole = __builtin_elementwise_roundeven(x * 1.4426950408889634);
  double r = x - whole * 0.693147180369123816490;
  r -= whole * 1.90821492927058770002e-10;
  double y = 1;
  for (int32_t i = 15; i > 0; --i)
    y = 1 + y * r / i;
  const int64_t bits = (int64_t(whole) + 1023) << 52;
  return y * __builtin_bit_cast(double, bits);
}

struct Turn {
  double cosine, sine;
};

// Of an angle of 0 .. 1.
GM_INLINE Turn turnBy(double x) {
  const double square = x * x;
  double c = 1, s = 1;
  for (int32_t i = 20; i > 0; i -= 2) {
    c = 1 - c * square / ((i - 1) * i);
    s = 1 - s * square / (i * (i + 1));
  }
  return {c, s * x};
}

// table[d][j]: sines, then cosines, of the next distances; turns `at` further.
GM_INLINE void nextSines(float *table, Turn *at, const Turn *step) {
  const int32_t half = gm_k / 2;
  for (int32_t d = 0; d < Distances; ++d)
    for (int32_t j = 0; j < half; ++j) {
      const Turn t = at[j], by = step[j];
      table[d * gm_k + j] = float(t.sine);
      table[d * gm_k + half + j] = float(t.cosine);
      at[j] = {t.cosine * by.cosine - t.sine * by.sine,
               t.sine * by.cosine + t.cosine * by.sine};
    }
}

// Columns of a matrix in groups of 16 rows (targets/Layouts.h): of bf16 pairs.
GM_INLINE void multiply(f32x16 (&sum)[Distances], const uint8_t *w,
                        const float *table) {
  auto add = [&](f32x16 column, int32_t j) GM_LAMBDA {
    GM_UNROLL
    for (int32_t d = 0; d < Distances; ++d)
      sum[d] = fma(column, f32x16(table[d * gm_k + j]), sum[d]);
  };
  for (int32_t j = 0; j < gm_k; j += 2)
    if (gm_format_bf16) {
      const u32x16 pair = load<u32x16>(w + j * 32);
      add(__builtin_bit_cast(f32x16, pair << 16), j);
      add(__builtin_bit_cast(f32x16, pair & 0xffff0000u), j + 1);
    } else {
      add(load<f32x16>(w + j * 64), j);
      add(load<f32x16>(w + j * 64 + 64), j + 1);
    }
}

} // namespace

// Unit = 16 outputs.
extern "C" void gm_many(const uint8_t *w, float *y, int32_t rows, int32_t begin,
                        int32_t end) {
  if (begin >= end)
    return;
  const int32_t half = gm_k / 2;
  Turn *step = reinterpret_cast<Turn *>(GM_WORDS(float, half * 4)),
       *at = reinterpret_cast<Turn *>(GM_WORDS(float, half * 4));
  float *table = GM_WORDS(float, Distances *gm_k);
  for (int32_t j = 0; j < half; ++j) {
    step[j] = turnBy(exponential(-9.2103403719761836 * j / (half - 1)));
    at[j] = {1, 0};
  }
  const int64_t stride = rowBytes(0, 0, gm_k) / 4,
                bytes = int64_t(gm_k) * (gm_format_bf16 ? 32 : 64);
  for (int32_t first = 0; first < gm_window; first += Distances) {
    nextSines(table, at, step);
    for (int64_t unit = begin; unit < end; ++unit) {
      f32x16 sum[Distances] = {};
      multiply(sum, w + unit * bytes, table);
      // Rows are padded to whole vectors.
      for (int32_t d = 0; d < Distances; ++d)
        if (first + d < gm_window)
          store(y + (first + d) * stride + unit * 16, sum[d]);
    }
  }
}
