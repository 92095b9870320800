// What the plain C++ bodies (*.body.cpp) share: vector types, multiply-add of
// one word, exp, rounding, the constants' names and the merge of partial
// softmaxes. Freestanding: compiled by the build's clang to bitcode per triple
// and kept inside the compiler (codegen/KernelCompiler.cpp). Must not include
// anything of the C library, nor of MLIR, Halide or LLVM.
//
// `extern const` symbols gm_<name> are the constants of the KernelSpec (text
// constants: gm_<name>_bf16 and gm_<name>_q8, 1 for that text, else 0), filled
// in before the optimiser runs. A body defines `gm_few` and `gm_many`, or
// `gm_body` for both row classes, with the C signature of its family
// (targets/Kernels.h), and `gm_bare` for constants that switch weights off.
// Arithmetic is exactly what is written: no contraction, fma is explicit.
#ifndef GEMMAC_CODEGEN_KERNELS_BODY_H
#define GEMMAC_CODEGEN_KERNELS_BODY_H

#include "targets/blocks.h"

using namespace gemmac;

#define GM_INLINE static inline __attribute__((always_inline))
#define GM_LAMBDA __attribute__((always_inline))
#define GM_UNROLL _Pragma("clang loop unroll(full)")

using f32x16 = float __attribute__((ext_vector_type(16)));
using i32x16 = int32_t __attribute__((ext_vector_type(16)));
using u32x8 = uint32_t __attribute__((ext_vector_type(8)));
using u32x16 = uint32_t __attribute__((ext_vector_type(16)));
using i8x16 = int8_t __attribute__((ext_vector_type(16)));
using u8x16 = uint8_t __attribute__((ext_vector_type(16)));
using u16x16 = uint16_t __attribute__((ext_vector_type(16)));
using bf16x16 = __bf16 __attribute__((ext_vector_type(16)));

// Smaller than every score, and no infinity (docs/design.md#4.2).
#define GM_LOWEST (-1e30f)

// `n` 32-bit elements on the stack.
#define GM_WORDS(type, n)                                                      \
  static_cast<type *>(__builtin_alloca_with_align(4 * (n), 512))

template <int N>
struct Int {
  static constexpr int value = N;
};

// Vectors at any address.
template <class V>
struct __attribute__((packed)) Unaligned {
  V value;
};

template <class V, class T>
GM_INLINE V load(const T *p) {
  return reinterpret_cast<const Unaligned<V> *>(p)->value;
}

template <class V, class T>
GM_INLINE void store(T *p, V x) {
  reinterpret_cast<Unaligned<V> *>(p)->value = x;
}

GM_INLINE f32x16 fma(f32x16 a, f32x16 b, f32x16 c) {
  return __builtin_elementwise_fma(a, b, c);
}
GM_INLINE float fma(float a, float b, float c) {
  return __builtin_elementwise_fma(a, b, c);
}
GM_INLINE f32x16 larger(f32x16 a, f32x16 b) { return a > b ? a : b; }
GM_INLINE int32_t smaller(int32_t a, int32_t b) { return a < b ? a : b; }
GM_INLINE int32_t larger(int32_t a, int32_t b) { return a > b ? a : b; }

