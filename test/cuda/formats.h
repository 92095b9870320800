// Roundings between float formats, exact, and the values of tensor cores.
// Must not know instructions.
#pragma once

#include "test/cuda/ptx.h"

#include <bit>
#include <cmath>

namespace cuemu {

enum class Rounding : u8 { Nearest, Zero, Down, Up };

/// NaN as NVIDIA's arithmetic makes it.
constexpr u32 NAN32 = 0x7fffffff;

inline float fromBf16(u16 x) { return std::bit_cast<float>(u32(x) << 16); }
float fromF16(u16 x);
u16 toBf16(double x, Rounding r);
u16 toF16(double x, Rounding r);
float toF32(double x, Rounding r);

/// a + b + exactly so much that a later rounding to half the bits is right.
double addOdd(double a, double b);

inline float canonical(float x) {
  return x == x ? x : std::bit_cast<float>(NAN32);
}
/// Zero with x's sign for subnormal x (.ftz).
inline float flushed(float x) {
  return std::fabs(x) < 0x1p-126f ? std::copysign(0.0f, x) : x;
}

/// c + sum of a[i] * b[i], i < COUNT, as a tensor core of the emulated
/// architecture does it (MMA-Sim, arXiv 2511.10909): products and c aligned to
/// the largest exponent, each cut to F bits of fraction, added exactly, cut to
/// f32. LEAST is the exponent of a and b's subnormals.
float tensorDot(const float *a, const float *b, int count, float c, int least,
                int bits, int zero);

} // namespace cuemu
