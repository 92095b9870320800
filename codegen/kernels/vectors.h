// Vectors over `n` numbers of which n is no multiple of 16, bounds, and the
// activations of the towers. Freestanding, for body files only.
#ifndef GEMMAC_CODEGEN_KERNELS_VECTORS_H
#define GEMMAC_CODEGEN_KERNELS_VECTORS_H

#include "codegen/kernels/softcap.h"

// 16 lanes in memory, or fewer: lanes behind those are read as 0 and not
// written.
struct Whole {};
struct Part {
  int32_t lanes;
};

GM_INLINE f32x16 get(const float *p, Whole) { return load<f32x16>(p); }
GM_INLINE f32x16 get(const float *p, Part part) {
  f32x16 x = 0;
  __builtin_memcpy(&x, p, size_t(part.lanes) * 4);
  return x;
}
GM_INLINE void put(float *p, f32x16 x, Whole) { store(p, x); }
GM_INLINE void put(float *p, f32x16 x, Part part) {
  __builtin_memcpy(p, &x, size_t(part.lanes) * 4);
}
GM_INLINE void put(uint16_t *p, f32x16 x, Whole) { store(p, toBf16(x)); }
GM_INLINE void put(uint16_t *p, f32x16 x, Part part) {
  const u16x16 rounded = toBf16(x);
  __builtin_memcpy(p, &rounded, size_t(part.lanes) * 2);
}

// f(i, Whole or Part) for the vectors of `n` numbers.
template <class F>
GM_INLINE void forVectors(int32_t n, F f) {
  for (int32_t i = 0; i + 16 <= n; i += 16)
    f(i, Whole());
  if (n % 16)
    f(n & -16, Part{n % 16});
}

GM_INLINE int32_t roundUp(int32_t n, int32_t to) {
  return (n + to - 1) / to * to;
}

// Rounds a row in scratch to f32, bf16 or blocks of encoding q8.
GM_INLINE void storeRow(int32_t q8, int32_t bf16, void *y, const float *from,
                        int32_t n) {
  for (int32_t i = 0; i < roundUp(n, 32); i += 32)
    storeBlock(q8, bf16, y, i, load<f32x16>(from + i),
               load<f32x16>(from + i + 16));
}

// Bytes from one row of `n` numbers to the next (targets/Layouts.h).
GM_INLINE int64_t rowBytes(int32_t q8, int32_t bf16, int32_t n) {
  const int64_t blocks = roundUp(n, blockValues) / blockValues;
  return blocks * (q8     ? int64_t(sizeof(ActivationBlock))
                   : bf16 ? 2 * blockValues
                          : 4 * blockValues);
}

// Bounds, which may be infinite.
struct Bounds {
  bool exist;
  f32x16 lo, hi;
  __attribute__((always_inline)) f32x16 operator()(f32x16 x) const {
    if (!exist)
      return x;
    x = x > lo ? x : lo;
    return x < hi ? x : hi;
  }
};
GM_INLINE Bounds bounds(const float *lo, const float *hi) {
  return {true, f32x16(*lo), f32x16(*hi)};
}
GM_INLINE Bounds noBounds() { return {false, f32x16(0), f32x16(0)}; }

// The lanes that are numbers; the others 0.
GM_INLINE f32x16 only(f32x16 x, Whole) { return x; }
GM_INLINE f32x16 only(f32x16 x, Part part) {
  return counting() < part.lanes ? x : f32x16(0);
}

// A row in scratch, within bounds, and zeros behind its `n` numbers to a
// multiple of 32.
GM_INLINE void takeRow(float *to, const float *from, int32_t n,
                       const Bounds &clip = noBounds()) {
  for (int32_t i = n & -16; i < roundUp(n, 32); i += 16)
    store(to + i, f32x16(0));
  forVectors(n, [&](int32_t i, auto lanes) GM_LAMBDA {
    store(to + i, only(clip(get(from + i, lanes)), lanes));
  });
}

// (mean(x^2) + eps)^(-1/2) of a row in scratch, in one fixed order.
GM_INLINE float inverseRms(const float *x, int32_t n, float eps) {
  f32x16 sum = 0;
  for (int32_t i = 0; i < n; i += 16) {
    const f32x16 v = load<f32x16>(x + i);
    sum = fma(v, v, sum);
  }
  return 1.0f / __builtin_elementwise_sqrt(sumLanes(sum) / float(n) + eps);
}

GM_INLINE f32x16 silu(f32x16 x) {
  f32x16 negative = -x;
  negative = negative < 80.0f ? negative : f32x16(80.0f);
  negative = negative > -80.0f ? negative : f32x16(-80.0f);
  return x / (expWide(negative) + 1.0f);
}

#endif
