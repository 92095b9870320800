// What the bodies of CUDA kernels share: how an entry is declared, indices,
// shared memory, warp operations, tensor core products, and the arithmetic that
// is the CPU's. Freestanding: compiled by the build's clang to bitcode for
// nvptx64 and kept inside the compiler (codegen/KernelCompiler.cpp); must not
// include anything of the C library or of CUDA.
//
// `extern const` symbols gm_<name> are the constants of the KernelSpec (words:
// gm_<name>_<word>, 1 for that word, else 0), filled in before the optimiser
// runs. A body defines the entries gm_few and gm_many, or gm_body for both row
// classes, and for constants that switch weights off gm_bare_few and
// gm_bare_many, or gm_bare for both. Parameters are
// those of the family (targets/Kernels.h), but `rows` is `const gm_numbers
// *step` and units are divided by blocks of threads: see GM_ENTRY and unitOf.
//
// Arithmetic is exactly what is written: no contraction, fma is explicit, every
// operation of f32 rounds to nearest; no .approx instructions. So a result has
// the same bits on every card, in the emulator and in plain loops.
#ifndef GEMMAC_CODEGEN_KERNELS_CUDA_DEVICE_H
#define GEMMAC_CODEGEN_KERNELS_CUDA_DEVICE_H

#include "runtime/abi.h"
#include "targets/blocks.h"

using namespace gemmac;

#define GM_INLINE static inline __attribute__((always_inline))
#define GM_LAMBDA __attribute__((always_inline))
// Loops over arrays in registers: what is not unrolled becomes local memory.
#define GM_UNROLL _Pragma("clang loop unroll(full)")

// Opens the definition of entry `name`; then come its parameters and its code.
// `threads` of a block, bytes of dynamic shared memory (may use the constants),
// units of a block, and rows of a block (0: all rows inside; below 0: blocks of
// a row, negated) as in gm_kernel.
#define GM_ENTRY(name, threads, shared, units, rows)                           \
  extern "C" int32_t name##_threads() { return threads; }                      \
  extern "C" int32_t name##_shared() { return shared; }                        \
  extern "C" int32_t name##_units() { return units; }                          \
  extern "C" int32_t name##_rows() { return rows; }                            \
  extern "C" __attribute__((nvptx_kernel)) void name

// At least so many blocks of entry `name` shall fit a multiprocessor. Without
// it ptxas trades registers for more blocks as it likes, and may keep some in
// local memory for that.
#define GM_RESIDENT(name, blocks)                                              \
  extern "C" int32_t name##_resident() { return blocks; }

//===-- threads -----------------------------------------------------------===//

enum { WarpLanes = 32 };

GM_INLINE int32_t threadOf() { return __nvvm_read_ptx_sreg_tid_x(); }
GM_INLINE int32_t threadsOf() { return __nvvm_read_ptx_sreg_ntid_x(); }
GM_INLINE int32_t laneOf() { return threadOf() % WarpLanes; }
GM_INLINE int32_t warpOf() { return threadOf() / WarpLanes; }
GM_INLINE int32_t blockX() { return __nvvm_read_ptx_sreg_ctaid_x(); }
GM_INLINE int32_t blockY() { return __nvvm_read_ptx_sreg_ctaid_y(); }
// All threads of the block arrive; their writes to shared and global memory are
// visible to each other.
GM_INLINE void syncBlock() { __syncthreads(); }
// The same of the lanes of a warp.
GM_INLINE void syncWarp() { __nvvm_bar_warp_sync(-1u); }

// Dynamic shared memory, aligned to 16 bytes.
extern "C" __attribute__((address_space(3), aligned(16))) uint8_t gm_shared[];
GM_INLINE uint8_t *sharedMemory() { return (uint8_t *)gm_shared; }
GM_INLINE uint32_t sharedAddress(const void *p) {
  return uint32_t(uint64_t((const __attribute__((address_space(3))) void *)p));
}

