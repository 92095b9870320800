// Family rel_positions: the products of the sines of distances with a matrix,
// which depend on weights alone. Sines are made in double and rounded to f32.
#include "codegen/kernels/cuda/device.h"

extern "C" {
extern const int32_t gm_k, gm_window, gm_format_bf16;
}

namespace {

enum { Threads = 256, Warps = Threads / WarpLanes };

// The nearest whole number, of some thousands at most.
GM_INLINE double nearest(double x) {
  const double magic = 6755399441055744.0; // 1.5 * 2^52
  return x + magic - magic;
}

// exp(x) of -10 .. 0, to 1e-15.
GM_INLINE double exponential(double x) {
  const double whole = nearest(x * 1.4426950408889634);
  double r = x - whole * 0.693147180369123816490;
  r -= whole * 1.90821492927058770002e-10;
  double y = 1;
  for (int32_t i = 15; i > 0; --i)
    y = 1 + y * r / i;
  return y * __builtin_bit_cast(double, (int64_t(whole) + 1023) << 52);
}

struct Turn {
  float sine, cosine;
};

// Of an angle of 0 .. 64.
GM_INLINE Turn turnBy(double angle) {
  const double quarters = nearest(angle * 0.63661977236758134);
  double x = angle - quarters * 1.57079632673412561417;
  x -= quarters * 6.07710050650619224932e-11;
  const double square = x * x;
  double c = 1, s = 1;
  for (int32_t i = 16; i > 0; i -= 2) {
    c = 1 - c * square / ((i - 1) * i);
    s = 1 - s * square / (i * (i + 1));
  }
  s *= x;
  const int32_t quadrant = int32_t(quarters) % 4;
  const double sine = quadrant % 2 ? c : s, cosine = quadrant % 2 ? s : c;
  return {float(quadrant / 2 ? -sine : sine),
          float(quadrant == 1 || quadrant == 2 ? -cosine : cosine)};
}

// Element (row, column) of a matrix in groups of 16 rows (targets/Layouts.h),
// from the group on.
GM_INLINE float elementOf(const uint8_t *w, int32_t row, int32_t column) {
  if (!gm_format_bf16)
    return reinterpret_cast<const float *>(w)[column * groupRows + row];
  const int32_t pair = column / 2 * groupRows + row;
  return fromBf16(reinterpret_cast<const uint16_t *>(w)[2 * pair + column % 2]);
}

} // namespace

// Unit = 16 outputs: a warp does a distance at a time.
GM_ENTRY(gm_body, Threads, 0, 1, 0)
(const uint8_t *w, float *y, const gm_numbers *step, int32_t begin,
 int32_t end) {
  waitForLaunches();
  const int32_t unit = begin + blockX(), half = gm_k / 2;
  if (unit >= end)
    return;
  w += int64_t(unit) * gm_k * (gm_format_bf16 ? 2 : 4) * groupRows;
  for (int32_t d = warpOf(); d < gm_window; d += Warps) {
    float sums[groupRows] = {};
    for (int32_t j = laneOf(); j < half; j += WarpLanes) {
      const double frequency =
          exponential(-9.2103403719761836 * j / (half - 1));
      const Turn turn = turnBy(d * frequency);
      GM_UNROLL for (int32_t o = 0; o < groupRows; ++o) sums[o] =
          fma(elementOf(w, o, half + j), turn.cosine,
              fma(elementOf(w, o, j), turn.sine, sums[o]));
    }
    float own = 0;
    GM_UNROLL for (int32_t o = 0; o < groupRows; ++o) {
      const float sum = sumOfWarp(sums[o]);
      own = laneOf() == o ? sum : own;
    }
    if (laneOf() < groupRows)
      y[d * paddedColumns(gm_k) + unit * groupRows + laneOf()] = own;
  }
}
