// One split of attention (family attend): scores, softmax and weighted values
// of the pairs (row, query head) of a tile and a K/V head over at most 256
// keys, written as a partial (few) or merged into the running result (many).
// Freestanding, for body files only; must not know how units are divided.
// Whoever includes it says `hasBlocks`: whether rows see keys behind them, to
// the end of their block.
//
// Words are 32 bits: two bf16 (lanes of K, keys of V and p) or one f32; with
// that both cache formats are the same loops (layouts: targets/Layouts.h).
// Caches of format q8: attend_q8.h.
#ifndef GEMMAC_CODEGEN_KERNELS_ATTEND_H
#define GEMMAC_CODEGEN_KERNELS_ATTEND_H

#include "codegen/kernels/pairs.h"

extern "C" {
extern const int32_t gm_heads, gm_hd, gm_group, gm_window, gm_cache_bf16,
    gm_cache_q8, gm_act_bf16, gm_act_q8;
}

namespace {

enum { ChunkPairs = 64, SplitPages = GM_SPLIT_KEYS / GM_PAGE_KEYS };

// The last key that a row at position `pos` sees. Those of rows ascend.
template <bool Blocks>
struct Ends {
  __attribute__((always_inline)) int32_t lastOf(int32_t, int32_t pos) const {
    return pos;
  }
  __attribute__((always_inline)) void startAt(const Ends &, int32_t) {}
};
template <>
struct Ends<true> {
  const int32_t *ends; // one past the last key of a row's block, or less
  __attribute__((always_inline)) int32_t lastOf(int32_t row,
                                                int32_t pos) const {
    return larger(ends[row] - 1, pos);
  }
  __attribute__((always_inline)) void startAt(const Ends &all, int32_t row) {
    ends = all.ends + row;
  }
};

// One chunk of pairs of one tile and one K/V head; ends of the tile's rows.
struct Chunk : Ends<hasBlocks> {
  const uint8_t *k, *v;     // the head in page 0 of the pools
  const int32_t *pages;     // of the slot, by position / 64
  int64_t kBytes, vBytes;   // of a page
  const uint8_t *following; // few: keys that are read next, or null
  int32_t pos0;             // position of the tile's first row
  int32_t first,
      count;   // pairs: row (first + i) / group, head (first + i) % group
  uint32_t *q; // [count][hd] in the cache format
  float *s;    // [count][256] scores
  uint32_t *p; // [count][256] weights in the cache format (q8: codes)
  // q8: scales and sums of the codes of q [count][blocks of lanes], p
  // [count][4]
  float *qScale, *pScale;
  int32_t *qSum, *pSum;
  float *o; // [count][hd]: the split's (few), the merged (many) outputs
  int32_t lo[ChunkPairs], hi[ChunkPairs]; // visible keys of the split
  Softmax part[ChunkPairs], merged[ChunkPairs];
  MergeFactors factors[ChunkPairs];
};

// Most pairs of a chunk: the scratch stays below half a megabyte of stack.
GM_INLINE int32_t chunkPairs() {
  return gm_hd <= 512 ? ChunkPairs : larger(ChunkPairs * 512 / gm_hd, 1);
}

GM_INLINE int32_t firstVisible(int32_t p) {
  return gm_window > 0 ? larger(0, p - gm_window + 1) : 0;
}

// Words from one step to the next, of lanes (keys) or words of keys (values),
// and from 16 keys to the next, or 16 lanes of values.
template <bool Bf16>
constexpr const CacheShape &shapeOf = Bf16 ? cacheBf16 : cacheF32;
template <bool Bf16>
GM_INLINE int32_t keysApart() {
  return keyWord(shapeOf<Bf16>, gm_hd, 16, 0);
}
template <bool Bf16>
GM_INLINE int32_t valuesApart() {
  return valueElement(shapeOf<Bf16>, 0, 16) / shapeOf<Bf16>.perWord;
}

// Scores of N pairs with 32 keys. `next`: bytes that are read next in this
// order, prefetched along (few only, else null; docs/design.md#4.3).
template <bool Bf16, int N, bool Prefetch>
GM_INLINE void score(const uint32_t *q, const uint32_t *k, float *s,
                     const uint8_t *next) {
  const int32_t words = Bf16 ? gm_hd / 2 : gm_hd;
  const int32_t step = shapeOf<Bf16>.group, apart = keysApart<Bf16>();
  for (int32_t v = 0; v < 2; v += GM_VECTORS) {
    f32x16 acc[N][GM_VECTORS] = {};
    for (int32_t d = 0; d < words; ++d) {
      u32x16 key[GM_VECTORS];
      GM_UNROLL
      for (int32_t j = 0; j < GM_VECTORS; ++j) {
        key[j] = load<u32x16>(k + (v + j) * apart + d * step);
        if constexpr (Prefetch)
          __builtin_prefetch(next + ((v + j) * apart + d * step) * 4, 0, 2);
      }
      GM_UNROLL
      for (int32_t i = 0; i < N; ++i) {
        uint32_t x = q[i * words + d];
        GM_UNROLL
        for (int32_t j = 0; j < GM_VECTORS; ++j)
          acc[i][j] = multiplyAdd<Bf16>(acc[i][j], key[j], x);
      }
    }
    GM_UNROLL
    for (int32_t i = 0; i < N; ++i)
      GM_UNROLL
    for (int32_t j = 0; j < GM_VECTORS; ++j)
      store(s + i * GM_SPLIT_KEYS + (v + j) * 16, acc[i][j]);
  }
}

// Largest score of keys [lo, hi) of a split.
GM_INLINE float largestScore(const float *s, int32_t lo, int32_t hi) {
  f32x16 top = GM_LOWEST;
  if (lo == 0 && hi == GM_SPLIT_KEYS) {
    for (int32_t k = 0; k < hi; k += 16)
      top = larger(top, load<f32x16>(s + k));
    return maxLanes(top);
  }
  for (int32_t k = lo & -16; k < hi; k += 16) {
    i32x16 key = counting() + k;
    top = larger(top, (key >= lo & key < hi) ? load<f32x16>(s + k)
                                             : f32x16(GM_LOWEST));
  }
  return maxLanes(top);
}

// Largest visible score, weights (rounded to the cache format) and their sum,
// of pair i.
template <bool Bf16>
GM_INLINE void softmax(Chunk &c, int32_t i) {
  const float *s = c.s + i * GM_SPLIT_KEYS;
  const int32_t lo = c.lo[i], hi = c.hi[i];
  const float largest = largestScore(s, lo, hi);
  f32x16 sum = 0;
  for (int32_t k = 0; k < GM_SPLIT_KEYS; k += 16) {
    i32x16 key = counting() + k;
    f32x16 w = 0;
    if (k + 16 > lo && k < hi)
      w = (key >= lo & key < hi) ? weightOf(load<f32x16>(s + k) - largest)
                                 : f32x16(0);
    if constexpr (Bf16) {
      u16x16 rounded = toBf16(w);
      store(c.p + i * (GM_SPLIT_KEYS / 2) + k / 2, rounded);
      w = fromBf16(rounded);
    } else {
      store(c.p + i * GM_SPLIT_KEYS + k, w);
    }
    sum += w;
  }
  c.part[i] = {largest, sumLanes(sum)};
}

GM_INLINE uint32_t visibleBits(bool bf16, int32_t word, int32_t lo,
                               int32_t hi) {
  if (!bf16)
    return word >= lo && word < hi ? ~0u : 0;
  uint32_t even = 2 * word >= lo && 2 * word < hi ? 0xffffu : 0;
  uint32_t odd = 2 * word + 1 >= lo && 2 * word + 1 < hi ? 0xffff0000u : 0;
  return even | odd;
}

// Adds words [k0, k1) of a page's keys, which all N pairs see, to their outputs
// in 32 (or 16) dims. `p`: the first pair's weights of the page.
template <bool Bf16, int N, bool Prefetch>
GM_INLINE void weigh(f32x16 (&acc)[N][GM_VECTORS], const uint32_t *p,
                     const uint32_t *v, int32_t k0, int32_t k1,
                     const uint8_t *next) {
  const int32_t words = Bf16 ? GM_SPLIT_KEYS / 2 : GM_SPLIT_KEYS;
  const int32_t step = shapeOf<Bf16>.group, apart = valuesApart<Bf16>();
  for (int64_t k = k0; k < k1; ++k) {
    u32x16 value[GM_VECTORS];
    GM_UNROLL
    for (int32_t j = 0; j < GM_VECTORS; ++j) {
      value[j] = load<u32x16>(v + j * apart + k * step);
      if constexpr (Prefetch)
        __builtin_prefetch(next + (j * apart + k * step) * 4, 0, 2);
    }
    GM_UNROLL
    for (int32_t i = 0; i < N; ++i) {
      uint32_t x = p[i * words + k];
      GM_UNROLL
      for (int32_t j = 0; j < GM_VECTORS; ++j)
        acc[i][j] = multiplyAdd<Bf16>(acc[i][j], value[j], x);
    }
  }
}

// The same for words that some pairs do not see (`lo`, `hi`: what they see of
// the page): values there are not used, whatever they are.
template <bool Bf16, int N>
GM_INLINE void weighEdge(f32x16 (&acc)[N][GM_VECTORS], const uint32_t *p,
                         const uint32_t *v, const int32_t *lo,
                         const int32_t *hi, int32_t page, int32_t k0,
                         int32_t k1) {
  const int32_t words = Bf16 ? GM_SPLIT_KEYS / 2 : GM_SPLIT_KEYS;
  const int32_t step = shapeOf<Bf16>.group, apart = valuesApart<Bf16>();
  GM_UNROLL
  for (int32_t i = 0; i < N; ++i)
    for (int64_t k = k0; k < k1; ++k) {
      uint32_t bits = visibleBits(Bf16, k, lo[i] - page * GM_PAGE_KEYS,
                                  hi[i] - page * GM_PAGE_KEYS);
      GM_UNROLL
      for (int32_t j = 0; j < GM_VECTORS; ++j)
        acc[i][j] = multiplyAdd<Bf16>(
            acc[i][j], load<u32x16>(v + j * apart + k * step) & bits,
            p[i * words + k]);
    }
}

// One page for N pairs: the words that all see without, those at the edges with
// the mask, the others not at all.
template <bool Bf16, int N, bool Prefetch>
GM_INLINE void weighPage(f32x16 (&acc)[N][GM_VECTORS], const Chunk &c,
                         int32_t first, int32_t page, const uint32_t *v,
                         const uint8_t *next) {
  const int32_t perWord = Bf16 ? 2 : 1, pageWords = GM_PAGE_KEYS / perWord;
  int32_t anyLo = GM_SPLIT_KEYS, anyHi = 0, allLo = 0, allHi = GM_SPLIT_KEYS;
  for (int32_t i = 0; i < N; ++i) {
    const int32_t lo = c.lo[first + i], hi = c.hi[first + i];
    allLo = larger(allLo, lo), allHi = smaller(allHi, hi);
    if (lo < hi)
      anyLo = smaller(anyLo, lo), anyHi = larger(anyHi, hi);
  }
  auto word = [=](int32_t key) __attribute__((always_inline)) {
    return smaller(larger(key / perWord - page * pageWords, 0), pageWords);
  };
  const int32_t w0 = word(anyLo), w3 = word(anyHi + perWord - 1);
  const int32_t w1 = smaller(larger(word(allLo + perWord - 1), w0), w3);
  const int32_t w2 = smaller(larger(word(allHi), w1), w3);
  const uint32_t *p =
      c.p + first * (GM_SPLIT_KEYS / perWord) + page * pageWords;
  const int32_t *lo = c.lo + first, *hi = c.hi + first;
  weighEdge<Bf16, N>(acc, p, v, lo, hi, page, w0, w1);
  weigh<Bf16, N, Prefetch>(acc, p, v, w1, w2, next);
  weighEdge<Bf16, N>(acc, p, v, lo, hi, page, w2, w3);
}

template <int N, class F>
GM_INLINE void forTile(f32x16 (&acc)[N][GM_VECTORS], float *o, F f) {
  GM_UNROLL
  for (int32_t i = 0; i < N; ++i)
    GM_UNROLL
  for (int32_t j = 0; j < GM_VECTORS; ++j)
    f(acc[i][j], o + i * gm_hd + j * 16, i);
}

// Pages of the split at `base` that some pair sees: from, to (exclusive).
struct Pages {
  int32_t from, to;
  int32_t lo, hi; // keys that some pair sees
  const uint8_t *k[SplitPages], *v[SplitPages];
  // What is read after page g of keys and of values.
  const uint8_t *afterKeys(int32_t g) const {
    return g + 1 < to ? k[g + 1] : v[from];
  }
  const uint8_t *afterValues(int32_t g, const Chunk &c) const {
    return g + 1 < to ? v[g + 1] : c.following ? c.following : v[g];
  }
};

// Whether N pairs, which share what they read, leave the memory time to follow
// hints of what comes next; with fewer the hardware does better alone.
template <bool Few, bool Q8>
constexpr bool prefetches(int n) {
  return Few && n >= (Q8 ? 2 : 4);
}

// The visible keys of every pair and the pages that hold them.
GM_INLINE bool look(Chunk &c, int32_t base, Pages &pages) {
  int32_t from = GM_SPLIT_KEYS, to = 0;
  for (int32_t i = 0; i < c.count; ++i) {
    const int32_t p = c.pos0 + (c.first + i) / gm_group;
    c.lo[i] = smaller(larger(firstVisible(p) - base, 0), GM_SPLIT_KEYS);
    c.hi[i] =
        smaller(larger(c.lastOf(p - c.pos0, p) + 1 - base, 0), GM_SPLIT_KEYS);
    if (c.lo[i] < c.hi[i])
      from = smaller(from, c.lo[i]), to = larger(to, c.hi[i]);
  }
  pages.lo = from, pages.hi = to;
  pages.from = from / GM_PAGE_KEYS,
  pages.to = (to + GM_PAGE_KEYS - 1) / GM_PAGE_KEYS;
  for (int32_t g = pages.from; g < pages.to; ++g) {
    const int64_t page = c.pages[base / GM_PAGE_KEYS + g];
    pages.k[g] = c.k + page * c.kBytes;
    pages.v[g] = c.v + page * c.vBytes;
  }
  return from < to;
}

template <bool Bf16, bool Few>
GM_INLINE void scorePages(Chunk &c, const Pages &pages) {
  const int32_t words = Bf16 ? gm_hd / 2 : gm_hd;
  const int32_t group = keyWord(shapeOf<Bf16>, gm_hd, 32, 0);
  for (int32_t g = pages.from; g < pages.to; ++g)
    for (int32_t half = 0; half < 2; ++half) {
      const uint8_t *next = pages.afterKeys(g) + half * group * 4;
      const uint32_t *k =
          reinterpret_cast<const uint32_t *>(pages.k[g]) + half * group;
      const int32_t key = g * GM_PAGE_KEYS + half * 32;
      forPairs(c.count, [&](auto n, int32_t i) __attribute__((always_inline)) {
        constexpr int N = decltype(n)::value;
        if (key < c.hi[i + N - 1] && key + 32 > c.lo[i])
          score<Bf16, N, prefetches<Few, false>(N)>(
              c.q + i * words, k, c.s + i * GM_SPLIT_KEYS + key, next);
      });
    }
}

// Dims [32 b, 32 b + 32) of N pairs over pages [from, to): `begin` fills the
// accumulators, `end` takes them.
template <bool Bf16, int N, bool Prefetch, class Begin, class End>
GM_INLINE void weighBlock(const Chunk &c, const Pages &pages, int32_t i,
                          int32_t b, int32_t from, int32_t to, Begin begin,
                          End end) {
  const int32_t block =
                    valueElement(shapeOf<Bf16>, 0, 32) / shapeOf<Bf16>.perWord,
                apart = valuesApart<Bf16>();
  for (int32_t j = 0; j < 2; j += GM_VECTORS) {
    float *o = c.o + i * gm_hd + b * 32 + j * 16;
    f32x16 acc[N][GM_VECTORS];
    forTile<N>(acc, o, begin);
    for (int32_t g = from; g < to; ++g) {
      const int32_t offset = b * block + j * apart;
      const uint8_t *next = pages.afterValues(g, c) + offset * 4;
      weighPage<Bf16, N, Prefetch>(
          acc, c, i, g, reinterpret_cast<const uint32_t *>(pages.v[g]) + offset,
          next);
    }
    forTile<N>(acc, o, end);
  }
}

} // namespace

#endif