template <class T>
GM_INLINE T shuffleXor(T value, int32_t mask) {
  static_assert(sizeof(T) == 4);
  return __builtin_bit_cast(
      T, __nvvm_shfl_sync_bfly_i32(-1, __builtin_bit_cast(int32_t, value), mask,
                                   31));
}
template <class T>
GM_INLINE T shuffleFrom(T value, int32_t lane) {
  static_assert(sizeof(T) == 4);
  return __builtin_bit_cast(
      T, __nvvm_shfl_sync_idx_i32(-1, __builtin_bit_cast(int32_t, value), lane,
                                  31));
}

// The lanes whose value is that of this lane, as bits.
GM_INLINE uint32_t lanesWith(int32_t value) {
  return uint32_t(__nvvm_match_any_sync_i32(-1u, value));
}

// Launches may start while the one before still runs (sm_90): everything that
// others write is read, and everything written, behind this. Weights need not
// wait, nor the numbers of the step, which the launch before the one before has
// not written either: only what has waited lets the next one start.
GM_INLINE void waitForLaunches() {
#if GM_SM >= 90
  asm volatile("griddepcontrol.wait;" ::: "memory");
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

//===-- numbers -----------------------------------------------------------===//

template <class T>
GM_INLINE float asFloat(T bits) {
  return __builtin_bit_cast(float, bits);
}
GM_INLINE uint32_t bitsOf(float x) { return __builtin_bit_cast(uint32_t, x); }

GM_INLINE float fma(float a, float b, float c) {
  return __builtin_fmaf(a, b, c);
}
GM_INLINE float larger(float a, float b) { return a > b ? a : b; }
GM_INLINE float smaller(float a, float b) { return a < b ? a : b; }
GM_INLINE int32_t larger(int32_t a, int32_t b) { return a > b ? a : b; }
GM_INLINE int32_t smaller(int32_t a, int32_t b) { return a < b ? a : b; }
GM_INLINE float magnitude(float x) { return asFloat(bitsOf(x) & 0x7fffffffu); }
GM_INLINE float squareRoot(float x) { return __builtin_sqrtf(x); }

GM_INLINE float fromBf16(uint16_t x) { return asFloat(uint32_t(x) << 16); }
// Nearest even, NaN quiet.
GM_INLINE uint16_t toBf16(float x) {
  const uint32_t bits = bitsOf(x);
  if (magnitude(x) > asFloat(0x7f800000u) || x != x)
    return uint16_t(bits >> 16 | 0x40);
  return uint16_t((bits + 0x7fffu + (bits >> 16 & 1)) >> 16);
}
GM_INLINE float fromF16(uint16_t x) {
  return float(__builtin_bit_cast(_Float16, x));
}

// Smaller than every score, and no infinity (docs/design.md#4.2).
#define GM_LOWEST (-1e30f)
// The low bits of a sum with it are the rounded other number.
constexpr float roundingMagic = sumOrigin;

// exp of -87 .. 87; relative error below 1.5e-7, exp(0) = 1. The CPU's.
GM_INLINE float expOf(float x) {
  const float shifted = fma(x, 1.44269504f, roundingMagic);
  const float n = shifted - roundingMagic;
  float r = fma(n, -0.693359375f, x);
  r = fma(n, 2.12194440e-4f, r);
  float y = 1.0f / 5040;
  y = fma(y, r, 1.0f / 720);
  y = fma(y, r, 1.0f / 120);
  y = fma(y, r, 1.0f / 24);
  y = fma(y, r, 1.0f / 6);
  y = fma(y, r, 0.5f);
  y = fma(y, r, 1.0f);
  y = fma(y, r, 1.0f);
  return asFloat(bitsOf(y) + (bitsOf(shifted) << 23));
}
// exp(max(x, -87)), as weights of a softmax are computed everywhere.
GM_INLINE float weightOf(float x) { return expOf(larger(x, -87.0f)); }

// gelu with tanh: x / (1 + exp(-2 u)), u = sqrt(2 / pi) (x + 0.044715 x^3).
GM_INLINE float gelu(float x) {
  const float u = 0.7978845608028654f * (x + 0.044715f * x * x * x);
  return x / (1.0f + expOf(smaller(larger(-2.0f * u, -80.0f), 80.0f)));
}

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
  const float most = larger(top, s.top);
  const MergeFactors f = {weightOf(s.top - most), weightOf(top - most)};
  s = {most, fma(sum, f.part, s.sum * f.old)};
  return f;
}

