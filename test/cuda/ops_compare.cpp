// Comparisons and selections.
#include "test/cuda/formats.h"
#include "test/cuda/lanes.h"

namespace cuemu {

namespace {

/// What setp does with the result T of its comparison: mode 0 nothing, else
/// and, or, xor with predicate mode2 (4: with its complement).
template <class A, auto F>
void compare(Warp &w, const Instruction &in, u32 mask) {
  const Row &a = w.rows[size_t(in.s[0])], &b = w.rows[size_t(in.s[1])];
  u32 yes = 0;
  for (int l = 0; l < 32; ++l)
    yes |= u32(F(get<A>(a, l), get<A>(b, l))) << l;
  u32 no = ~yes;
  if (in.mode) {
    u32 c = w.predicates[size_t(in.mode2)];
    c = in.mode & 4 ? ~c : c;
    for (u32 *p : {&yes, &no})
      *p = (in.mode & 3) == 1 ? *p & c : (in.mode & 3) == 2 ? *p | c : *p ^ c;
  }
  setPredicate(w, in.d[0], mask, yes);
  setPredicate(w, in.d[1], mask, no);
}

template <class A, template <class, auto> class Use>
Execute *integerComparison(const std::string &c) {
  if (c == "eq")
    return Use<A, [](A a, A b) { return a == b; }>::run;
  if (c == "ne")
    return Use<A, [](A a, A b) { return a != b; }>::run;
  if (c == "lt" || c == "lo")
    return Use<A, [](A a, A b) { return a < b; }>::run;
  if (c == "le" || c == "ls")
    return Use<A, [](A a, A b) { return a <= b; }>::run;
  if (c == "gt" || c == "hi")
    return Use<A, [](A a, A b) { return a > b; }>::run;
  if (c == "ge" || c == "hs")
    return Use<A, [](A a, A b) { return a >= b; }>::run;
  return nullptr;
}

/// The unordered ones are true where an operand is NaN.
template <class A, template <class, auto> class Use>
Execute *floatComparison(const std::string &c) {
  if (c == "ne")
    return Use<A, [](A a, A b) { return a < b || a > b; }>::run;
  if (c == "equ")
    return Use<A, [](A a, A b) { return !(a < b || a > b); }>::run;
  if (c == "neu")
    return Use<A, [](A a, A b) { return !(a == b); }>::run;
  if (c == "ltu")
    return Use<A, [](A a, A b) { return !(a >= b); }>::run;
  if (c == "leu")
    return Use<A, [](A a, A b) { return !(a > b); }>::run;
  if (c == "gtu")
    return Use<A, [](A a, A b) { return !(a <= b); }>::run;
  if (c == "geu")
    return Use<A, [](A a, A b) { return !(a < b); }>::run;
  if (c == "nan")
    return Use<A, [](A a, A b) { return a != a || b != b; }>::run;
  if (c == "num")
    return Use<A, [](A a, A b) { return a == a && b == b; }>::run;
  return integerComparison<A, Use>(c);
}

template <class A, auto F>
struct ToPredicate {
  static constexpr Execute *run = compare<A, F>;
};

/// 16-bit floats are compared as the f32 they are.
struct Half {
  u16 bits;
};
struct BHalf {
  u16 bits;
};
template <class H>
float value(H h) {
  return std::is_same_v<H, Half> ? fromF16(h.bits) : fromBf16(h.bits);
}
template <class H>
struct OfHalf {
  template <class A, auto F>
  struct ToPredicate {
    static void run(Warp &w, const Instruction &in, u32 mask) {
      compare<H, [](H a, H b) { return F(value(a), value(b)); }>(w, in, mask);
    }
  };
};

void choose(Warp &w, const Instruction &in, u32 mask) { // mode: predicate
  u32 c = w.predicates[size_t(in.mode)];
  c = in.mode2 ? ~c : c;
  Row &d = w.rows[size_t(in.d[0])];
  const Row &a = w.rows[size_t(in.s[0])], &b = w.rows[size_t(in.s[1])];
  if (in.vector == 8)
    lanes(mask, [&](int l) { d.q[l] = (c >> l & 1) ? a.q[l] : b.q[l]; });
  else
    lanes(mask, [&](int l) { d.w[l] = (c >> l & 1) ? a.w[l] : b.w[l]; });
}

template <class C>
void chooseBySign(Warp &w, const Instruction &in, u32 mask) {
  lanes(mask, [&](int l) {
    bool first = get<C>(w.rows[size_t(in.s[2])], l) >= C(0);
    Row &from = w.rows[size_t(in.s[first ? 0 : 1])],
        &d = w.rows[size_t(in.d[0])];
    in.vector == 8 ? void(d.q[l] = from.q[l]) : void(d.w[l] = from.w[l]);
  });
}

Execute *comparison(Decoder &d) {
  std::string type = d.takeType();
  std::string c =
      d.takeOne({"eq", "ne", "lt", "le", "gt", "ge", "lo", "ls", "hi", "hs",
                 "equ", "neu", "ltu", "leu", "gtu", "geu", "num", "nan"});
  d.take("ftz"); // orders are the same but among subnormals, see below
  std::string with = d.takeOne({"and", "or", "xor"});
  const Operand &to = d.operand(0);
  d.in.d[0] = to.kind == Operand::None ? -1 : d.predicate(to);
  d.in.d[1] = to.second < 0 ? -1 : d.rows.registers[size_t(to.second)];
  d.source(1, typeBytes(type));
  d.source(2, typeBytes(type));
  if (!with.empty()) {
    const Operand &p = d.operand(3);
    d.in.mode = with == "and" ? 1 : with == "or" ? 2 : 3;
    d.in.mode |= p.negated ? 4 : 0;
    d.in.mode2 = d.predicate(p);
  }
  if (type == "f32")
    return floatComparison<float, ToPredicate>(c);
  if (type == "f64")
    return floatComparison<double, ToPredicate>(c);
  if (type == "f16")
    return floatComparison<float, OfHalf<Half>::ToPredicate>(c);
  if (type == "bf16")
    return floatComparison<float, OfHalf<BHalf>::ToPredicate>(c);
  return byInteger(type, [&]<class T>() -> Execute * {
    return integerComparison<T, ToPredicate>(c);
  });
}

} // namespace

Execute *decodeCompare(Decoder &d) {
  const std::string &op = d.opcode();
  if (op == "setp")
    return comparison(d);
  if (op == "set")
    return nullptr;
  std::string last = d.takeType(), type = op == "slct" ? d.takeType() : last;
  int bytes = typeBytes(type);
  d.in.vector = bytes == 8 ? 8 : 4;
  d.result(0);
  d.source(1, bytes);
  d.source(2, bytes);
  if (op == "selp") {
    d.in.mode = d.predicate(d.operand(3));
    d.in.mode2 = d.operand(3).negated;
    return choose;
  }
  d.source(3, 4);
  if (last == "f32")
    return chooseBySign<float>;
  return last == "s32" ? chooseBySign<i32> : nullptr;
}

} // namespace cuemu
