// What lanes of a warp do together: shuffles, votes, matches, reductions.
#include "test/cuda/lanes.h"

namespace cuemu {

namespace {

enum { BUTTERFLY, DOWN, UP, INDEX };

/// s: value, lane or distance, segments and clamp, members.
void shuffle(Warp &w, const Instruction &in, u32 mask) {
  w.checkMembers(w.rows[size_t(in.s[3])], mask);
  Row a = w.rows[size_t(in.s[0])];
  u32 valid = 0;
  lanes(mask, [&](int l) {
    int b = int(w.rows[size_t(in.s[1])].w[l] & 31);
    u32 c = w.rows[size_t(in.s[2])].w[l];
    int segment = int(c >> 8 & 31), clamp = int(c & 31);
    int last = (l & segment) | (clamp & ~segment), first = l & segment;
    int from = in.mode == BUTTERFLY ? l ^ b
               : in.mode == DOWN    ? l + b
               : in.mode == UP      ? l - b
                                    : first | (b & ~segment);
    bool inside = in.mode == UP ? from >= last : from <= last;
    valid |= u32(inside) << l;
    from = inside ? from : l;
    w.rows[size_t(in.d[0])].w[l] = mask >> from & 1 ? a.w[from] : 0xcdcdcdcd;
  });
  setPredicate(w, in.d[1], mask, valid);
}

void vote(Warp &w, const Instruction &in, u32 mask) {
  w.checkMembers(w.rows[size_t(in.s[1])], mask);
  u32 p = w.predicates[size_t(in.s[0])];
  p = (in.mode2 ? ~p : p) & mask;
  if (in.mode == 0) { // ballot
    lanes(mask, [&](int l) {
      w.rows[size_t(in.d[0])].w[l] = p & w.rows[size_t(in.s[1])].w[l];
    });
    return;
  }
  bool yes = in.mode == 1   ? p == mask
             : in.mode == 2 ? p != 0
                            : p == mask || p == 0;
  setPredicate(w, in.d[0], mask, yes ? ALL : 0);
}

template <class T, bool EVERY>
void match(Warp &w, const Instruction &in, u32 mask) {
  w.checkMembers(w.rows[size_t(in.s[1])], mask);
  const Row a = w.rows[size_t(in.s[0])];
  u32 same = 0;
  lanes(mask, [&](int l) {
    u32 equal = 0;
    lanes(mask,
          [&](int m) { equal |= u32(get<T>(a, l) == get<T>(a, m)) << m; });
    if (EVERY && equal != mask)
      equal = 0;
    same |= u32(equal != 0) << l;
    w.rows[size_t(in.d[0])].w[l] = equal;
  });
  if (EVERY)
    setPredicate(w, in.d[1], mask, same);
}

template <class T, auto F>
void reduce(Warp &w, const Instruction &in, u32 mask) {
  w.checkMembers(w.rows[size_t(in.s[1])], mask);
  T v = get<T>(w.rows[size_t(in.s[0])], __builtin_ctz(mask));
  lanes(mask & (mask - 1),
        [&](int l) { v = T(F(v, get<T>(w.rows[size_t(in.s[0])], l))); });
  lanes(mask, [&](int l) { set<T>(w.rows[size_t(in.d[0])], l, v); });
}

template <class T>
Execute *reduction(const std::string &op) {
  if (op == "add")
    return reduce<T, [](T a, T b) { return T(u32(a) + u32(b)); }>;
  if (op == "min")
    return reduce<T, [](T a, T b) { return a < b ? a : b; }>;
  if (op == "max")
    return reduce<T, [](T a, T b) { return a > b ? a : b; }>;
  if (op == "and")
    return reduce<T, [](T a, T b) { return T(a & b); }>;
  if (op == "or")
    return reduce<T, [](T a, T b) { return T(a | b); }>;
  if (op == "xor")
    return reduce<T, [](T a, T b) { return T(a ^ b); }>;
  return nullptr;
}

void active(Warp &w, const Instruction &in, u32 mask) {
  lanes(mask, [&](int l) { w.rows[size_t(in.d[0])].w[l] = mask; });
}

/// `%r|%p`: the second result is a predicate.
void results(Decoder &d) {
  const Operand &to = d.operand(0);
  d.result(0);
  d.in.d[1] = to.second < 0 ? -1 : d.rows.registers[size_t(to.second)];
}

} // namespace

Execute *decodeWarp(Decoder &d) {
  const std::string &op = d.opcode();
  if (op == "activemask") {
    d.takeType();
    d.result(0);
    return active;
  }
  if (!d.take("sync"))
    return nullptr;
  std::string type = d.takeType();
  if (op == "shfl") {
    std::string mode = d.takeOne({"bfly", "down", "up", "idx"});
    d.in.mode = mode == "bfly"   ? BUTTERFLY
                : mode == "down" ? DOWN
                : mode == "up"   ? UP
                                 : INDEX;
    results(d);
    for (size_t n : {1, 2, 3, 4})
      d.source(n, 4);
    return shuffle;
  }
  if (op == "vote") {
    std::string mode = d.takeOne({"ballot", "all", "any", "uni"});
    d.in.mode = mode == "ballot" ? 0
                : mode == "all"  ? 1
                : mode == "any"  ? 2
                                 : 3;
    if (d.in.mode == 0)
      d.result(0);
    else
      d.in.d[0] = d.predicate(d.operand(0));
    d.in.s[0] = d.predicate(d.operand(1));
    d.in.ss = 1;
    d.in.mode2 = d.operand(1).negated;
    d.source(2, 4);
    return vote;
  }
  if (op == "match") {
    bool every = d.takeOne({"any", "all"}) == "all";
    results(d);
    d.source(1, typeBytes(type));
    d.source(2, 4);
    if (typeBytes(type) == 8)
      return every ? match<u64, true> : match<u64, false>;
    return every ? match<u32, true> : match<u32, false>;
  }
  std::string kind = d.takeOne({"add", "min", "max", "and", "or", "xor"});
  d.operands(4);
  return type == "s32" ? reduction<i32>(kind) : reduction<u32>(kind);
}

} // namespace cuemu
