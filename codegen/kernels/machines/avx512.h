// x86-64 with AVX-512, VNNI and BF16 in the words of the C++ bodies.
//
// 32 registers of 16 lanes. vpdpbusd multiplies four unsigned bytes by four
// signed ones per lane and adds them to an i32, with one operand from memory or
// broadcast: so one side of every product is kept unsigned (codes + 128, or + 8
// for 4 bits), and what that adds is taken back once per block, where the sum
// starts. vdpbf16ps multiplies pairs of bf16 and rounds each product's sum with
// denormals flushed; there is an instruction that rounds f32 to bf16, to
// nearest even.
//
// Halide says vpdpbusd as well as C++ does: products of quantised matrices are
// Halide's here (dots.cpp), but for the wide ones, whose rows are rounded
// first.
#ifndef GEMMAC_CODEGEN_KERNELS_MACHINES_AVX512_H
#define GEMMAC_CODEGEN_KERNELS_MACHINES_AVX512_H

#include <immintrin.h>

enum { GM_PAIRS = 8, GM_VECTORS = 2 };

using bf16x32 = __bf16 __attribute__((vector_size(64)));
using u8x64 = unsigned char __attribute__((vector_size(64)));
using i8x64 = char __attribute__((vector_size(64)));

GM_INLINE u16x16 toBf16(f32x16 x) {
  return __builtin_bit_cast(u16x16, __builtin_convertvector(x, bf16x16));
}

GM_INLINE f32x16 addPairs(f32x16 acc, u32x16 a, uint32_t b) {
  return __builtin_ia32_dpbf16ps_512(acc, __builtin_bit_cast(bf16x32, a),
                                     __builtin_bit_cast(bf16x32, u32x16(b)));
}

GM_INLINE i32x16 dotUnsigned(i32x16 acc, u32x16 a, u32x16 b) {
  return __builtin_ia32_vpdpbusd512(acc, __builtin_bit_cast(u8x64, a),
                                    __builtin_bit_cast(i8x64, b));
}

GM_INLINE i32x16 startKeys(int32_t sum) { return -128 * sum; }
GM_INLINE i32x16 dotKeys(i32x16 acc, u32x16 a, uint32_t b) {
  return dotUnsigned(acc, a, u32x16(b));
}
GM_INLINE i32x16 startValues(int32_t) { return 0; }
GM_INLINE i32x16 dotValues(i32x16 acc, u32x16 a, uint32_t b) {
  return dotUnsigned(acc, u32x16(b), a);
}

enum { GM_LANES = 16, GM_WIDE_ROWS = 8 };
using IntVector = __m512i;
GM_INLINE IntVector wideStart(int32_t word) { return _mm512_set1_epi32(word); }
template <int G>
GM_INLINE IntVector wideStep(IntVector sum, const uint8_t *w, const int8_t *a) {
  return _mm512_dpbusd_epi32(sum, load<__m512i>(w),
                             _mm512_set1_epi32(load<int32_t>(a + G * 4)));
}

#endif
