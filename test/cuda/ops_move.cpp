// mov (also packing and unpacking of vectors), generic addresses.
#include "test/cuda/lanes.h"

#include <chrono>

namespace cuemu {

namespace {

void move4(Warp &w, const Instruction &in, u32 mask) {
  apply1<u32, u32, [](u32 x) { return x; }>(w, in, mask);
}
void move8(Warp &w, const Instruction &in, u32 mask) {
  apply1<u64, u64, [](u64 x) { return x; }>(w, in, mask);
}

void movePredicate(Warp &w, const Instruction &in, u32 mask) {
  setPredicate(w, in.d[0], mask, w.predicates[size_t(in.s[0])]);
}
void setToMode(Warp &w, const Instruction &in, u32 mask) {
  setPredicate(w, in.d[0], mask, in.mode ? ~0u : 0);
}

// `mode` is the bytes of an element, the first the lowest.
u64 low(u64 x, int bytes) {
  return bytes == 8 ? x : x & ((1ull << 8 * bytes) - 1);
}

void unpack(Warp &w, const Instruction &in, u32 mask) {
  lanes(mask, [&](int l) {
    const Row &from = w.rows[size_t(in.s[0])];
    u64 v = in.mode * in.ds == 8 ? from.q[l] : from.w[l];
    for (int n = 0; n < in.ds; ++n)
      if (in.d[size_t(n)] >= 0)
        w.rows[size_t(in.d[size_t(n)])].w[l] =
            u32(low(v >> 8 * in.mode * n, in.mode));
  });
}

void pack(Warp &w, const Instruction &in, u32 mask) {
  lanes(mask, [&](int l) {
    u64 v = 0;
    for (int n = 0; n < in.ss; ++n)
      v |= low(w.rows[size_t(in.s[size_t(n)])].w[l], in.mode)
           << 8 * in.mode * n;
    Row &to = w.rows[size_t(in.d[0])];
    in.mode *in.ss == 8 ? void(to.q[l] = v) : void(to.w[l] = u32(v));
  });
}

u64 nanoseconds() {
  return u64(std::chrono::steady_clock::now().time_since_epoch().count());
}

void clock(Warp &w, const Instruction &in, u32 mask) { // mode: 64 bits
  u64 now = in.mode2 ? nanoseconds() : w.steps;
  lanes(mask, [&](int l) {
    Row &d = w.rows[size_t(in.d[0])];
    in.mode ? void(d.q[l] = now) : void(d.w[l] = u32(now));
  });
}

Execute *move(Decoder &d) {
  std::string type = d.takeType();
  int bytes = typeBytes(type);
  const Operand &to = d.operand(0), &from = d.operand(1);
  if (type == "pred") {
    d.in.d[0] = d.predicate(to);
    if (from.kind == Operand::Immediate) {
      d.in.mode = from.value != 0;
      return setToMode;
    }
    d.in.s[0] = d.predicate(from);
    return movePredicate;
  }
  bool timer = from.name == "%globaltimer";
  if (timer || from.name == "%clock64" || from.name == "%clock") {
    d.result(0);
    d.in.mode = bytes == 8, d.in.mode2 = timer;
    return clock;
  }
  if (to.kind == Operand::Vector || from.kind == Operand::Vector) {
    bool packs = from.kind == Operand::Vector;
    d.operands(packs ? 4 : bytes);
    d.in.mode = bytes / (packs ? d.in.ss : d.in.ds);
    if (d.in.mode == 8 || d.in.mode == 0)
      return nullptr; // .b128
    return packs ? pack : unpack;
  }
  d.operands(bytes);
  return bytes == 8 ? move8 : bytes == 16 ? nullptr : move4;
}

template <u64 WINDOW, bool TO>
void convertAddress(Warp &w, const Instruction &in, u32 mask) {
  apply1<u64, u64, [](u64 x) { return TO ? x - WINDOW : x + WINDOW; }>(w, in,
                                                                       mask);
}

Execute *addressConversion(Decoder &d) {
  if (d.takeType() != "u64")
    return nullptr;
  bool to = d.take("to");
  Space space = d.takeSpace();
  const Operand &from = d.operand(1);
  d.result(0);
  d.source(1, 8);
  if (from.kind == Operand::Symbol && to)
    return move8;
  switch (space) {
  case Space::Shared:
    return to ? convertAddress<SHARED_WINDOW, true>
              : convertAddress<SHARED_WINDOW, false>;
  case Space::Local:
    return to ? convertAddress<LOCAL_WINDOW, true>
              : convertAddress<LOCAL_WINDOW, false>;
  case Space::Param:
    return to ? convertAddress<PARAM_WINDOW, true>
              : convertAddress<PARAM_WINDOW, false>;
  case Space::Generic:
    return nullptr;
  default:
    return move8;
  }
}

void isInSpace(Warp &w, const Instruction &in, u32 mask) {
  u32 yes = 0;
  lanes(mask, [&](int l) {
    u64 a = w.rows[size_t(in.s[0])].q[l];
    Space is = a - SHARED_WINDOW < WINDOW_BYTES  ? Space::Shared
               : a - LOCAL_WINDOW < WINDOW_BYTES ? Space::Local
               : a - PARAM_WINDOW < WINDOW_BYTES ? Space::Param
                                                 : Space::Global;
    yes |= u32(is == in.space) << l;
  });
  setPredicate(w, in.d[0], mask, yes);
}

} // namespace

Execute *decodeMove(Decoder &d) {
  if (d.opcode() == "mov")
    return move(d);
  if (d.opcode() == "cvta")
    return addressConversion(d);
  d.in.space = d.takeSpace();
  d.in.d[0] = d.predicate(d.operand(0));
  d.source(1, 8);
  return isInSpace;
}

} // namespace cuemu
