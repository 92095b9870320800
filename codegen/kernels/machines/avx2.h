// x86-64 with AVX2 and FMA, without VNNI, in the words of the C++ bodies.
//
// 16 registers of 8 lanes. The only product of bytes is vpmaddubsw: unsigned by
// signed, neighbours added with saturation into i16, so neither 8-bit codes +
// 128 nor two rows at once are safe. 8-bit codes are multiplied as |code| times
// the activation with the code's sign; 4-bit codes (0 .. 15) stay in i16 for a
// whole block and are widened once. Attention over 8-bit caches takes bytes
// apart instead (plain.h): its weights use all of 0 .. 255.
//
// Nothing rounds f32 to bf16; it is done in integers, as LLVM would call libgcc
// for each.
#ifndef GEMMAC_CODEGEN_KERNELS_MACHINES_AVX2_H
#define GEMMAC_CODEGEN_KERNELS_MACHINES_AVX2_H

#include "codegen/kernels/machines/plain.h"

#include <immintrin.h>

enum { GM_PAIRS = 4, GM_VECTORS = 1 };

// The same bits as the conversion of machines that have one, NaN included.
GM_INLINE u16x16 toBf16(f32x16 x) {
  u32x16 bits = __builtin_bit_cast(u32x16, x);
  u32x16 rounded = bits + 0x7fff + (bits >> 16 & 1);
  return __builtin_convertvector((x == x ? rounded : bits | 0x400000) >> 16,
                                 u16x16);
}

GM_INLINE i32x16 startKeys(int32_t sum) { return -128 * sum; }
GM_INLINE i32x16 dotKeys(i32x16 acc, u32x16 a, uint32_t b) {
  return dotUnsigned(acc, a, u32x16(b));
}
GM_INLINE i32x16 startValues(int32_t) { return 0; }
GM_INLINE i32x16 dotValues(i32x16 acc, u32x16 a, uint32_t b) {
  GM_UNROLL
  for (int32_t i = 0; i < 32; i += 8)
    acc += signedByte(a, i) * unsignedByte(u32x16(b), i);
  return acc;
}

enum { GM_LANES = 8, GM_WIDE_ROWS = 1 };
using IntVector = __m256i;

//---- products of quantised matrices (dots.body.cpp)

#define GM_HAS_DOTS 1

constexpr DotsShape shapeOf(int rows) {
  return {16 / GM_LANES, rows == 1 ? 2 : 1, rows <= 2};
}

constexpr float nibbleFactor = 16;

// With several rows the registers hold just these sums, taken in this order.
template <int N>
GM_INLINE void inOrder(__m256i &sum) {
  if constexpr (N > 1)
    asm("" : "+x"(sum));
}

// Nor do they hold what is left of one vector beside the next one.
template <int N, class Sum>
GM_INLINE void finished(Sum &sum) {
  if constexpr (N > 1)
    asm volatile("" : "+x"(sum));
}

template <class T>
GM_INLINE __m256i broadcast(const T *p) {
  return _mm256_set1_epi32(load<int32_t>(p));
}

// |code| times the activation with the code's sign: two products are at most
// 2 * 128 * 127, which an i16 holds.
GM_INLINE __m256i signedDot(__m256i size, __m256i code, __m256i x) {
  return _mm256_madd_epi16(
      _mm256_maddubs_epi16(size, _mm256_sign_epi8(x, code)),
      _mm256_set1_epi16(1));
}

template <bool Nibbles, int N, int V>
GM_INLINE void blockSums(const uint8_t *w, const uint8_t *const (&x)[N],
                         IntVector (&sum)[N][V]) {
  if constexpr (!Nibbles) {
    GM_UNROLL
    for (int g = 0; g < 8; ++g)
      GM_UNROLL
    for (int v = 0; v < V; ++v) {
      __m256i code = load<__m256i>(w + g * stepBytes + v * 32);
      __m256i size = _mm256_abs_epi8(code);
      GM_UNROLL
      for (int r = 0; r < N; ++r) {
        __m256i pairs = signedDot(size, code, broadcast(x[r] + g * 4));
        sum[r][v] = _mm256_add_epi32(
            g ? sum[r][v] : _mm256_set1_epi32(sumOriginBits), pairs);
        inOrder<N>(sum[r][v]);
      }
    }
  } else {
    // 16 products of codes 0 .. 15 are at most 8 * 2 * 15 * 127 = 30480: the
    // sums of all pairs of a block stay in i16.
    const __m256i factors = _mm256_set1_epi16(nibbleFactor),
                  nibble = _mm256_set1_epi8(15);
    __m256i pairs[N][V];
    GM_UNROLL
    for (int g = 0; g < 4; ++g)
      GM_UNROLL
    for (int v = 0; v < V; ++v) {
      __m256i codes = load<__m256i>(w + g * stepBytes + v * 32);
      __m256i low = _mm256_and_si256(codes, nibble);
      __m256i high = _mm256_and_si256(_mm256_srli_epi16(codes, 4), nibble);
      GM_UNROLL
      for (int r = 0; r < N; ++r) {
        const uint8_t *a = x[r] + g * 4;
        __m256i l = _mm256_maddubs_epi16(low, broadcast(a));
        __m256i h = _mm256_maddubs_epi16(high, broadcast(a + 16));
        pairs[r][v] = g ? _mm256_add_epi16(pairs[r][v], l) : l;
        pairs[r][v] = _mm256_add_epi16(pairs[r][v], h);
        inOrder<N>(pairs[r][v]);
      }
    }
    GM_UNROLL
    for (int r = 0; r < N; ++r)
      GM_UNROLL
    for (int v = 0; v < V; ++v)
      sum[r][v] =
          _mm256_add_epi32(_mm256_madd_epi16(pairs[r][v], factors),
                           broadcast(x[r] + offsetof(ActivationBlock, start)));
  }
}

//---- wide products (wide_dots.body.cpp)

GM_INLINE IntVector wideStart(int32_t) { return _mm256_setzero_si256(); }
template <int G>
GM_INLINE IntVector wideStep(IntVector sum, const uint8_t *w, const int8_t *a) {
  __m256i code = load<__m256i>(w);
  return _mm256_add_epi32(
      sum, signedDot(_mm256_abs_epi8(code), code, broadcast(a + G * 4)));
}

#endif
