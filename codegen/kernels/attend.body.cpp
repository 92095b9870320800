// Family attend: units and rows around the split of attend.h. One K/V head of
// one tile is a flat list of pairs (row, query head), taken up to GM_PAIRS at a
// time. Splits of 256 keys at absolute positions are computed alike in both row
// classes: `few` writes each as a partial, `many` merges them while it runs.
// Only visible keys take part; anything may lie elsewhere.
#include "codegen/kernels/attend.h"

namespace {

// Pairs from `first` on of tile `t`, K/V head `head`: fills c but for the
// scratch pointers.
template <bool Bf16>
GM_INLINE void start(Chunk &c, const void *q, const gm_tile &t, int32_t head,
                     int32_t first) {
  const int32_t words = Bf16 ? gm_hd / 2 : gm_hd;
  c.first = first;
  c.count = smaller(t.rows * gm_group - first, chunkPairs());
  c.pos0 = t.pos0;
  for (int32_t i = 0; i < c.count; ++i) {
    const int32_t pair = first + i;
    const int64_t from = int64_t(t.row0 + pair / gm_group) * gm_heads +
                         head * gm_group + pair % gm_group;
    for (int32_t d = 0; d < words; d += 16)
      store(c.q + i * words + d,
            load<u32x16>(static_cast<const uint32_t *>(q) + from * words + d));
  }
}

struct Operands {
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
  const int64_t headBytes =
      int64_t(gm_hd) * GM_PAGE_KEYS * (gm_cache_bf16 ? 2 : 4);
  c.pageBytes = headBytes * (gm_heads / gm_group);
  c.k = x.k + head * headBytes;
  c.v = x.v + head * headBytes;
  c.pages = x.pages + int64_t(t.slot) * x.pageStride;
}

// Unit = (split, K/V head): partials o [H][hd], m [H], l [H] of (row, part).
template <bool Bf16>
GM_INLINE void few(Chunk &c, const Operands &x, int32_t unit) {
  const int32_t kvHeads = gm_heads / gm_group, head = unit % kvHeads;
  const gm_split &piece = x.pieces[unit / kvHeads];
  const gm_tile &t = x.tile[piece.tile];
  aim(c, x, t, head);
  for (int32_t first = 0; first < t.rows * gm_group; first += chunkPairs()) {
    start<Bf16>(c, x.q, t, head, first);
    split<Bf16, true>(c, piece.key0 / GM_SPLIT_KEYS * GM_SPLIT_KEYS);
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
template <bool Bf16>
GM_INLINE void many(Chunk &c, const Operands &x, int32_t unit) {
  const int32_t kvHeads = gm_heads / gm_group, head = unit % kvHeads;
  const gm_tile &t = x.tile[unit / kvHeads];
  aim(c, x, t, head);
  for (int32_t first = 0; first < t.rows * gm_group; first += chunkPairs()) {
    start<Bf16>(c, x.q, t, head, first);
    for (int32_t i = 0; i < c.count; ++i)
      c.merged[i] = {GM_LOWEST, 0};
    for (int32_t i = 0; i < c.count * gm_hd; i += 16)
      store(c.o + i, f32x16(0));
    const int32_t last = t.pos0 + (first + c.count - 1) / gm_group;
    for (int32_t base =
             firstVisible(t.pos0 + first / gm_group) & -GM_SPLIT_KEYS;
         base <= last; base += GM_SPLIT_KEYS)
      split<Bf16, false>(c, base);
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

} // namespace

#define GM_SCRATCH(c)                                                          \
  Chunk c;                                                                     \
  c.q = static_cast<uint32_t *>(__builtin_alloca_with_align(                   \
      sizeof(uint32_t) * chunkPairs() * gm_hd / (gm_cache_bf16 ? 2 : 1),       \
      512));                                                                   \
  c.s = static_cast<float *>(__builtin_alloca_with_align(                      \
      sizeof(float) * chunkPairs() * GM_SPLIT_KEYS, 512));                     \
  c.p = static_cast<uint32_t *>(                                               \
      __builtin_alloca_with_align(sizeof(uint32_t) * chunkPairs() *            \
                                      GM_SPLIT_KEYS / (gm_cache_bf16 ? 2 : 1), \
                                  512));                                       \
  c.o = static_cast<float *>(                                                  \
      __builtin_alloca_with_align(sizeof(float) * chunkPairs() * gm_hd, 512))

extern "C" void gm_few(const void *q, const gm_tile *tile,
                       const gm_split *pieces, const uint8_t *k,
                       const uint8_t *v, const int32_t *pages,
                       int32_t pageStride, void *y, int32_t rows,
                       int32_t maxSplits, int32_t begin, int32_t end) {
  GM_SCRATCH(c);
  const Operands x = {q, tile, pieces, k, v, pages, pageStride, y, maxSplits};
  for (int32_t unit = begin; unit < end; ++unit)
    if (gm_cache_bf16)
      few<true>(c, x, unit);
    else
      few<false>(c, x, unit);
}

extern "C" void gm_many(const void *q, const gm_tile *tile,
                        const gm_split *pieces, const uint8_t *k,
                        const uint8_t *v, const int32_t *pages,
                        int32_t pageStride, void *y, int32_t rows,
                        int32_t maxSplits, int32_t begin, int32_t end) {
  GM_SCRATCH(c);
  const Operands x = {q, tile, pieces, k, v, pages, pageStride, y, maxSplits};
  for (int32_t unit = begin; unit < end; ++unit)
    if (gm_cache_bf16)
      many<true>(c, x, unit);
    else
      many<false>(c, x, unit);
}
