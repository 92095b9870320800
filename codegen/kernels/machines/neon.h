// 64-bit ARM with NEON, dot product and half precision, in the words of the C++
// bodies.
//
// 32 registers of 4 lanes. sdot multiplies four signed bytes by four signed
// ones per lane and adds them to an i32, udot the same unsigned, and either
// takes one operand from a lane of a register: a register of activations serves
// four steps. So codes are signed here (8-bit ones as they are, 4-bit ones + 8
// are signed bytes too), and unsigned bytes are made signed by flipping their
// upper bit.
//
// Sums start at the bits of a float so large that adding integers to it makes
// the sum a float: that costs less than a conversion. bf16 is widened; rounding
// to it is LLVM's.
#ifndef GEMMAC_CODEGEN_KERNELS_MACHINES_NEON_H
#define GEMMAC_CODEGEN_KERNELS_MACHINES_NEON_H

#include "codegen/kernels/machines/plain.h"

#include <arm_neon.h>

enum { GM_PAIRS = 4, GM_VECTORS = 1 };

GM_INLINE u16x16 toBf16(f32x16 x) {
  return __builtin_bit_cast(u16x16, __builtin_convertvector(x, bf16x16));
}

using u32x4 = uint32_t __attribute__((ext_vector_type(4)));
template <class F>
GM_INLINE i32x16 quarters(i32x16 acc, u32x16 a, F f) {
  auto x = f(acc.lo.lo, a.lo.lo), y = f(acc.lo.hi, a.lo.hi),
       z = f(acc.hi.lo, a.hi.lo), w = f(acc.hi.hi, a.hi.hi);
  auto lo = __builtin_shufflevector(x, y, 0, 1, 2, 3, 4, 5, 6, 7),
       hi = __builtin_shufflevector(z, w, 0, 1, 2, 3, 4, 5, 6, 7);
  return __builtin_shufflevector(lo, hi, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11,
                                 12, 13, 14, 15);
}
GM_INLINE i32x16 startKeys(int32_t) { return 0; }
GM_INLINE i32x16 dotKeys(i32x16 acc, u32x16 a, uint32_t b) {
  return quarters(acc, a ^ 0x80808080u, [=](auto acc, auto a) GM_LAMBDA {
    return vdotq_s32(__builtin_bit_cast(int32x4_t, acc),
                     __builtin_bit_cast(int8x16_t, a),
                     __builtin_bit_cast(int8x16_t, u32x4(b)));
  });
}
GM_INLINE i32x16 startValues(int32_t sum) { return -128 * sum; }
GM_INLINE i32x16 dotValues(i32x16 acc, u32x16 a, uint32_t b) {
  return quarters(acc, a ^ 0x80808080u, [=](auto acc, auto a) GM_LAMBDA {
    return vreinterpretq_s32_u32(vdotq_u32(
        __builtin_bit_cast(uint32x4_t, acc), __builtin_bit_cast(uint8x16_t, a),
        __builtin_bit_cast(uint8x16_t, u32x4(b))));
  });
}

enum { GM_LANES = 4, GM_WIDE_ROWS = 1 };
using IntVector = int32x4_t;

//---- products of quantised matrices (dots.body.cpp)

#define GM_HAS_DOTS 1

constexpr DotsShape shapeOf(int rows) {
  return rows <= 2 ? DotsShape{16 / GM_LANES, 16 / GM_LANES, true}
                   : DotsShape{2, 2, true};
}

constexpr float nibbleFactor = 1;

template <int N, class Sum>
GM_INLINE void finished(Sum &) {} // 32 registers hold all

// The sums of a block: N rows, V vectors of outputs from the codes at `w` on.
template <bool Nibbles, int N, int V>
GM_INLINE void blockSums(const uint8_t *w, const uint8_t *const (&x)[N],
                         IntVector (&sum)[N][V]) {
  int8x16_t a[N][2];
  GM_UNROLL
  for (int r = 0; r < N; ++r) {
    a[r][0] = load<int8x16_t>(x[r]);
    a[r][1] = load<int8x16_t>(x[r] + 16);
    int32x4_t start = vdupq_n_s32(sumOriginBits);
    if constexpr (Nibbles) // sumOriginBits - 8 * (sum of the codes)
      start = vsraq_n_s32(vdupq_n_s32(sumOriginBits - sumOriginBits / 16),
                          vld1q_dup_s32(reinterpret_cast<const int32_t *>(
                              x[r] + offsetof(ActivationBlock, start))),
                          4);
    GM_UNROLL
    for (int v = 0; v < V; ++v)
      sum[r][v] = start;
  }
  auto group = [&](auto g) __attribute__((always_inline)) {
    constexpr int G = decltype(g)::value;
    GM_UNROLL
    for (int v = 0; v < V; ++v) {
      uint8x16_t codes = load<uint8x16_t>(w + G * stepBytes + v * 16);
      // Codes of 4 bits + 8, 0 .. 15, are signed bytes too.
      int8x16_t first =
          vreinterpretq_s8_u8(Nibbles ? codes & uint8_t(15) : codes);
      GM_UNROLL
      for (int r = 0; r < N; ++r)
        sum[r][v] = vdotq_laneq_s32(sum[r][v], first, a[r][G / 4], G % 4);
      if constexpr (Nibbles) {
        int8x16_t second = vreinterpretq_s8_u8(vshrq_n_u8(codes, 4));
        GM_UNROLL
        for (int r = 0; r < N; ++r)
          sum[r][v] = vdotq_laneq_s32(sum[r][v], second, a[r][1], G % 4);
      }
    }
  };
  group(Int<0>()), group(Int<1>()), group(Int<2>()), group(Int<3>());
  if constexpr (!Nibbles)
    group(Int<4>()), group(Int<5>()), group(Int<6>()), group(Int<7>());
}

//---- wide products (wide_dots.body.cpp)

GM_INLINE IntVector wideStart(int32_t) { return vdupq_n_s32(0); }
template <int G>
GM_INLINE IntVector wideStep(IntVector sum, const uint8_t *w, const int8_t *a) {
  return vdotq_laneq_s32(sum, load<int8x16_t>(w),
                         load<int8x16_t>(a + G / 4 * 16), G % 4);
}

#endif
