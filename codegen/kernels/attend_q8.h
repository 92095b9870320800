// One split of attention (attend.h) over caches of format q8: products of 8-bit
// codes summed exactly in 32 bits, then scaled in f32. Queries and keys have a
// scale per block of lanes, values one per key, which joins the key's weight;
// the products are rounded to 0..255 times a scale per pair and page. Whatever
// lies in a page beside the visible keys meets weights of 0.
// Freestanding, for body files only; must not know how units are divided.
#ifndef GEMMAC_CODEGEN_KERNELS_ATTEND_Q8_H
#define GEMMAC_CODEGEN_KERNELS_ATTEND_Q8_H

#include "codegen/kernels/attend.h"

namespace {

enum { PageQuads = GM_PAGE_KEYS / 4, SplitQuads = GM_SPLIT_KEYS / 4 };

GM_INLINE f32x16 toFloat(i32x16 x) {
  return __builtin_convertvector(x, f32x16);
}

GM_INLINE const float *scalesOf(const uint8_t *page) {
  return reinterpret_cast<const float *>(page + codePageBytes(gm_hd));
}

// Query of pair `i` of the chunk from blocks of encoding q8: codes, and scale
// and sum of the codes of every block of lanes.
GM_INLINE void takeQuery(Chunk &c, int32_t i, const uint8_t *from) {
  const int32_t lanes = keyBlock(gm_hd), blocks = gm_hd / lanes;
  uint32_t *q = c.q + i * (gm_hd / 4);
  for (int32_t b = 0; b < blocks; ++b) {
    c.qScale[i * blocks + b] =
        load<float>(from + offsetof(ActivationBlock, scale));
    int32_t sum = 0;
    for (int32_t d = 0; d < lanes;
         d += blockValues, from += sizeof(ActivationBlock), q += 8) {
      store(q, load<u32x8>(from));
      sum += codeSum(load<int32_t>(from + offsetof(ActivationBlock, start)));
    }
    c.qSum[i * blocks + b] = sum;
  }
}

// acc += for N pairs: vectors of four codes, 128 bytes from one step to the
// next, by words of four codes, `stride` words from one pair to the next.
// `next`: what is read after `codes`, in the same order.
template <int N, bool Prefetch, class Dot>
GM_INLINE void dotSteps(i32x16 (&acc)[N][GM_VECTORS], const uint8_t *codes,
                        const uint8_t *next, const uint32_t *words,
                        int32_t stride, int64_t from, int64_t to, Dot dot) {
  for (int64_t step = from; step < to; ++step) {
    u32x16 code[GM_VECTORS];
    GM_UNROLL
    for (int32_t j = 0; j < GM_VECTORS; ++j) {
      code[j] = load<u32x16>(codes + j * 64 + step * 128);
      if constexpr (Prefetch)
        __builtin_prefetch(next + j * 64 + step * 128, 0, 2);
    }
    GM_UNROLL
    for (int32_t i = 0; i < N; ++i) {
      uint32_t word = words[i * stride + step];
      GM_UNROLL
      for (int32_t j = 0; j < GM_VECTORS; ++j)
        acc[i][j] = dot(acc[i][j], code[j], word);
    }
  }
}

// Scores of N pairs from `first` on with 32 keys: `k` their codes, `scales`
// those of their first block of lanes. `next`: bytes that are read next in this
// order (few only, else null).
template <int N, bool Prefetch>
GM_INLINE void scoreQ8(const Chunk &c, int32_t first, const uint8_t *k,
                       const float *scales, float *s, const uint8_t *next) {
  const int32_t quads = gm_hd / 4, step = keyBlock(gm_hd) / 4,
                blocks = quads / step;
  const uint32_t *q = c.q + first * quads;
  for (int32_t v = 0; v < 2; v += GM_VECTORS)
    for (int32_t b = 0; b < blocks; ++b) {
      i32x16 acc[N][GM_VECTORS];
      GM_UNROLL
      for (int32_t i = 0; i < N; ++i)
        GM_UNROLL
      for (int32_t j = 0; j < GM_VECTORS; ++j)
        acc[i][j] = startKeys(c.qSum[(first + i) * blocks + b]);
      dotSteps<N, Prefetch>(acc, k + v * 64, next + v * 64, q, quads, b * step,
                            (b + 1) * step, dotKeys);
      GM_UNROLL
      for (int32_t i = 0; i < N; ++i)
        GM_UNROLL
      for (int32_t j = 0; j < GM_VECTORS; ++j) {
        float *to = s + i * GM_SPLIT_KEYS + (v + j) * 16;
        f32x16 x = toFloat(acc[i][j]) *
                   load<f32x16>(scales + b * GM_PAGE_KEYS + (v + j) * 16);
        store(to, fma(x, f32x16(c.qScale[(first + i) * blocks + b]),
                      b ? load<f32x16>(to) : f32x16(0)));
      }
    }
}

template <bool Few>
GM_INLINE void scorePagesQ8(Chunk &c, const Pages &pages) {
  const int32_t half = 32 * gm_hd; // bytes of 32 keys
  for (int32_t g = pages.from; g < pages.to; ++g)
    for (int32_t h = 0; h < 2; ++h) {
      const uint8_t *next = pages.afterKeys(g);
      const int32_t key = g * GM_PAGE_KEYS + h * 32;
      forPairs(c.count, [&](auto n, int32_t i) GM_LAMBDA {
        constexpr int N = decltype(n)::value;
        if (key < c.hi[i + N - 1] && key + 32 > c.lo[i])
          scoreQ8<N, prefetches<Few, true>(N)>(
              c, i, pages.k[g] + h * half, scalesOf(pages.k[g]) + h * 32,
              c.s + i * GM_SPLIT_KEYS + key, next + h * half);
      });
    }
}

// exp of -87 .. 0 with a relative error below 5e-6, which 8 bits do not see.
GM_INLINE f32x16 roughExp(f32x16 x) {
  const f32x16 shifted = fma(x, 1.44269504f, roundingMagic);
  const f32x16 r = fma(shifted - roundingMagic, -0.693147181f, x);
  f32x16 y = 1.0f / 120;
  y = fma(y, r, 1.0f / 24);
  y = fma(y, r, 1.0f / 6);
  y = fma(y, r, 0.5f);
  y = fma(y, r, 1.0f);
  y = fma(y, r, 1.0f);
  const i32x16 power = __builtin_bit_cast(i32x16, shifted) << 23;
  return __builtin_bit_cast(f32x16, __builtin_bit_cast(i32x16, y) + power);
}

// Weights of pair i in page `g`: their sum is added to `sum`; codes and scale
// of their products with the values' scales. Edge: not all keys are visible.
template <bool Edge>
GM_INLINE void weightPage(Chunk &c, int32_t i, const Pages &pages, int32_t g,
                          float largest, f32x16 &sum) {
  const float *s = c.s + i * GM_SPLIT_KEYS, *scales = scalesOf(pages.v[g]);
  f32x16 w[4], most = 0;
  GM_UNROLL
  for (int32_t j = 0; j < 4; ++j) {
    const int32_t k = g * GM_PAGE_KEYS + j * 16;
    f32x16 p = roughExp(larger(load<f32x16>(s + k) - largest, f32x16(-87.0f)));
    w[j] = p * load<f32x16>(scales + j * 16);
    if constexpr (Edge) {
      const i32x16 key = counting() + k;
      const auto seen = key >= c.lo[i] & key < c.hi[i];
      p = seen ? p : f32x16(0);
      w[j] = seen ? w[j] : f32x16(0);
    }
    sum += p;
    most = larger(most, w[j]);
  }
  const float top = maxLanes(most);
  const float scale = top > 1e-30f ? top * float(1.0 / 255.0) : 0.0f,
              inverse = inverseOf(scale);
  i32x16 total = 0;
  uint8_t *p =
      reinterpret_cast<uint8_t *>(c.p + i * SplitQuads) + g * GM_PAGE_KEYS;
  GM_UNROLL
  for (int32_t j = 0; j < 4; ++j) {
    // Codes 0..255 are the low byte of a number so large that it is whole.
    const i32x16 codes = __builtin_bit_cast(
        i32x16, fma(w[j], f32x16(inverse), f32x16(roundingMagic)));
    store(p + j * 16, __builtin_convertvector(codes, u8x16));
    total += codes & 0xff;
  }
  c.pScale[i * SplitPages + g] = scale;
  c.pSum[i * SplitPages + g] = sumLanes(total);
}

// Largest visible score, sum of the weights (f32) and, per page, codes and
// scale of the weights times the values' scales, of pair i.
GM_INLINE void softmaxQ8(Chunk &c, int32_t i, const Pages &pages) {
  const int32_t lo = c.lo[i], hi = c.hi[i];
  const float largest = largestScore(c.s + i * GM_SPLIT_KEYS, lo, hi);
  f32x16 sum = 0;
  for (int32_t g = pages.from; g < pages.to; ++g)
    if (lo <= g * GM_PAGE_KEYS && hi >= (g + 1) * GM_PAGE_KEYS)
      weightPage<false>(c, i, pages, g, largest, sum);
    else
      weightPage<true>(c, i, pages, g, largest, sum);
  c.part[i] = {largest, sumLanes(sum)};
}

// 32 (or 16) dims of N pairs over page `g`: acc += scale * (codes . codes).
template <int N, bool Prefetch>
GM_INLINE void weighQ8(f32x16 (&acc)[N][GM_VECTORS], const Chunk &c,
                       const Pages &pages, int32_t first, int32_t g,
                       int32_t offset) {
  const uint32_t *p = c.p + first * SplitQuads + g * PageQuads;
  const uint8_t *v = pages.v[g] + offset,
                *next = pages.afterValues(g, c) + offset;
  const int32_t key = g * GM_PAGE_KEYS, q0 = larger(pages.lo - key, 0) / 4,
                q1 = smaller((pages.hi - key + 3) / 4, PageQuads);
  i32x16 dots[N][GM_VECTORS];
  GM_UNROLL
  for (int32_t i = 0; i < N; ++i)
    GM_UNROLL
  for (int32_t j = 0; j < GM_VECTORS; ++j)
    dots[i][j] = startValues(c.pSum[(first + i) * SplitPages + g]);
  dotSteps<N, Prefetch>(dots, v, next, p, SplitQuads, q0, q1, dotValues);
  GM_UNROLL
  for (int32_t i = 0; i < N; ++i)
    GM_UNROLL
  for (int32_t j = 0; j < GM_VECTORS; ++j)
    acc[i][j] = fma(toFloat(dots[i][j]),
                    f32x16(c.pScale[(first + i) * SplitPages + g]), acc[i][j]);
}

// Dims [32 b, 32 b + 32) of N pairs over pages [from, to), as weighBlock.
template <int N, bool Prefetch, class Begin, class End>
GM_INLINE void weighBlockQ8(const Chunk &c, const Pages &pages, int32_t i,
                            int32_t b, int32_t from, int32_t to, Begin begin,
                            End end) {
  for (int32_t j = 0; j < 2; j += GM_VECTORS) {
    float *o = c.o + i * gm_hd + b * 32 + j * 16;
    f32x16 acc[N][GM_VECTORS];
    forTile<N>(acc, o, begin);
    for (int32_t g = from; g < to; ++g)
      weighQ8<N, Prefetch>(acc, c, pages, i, g, b * 32 * GM_PAGE_KEYS + j * 64);
    forTile<N>(acc, o, end);
  }
}

} // namespace

#endif
