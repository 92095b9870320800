// Families attend and attend_blocks: units and rows around the split of
// attend.h and attend_q8.h. One K/V head of one tile is a flat list of pairs
// (row, query head), taken up to GM_PAIRS at a time. Splits of 256 keys at
// absolute positions are computed alike in both row classes: `few` writes each
// as a partial, `many` merges them while it runs. Only visible keys take part;
// anything may lie elsewhere.
// For the two body files only, which say `hasBlocks` and define the functions.
#ifndef GEMMAC_CODEGEN_KERNELS_ATTEND_UNITS_H
#define GEMMAC_CODEGEN_KERNELS_ATTEND_UNITS_H

#include "codegen/kernels/attend_q8.h"

namespace {

enum Format { F32, Bf16, Q8 };

// Words of a pair's query and weights.
template <Format F>
GM_INLINE int32_t wordsOf(int32_t numbers) {
  return F == Q8 ? numbers / 4 : F == Bf16 ? numbers / 2 : numbers;
}

template <Format F, bool Few>
GM_INLINE void scores(Chunk &c, const Pages &pages) {
  if constexpr (F == Q8)
    scorePagesQ8<Few>(c, pages);
  else
    scorePages<F == Bf16, Few>(c, pages);
}

template <Format F>
GM_INLINE void weights(Chunk &c, const Pages &pages, int32_t i) {
  if constexpr (F == Q8)
    softmaxQ8(c, i, pages);
  else
    softmax<F == Bf16>(c, i);
}

// Dims [32 b, 32 b + 32) of N pairs over pages [from, to): `begin` fills the
// accumulators, `end` takes them.
template <Format F, int N, bool Prefetch, class Begin, class End>
GM_INLINE void values(const Chunk &c, const Pages &pages, int32_t i, int32_t b,
                      int32_t from, int32_t to, Begin begin, End end) {
  if constexpr (F == Q8)
    weighBlockQ8<N, Prefetch>(c, pages, i, b, from, to, begin, end);
  else
    weighBlock<F == Bf16, N, Prefetch>(c, pages, i, b, from, to, begin, end);
}

// The split at `base`: part[] of every pair and, few: o; many: o and merged[]
// with the split merged in.
template <Format F, bool Few>
GM_INLINE void split(Chunk &c, int32_t base) {
  Pages pages;
  if (look(c, base, pages))
    scores<F, Few>(c, pages);
  else
    pages.from = pages.to = 0;
  for (int32_t i = 0; i < c.count; ++i) {
    weights<F>(c, pages, i);
    if (!Few && c.lo[i] < c.hi[i])
      c.factors[i] = mergeSoftmax(c.merged[i], c.part[i].top, c.part[i].sum);
  }
  auto zero = [](f32x16 &acc, float *, int32_t) GM_LAMBDA { acc = 0; };
  auto keep = [](f32x16 &acc, float *o, int32_t) GM_LAMBDA { store(o, acc); };
  if constexpr (Few) {
    auto resume = [](f32x16 &acc, float *o, int32_t)
                      GM_LAMBDA { acc = load<f32x16>(o); };
    for (int32_t i = 0; i < c.count * gm_hd; i += 16)
      store(c.o + i, f32x16(0));
    for (int32_t g = pages.from; g < pages.to; ++g)
      for (int32_t b = 0; b < gm_hd / 32; ++b)
        forPairs(c.count, [&](auto n, int32_t i) GM_LAMBDA {
          constexpr int N = decltype(n)::value;
          values<F, N, prefetches<Few, F == Q8>(N)>(c, pages, i, b, g, g + 1,
                                                    resume, keep);
        });
  } else {
    for (int32_t b = 0; b < gm_hd / 32; ++b)
      forPairs(c.count, [&](auto n, int32_t i) GM_LAMBDA {
        constexpr int N = decltype(n)::value;
        auto merge = [&](f32x16 &acc, float *o, int32_t j) GM_LAMBDA {
          if (c.lo[i + j] < c.hi[i + j])
            store(o, mergeOutputs(load<f32x16>(o), acc, c.factors[i + j]));
        };
        values<F, N, false>(c, pages, i, b, pages.from, pages.to, zero, merge);
      });
  }
}

// Pairs from `first` on of tile `t`, K/V head `head`: fills c but for the
// scratch pointers.
template <Format F>
GM_INLINE void start(Chunk &c, const void *q, const gm_tile &t, int32_t head,
                     int32_t first) {
  const int32_t words = wordsOf<F>(gm_hd);
  c.first = first;
  c.count = smaller(t.rows * gm_group - first, chunkPairs());
  c.pos0 = t.pos0;
  for (int32_t i = 0; i < c.count; ++i) {
    const int32_t pair = first + i;
    const int64_t from = int64_t(t.row0 + pair / gm_group) * gm_heads +
                         head * gm_group + pair % gm_group;
    if constexpr (F == Q8)
      takeQuery(c, i, static_cast<const uint8_t *>(q) + from * gm_hd / 32 * 40);
    else
      for (int32_t d = 0; d < words; d += 16)
        store(
            c.q + i * words + d,
            load<u32x16>(static_cast<const uint32_t *>(q) + from * words + d));
  }
}

struct Operands : Ends<hasBlocks> { // of all rows
  const void *q;
  const gm_tile *tile;
  const gm_split *pieces;
  const uint8_t *k, *v;
  const int32_t *pages;
  int32_t pageStride;
  void *y;
  int32_t maxSplits;
};

GM_INLINE void aim(Chunk &c, const Operands &x, const gm_tile &t,
                   int32_t head) {
  const int64_t k = keyPageBytes(cacheShape(gm_cache_q8, gm_cache_bf16), gm_hd),
                v = valuePageBytes(cacheShape(gm_cache_q8, gm_cache_bf16),
                                   gm_hd);
  c.kBytes = k * (gm_heads / gm_group);
  c.vBytes = v * (gm_heads / gm_group);
  c.k = x.k + head * k;
  c.v = x.v + head * v;
  c.pages = x.pages + int64_t(t.slot) * x.pageStride;
  c.startAt(x, t.row0);
}

// The first page of keys of a unit.
GM_INLINE const uint8_t *firstKeys(Chunk &c, const Operands &x, int32_t unit) {
  const int32_t kvHeads = gm_heads / gm_group;
  const gm_split &piece = x.pieces[unit / kvHeads];
  aim(c, x, x.tile[piece.tile], unit % kvHeads);
  return c.k + c.pages[piece.key0 / GM_PAGE_KEYS] * c.kBytes;
}

// Unit = (split, K/V head): partials o [H][hd], m [H], l [H] of (row, part).
template <Format F>
GM_INLINE void few(Chunk &c, const Operands &x, int32_t unit, bool last) {
  const int32_t kvHeads = gm_heads / gm_group, head = unit % kvHeads;
  const gm_split &piece = x.pieces[unit / kvHeads];
  const gm_tile &t = x.tile[piece.tile];
  c.following = last ? nullptr : firstKeys(c, x, unit + 1);
  aim(c, x, t, head);
  for (int32_t first = 0; first < t.rows * gm_group; first += chunkPairs()) {
    start<F>(c, x.q, t, head, first);
    split<F, true>(c, piece.key0 / GM_SPLIT_KEYS * GM_SPLIT_KEYS);
    for (int32_t i = 0; i < c.count; ++i) {
      const int32_t pair = first + i, h = head * gm_group + pair % gm_group;
      const int64_t row = t.row0 + pair / gm_group;
      float *to = static_cast<float *>(x.y) +
                  (row * x.maxSplits + piece.part) * gm_heads * (gm_hd + 2);
      for (int32_t d = 0; d < gm_hd; d += 16)
        store(to + h * gm_hd + d, load<f32x16>(c.o + i * gm_hd + d));
      to[gm_heads * gm_hd + h] = c.part[i].top;
      to[gm_heads * (gm_hd + 1) + h] = c.part[i].sum;
    }
  }
}

// Unit = (tile, K/V head): y [H][hd].
template <Format F>
GM_INLINE void many(Chunk &c, const Operands &x, int32_t unit) {
  const int32_t kvHeads = gm_heads / gm_group, head = unit % kvHeads;
  const gm_tile &t = x.tile[unit / kvHeads];
  aim(c, x, t, head);
  for (int32_t first = 0; first < t.rows * gm_group; first += chunkPairs()) {
    start<F>(c, x.q, t, head, first);
    for (int32_t i = 0; i < c.count; ++i)
      c.merged[i] = {GM_LOWEST, 0};
    for (int32_t i = 0; i < c.count * gm_hd; i += 16)
      store(c.o + i, f32x16(0));
    const int32_t pos = t.pos0 + (first + c.count - 1) / gm_group,
                  last = c.lastOf(pos - t.pos0, pos);
    for (int32_t base =
             firstVisible(t.pos0 + first / gm_group) & -GM_SPLIT_KEYS;
         base <= last; base += GM_SPLIT_KEYS)
      split<F, false>(c, base);
    for (int32_t i = 0; i < c.count; ++i) {
      const int32_t pair = first + i;
      const int64_t to = (int64_t(t.row0 + pair / gm_group) * gm_heads +
                          head * gm_group + pair % gm_group) *
                         gm_hd;
      const float *o = c.o + i * gm_hd;
      for (int32_t d = 0; d < gm_hd; d += 32)
        storeBlock(gm_act_q8, gm_act_bf16, x.y, to + d,
                   load<f32x16>(o + d) / c.merged[i].sum,
                   load<f32x16>(o + d + 16) / c.merged[i].sum);
    }
  }
}

template <Format F, bool Few>
GM_INLINE void units(const Operands &x, int32_t begin, int32_t end) {
  const int32_t pairs = chunkPairs();
  Chunk c;
  c.q = GM_WORDS(uint32_t, pairs *wordsOf<F>(gm_hd));
  c.s = GM_WORDS(float, pairs *GM_SPLIT_KEYS);
  c.p = GM_WORDS(uint32_t, pairs *wordsOf<F>(GM_SPLIT_KEYS));
  c.o = GM_WORDS(float, pairs *gm_hd);
  if constexpr (F == Q8) {
    const int32_t blocks = pairs * (gm_hd / keyBlock(gm_hd));
    c.qScale = GM_WORDS(float, blocks);
    c.qSum = GM_WORDS(int32_t, blocks);
    c.pScale = GM_WORDS(float, pairs *SplitPages);
    c.pSum = GM_WORDS(int32_t, pairs *SplitPages);
  }
  for (int32_t unit = begin; unit < end; ++unit)
    if constexpr (Few)
      few<F>(c, x, unit, unit + 1 == end);
    else
      many<F>(c, x, unit);
}

template <bool Few>
GM_INLINE void attend(const Operands &x, int32_t begin, int32_t end) {
  if (gm_cache_q8)
    units<Q8, Few>(x, begin, end);
  else if (gm_cache_bf16)
    units<Bf16, Few>(x, begin, end);
  else
    units<F32, Few>(x, begin, end);
}

} // namespace

#endif