GM_INLINE i32x16 counting() {
  return i32x16{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
}

// Sum and maximum of the lanes, in one fixed order.
template <class V>
GM_INLINE auto sumLanes(V x) {
  auto a = x.lo + x.hi;
  auto b = a.lo + a.hi;
  auto c = b.lo + b.hi;
  return c.lo + c.hi;
}

GM_INLINE float maxLanes(f32x16 x) {
  auto a = x.lo > x.hi ? x.lo : x.hi;
  auto b = a.lo > a.hi ? a.lo : a.hi;
  auto c = b.lo > b.hi ? b.lo : b.hi;
  return c.lo > c.hi ? c.lo : c.hi;
}

// What a machine says in instructions of its own: one file each, named by
// Target::machine. It opens with why and defines
//   GM_PAIRS, GM_VECTORS  accumulators of attention are tiles of GM_PAIRS x
//            GM_VECTORS x 16 floats
//   toBf16   nearest even, NaN quiet
//   addPairs acc + both products of a pair of bf16 per lane; b for all lanes
//   dotUnsigned  acc + the products of the four bytes of every lane, those of a
//            unsigned, those of b signed
//   dotKeys, dotValues  acc + the products of four codes of keys (+ 128) with
//            those of a query, of values with those of weights, b for all
//            lanes. Sums start at startKeys, startValues of the sum of the
//            codes of query or weights: unlike offsets of machines cancel
//   GM_LANES lanes of IntVector; wideStart, wideStep: sums of a block of a wide
//            product for a vector of outputs: where they start, given the
//            block's word; products of step G with all codes of the row's block
//            at `a`. GM_WIDE_ROWS rows at a time
//   GM_HAS_DOTS  if products of dots.body.cpp are made here; then shapeOf(rows)
//            and blockSums, nibbleFactor times as large as they are if of
//            nibbles, from ActivationBlock's sumOrigin on; finished<rows>: what
//            each sum goes through at the end of a block
#include GM_MACHINE

// 16 outputs of a product as vectors of the machine.
enum { Lanes = GM_LANES, Vectors = 16 / Lanes };
using f32v = float __attribute__((ext_vector_type(Lanes)));
using f16v = _Float16 __attribute__((ext_vector_type(Lanes)));

GM_INLINE f32x16 fromBf16(u16x16 x) {
  return __builtin_bit_cast(f32x16, __builtin_convertvector(x, u32x16) << 16);
}

// acc + a * b for one 32-bit word per lane: a pair of bf16 (both products), or
// one f32. `b` is the same for all lanes.
template <bool Bf16>
GM_INLINE f32x16 multiplyAdd(f32x16 acc, u32x16 a, uint32_t b) {
  if constexpr (!Bf16) {
    return fma(__builtin_bit_cast(f32x16, a),
               f32x16(__builtin_bit_cast(float, b)), acc);
  } else {
    return addPairs(acc, a, b);
  }
}

// The low bits of a sum with it are the rounded other number.
constexpr float roundingMagic = sumOrigin;

// scale * sum, rounded once, of sums from sumOrigin on. Exact before: a scale
// is f16 or a bf16 below 2^103, so scale * sumOrigin is exact.
template <class F, class I>
GM_INLINE F productOf(I sum, F scale) {
  return __builtin_elementwise_fma(__builtin_bit_cast(F, sum), scale,
                                   scale * -sumOrigin);
}

// exp of -87 .. 0 and somewhat around; relative error below 1.5e-7, exp(0) = 1.
GM_INLINE f32x16 expOf(f32x16 x) {
  f32x16 shifted = fma(x, 1.44269504f, roundingMagic);
  f32x16 n = shifted - roundingMagic;
  f32x16 r = fma(n, -0.693359375f, x);
  r = fma(n, 2.12194440e-4f, r);
  f32x16 y = 1.0f / 5040;
  y = fma(y, r, 1.0f / 720);
  y = fma(y, r, 1.0f / 120);
  y = fma(y, r, 1.0f / 24);
  y = fma(y, r, 1.0f / 6);
  y = fma(y, r, 0.5f);
  y = fma(y, r, 1.0f);
  y = fma(y, r, 1.0f);
  i32x16 power = __builtin_bit_cast(i32x16, shifted) << 23;
  return __builtin_bit_cast(f32x16, __builtin_bit_cast(i32x16, y) + power);
}

// exp(max(x, -87)), as weights of a softmax are computed everywhere.
GM_INLINE f32x16 weightOf(f32x16 x) { return expOf(larger(x, f32x16(-87.0f))); }
GM_INLINE float weightOf(float x) { return weightOf(f32x16(x))[0]; }

// A softmax over part of the keys: largest score and sum of the weights. Parts
// are merged in ascending order; a part without a visible key has top =
// GM_LOWEST and is left out.
struct Softmax {
  float top, sum;
};

// Factors of the old and the new outputs.
struct MergeFactors {
  float old, part;
};

GM_INLINE MergeFactors mergeSoftmax(Softmax &s, float top, float sum) {
  float largest = top > s.top ? top : s.top;
  MergeFactors f = {weightOf(s.top - largest), weightOf(top - largest)};
  s = {largest, fma(sum, f.part, s.sum * f.old)};
  return f;
}

GM_INLINE f32x16 mergeOutputs(f32x16 old, f32x16 part, MergeFactors f) {
  return fma(part, f32x16(f.part), old * f.old);
}

// Code and scale of quantised numbers, as family quant computes them
// (quantize.cpp), whose bits must be the same: scale = (largest magnitude) /
// 127, a block of (almost) nothing is 0; code = value / scale, ties to even.
GM_INLINE f32x16 magnitude(f32x16 x) {
  return __builtin_bit_cast(f32x16,
                            __builtin_bit_cast(u32x16, x) & 0x7fffffffu);
}

GM_INLINE float scaleOf(float largest) {
  return largest > 1e-30f ? largest * float(1.0 / 127.0) : 0.0f;
}

GM_INLINE float inverseOf(float scale) {
  return scale > 0.0f ? 1.0f / scale : 0.0f;
}

GM_INLINE i32x16 codesOf(f32x16 x, float inverse) {
  return __builtin_convertvector(__builtin_elementwise_roundeven(x * inverse),
                                 i32x16);
}

GM_INLINE const CacheShape &cacheShape(int32_t q8, int32_t bf16) {
  return q8 ? cacheQ8 : bf16 ? cacheBf16 : cacheF32;
}

// Stores a block of 32 values with their scale as an activation block of
// encoding q8 (targets/Layouts.h).
GM_INLINE void storeCodes(uint8_t *to, f32x16 a, f32x16 b, float scale) {
  const float inverse = inverseOf(scale);
  const i32x16 x = codesOf(a, inverse), y = codesOf(b, inverse);
  auto &block = *reinterpret_cast<ActivationBlock *>(to);
  store(block.codes, __builtin_convertvector(x, i8x16));
  store(block.codes + 16, __builtin_convertvector(y, i8x16));
  store(&block.scale, scale);
  store(&block.start, startOf(sumLanes(x + y)));
}

// Stores 16 values rounded to bf16 or as they are, at element `i` of `p`.
GM_INLINE void storeAs(int32_t bf16, void *p, int64_t i, f32x16 x) {
  if (bf16)
    store(static_cast<uint16_t *>(p) + i, toBf16(x));
  else
    store(static_cast<float *>(p) + i, x);
}

// Stores 32 values from element `i` of `p` on, a multiple of 32: as blocks of
// encoding q8, rounded to bf16 or as they are.
GM_INLINE void storeBlock(int32_t q8, int32_t bf16, void *p, int64_t i,
                          f32x16 a, f32x16 b) {
  if (q8) {
    f32x16 x = magnitude(a), y = magnitude(b);
    storeCodes(static_cast<uint8_t *>(p) +
                   i / blockValues * int64_t(sizeof(ActivationBlock)),
               a, b, scaleOf(maxLanes(larger(x, y))));
  } else {
    storeAs(bf16, p, i, a);
    storeAs(bf16, p, i + 16, b);
  }
}

#endif
