// cvt: between integers, floats and both, with all roundings that PTX has.
#include "test/cuda/formats.h"
#include "test/cuda/lanes.h"

#include <limits>
#include <utility>

namespace cuemu {

namespace {

Rounding rounding(const std::string &mode) {
  return mode[1] == 'z'   ? Rounding::Zero
         : mode[1] == 'm' ? Rounding::Down
         : mode[1] == 'p' ? Rounding::Up
                          : Rounding::Nearest;
}

double toWhole(double x, int mode) {
  switch (Rounding(mode)) {
  case Rounding::Nearest:
    return std::nearbyint(x);
  case Rounding::Zero:
    return std::trunc(x);
  case Rounding::Down:
    return std::floor(x);
  case Rounding::Up:
    return std::ceil(x);
  }
  return x;
}

/// Out of range is the nearest number there is, NaN is zero.
template <class T>
T saturated(double x) {
  if (x != x)
    return 0;
  if (x <= double(std::numeric_limits<T>::min()))
    return std::numeric_limits<T>::min();
  if (x >= double(std::numeric_limits<T>::max()))
    return std::numeric_limits<T>::max();
  return T(x);
}

// How a source reads and a result writes, as doubles: every format but the
// 64-bit integers is exact in one.
struct F16 {
  static double read(const Row &r, int l) { return fromF16(u16(r.w[l])); }
  static void write(Row &r, int l, double x, int mode) {
    r.w[l] = toF16(x, Rounding(mode));
  }
};
struct Bf16 {
  static double read(const Row &r, int l) { return fromBf16(u16(r.w[l])); }
  static void write(Row &r, int l, double x, int mode) {
    r.w[l] = toBf16(x, Rounding(mode));
  }
};
struct F32 {
  static double read(const Row &r, int l) { return get<float>(r, l); }
  static void write(Row &r, int l, double x, int mode) {
    set<float>(r, l, toF32(x, Rounding(mode)));
  }
};
struct F64 {
  static double read(const Row &r, int l) { return get<double>(r, l); }
  static void write(Row &r, int l, double x, int) {
    set<double>(r, l, x == x ? x : std::bit_cast<double>(0x7fffffffffffffff));
  }
};

constexpr int FLUSH = 1, SATURATE = 2, INTEGRAL = 4; // of mode2

template <class To, class From>
void floatToFloat(Warp &w, const Instruction &in, u32 mask) {
  lanes(mask, [&](int l) {
    double x = From::read(w.rows[size_t(in.s[0])], l);
    if (in.mode2 & FLUSH)
      x = std::fabs(x) < 0x1p-126 ? std::copysign(0.0, x) : x;
    if (in.mode2 & INTEGRAL)
      x = toWhole(x, in.mode);
    if (in.mode2 & SATURATE)
      x = x > 0 ? std::fmin(x, 1.0) : 0.0;
    To::write(w.rows[size_t(in.d[0])], l, x, in.mode2 & INTEGRAL ? 0 : in.mode);
  });
}

template <class T, class From>
void floatToInteger(Warp &w, const Instruction &in, u32 mask) {
  lanes(mask, [&](int l) {
    double x = toWhole(From::read(w.rows[size_t(in.s[0])], l), in.mode);
    set<T>(w.rows[size_t(in.d[0])], l, saturated<T>(x));
  });
}

template <class To, class T>
void integerToFloat(Warp &w, const Instruction &in, u32 mask) {
  lanes(mask, [&](int l) {
    T x = getLow<T>(in, w.rows[size_t(in.s[0])], l);
    Row &d = w.rows[size_t(in.d[0])];
    if (std::is_same_v<To, F32> && in.mode == 0)
      set<float>(d, l, float(x));
    else
      To::write(d, l, double(x), in.mode);
  });
}

template <class To, class From, bool SAT>
void integerToInteger(Warp &w, const Instruction &in, u32 mask) {
  using Limits = std::numeric_limits<To>;
  lanes(mask, [&](int l) {
    From x = getLow<From>(in, w.rows[size_t(in.s[0])], l);
    To y = To(x);
    if (SAT && std::cmp_less(x, Limits::min()))
      y = Limits::min();
    else if (SAT && std::cmp_greater(x, Limits::max()))
      y = Limits::max();
    set<To>(w.rows[size_t(in.d[0])], l, y);
  });
}

/// Two f32 into halves of a register, the first on top.
template <class H>
void pack(Warp &w, const Instruction &in, u32 mask) {
  lanes(mask, [&](int l) {
    Row halves;
    for (int n = 0; n < 2; ++n) {
      double x = get<float>(w.rows[size_t(in.s[n])], l);
      if (in.mode2 & SATURATE) // here: .relu
        x = x != x ? x : std::fmax(x, 0.0);
      H::write(halves, n, x, in.mode);
    }
    w.rows[size_t(in.d[0])].w[l] = halves.w[0] << 16 | halves.w[1];
  });
}

/// f.operator()<format>() for the float type of that name.
template <class F>
Execute *byFloat(const std::string &t, F f) {
  if (t == "f32")
    return f.template operator()<F32>();
  if (t == "f16")
    return f.template operator()<F16>();
  if (t == "bf16")
    return f.template operator()<Bf16>();
  if (t == "f64")
    return f.template operator()<F64>();
  return nullptr;
}

bool isFloat(const std::string &t) { return t[0] == 'f' || t[0] == 'b'; }

} // namespace

Execute *decodeConvert(Decoder &d) {
  std::string from = d.takeType(), to = d.takeType();
  std::string whole = d.takeOne({"rni", "rzi", "rmi", "rpi"}),
              mode =
                  whole.empty() ? d.takeOne({"rn", "rz", "rm", "rp"}) : whole;
  d.in.mode = mode.empty() ? 0 : int(rounding(mode));
  d.in.mode2 = whole.empty() ? 0 : INTEGRAL;
  if (d.take("ftz"))
    d.in.mode2 |= FLUSH;
  if (to == "bf16x2" || to == "f16x2") {
    if (d.take("relu"))
      d.in.mode2 |= SATURATE;
    d.operands(4);
    return to == "bf16x2" ? pack<Bf16> : pack<F16>;
  }
  bool sat = d.take("sat");
  if (sat)
    d.in.mode2 |= SATURATE;
  d.result(0);
  if (typeBytes(to) < 8 && d.bytesOf(d.operand(0)) == 8)
    d.fail("a result is emulated in registers of its size alone");
  if (isFloat(from))
    d.source(1, typeBytes(from));
  else
    d.lowSource(1, typeBytes(from));
  if (isFloat(to) && isFloat(from))
    return byFloat(to, [&]<class To>() {
      return byFloat(from, [&]<class From>() -> Execute * {
        return floatToFloat<To, From>;
      });
    });
  if (isFloat(from))
    return byInteger(to, [&]<class To>() {
      return byFloat(from, [&]<class From>() -> Execute * {
        return floatToInteger<To, From>;
      });
    });
  if (isFloat(to))
    return byFloat(to, [&]<class To>() {
      return byInteger(from, [&]<class From>() -> Execute * {
        return integerToFloat<To, From>;
      });
    });
  return byInteger(to, [&]<class To>() {
    return byInteger(from, [&]<class From>() -> Execute * {
      return sat ? integerToInteger<To, From, true>
                 : integerToInteger<To, From, false>;
    });
  });
}

} // namespace cuemu