//===-- sums --------------------------------------------------------------===//

// Sum over the 32 lanes, the same in all of them: one fixed order.
GM_INLINE float sumOfWarp(float x) {
  GM_UNROLL for (int32_t m = WarpLanes / 2; m; m /= 2) x += shuffleXor(x, m);
  return x;
}
GM_INLINE int32_t sumOfWarp(int32_t x) {
  GM_UNROLL for (int32_t m = WarpLanes / 2; m; m /= 2) x += shuffleXor(x, m);
  return x;
}
GM_INLINE float mostOfWarp(float x) {
  GM_UNROLL for (int32_t m = WarpLanes / 2; m; m /= 2) x =
      larger(x, shuffleXor(x, m));
  return x;
}

// Sum over all threads of the block, the same in all of them: warps in
// ascending order. `scratch`: a float for every warp, free before, and again
// behind the next barrier.
GM_INLINE float sumOfBlock(float x, float *scratch, int32_t warps) {
  x = sumOfWarp(x);
  if (laneOf() == 0)
    scratch[warpOf()] = x;
  syncBlock();
  float sum = scratch[0];
  for (int32_t w = 1; w < warps; ++w)
    sum += scratch[w];
  return sum;
}

//===-- rows --------------------------------------------------------------===//

// Bytes of an activation row of `columns` elements (targets/Layouts.h,
// rowBytes).
GM_INLINE int64_t rowBytes(int32_t q8, int32_t bf16, int64_t columns) {
  const int64_t padded =
      (columns + blockValues - 1) / blockValues * blockValues;
  return q8     ? padded / blockValues * int64_t(sizeof(ActivationBlock))
         : bf16 ? padded * 2
                : padded * 4;
}
GM_INLINE int64_t paddedColumns(int64_t columns) {
  return (columns + blockValues - 1) / blockValues * blockValues;
}

// The scale of codes, by the largest magnitude: (almost) nothing is 0.
GM_INLINE float scaleOf(float most) {
  return most > 1e-30f ? most * float(1.0 / 127.0) : 0.0f;
}
GM_INLINE float inverseOf(float scale) {
  return scale > 0.0f ? 1.0f / scale : 0.0f;
}
// -127 .. 127, ties to even.
GM_INLINE int32_t codeOf(float value, float inverse) {
  return int32_t(bitsOf(value * inverse + roundingMagic)) - sumOriginBits;
}

// Stores a block of 32 values, one per lane of a full warp, as a block of
// encoding q8 with the scale: the bits of family quant on CPUs.
GM_INLINE void storeCodes(void *to, float value, float scale) {
  const int32_t code = codeOf(value, inverseOf(scale));
  const int32_t sum = sumOfWarp(code);
  auto *block = static_cast<ActivationBlock *>(to);
  block->codes[laneOf()] = int8_t(code);
  if (laneOf() == 0) {
    block->scale = scale;
    block->start = startOf(sum);
  }
}
GM_INLINE void storeCodes(void *to, float value) {
  storeCodes(to, value, scaleOf(mostOfWarp(magnitude(value))));
}

// Stores element `column` of an activation row at `row`; of q8 all lanes of a
// warp have the columns of one block.
GM_INLINE void storeElement(int32_t q8, int32_t bf16, void *row, int32_t column,
                            float value) {
  if (q8)
    storeCodes(static_cast<uint8_t *>(row) +
                   column / blockValues * int64_t(sizeof(ActivationBlock)),
               value);
  else if (bf16)
    static_cast<uint16_t *>(row)[column] = toBf16(value);
  else
    static_cast<float *>(row)[column] = value;
}

#endif
