// Products of f32 rows with matrices of 8 bits, for the few of which int8
// activations would cost more accuracy than time (passes/ChooseFormats.cpp).
// Tiles of the product families call them (codegen/kernels/dots_body.cpp).
// Freestanding.
//
// gm_wide_dots_q8_0_<n>: as gm_dots_q8_0_<n> of dots.body.cpp, but rows of f32.
// Per block of 32 k the row is rounded to codes of 16 bits with one scale, each
// 256 * high + low of two int8: the block's sum is two int8 products, exact in
// int32, times the weight's scale, then one fma with the row's: the same bits
// for every n. A product that waits for its weights does both in that time. The
// rows are rounded anew by every call, so a call should have many groups.
#include "codegen/kernels/body.h"

namespace {

constexpr float most = 127 * 256;

struct Block { // of a rounded row
  int8_t high[blockValues], low[blockValues];
  float scale;
  int32_t word; // what unsigned weights, 128 too large, are corrected by
};

// Codes of 16 values. With low = -128 the products of AVX2 would saturate.
GM_INLINE i32x16 encode(f32x16 x, float inverse, int8_t *high, int8_t *low) {
  i32x16 code = // to nearest, ties to even
      __builtin_bit_cast(i32x16, x * inverse + sumOrigin) - sumOriginBits;
  i32x16 h = (code + 128) >> 8, l = code - (h << 8);
  l = l > -127 ? l : i32x16(-127);
  store(high, __builtin_convertvector(h, i8x16));
  store(low, __builtin_convertvector(l, i8x16));
  return (h << 8) + l;
}

GM_INLINE void encodeRow(const float *x, Block *to, int64_t blocks) {
  for (int64_t b = 0; b < blocks; ++b, x += blockValues) {
    f32x16 first = load<f32x16>(x), second = load<f32x16>(x + 16);
    float peak = maxLanes(larger(__builtin_elementwise_abs(first),
                                 __builtin_elementwise_abs(second)));
    float inverse = peak > 1e-30f ? most / peak : 0;
    i32x16 sum = encode(first, inverse, to[b].high, to[b].low);
    sum += encode(second, inverse, to[b].high + 16, to[b].low + 16);
    to[b].scale = peak > 1e-30f ? peak * (1.0f / most) : 0;
    to[b].word = -128 * sumLanes(sum);
  }
}

using i32v = int32_t __attribute__((ext_vector_type(Lanes)));

// A group of 16 outputs with N rows.
template <int N>
GM_INLINE void multiplyGroup(const Block *const (&rows)[N], const uint8_t *w,
                             float *y, int64_t blocks, int64_t yRow) {
  f32v acc[N][Vectors] = {};
  for (int64_t b = 0; b < blocks; ++b, w += sizeof(GroupBlock8)) {
    IntVector high[N][Vectors], low[N][Vectors];
    GM_UNROLL
    for (int r = 0; r < N; ++r)
      GM_UNROLL
    for (int v = 0; v < Vectors; ++v)
      high[r][v] = wideStart(0), low[r][v] = wideStart(rows[r][b].word);
    auto group = [&](auto g) __attribute__((always_inline)) {
      constexpr int G = decltype(g)::value;
      GM_UNROLL
      for (int v = 0; v < Vectors; ++v)
        GM_UNROLL
      for (int r = 0; r < N; ++r) {
        const uint8_t *codes = w + G * stepBytes + v * Lanes * 4;
        high[r][v] = wideStep<G>(high[r][v], codes, rows[r][b].high);
        low[r][v] = wideStep<G>(low[r][v], codes, rows[r][b].low);
      }
    };
    group(Int<0>()), group(Int<1>()), group(Int<2>()), group(Int<3>());
    group(Int<4>()), group(Int<5>()), group(Int<6>()), group(Int<7>());
    GM_UNROLL
    for (int v = 0; v < Vectors; ++v) {
      f32v scale = __builtin_convertvector(
          load<f16v>(w + offsetof(GroupBlock8, scales) + v * Lanes * 2), f32v);
      GM_UNROLL
      for (int r = 0; r < N; ++r) {
        i32v sum = (__builtin_bit_cast(i32v, high[r][v]) << 8) +
                   __builtin_bit_cast(i32v, low[r][v]);
        f32v product = __builtin_convertvector(sum, f32v) * scale;
        acc[r][v] = __builtin_elementwise_fma(product, f32v(rows[r][b].scale),
                                              acc[r][v]);
      }
    }
  }
  GM_UNROLL
  for (int r = 0; r < N; ++r)
    GM_UNROLL
  for (int v = 0; v < Vectors; ++v)
    store(y + r * yRow + v * Lanes, acc[r][v]);
}

template <int N>
GM_INLINE void multiply(const float *const (&x)[N], const uint8_t *w, float *y,
                        int64_t blocks, int64_t groups, int64_t groupBytes,
                        int64_t parts, int64_t partBytes, int64_t yRow) {
  constexpr int M = N < GM_WIDE_ROWS ? N : GM_WIDE_ROWS;
  auto *rounded = reinterpret_cast<Block *>(
      GM_WORDS(int32_t, N * blocks * int64_t(sizeof(Block) / 4)));
  for (int r = 0; r < N; ++r)
    encodeRow(x[r], rounded + r * blocks, blocks);
  for (int64_t b = 0; b < groups; ++b)
    for (int64_t p = 0; p < parts; ++p)
      for (int first = 0; first < N; first += M) {
        const Block *rows[M];
        GM_UNROLL
        for (int r = 0; r < M; ++r)
          rows[r] = rounded + (first + r) * blocks;
        multiplyGroup<M>(rows, w + b * groupBytes + p * partBytes,
                         y + first * yRow + (b * parts + p) * groupRows, blocks,
                         yRow);
      }
}

} // namespace

#define GM_X(r) const float *x##r
#define GM_WIDE_DOTS(n, parameters, rows)                                      \
  extern "C" void gm_wide_dots_q8_0_##n(                                       \
      parameters, const uint8_t *w, float *y, int64_t blocks, int64_t groups,  \
      int64_t groupBytes, int64_t parts, int64_t partBytes, int64_t yRow) {    \
    const float *const x[n] = {rows};                                          \
    multiply<n>(x, w, y, blocks, groups, groupBytes, parts, partBytes, yRow);  \
  }
#define GM_X2 GM_X(0), GM_X(1)
#define GM_X4 GM_X2, GM_X(2), GM_X(3)
#define GM_X8 GM_X4, GM_X(4), GM_X(5), GM_X(6), GM_X(7)
#define GM_R2 x0, x1
#define GM_R4 GM_R2, x2, x3
#define GM_R8 GM_R4, x4, x5, x6, x7

// The preprocessor takes lists as one argument where it sees them named.
GM_WIDE_DOTS(1, GM_X(0), x0)
GM_WIDE_DOTS(2, GM_X2, GM_R2)
GM_WIDE_DOTS(4, GM_X4, GM_R4)
GM_WIDE_DOTS(8, GM_X8, GM_R8)
