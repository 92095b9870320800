// Roundings between float formats, exact, and the values of tensor cores.
#include "test/cuda/formats.h"

#include <algorithm>

namespace cuemu {

float fromF16(u16 x) {
  int exponent = x >> 10 & 31, fraction = x & 1023;
  float sign = x & 0x8000 ? -1.0f : 1.0f;
  if (exponent == 31)
    return fraction ? std::bit_cast<float>(NAN32) : sign * INFINITY;
  return sign * (exponent ? std::ldexp(float(1024 + fraction), exponent - 25)
                          : std::ldexp(float(fraction), -24));
}

namespace {

/// The integer next to X >= 0 that R asks for, X's own sign being NEGATIVE.
double whole(double x, Rounding r, bool negative) {
  switch (r) {
  case Rounding::Nearest:
    return std::nearbyint(x);
  case Rounding::Zero:
    return std::trunc(x);
  case Rounding::Down:
    return negative ? std::ceil(x) : std::floor(x);
  case Rounding::Up:
    return negative ? std::floor(x) : std::ceil(x);
  }
  return x;
}

/// X in a format of FRACTION bits, smallest exponent LEAST, largest MOST; the
/// result is a double. Overflow is infinity or the largest number, by R.
double rounded(double x, int fraction, int least, int most, Rounding r) {
  if (x == 0 || !std::isfinite(x))
    return x;
  bool negative = x < 0;
  double a = std::fabs(x);
  int unit = std::max(std::ilogb(a), least) - fraction;
  double value = std::ldexp(whole(std::ldexp(a, -unit), r, negative), unit);
  double largest = std::ldexp(2.0 - std::ldexp(1.0, -fraction), most);
  if (value > largest)
    value = r == Rounding::Nearest || (r == Rounding::Up && !negative) ||
                    (r == Rounding::Down && negative)
                ? INFINITY
                : largest;
  return negative ? -value : value;
}

} // namespace

u16 toBf16(double x, Rounding r) {
  if (x != x)
    return 0x7fff;
  float f = float(x);
  if (r == Rounding::Nearest && double(f) == x) { // the usual case, quickly
    u32 bits = std::bit_cast<u32>(f);
    return std::isinf(f) ? u16(bits >> 16)
                         : u16((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
  }
  return u16(std::bit_cast<u32>(float(rounded(x, 7, -126, 127, r))) >> 16);
}

u16 toF16(double x, Rounding r) {
  if (x != x)
    return 0x7fff;
  u16 sign = std::signbit(x) ? 0x8000 : 0;
  double a = std::fabs(rounded(x, 10, -14, 15, r));
  if (a == 0)
    return sign;
  if (std::isinf(a))
    return sign | 0x7c00;
  int exponent = std::max(std::ilogb(a), -14);
  int fraction = int(std::ldexp(a, 10 - exponent)); // with the leading one
  return fraction < 1024
             ? u16(sign | fraction)
             : u16(sign | ((exponent + 15) << 10) | (fraction - 1024));
}

float toF32(double x, Rounding r) {
  if (x != x)
    return std::bit_cast<float>(NAN32);
  if (r == Rounding::Nearest)
    return float(x);
  return float(rounded(x, 23, -126, 127, r));
}

double addOdd(double a, double b) {
  double sum = a + b;
  if (!std::isfinite(sum))
    return sum;
  double part = sum - a, error = (a - (sum - part)) + (b - part);
  u64 bits = std::bit_cast<u64>(sum);
  if (error == 0 || (bits & 1))
    return sum;
  // The even neighbour was taken: the odd one on the side of the error.
  bool away = (error > 0) == (sum > 0);
  return std::bit_cast<double>(away ? bits + 1 : bits - 1);
}

namespace {

/// significand * 2^(exponent - 23)
struct Split {
  i64 significand;
  int exponent; // at least that of the format's subnormal numbers
};

Split split(float x, int least) {
  u32 bits = std::bit_cast<u32>(x), fraction = bits & 0x7fffff;
  int exponent = int(bits >> 23 & 255);
  i64 size = exponent ? fraction | 0x800000 : fraction;
  exponent = std::max(exponent, 1) - 127;
  if (exponent < least) { // a subnormal number of a smaller format: exact
    size >>= std::min(least - exponent, 63);
    exponent = least;
  }
  return {bits >> 31 ? -size : size, exponent};
}

bool isFinite(float x) {
  return (std::bit_cast<u32>(x) & 0x7f800000) != 0x7f800000;
}

double powerOf2(int exponent) { // of normal numbers
  return std::bit_cast<double>(u64(1023 + exponent) << 52);
}

} // namespace

float tensorDot(const float *a, const float *b, int count, float c, int least,
                int bits, int zero) {
  bool finite = isFinite(c);
  for (int k = 0; k < count; ++k)
    finite = finite && isFinite(a[k]) && isFinite(b[k]);
  if (!finite) {
    double special = c; // NaN and infinity as plain addition has them
    for (int k = 0; k < count; ++k)
      special += double(a[k]) * double(b[k]);
    return canonical(float(special));
  }
  constexpr int POINT = 46; // bits of a significand behind the point
  Split terms[17];
  int top = -1000;
  for (int k = 0; k <= count; ++k) {
    Split x = split(k < count ? a[k] : c, k < count ? least : -126),
          y = k < count ? split(b[k], least) : Split{1 << 23, 0};
    terms[k] = {x.significand * y.significand, x.exponent + y.exponent};
    if (terms[k].significand == 0)
      terms[k].exponent = zero;
    top = std::max(top, terms[k].exponent);
  }
  i64 sum = 0; // of 2^(top - bits)
  for (int k = 0; k <= count; ++k) {
    i64 size = std::abs(terms[k].significand) >>
               std::min(POINT - bits + top - terms[k].exponent, 63);
    sum += terms[k].significand < 0 ? -size : size;
  }
  if (sum == 0)
    return 0;
  u64 size = u64(std::abs(sum));
  int unit = top - bits,
      last = std::max(unit + int(std::bit_width(size)) - 1, -126) - 23;
  if (last > unit) {
    size >>= std::min(last - unit, 63);
    unit = last;
  }
  float value = float(double(size) * powerOf2(unit));
  return sum < 0 ? -value : value;
}

} // namespace cuemu
