// Lanes of rows as typed values, and loops over them from plain functions of
// values: what groups of opcodes are made of. Must not know opcodes.
#pragma once

#include "test/cuda/decoder.h"
#include "test/cuda/warp.h"

#include <bit>
#include <type_traits>

namespace cuemu {

template <class T>
inline T get(const Row &r, int lane) {
  if constexpr (sizeof(T) == 8)
    return std::bit_cast<T>(r.q[lane]);
  else if constexpr (sizeof(T) == 4)
    return std::bit_cast<T>(r.w[lane]);
  else if constexpr (sizeof(T) == 2)
    return std::bit_cast<T>(u16(r.w[lane]));
  else
    return std::bit_cast<T>(u8(r.w[lane]));
}

/// Of a source that Decoder::lowSource appended.
template <class T>
inline T getLow(const Instruction &in, const Row &r, int lane) {
  if constexpr (sizeof(T) < 8)
    if (in.low)
      return T(r.q[lane]);
  return get<T>(r, lane);
}

/// Narrow values are extended to 32 bits, by their sign if they have one.
template <class T>
inline void set(Row &r, int lane, T v) {
  if constexpr (sizeof(T) == 8)
    r.q[lane] = std::bit_cast<u64>(v);
  else if constexpr (sizeof(T) == 4)
    r.w[lane] = std::bit_cast<u32>(v);
  else
    r.w[lane] = u32(i32(v));
}

template <class F>
inline void lanes(u32 mask, F f) {
  if (mask == ALL) {
    for (int lane = 0; lane < 32; ++lane)
      f(lane);
  } else {
    for (; mask; mask &= mask - 1)
      f(__builtin_ctz(mask));
  }
}

inline void setPredicate(Warp &w, int p, u32 mask, u32 value) {
  if (p < 0)
    return;
  u32 &bits = w.predicates[size_t(p)];
  bits = (bits & ~mask) | (value & mask);
}

inline u64 addressOf(const Warp &w, const Instruction &in, int row, int lane) {
  const Row &r = w.rows[size_t(row)];
  return (in.narrow ? u64(r.w[lane]) : r.q[lane]) + u64(in.offset);
}

// R is the type of the result, A B C those of the sources, F the function.
template <class R, class A, auto F>
void apply1(Warp &w, const Instruction &in, u32 mask) {
  Row &d = w.rows[size_t(in.d[0])];
  const Row &a = w.rows[size_t(in.s[0])];
  lanes(mask, [&](int l) { set<R>(d, l, R(F(get<A>(a, l)))); });
}

template <class R, class A, class B, auto F>
void apply2(Warp &w, const Instruction &in, u32 mask) {
  Row &d = w.rows[size_t(in.d[0])];
  const Row &a = w.rows[size_t(in.s[0])], &b = w.rows[size_t(in.s[1])];
  lanes(mask, [&](int l) { set<R>(d, l, R(F(get<A>(a, l), get<B>(b, l)))); });
}

template <class R, class A, class B, class C, auto F>
void apply3(Warp &w, const Instruction &in, u32 mask) {
  Row &d = w.rows[size_t(in.d[0])];
  const Row &a = w.rows[size_t(in.s[0])], &b = w.rows[size_t(in.s[1])],
            &c = w.rows[size_t(in.s[2])];
  lanes(mask, [&](int l) {
    set<R>(d, l, R(F(get<A>(a, l), get<B>(b, l), get<C>(c, l))));
  });
}

/// f.operator()<T>() for the integer type of that name, null for others.
template <class F>
Execute *byInteger(std::string_view t, F f) {
  if (t == "u32" || t == "b32")
    return f.template operator()<u32>();
  if (t == "s32")
    return f.template operator()<i32>();
  if (t == "u64" || t == "b64")
    return f.template operator()<u64>();
  if (t == "s64")
    return f.template operator()<i64>();
  if (t == "u16" || t == "b16")
    return f.template operator()<u16>();
  if (t == "s16")
    return f.template operator()<i16>();
  if (t == "u8" || t == "b8")
    return f.template operator()<u8>();
  if (t == "s8")
    return f.template operator()<i8>();
  return nullptr;
}

/// The unsigned type of T's size.
template <class T>
using Bits = std::conditional_t<
    sizeof(T) == 8, u64,
    std::conditional_t<sizeof(T) == 4, u32,
                       std::conditional_t<sizeof(T) == 2, u16, u8>>>;

} // namespace cuemu
