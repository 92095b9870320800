// Products of quantised rows with quantised matrices for machines whose int8
// instructions Halide cannot say well (GM_HAS_DOTS). Tiles of the
// product families call them (codegen/kernels/dots_body.cpp). Freestanding.
//
// gm_dots_<format>_<n>, n rows at x0, x1, ...: y[r * yRow + (b * parts + p) *
// 16 + o] = the sum over k of row r with output o of the 16-row group at w +
// b * groupBytes + p * partBytes, in the layouts of targets/Layouts.h. Per
// block of 32 k the exact int32 sum of code products, times the weight's scale
// in f32, then one fma with the activation's scale: the same bits for every n.
#include "codegen/kernels/body.h"

#ifdef GM_HAS_DOTS

namespace {

enum class Format { q8_0, q4_0, q4_bf };

constexpr int64_t groupBlockBytes(Format f) {
  return f == Format::q8_0 ? sizeof(GroupBlock8) : sizeof(GroupBlock4);
}
constexpr int64_t scalesAt(Format f) {
  return f == Format::q8_0 ? offsetof(GroupBlock8, scales)
                           : offsetof(GroupBlock4, scales);
}

using u32v = uint32_t __attribute__((ext_vector_type(Lanes)));
using u16v = uint16_t __attribute__((ext_vector_type(Lanes)));

template <Format F>
GM_INLINE f32v scales(const uint8_t *p) {
  if constexpr (F == Format::q4_bf)
    return __builtin_bit_cast(f32v, __builtin_convertvector(load<u16v>(p), u32v)
                                        << 16);
  else
    return __builtin_convertvector(load<f16v>(p), f32v);
}

// N rows with the outputs of S.vectors vectors from `w` and `y` on. Neither f32
// sums in y nor the activations of the next vectors may be kept in registers
// that are not there: hence the barriers.
template <Format F, int N, DotsShape S>
GM_INLINE void pass(const uint8_t *const (&rows)[N], const uint8_t *w,
                    const uint8_t *scale, float *y, int64_t blocks,
                    int64_t yRow) {
  const uint8_t *x[N];
  GM_UNROLL
  for (int r = 0; r < N; ++r)
    x[r] = rows[r];
  f32v acc[N][S.vectors] = {};
  auto each = [&](auto f) __attribute__((always_inline)) {
    GM_UNROLL
    for (int r = 0; r < N; ++r)
      GM_UNROLL
    for (int v = 0; v < S.vectors; ++v)
      f(acc[r][v], y + r * yRow + v * Lanes);
  };
  auto keep = [](f32v &sum, float *to)
                  __attribute__((always_inline)) { store(to, sum); };
  if constexpr (!S.inRegisters)
    each(keep);
  for (int64_t b = 0; b < blocks; ++b) {
    GM_UNROLL
    for (int v = 0; v < S.vectors; v += S.together) {
      asm volatile("" : "+r"(y) : : "memory");
      GM_UNROLL
      for (int r = 0; r < N; ++r)
        asm volatile("" : "+r"(x[r]));
      IntVector sum[N][S.together];
      blockSums<F != Format::q8_0, N, S.together>(w + v * Lanes * 4, x, sum);
      GM_UNROLL
      for (int j = 0; j < S.together; ++j) {
        f32v factor = scales<F>(scale + (v + j) * Lanes * 2);
        if constexpr (F != Format::q8_0)
          factor *= 1 / nibbleFactor; // a power of two
        GM_UNROLL
        for (int r = 0; r < N; ++r) {
          f32v product = productOf(sum[r][j], factor);
          f32v other = load<float>(x[r] + offsetof(ActivationBlock, scale));
          float *to = y + r * yRow + (v + j) * Lanes;
          f32v &old = acc[r][v + j];
          if constexpr (!S.inRegisters)
            old = load<f32v>(to);
          old = __builtin_elementwise_fma(product, other, old);
          if constexpr (!S.inRegisters)
            store(to, old);
          else
            finished<N>(old);
        }
      }
    }
    GM_UNROLL
    for (int r = 0; r < N; ++r)
      x[r] += sizeof(ActivationBlock);
    w += groupBlockBytes(F);
    scale += groupBlockBytes(F);
  }
  if constexpr (S.inRegisters)
    each(keep);
}

template <Format F, int N>
GM_INLINE void multiply(const uint8_t *const (&x)[N], const uint8_t *w,
                        float *y, int64_t blocks, int64_t groups,
                        int64_t groupBytes, int64_t parts, int64_t partBytes,
                        int64_t yRow) {
  constexpr DotsShape S = shapeOf(N);
  for (int64_t b = 0; b < groups; ++b)
    for (int64_t p = 0; p < parts; ++p) {
      const uint8_t *group = w + b * groupBytes + p * partBytes;
      for (int64_t v = 0; v < Vectors; v += S.vectors)
        pass<F, N, S>(
            x, group + v * Lanes * 4, group + scalesAt(F) + v * Lanes * 2,
            y + (b * parts + p) * groupRows + v * Lanes, blocks, yRow);
    }
}

} // namespace

#define GM_X(r) const uint8_t *x##r
#define GM_DOTS(format, n, parameters, rows)                                   \
  extern "C" void gm_dots_##format##_##n(                                      \
      parameters, const uint8_t *w, float *y, int64_t blocks, int64_t groups,  \
      int64_t groupBytes, int64_t parts, int64_t partBytes, int64_t yRow) {    \
    const uint8_t *const x[n] = {rows};                                        \
    multiply<Format::format, n>(x, w, y, blocks, groups, groupBytes, parts,    \
                                partBytes, yRow);                              \
  }
#define GM_X1 GM_X(0)
#define GM_X2 GM_X(0), GM_X(1)
#define GM_X4 GM_X(0), GM_X(1), GM_X(2), GM_X(3)
#define GM_R1 x0
#define GM_R2 x0, x1
#define GM_R4 x0, x1, x2, x3
#define GM_DOTS_ROWS(format)                                                   \
  GM_DOTS(format, 1, GM_X1, GM_R1)                                             \
  GM_DOTS(format, 2, GM_X2, GM_R2)                                             \
  GM_DOTS(format, 4, GM_X4, GM_R4)

GM_DOTS_ROWS(q8_0)
GM_DOTS_ROWS(q4_0)
GM_DOTS_ROWS(q4_bf)

#endif
