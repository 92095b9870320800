// Arithmetic of floats: f32 and f64 as .rn, f16 and bf16 (also two in a
// register) rounded once. Approximations are the nearest number, so programs
// whose bits matter must not use them.
#include "test/cuda/formats.h"
#include "test/cuda/lanes.h"

namespace cuemu {

namespace {

template <class T>
T clean(T x) {
  if constexpr (sizeof(T) == 4)
    return canonical(x);
  else
    return x == x ? x : std::bit_cast<double>(0x7fffffffffffffffull);
}

// Of equal numbers (that is, zeros) -0 is the smaller one.
template <class T, bool MOST, bool NAN_WINS>
constexpr auto EXTREME = [](T a, T b) -> T {
  if (a != a || b != b) {
    if (NAN_WINS || (a != a && b != b))
      return clean(T(NAN));
    return a != a ? b : a;
  }
  if (a == b)
    return std::signbit(a) == MOST ? b : a;
  return (a < b) == MOST ? b : a;
};

template <class T>
constexpr auto ADD = [](T a, T b) { return clean(a + b); };
template <class T>
constexpr auto SUB = [](T a, T b) { return clean(a - b); };
template <class T>
constexpr auto MUL = [](T a, T b) { return clean(a * b); };
template <class T>
constexpr auto DIV = [](T a, T b) { return clean(a / b); };
template <class T>
constexpr auto FMA = [](T a, T b, T c) { return clean(std::fma(a, b, c)); };
template <class T>
constexpr auto NEG = [](T a) {
  return std::bit_cast<T>(
      Bits<T>(std::bit_cast<Bits<T>>(a) ^ Bits<T>(1) << (8 * sizeof(T) - 1)));
};
template <class T>
constexpr auto ABS = [](T a) {
  return std::bit_cast<T>(Bits<T>(std::bit_cast<Bits<T>>(a) & Bits<T>(-1) / 2));
};

template <auto F>
constexpr auto FLUSH = [](auto... x) { return flushed(F(flushed(x)...)); };

template <class T, auto F>
Execute *two(bool flush) {
  if constexpr (sizeof(T) == 4)
    if (flush)
      return apply2<T, T, T, FLUSH<F>>;
  return apply2<T, T, T, F>;
}

template <class T>
Execute *arithmetic(Decoder &d, bool flush) {
  const std::string &op = d.opcode();
  bool nan = (op == "min" || op == "max") && d.take("NaN");
  if (op == "add")
    return two<T, ADD<T>>(flush);
  if (op == "sub")
    return two<T, SUB<T>>(flush);
  if (op == "mul")
    return two<T, MUL<T>>(flush);
  if (op == "div")
    return two<T, DIV<T>>(flush);
  if (op == "min")
    return nan ? two<T, EXTREME<T, false, true>>(flush)
               : two<T, EXTREME<T, false, false>>(flush);
  if (op == "max")
    return nan ? two<T, EXTREME<T, true, true>>(flush)
               : two<T, EXTREME<T, true, false>>(flush);
  if (op == "fma" || op == "mad") {
    if constexpr (sizeof(T) == 4)
      if (flush)
        return apply3<T, T, T, T, FLUSH<FMA<T>>>;
    return apply3<T, T, T, T, FMA<T>>;
  }
  if (op == "neg")
    return apply1<T, T, NEG<T>>;
  if (op == "abs")
    return apply1<T, T, ABS<T>>;
  return nullptr;
}

/// The 16-bit formats through double: products and sums of two are exact
/// there, and a fused sum is kept odd, so one rounding is left.
template <bool BF>
double wide(u16 x) {
  return BF ? fromBf16(x) : fromF16(x);
}
template <bool BF>
u16 narrow(double x) {
  return BF ? toBf16(x, Rounding::Nearest) : toF16(x, Rounding::Nearest);
}

template <bool BF>
u16 halfArithmetic(int op, u16 a, u16 b, u16 c) {
  double x = wide<BF>(a), y = wide<BF>(b);
  switch (op) {
  case 0:
    return narrow<BF>(addOdd(x, y));
  case 1:
    return narrow<BF>(addOdd(x, -y));
  case 2:
    return narrow<BF>(x * y);
  case 3:
    return narrow<BF>(EXTREME<double, false, false>(x, y));
  case 4:
    return narrow<BF>(EXTREME<double, true, false>(x, y));
  case 5:
    return narrow<BF>(addOdd(x * y, wide<BF>(c)));
  case 6:
    return narrow<BF>(EXTREME<double, false, true>(x, y));
  case 7:
    return narrow<BF>(EXTREME<double, true, true>(x, y));
  case 8:
    return a ^ 0x8000;
  default:
    return a & 0x7fff;
  }
}

template <bool BF, bool PAIR>
void half(Warp &w, const Instruction &in, u32 mask) {
  auto at = [&](int n, int l) {
    return w.rows[size_t(in.s[n < in.ss ? n : 0])].w[l];
  };
  lanes(mask, [&](int l) {
    u32 a = at(0, l), b = at(1, l), c = at(2, l);
    u32 v = halfArithmetic<BF>(in.mode, u16(a), u16(b), u16(c));
    if (PAIR)
      v |= u32(halfArithmetic<BF>(in.mode, u16(a >> 16), u16(b >> 16),
                                  u16(c >> 16)))
           << 16;
    w.rows[size_t(in.d[0])].w[l] = v;
  });
}

Execute *halves(Decoder &d, const std::string &type) {
  static const std::map<std::string, int> OPS = {
      {"add", 0}, {"sub", 1}, {"mul", 2}, {"min", 3},
      {"max", 4}, {"fma", 5}, {"neg", 8}, {"abs", 9}};
  auto it = OPS.find(d.opcode());
  if (it == OPS.end())
    return nullptr;
  d.in.mode = it->second;
  if ((d.in.mode == 3 || d.in.mode == 4) && d.take("NaN"))
    d.in.mode += 3;
  d.operands(4);
  if (type.starts_with("bf"))
    return type == "bf16" ? half<true, false> : half<true, true>;
  return type == "f16" ? half<false, false> : half<false, true>;
}

template <class T>
constexpr auto SQRT = [](T x) { return clean(std::sqrt(x)); };
constexpr auto RCP = [](float x) { return canonical(1 / x); };
constexpr auto RSQRT = [](float x) {
  return canonical(float(1 / std::sqrt(double(x))));
};
constexpr auto EX2 = [](float x) {
  return canonical(float(std::exp2(double(x))));
};
constexpr auto LG2 = [](float x) {
  return canonical(float(std::log2(double(x))));
};

template <auto F>
Execute *one(bool flush) {
  return flush ? apply1<float, float, FLUSH<F>> : apply1<float, float, F>;
}

void testClass(Warp &w, const Instruction &in, u32 mask) {
  u32 result = 0;
  lanes(mask, [&](int l) {
    float x = get<float>(w.rows[size_t(in.s[0])], l);
    bool is[] = {std::isfinite(x), std::isinf(x),    x == x,
                 x != x,           std::isnormal(x), false};
    is[5] = x == x && x != 0 && std::isfinite(x) && !std::isnormal(x);
    result |= u32(is[in.mode]) << l;
  });
  setPredicate(w, in.d[0], mask, result);
}

} // namespace

Execute *decodeFloatArithmetic(Decoder &d, const std::string &type) {
  d.take("rn"); // other roundings stay, and are an error
  const std::string &op = d.opcode();
  if (op == "div")
    d.takeOne({"full", "approx"});
  if (typeBytes(type) != 8 && type != "f32")
    return halves(d, type);
  bool flush = d.take("ftz");
  d.operands(typeBytes(type));
  return type == "f32" ? arithmetic<float>(d, flush)
                       : arithmetic<double>(d, flush);
}

Execute *decodeFloat(Decoder &d) {
  const std::string &op = d.opcode();
  std::string type = d.takeType();
  if (op == "fma")
    return decodeFloatArithmetic(d, type);
  if (op == "copysign") {
    d.operands(typeBytes(type));
    if (type == "f64")
      return apply2<double, double, double,
                    [](double a, double b) { return std::copysign(b, a); }>;
    return apply2<float, float, float,
                  [](float a, float b) { return std::copysign(b, a); }>;
  }
  if (op == "testp") {
    static const char *const CLASSES[] = {
        "finite", "infinite", "number", "notanumber", "normal", "subnormal"};
    for (int i = 0; i < 6; ++i)
      if (d.take(CLASSES[i]))
        d.in.mode = i;
    d.in.d[0] = d.predicate(d.operand(0));
    d.source(1, 4);
    return type == "f32" ? testClass : nullptr;
  }
  d.takeOne({"rn", "approx"});
  bool flush = d.take("ftz");
  d.operands(typeBytes(type));
  if (type == "f64")
    return op == "sqrt" ? apply1<double, double, SQRT<double>>
           : op == "rcp"
               ? apply1<double, double, [](double x) { return clean(1 / x); }>
               : nullptr;
  if (type != "f32")
    return nullptr;
  return op == "sqrt"    ? one<SQRT<float>>(flush)
         : op == "rcp"   ? one<RCP>(flush)
         : op == "rsqrt" ? one<RSQRT>(flush)
         : op == "ex2"   ? one<EX2>(flush)
                         : one<LG2>(flush);
}

} // namespace cuemu
