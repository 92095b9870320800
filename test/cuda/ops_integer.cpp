// Arithmetic and bits of integers.
#include "test/cuda/lanes.h"

#include <algorithm>
#include <limits>

namespace cuemu {

namespace {

template <class T>
using Wide = std::conditional_t<std::is_signed_v<T>,
                                std::conditional_t<sizeof(T) == 4, i64, i32>,
                                std::conditional_t<sizeof(T) == 4, u64, u32>>;
template <class T>
using Twice =
    std::conditional_t<std::is_signed_v<T>, __int128, unsigned __int128>;

template <class T>
constexpr auto ADD = [](T a, T b) { return T(Bits<T>(a) + Bits<T>(b)); };
template <class T>
constexpr auto SUB = [](T a, T b) { return T(Bits<T>(a) - Bits<T>(b)); };
template <class T>
constexpr auto LOW = [](T a, T b) { return T(u64(a) * u64(b)); };
template <class T>
constexpr auto HIGH =
    [](T a, T b) { return T((Twice<T>(a) * Twice<T>(b)) >> (8 * sizeof(T))); };
// Division by zero and of the smallest number by -1: as the hardware's code
// leaves it.
template <class T>
constexpr auto DIV = [](T a, T b) {
  if (b == 0)
    return T(-1);
  return std::is_signed_v<T> && b == T(-1) ? T(-Bits<T>(a)) : T(a / b);
};
template <class T>
constexpr auto REM = [](T a, T b) {
  if (b == 0)
    return a;
  return std::is_signed_v<T> && b == T(-1) ? T(0) : T(a % b);
};

Execute *saturating(Decoder &d) {
  d.operands(4);
  static constexpr auto clamp = [](i64 x) {
    return i32(std::clamp<i64>(x, std::numeric_limits<i32>::min(),
                               std::numeric_limits<i32>::max()));
  };
  if (d.opcode() == "add")
    return apply2<i32, i32, i32,
                  [](i32 a, i32 b) { return clamp(i64(a) + b); }>;
  return apply2<i32, i32, i32, [](i32 a, i32 b) { return clamp(i64(a) - b); }>;
}

Execute *multiply(Decoder &d, const std::string &type) {
  std::string part = d.takeOne({"lo", "hi", "wide"});
  int bytes = typeBytes(type);
  bool add = d.opcode() == "mad";
  d.result(0);
  d.source(1, bytes);
  d.source(2, bytes);
  if (add)
    d.source(3, part == "wide" ? bytes * 2 : bytes);
  return byInteger(type, [&]<class T>() -> Execute * {
    if constexpr (sizeof(T) == 4 || sizeof(T) == 2)
      if (part == "wide") {
        using W = Wide<T>;
        static constexpr auto product = [](T a, T b) { return W(W(a) * W(b)); };
        if (add)
          return apply3<W, T, T, W, [](T a, T b, W c) {
            return W(Bits<W>(product(a, b)) + Bits<W>(c));
          }>;
        return apply2<W, T, T, product>;
      }
    if constexpr (sizeof(T) > 1) {
      if (part == "lo" && add)
        return apply3<T, T, T, T,
                      [](T a, T b, T c) { return ADD<T>(LOW<T>(a, b), c); }>;
      if (part == "lo")
        return apply2<T, T, T, LOW<T>>;
      if (part == "hi" && add)
        return apply3<T, T, T, T,
                      [](T a, T b, T c) { return ADD<T>(HIGH<T>(a, b), c); }>;
      if (part == "hi")
        return apply2<T, T, T, HIGH<T>>;
    }
    return nullptr;
  });
}

Execute *twoOperands(Decoder &d, const std::string &type) {
  const std::string &op = d.opcode();
  const bool most = op == "max";
  if ((most || op == "min") && type == "s32" && d.take("relu")) {
    d.operands(4);
    return most ? apply2<i32, i32, i32,
                         [](i32 a, i32 b) { return std::max({a, b, 0}); }>
                : apply2<i32, i32, i32, [](i32 a, i32 b) {
                    return std::max(std::min(a, b), 0);
                  }>;
  }
  d.operands(typeBytes(type));
  return byInteger(type, [&]<class T>() -> Execute * {
    if (op == "add")
      return apply2<T, T, T, ADD<T>>;
    if (op == "sub")
      return apply2<T, T, T, SUB<T>>;
    if (op == "div")
      return apply2<T, T, T, DIV<T>>;
    if (op == "rem")
      return apply2<T, T, T, REM<T>>;
    if (op == "min")
      return apply2<T, T, T, [](T a, T b) { return a < b ? a : b; }>;
    if (op == "max")
      return apply2<T, T, T, [](T a, T b) { return a > b ? a : b; }>;
    if (op == "and")
      return apply2<T, T, T, [](T a, T b) { return T(a & b); }>;
    if (op == "or")
      return apply2<T, T, T, [](T a, T b) { return T(a | b); }>;
    if (op == "xor")
      return apply2<T, T, T, [](T a, T b) { return T(a ^ b); }>;
    return nullptr;
  });
}

Execute *oneOperand(Decoder &d, const std::string &type) {
  const std::string &op = d.opcode();
  d.operands(typeBytes(type));
  return byInteger(type, [&]<class T>() -> Execute * {
    using U = Bits<T>;
    if (op == "not")
      return apply1<T, T, [](T a) { return T(~a); }>;
    if (op == "neg")
      return apply1<T, T, [](T a) { return T(-U(a)); }>;
    if (op == "abs")
      return apply1<T, T, [](T a) { return a < T(0) ? T(-U(a)) : a; }>;
    if (op == "cnot")
      return apply1<T, T, [](T a) { return T(a == 0); }>;
    if (op == "brev")
      return apply1<U, U, [](U a) {
        if constexpr (sizeof(U) == 8)
          return __builtin_bitreverse64(a);
        else
          return __builtin_bitreverse32(u32(a));
      }>;
    if (op == "popc")
      return apply1<u32, U, [](U a) { return std::popcount(a); }>;
    if (op == "clz")
      return apply1<u32, U, [](U a) { return std::countl_zero(a); }>;
    return nullptr;
  });
}

Execute *shift(Decoder &d, const std::string &type) {
  d.result(0);
  d.source(1, typeBytes(type));
  d.source(2, 4);
  bool left = d.opcode() == "shl";
  return byInteger(type, [&]<class T>() -> Execute * {
    constexpr u32 N = 8 * sizeof(T);
    if (left)
      return apply2<T, T, u32, [](T a, u32 s) {
        return s >= N ? T(0) : T(Bits<T>(a) << s);
      }>;
    return apply2<T, T, u32, [](T a, u32 s) {
      return s < N ? T(a >> s) : std::is_signed_v<T> ? T(a >> (N - 1)) : T(0);
    }>;
  });
}

Execute *funnel(Decoder &d) {
  bool left = d.takeOne({"l", "r"}) == "l", clamp = d.take("clamp");
  if (!clamp)
    d.take("wrap");
  d.operands(4);
  static constexpr auto shifted = [](u32 a, u32 b, u32 s, bool left) {
    u64 both = u64(b) << 32 | a;
    return left ? u32(both << s >> 32) : u32(both >> s);
  };
  if (left && clamp)
    return apply3<u32, u32, u32, u32, [](u32 a, u32 b, u32 s) {
      return shifted(a, b, std::min(s, 32u), true);
    }>;
  if (left)
    return apply3<u32, u32, u32, u32, [](u32 a, u32 b, u32 s) {
      return shifted(a, b, s & 31, true);
    }>;
  if (clamp)
    return apply3<u32, u32, u32, u32, [](u32 a, u32 b, u32 s) {
      return shifted(a, b, std::min(s, 32u), false);
    }>;
  return apply3<u32, u32, u32, u32, [](u32 a, u32 b, u32 s) {
    return shifted(a, b, s & 31, false);
  }>;
}

/// bfe: LENGTH bits from POSITION on, filled with zeros or the sign (of the
/// field's top bit, or of the value's where the field reaches past it).
template <class T>
T extractBits(T a, u32 position, u32 length) {
  constexpr u32 N = 8 * sizeof(T);
  position &= 255, length &= 255;
  if (length == 0)
    return 0;
  u32 top = std::min(position + length - 1, N - 1);
  bool sign = std::is_signed_v<T> && (Bits<T>(a) >> top & 1);
  Bits<T> result = position < N ? Bits<T>(a) >> position : 0;
  Bits<T> field = length >= N ? Bits<T>(-1) : (Bits<T>(1) << length) - 1;
  u32 valid = position < N ? N - position : 0; // bits that the value has
  if (valid < N)
    field &= (Bits<T>(1) << valid) - 1;
  return T(sign ? result | ~field : result & field);
}

template <class T>
void insertBits(Warp &w, const Instruction &in, u32 mask) {
  constexpr u32 N = 8 * sizeof(T);
  lanes(mask, [&](int l) {
    T a = get<T>(w.rows[size_t(in.s[0])], l),
      b = get<T>(w.rows[size_t(in.s[1])], l);
    u32 position = w.rows[size_t(in.s[2])].w[l] & 255,
        length = w.rows[size_t(in.s[3])].w[l] & 255;
    T field = length >= N ? T(-1) : T((T(1) << length) - 1);
    if (position < N)
      b = T((b & ~(field << position)) | ((a & field) << position));
    set<T>(w.rows[size_t(in.d[0])], l, b);
  });
}

Execute *field(Decoder &d, const std::string &type) {
  int bytes = typeBytes(type);
  bool insert = d.opcode() == "bfi";
  d.result(0);
  d.source(1, bytes);
  if (insert)
    d.source(2, bytes);
  d.source(d.count() - 2, 4);
  d.source(d.count() - 1, 4);
  if (insert)
    return bytes == 8 ? insertBits<u64> : insertBits<u32>;
  return byInteger(type, [&]<class T>() -> Execute * {
    if constexpr (sizeof(T) >= 4)
      return apply3<T, T, u32, u32, extractBits<T>>;
    return nullptr;
  });
}

Execute *findTop(Decoder &d, const std::string &type) {
  bool amount = d.take("shiftamt");
  d.operands(typeBytes(type));
  return byInteger(type, [&]<class T>() -> Execute * {
    if constexpr (sizeof(T) >= 4) {
      static constexpr auto zeros = [](T a) {
        Bits<T> bits = Bits<T>(a < T(0) ? ~a : a);
        return bits ? std::countl_zero(bits) : -1;
      };
      if (amount)
        return apply1<u32, T, [](T a) { return u32(zeros(a)); }>;
      return apply1<u32, T, [](T a) {
        int z = zeros(a);
        return z < 0 ? ALL : u32(8 * int(sizeof(T)) - 1 - z);
      }>;
    }
    return nullptr;
  });
}

u32 permute(u32 a, u32 b, u32 selector) {
  u64 both = u64(b) << 32 | a;
  u32 result = 0;
  for (int n = 0; n < 4; ++n) {
    u32 pick = selector >> 4 * n & 15;
    u32 byte = u32(both >> 8 * (pick & 7)) & 255;
    if (pick & 8)
      byte = byte & 128 ? 255 : 0;
    result |= byte << 8 * n;
  }
  return result;
}

void logic3(Warp &w, const Instruction &in, u32 mask) { // mode: the table
  lanes(mask, [&](int l) {
    u32 a = w.rows[size_t(in.s[0])].w[l], b = w.rows[size_t(in.s[1])].w[l],
        c = w.rows[size_t(in.s[2])].w[l], result = 0;
    for (int i = 0; i < 8; ++i)
      if (in.mode >> i & 1)
        result |= (i & 4 ? a : ~a) & (i & 2 ? b : ~b) & (i & 1 ? c : ~c);
    w.rows[size_t(in.d[0])].w[l] = result;
  });
}

template <class A, class B>
i32 dot4(u32 a, u32 b, u32 c) {
  for (int k = 0; k < 4; ++k)
    c += u32(i32(A(a >> 8 * k)) * i32(B(b >> 8 * k)));
  return i32(c);
}

Execute *dotProduct(Decoder &d) {
  bool b = d.takeType() == "u32", a = d.takeType() == "u32";
  d.operands(4);
  if (a)
    return b ? apply3<i32, u32, u32, u32, dot4<u8, u8>>
             : apply3<i32, u32, u32, u32, dot4<u8, i8>>;
  return b ? apply3<i32, u32, u32, u32, dot4<i8, u8>>
           : apply3<i32, u32, u32, u32, dot4<i8, i8>>;
}

void predicateLogic(Warp &w, const Instruction &in, u32 mask) {
  u32 a = w.predicates[size_t(in.s[0])], b = w.predicates[size_t(in.s[1])];
  a = in.mode2 & 1 ? ~a : a, b = in.mode2 & 2 ? ~b : b;
  u32 value = in.mode == 0 ? a & b : in.mode == 1 ? a | b : a ^ b;
  setPredicate(w, in.d[0], mask, value);
}

Execute *ofPredicates(Decoder &d) {
  const std::string &op = d.opcode();
  bool isNot = op == "not";
  if (!isNot && op != "and" && op != "or" && op != "xor")
    return nullptr;
  d.in.d[0] = d.predicate(d.operand(0));
  d.in.s[0] = d.predicate(d.operand(1));
  d.in.s[1] = d.predicate(d.operand(isNot ? 1 : 2));
  d.in.mode = op == "or" ? 1 : op == "xor" ? 2 : 0;
  d.in.mode2 = (d.operand(1).negated ? 1 : 0) |
               (d.operand(isNot ? 1 : 2).negated ? 2 : 0);
  if (isNot) // p & p, both turned
    d.in.mode2 ^= 3;
  return predicateLogic;
}

} // namespace

Execute *decodeInteger(Decoder &d) {
  const std::string &op = d.opcode();
  if (op == "dp4a")
    return dotProduct(d);
  std::string type = d.takeType();
  if (type == "pred")
    return ofPredicates(d);
  if (type[0] == 'f' || type.starts_with("bf"))
    return decodeFloatArithmetic(d, type);
  if ((op == "add" || op == "sub") && type == "s32" && d.take("sat"))
    return saturating(d);
  if (op == "mul" || op == "mad")
    return multiply(d, type);
  if (op == "shl" || op == "shr")
    return shift(d, type);
  if (op == "shf")
    return funnel(d);
  if (op == "bfe" || op == "bfi")
    return field(d, type);
  if (op == "bfind")
    return findTop(d, type);
  if (op == "prmt" && d.count() == 4) {
    d.operands(4);
    return apply3<u32, u32, u32, u32, permute>;
  }
  if (op == "lop3") {
    d.result(0);
    for (size_t n : {1, 2, 3})
      d.source(n, 4);
    d.in.mode = int(d.immediate(4));
    return logic3;
  }
  if (op == "sad") {
    d.operands(typeBytes(type));
    return byInteger(type, [&]<class T>() -> Execute * {
      return apply3<T, T, T, T, [](T a, T b, T c) {
        return ADD<T>(c, a < b ? SUB<T>(b, a) : SUB<T>(a, b));
      }>;
    });
  }
  return d.count() == 2 ? oneOperand(d, type) : twoOperands(d, type);
}

} // namespace cuemu
