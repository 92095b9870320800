// Products of quantised rows with quantised matrices for targets whose int8
// instructions Halide cannot say well: AVX2 without VNNI and NEON. Tiles of the
// product families call them (codegen/kernels/dots_body.cpp). Freestanding.
//
// gm_dots_<format>_<n>, n rows at x0, x1, ...: y[r * yRow + (b * parts + p) *
// 16 + o] = the sum over k of row r with output o of the 16-row group at w +
// b * groupBytes + p * partBytes, in the layouts of targets/Layouts.h. Per
// block of 32 k the exact int32 sum of code products, times the weight's scale
// in f32, then one fma with the activation's scale: the same bits for every n.
#include "codegen/kernels/body.h"

#if defined(__AVX2__) && !defined(__AVX512F__)
#include <immintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

#if (defined(__AVX2__) && !defined(__AVX512F__)) || defined(__ARM_NEON)

namespace {

enum class Format { q8_0, q4_0, q4_bf };

enum {
  ActBytes = sizeof(ActivationBlock),
  ScaleAt = offsetof(ActivationBlock, scale),
  WordAt = offsetof(ActivationBlock, word)
};

constexpr int64_t groupBlockBytes(Format f) {
  return f == Format::q8_0 ? sizeof(GroupBlock8) : sizeof(GroupBlock4);
}
constexpr int64_t scalesAt(Format f) {
  return f == Format::q8_0 ? offsetof(GroupBlock8, scales)
                           : offsetof(GroupBlock4, scales);
}

#if defined(__ARM_NEON)

enum { Lanes = 4, Vectors = 16 / Lanes };
using IntVector = int32x4_t;
using FloatVector = float32x4_t;

struct Shape { // of a pass over k, for N rows
  // Vectors of outputs: whose f32 sums are there, and whose int32 sums.
  int vectors, together;
  bool inRegisters; // the f32 sums
};
constexpr Shape shapeOf(int rows) {
  return rows <= 2 ? Shape{Vectors, Vectors, true} : Shape{2, 2, true};
}

// Sums start at the bits of 1.5 * 2^23 and stay below 2^22: as floats they are
// then 1.5 * 2^23 + sum, which costs less than a conversion.
constexpr float magic = 12582912.0f;
GM_INLINE FloatVector toFloat(IntVector sum) {
  return vreinterpretq_f32_s32(sum) - magic;
}

// The sums of a block: N rows, V vectors of outputs from the codes at `w` on.
template <Format F, int N, int V>
GM_INLINE void blockSums(const uint8_t *w, const uint8_t *const (&x)[N],
                         IntVector (&sum)[N][V]) {
  constexpr bool Nibbles = F != Format::q8_0;
  int8x16_t a[N][2];
  GM_UNROLL
  for (int r = 0; r < N; ++r) {
    a[r][0] = load<int8x16_t>(x[r]);
    a[r][1] = load<int8x16_t>(x[r] + 16);
    int32x4_t start = vreinterpretq_s32_f32(vdupq_n_f32(magic));
    if constexpr (Nibbles)
      start += vld1q_dup_s32(reinterpret_cast<const int32_t *>(x[r] + WordAt));
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

#else

enum { Lanes = 8, Vectors = 16 / Lanes };
using IntVector = __m256i;
using FloatVector = __m256;

struct Shape { // of a pass over k, for N rows
  // Vectors of outputs: whose f32 sums are there, and whose int32 sums.
  int vectors, together;
  bool inRegisters; // the f32 sums; else in y
};
constexpr Shape shapeOf(int rows) {
  return {Vectors, rows == 1 ? 2 : 1, rows <= 2};
}

GM_INLINE FloatVector toFloat(IntVector sum) { return _mm256_cvtepi32_ps(sum); }

// With four rows the registers hold just these sums, taken in this order.
template <int N>
GM_INLINE void inOrder(__m256i &sum) {
  if constexpr (N > 2)
    asm("" : "+x"(sum));
}

GM_INLINE __m256i broadcast(const uint8_t *p) {
  return _mm256_set1_epi32(load<int32_t>(p));
}

template <Format F, int N, int V>
GM_INLINE void blockSums(const uint8_t *w, const uint8_t *const (&x)[N],
                         IntVector (&sum)[N][V]) {
  const __m256i ones = _mm256_set1_epi16(1), nibble = _mm256_set1_epi8(15);
  if constexpr (F == Format::q8_0) {
    // |code| times the activation with the code's sign: two products are at
    // most 2 * 128 * 127, which an i16 holds.
    GM_UNROLL
    for (int g = 0; g < 8; ++g)
      GM_UNROLL
    for (int v = 0; v < V; ++v) {
      __m256i code = load<__m256i>(w + g * stepBytes + v * 32);
      __m256i size = _mm256_abs_epi8(code);
      GM_UNROLL
      for (int r = 0; r < N; ++r) {
        __m256i a = _mm256_sign_epi8(broadcast(x[r] + g * 4), code);
        __m256i pairs = _mm256_madd_epi16(_mm256_maddubs_epi16(size, a), ones);
        sum[r][v] = g ? _mm256_add_epi32(sum[r][v], pairs) : pairs;
        inOrder<N>(sum[r][v]);
      }
    }
  } else {
    // 16 products of codes 0 .. 15 are at most 8 * 2 * 15 * 127 = 30480: the
    // sums of all pairs of a block stay in i16.
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
      sum[r][v] = _mm256_add_epi32(_mm256_madd_epi16(pairs[r][v], ones),
                                   broadcast(x[r] + WordAt));
  }
}

#endif

using u32v = uint32_t __attribute__((ext_vector_type(Lanes)));
using u16v = uint16_t __attribute__((ext_vector_type(Lanes)));
using f16v = _Float16 __attribute__((ext_vector_type(Lanes)));
using f32v = float __attribute__((ext_vector_type(Lanes)));

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
template <Format F, int N, Shape S>
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
      blockSums<F, N, S.together>(w + v * Lanes * 4, x, sum);
      GM_UNROLL
      for (int j = 0; j < S.together; ++j) {
        f32v factor = scales<F>(scale + (v + j) * Lanes * 2);
        GM_UNROLL
        for (int r = 0; r < N; ++r) {
          f32v product = __builtin_bit_cast(f32v, toFloat(sum[r][j])) * factor;
          f32v other = load<float>(x[r] + ScaleAt);
          float *to = y + r * yRow + (v + j) * Lanes;
          f32v &old = acc[r][v + j];
          if constexpr (!S.inRegisters)
            old = load<f32v>(to);
          old = __builtin_elementwise_fma(product, other, old);
          if constexpr (!S.inRegisters)
            store(to, old);
        }
      }
    }
    GM_UNROLL
    for (int r = 0; r < N; ++r)
      x[r] += ActBytes;
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
  constexpr Shape S = shapeOf(N);
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
