// Families attend and attend_blocks on CUDA: a block of threads does a unit.
// The pairs (row, query head) of a tile and a K/V head are taken chunkPairs()
// at a time, keys in splits of 256 at absolute positions:
//
//   bounds   which keys every pair sees                    (warp 0)
//   scores   of 32 keys a warp                             (shared memory)
//   softmax  weights of the split, a pair per warp         (in their place)
//   values   weighted, 32 lanes of the head a warp         (registers)
//
// `few` writes each split as a partial, `many` merges them while it runs. A
// pair's bits depend on nothing but its query and the keys it sees: sums over
// lanes and keys run in one order, products with keys that it does not see add
// exact zeros, and such keys are masked where they may be no numbers.
//
// Products of tensor cores have keys (scores) or lanes of the head (values) as
// rows and pairs as columns, eight to a tile; pages hold A as it is wanted
// (fragments.h). Queries and weights lie in shared memory in rows whose length
// is 4 modulo 32 words: eight of them meet no bank twice.
//
// For the two body files only, which say `hasBlocks`: whether rows see keys
// behind them, to the end of their block.
#ifndef GEMMAC_CODEGEN_KERNELS_CUDA_ATTEND_H
#define GEMMAC_CODEGEN_KERNELS_CUDA_ATTEND_H

#include "codegen/kernels/cuda/fragments.h"
#include "codegen/kernels/cuda/merging.h"

extern "C" {
extern const int32_t gm_heads, gm_hd, gm_group, gm_window, gm_cache_bf16,
    gm_cache_q8, gm_act_bf16, gm_act_q8;
}

// Outputs fill the registers.
GM_RESIDENT(gm_few, 1)
GM_RESIDENT(gm_many, 1)

namespace {

typedef uint32_t u32x4 __attribute__((ext_vector_type(4)));
typedef float f32x4 __attribute__((ext_vector_type(4)));

enum Format { F32, Bf16, Q8 };
enum {
  Warps = 8,
  Threads = Warps * WarpLanes,
  TilePairs = 8,
  Tiles = 4,
  ChunkPairs = Tiles * TilePairs,
  Blocks = 2, // of 32 lanes of the head in a warp: at most 512 lanes
  MostLanes = Blocks * Warps * 32,
  SplitPages = GM_SPLIT_KEYS / GM_PAGE_KEYS,
  WeightStride = GM_SPLIT_KEYS + 4,
  ScaleBlocks = 16 // most blocks of lanes with one scale
};

//===-- shared memory -----------------------------------------------------===//

template <Format F>
constexpr const CacheShape &shapeOf = F == Q8     ? cacheQ8
                                      : F == Bf16 ? cacheBf16
                                                  : cacheF32;
GM_INLINE int32_t queryWords() {
  return gm_cache_q8 ? gm_hd / 4 : gm_cache_bf16 ? gm_hd / 2 : gm_hd;
}
GM_INLINE int32_t queryStride() { return queryWords() + 4; }
GM_INLINE int32_t outputStride() { return gm_hd + 4; }

// Tiles of a chunk.
GM_INLINE int32_t chunkTiles() {
  return gm_cache_q8 || gm_cache_bf16 ? int32_t(Tiles) : 2;
}
GM_INLINE int32_t chunkPairs() { return chunkTiles() * TilePairs; }

// Queries, then weights; in the end the outputs in their place.
GM_INLINE int32_t areaWords() {
  return chunkPairs() *
         larger(queryStride() + int32_t(WeightStride), outputStride());
}

struct Chunk {
  // Of pairs: the keys of the split that they see, their softmax over it, the
  // one over all splits so far.
  int32_t lo[ChunkPairs], hi[ChunkPairs];
  Softmax part[ChunkPairs], merged[ChunkPairs];
  MergeFactors factors[ChunkPairs];
  // q8: scale and sum of the codes of every block of lanes, scales of weights.
  float queryScale[ChunkPairs][ScaleBlocks],
      weightScale[ChunkPairs][SplitPages];
  int32_t querySum[ChunkPairs][ScaleBlocks];
  // Keys that some pair of a tile sees, and all pairs see; the same of all
  // tiles.
  int32_t anyLo[Tiles], anyHi[Tiles], allLo[Tiles], allHi[Tiles];
  int32_t from, to, allFrom, allTo;
};

GM_INLINE uint32_t *queries() {
  return reinterpret_cast<uint32_t *>(sharedMemory());
}
GM_INLINE float *weightsOf(int32_t pair) {
  return reinterpret_cast<float *>(sharedMemory()) +
         chunkPairs() * queryStride() + pair * WeightStride;
}
GM_INLINE float *outputsOf(int32_t pair) {
  return reinterpret_cast<float *>(sharedMemory()) + pair * outputStride();
}
GM_INLINE Chunk &chunk() {
  return *reinterpret_cast<Chunk *>(sharedMemory() + areaWords() * 4);
}

//===-- units -------------------------------------------------------------===//

struct Operands {
  const uint8_t *q;
  const gm_tile *tile;
  const int32_t *ends; // of all rows, or null
  const gm_split *pieces;
  const uint8_t *k, *v;
  const int32_t *pages;
  int32_t pageStride;
  uint8_t *y;
  int32_t maxSplits;
};

// A tile and a K/V head.
struct Unit {
  gm_tile tile;
  const int32_t *ends;  // of the tile's rows
  const int32_t *pages; // of the slot, by position / 64
  const uint8_t *k, *v; // the head in page 0
  int64_t kBytes, vBytes;
  int32_t head, first, count; // pairs of the chunk: first .. first + count

  GM_LAMBDA int32_t rowOf(int32_t pair) const {
    return (first + pair) / gm_group;
  }
  GM_LAMBDA int32_t headOf(int32_t pair) const {
    return head * gm_group + (first + pair) % gm_group;
  }
  // Of row `row` of the tile.
  GM_LAMBDA int32_t firstKey(int32_t row) const {
    return gm_window > 0 ? larger(tile.pos0 + row - gm_window + 1, 0) : 0;
  }
  GM_LAMBDA int32_t lastKey(int32_t row) const {
    const int32_t pos = tile.pos0 + row;
    return hasBlocks ? larger(ends[row] - 1, pos) : pos;
  }
  GM_LAMBDA const uint8_t *keyPage(int32_t key) const {
    return k + pages[key / GM_PAGE_KEYS] * kBytes;
  }
  GM_LAMBDA const uint8_t *valuePage(int32_t key) const {
    return v + pages[key / GM_PAGE_KEYS] * vBytes;
  }
};

template <Format F>
GM_INLINE Unit unitOf(const Operands &x, int32_t tile, int32_t head) {
  Unit u;
  u.tile = x.tile[tile];
  u.ends = hasBlocks ? x.ends + u.tile.row0 : nullptr;
  u.pages = x.pages + int64_t(u.tile.slot) * x.pageStride;
  const int64_t k = keyPageBytes(shapeOf<F>, gm_hd),
                v = valuePageBytes(shapeOf<F>, gm_hd);
  u.kBytes = k * (gm_heads / gm_group);
  u.vBytes = v * (gm_heads / gm_group);
  u.k = x.k + head * k;
  u.v = x.v + head * v;
  u.head = head;
  return u;
}

GM_INLINE int32_t sharedBytes() {
  return areaWords() * 4 + int32_t(sizeof(Chunk) + sizeof(Unit));
}
// All threads have the same unit, which is read where it is used: registers are
// scarce.
GM_INLINE Unit &sharedUnit() {
  static_assert(sizeof(Chunk) % alignof(Unit) == 0);
  return *reinterpret_cast<Unit *>(sharedMemory() + areaWords() * 4 +
                                   sizeof(Chunk));
}
GM_INLINE int32_t unitPairs(const Unit &u) { return u.tile.rows * gm_group; }
// Pairs from `first` on become the chunk; by thread 0.
GM_INLINE void setChunk(Unit &u, int32_t first) {
  u.first = first;
  u.count = smaller(unitPairs(u) - first, chunkPairs());
}
// The same by all threads, of a chunk that is not the first: the one before is
// done.
GM_INLINE void nextChunk(Unit &u, int32_t first) {
  syncBlock();
  if (threadOf() == 0)
    setChunk(u, first);
  syncBlock();
}

// Pairs beyond the last are zeros up to a whole tile.
template <Format F>
GM_INLINE void loadQueries(const Unit &u, const uint8_t *q) {
  const int32_t words = queryWords(),
                pairs = (u.count + TilePairs - 1) / TilePairs * TilePairs;
  const int64_t bytes = rowBytes(F == Q8, F == Bf16, gm_hd);
  auto queryOf = [&](int32_t pair) GM_LAMBDA {
    return q +
           (int64_t(u.tile.row0 + u.rowOf(pair)) * gm_heads + u.headOf(pair)) *
               bytes;
  };
  for (int32_t i = threadOf(); i < pairs * words; i += Threads) {
    const int32_t pair = i / words, word = i % words;
    uint32_t value = 0;
    if (pair < u.count) {
      const uint8_t *from = queryOf(pair);
      if constexpr (F == Q8)
        from += word / 8 * sizeof(ActivationBlock) + word % 8 * 4;
      else
        from += word * 4;
      value = *reinterpret_cast<const uint32_t *>(from);
    }
    queries()[pair * queryStride() + word] = value;
  }
  if constexpr (F == Q8) {
    const int32_t lanes = keyBlock(gm_hd), blocks = gm_hd / lanes;
    for (int32_t i = threadOf(); i < pairs * blocks; i += Threads) {
      const int32_t pair = i / blocks, block = i % blocks;
      float scale = 0;
      int32_t sum = 0;
      if (pair < u.count) {
        auto *from = reinterpret_cast<const ActivationBlock *>(queryOf(pair)) +
                     block * (lanes / blockValues);
        scale = from->scale;
        for (int32_t j = 0; j < lanes / blockValues; ++j)
          sum += codeSum(from[j].start);
      }
      chunk().queryScale[pair][block] = scale;
      chunk().querySum[pair][block] = sum;
    }
  }
}

// What the pairs see of the split at `base`; for warp 0.
GM_INLINE void findBounds(const Unit &u, int32_t base) {
  Chunk &c = chunk();
  const int32_t pair = laneOf(), row = u.rowOf(pair);
  const bool isPair = pair < u.count;
  int32_t lo = 0, hi = 0;
  if (isPair) {
    lo = smaller(larger(u.firstKey(row) - base, 0), GM_SPLIT_KEYS);
    hi = smaller(larger(u.lastKey(row) + 1 - base, 0), GM_SPLIT_KEYS);
  }
  c.lo[pair] = lo, c.hi[pair] = hi;
  int32_t allLo = isPair ? lo : 0, allHi = isPair ? hi : int32_t(GM_SPLIT_KEYS),
          anyLo = lo < hi ? lo : int32_t(GM_SPLIT_KEYS),
          anyHi = lo < hi ? hi : 0;
  GM_UNROLL
  for (int32_t m = 1; m < TilePairs; m *= 2) {
    allLo = larger(allLo, shuffleXor(allLo, m));
    allHi = smaller(allHi, shuffleXor(allHi, m));
    anyLo = smaller(anyLo, shuffleXor(anyLo, m));
    anyHi = larger(anyHi, shuffleXor(anyHi, m));
  }
  if (pair % TilePairs == 0) {
    const int32_t n = pair / TilePairs;
    c.allLo[n] = allLo, c.allHi[n] = allHi;
    c.anyLo[n] = anyLo, c.anyHi[n] = anyHi;
  }
  GM_UNROLL
  for (int32_t m = TilePairs; m < WarpLanes; m *= 2) {
    anyLo = smaller(anyLo, shuffleXor(anyLo, m));
    anyHi = larger(anyHi, shuffleXor(anyHi, m));
    allLo = larger(allLo, shuffleXor(allLo, m));
    allHi = smaller(allHi, shuffleXor(allHi, m));
  }
  if (pair == 0) {
    c.from = anyLo, c.to = anyHi;
    c.allFrom = allLo, c.allTo = allHi;
  }
}

// Whether some pair of tile `n` sees one of keys [from, to), and all pairs see
// all of them.
GM_INLINE bool anySees(int32_t n, int32_t from, int32_t to) {
  return chunk().anyLo[n] < to && chunk().anyHi[n] > from;
}
GM_INLINE bool allSee(int32_t n, int32_t from, int32_t to) {
  return chunk().allLo[n] <= from && chunk().allHi[n] >= to;
}

//===-- scores ------------------------------------------------------------===//

// Words [word, word + 8) of tile `n`'s pairs as B.
struct Columns {
  uint32_t b[2];
};
GM_INLINE Columns columnsOf(const uint32_t *rows, int32_t stride, int32_t n,
                            int32_t word) {
  const uint32_t *at =
      rows + (n * TilePairs + laneOf() / 4) * stride + word + laneOf() % 4;
  return {{at[0], at[4]}};
}

// Words [word, word + 8) of 32 keys or lanes that lie side by side: rows l / 4
// and 8 + l / 4 of product t are 4 (l / 4) + 2 t and the next.
struct Rows {
  u32x4 low, high;
  struct Product {
    uint32_t a[4];
  };
  GM_LAMBDA Product product(int32_t t) const {
    return t ? Product{{low.z, low.w, high.z, high.w}}
             : Product{{low.x, low.y, high.x, high.y}};
  }
};
GM_INLINE Rows rowsOf(const uint8_t *words, int32_t word) {
  auto *at = reinterpret_cast<const u32x4 *>(words) +
             (word + laneOf() % 4) * (WarpLanes / 4) + laneOf() / 4;
  return {at[0], at[WarpLanes]};
}

// D of both products of tile `n`: the scores of its pairs with 32 keys.
GM_INLINE void storeScores(const float (&d)[2][4], int32_t n, int32_t key) {
  GM_UNROLL
  for (int32_t j = 0; j < 2; ++j)
    *reinterpret_cast<f32x4 *>(weightsOf(n * TilePairs + laneOf() % 4 * 2 + j) +
                               key + laneOf() / 4 * 4) =
        f32x4{d[0][j], d[0][2 + j], d[1][j], d[1][2 + j]};
}

// `Ahead`: products whose keys are read before the first is computed.
template <int Ahead>
GM_INLINE void dotBf16(float (&d)[Tiles][2][4], const uint8_t *keys,
                       const bool (&sees)[Tiles]) {
  for (int32_t word = 0; word < queryWords(); word += 8 * Ahead) {
    Rows k[Ahead];
    GM_UNROLL
    for (int32_t i = 0; i < Ahead; ++i)
      k[i] = rowsOf(keys, word + i * 8);
    GM_UNROLL
    for (int32_t n = 0; n < chunkTiles(); ++n) {
      if (!sees[n])
        continue;
      GM_UNROLL
      for (int32_t i = 0; i < Ahead; ++i) {
        const Columns q = columnsOf(queries(), queryStride(), n, word + i * 8);
        GM_UNROLL
        for (int32_t t = 0; t < 2; ++t)
          multiplyBf16(d[n][t], k[i].product(t).a, q.b);
      }
    }
  }
}

template <bool Few>
GM_INLINE void scoresBf16(const uint8_t *keys, int32_t key,
                          const bool (&sees)[Tiles]) {
  float d[Tiles][2][4] = {};
  if (Few && queryWords() % 32 == 0)
    dotBf16<4>(d, keys, sees);
  else
    dotBf16<2>(d, keys, sees);
  GM_UNROLL
  for (int32_t n = 0; n < chunkTiles(); ++n)
    if (sees[n])
      storeScores(d[n], n, key);
}

// `scales`: of the first block of lanes of the 32 keys.
GM_INLINE void scoresQ8(const uint8_t *keys, const float *scales, int32_t key,
                        const bool (&sees)[Tiles]) {
  const Chunk &c = chunk();
  const int32_t lanes = keyBlock(gm_hd);
  float d[Tiles][2][4] = {};
  for (int32_t block = 0; block < gm_hd / lanes; ++block) {
    int32_t dots[Tiles][2][4];
    GM_UNROLL
    for (int32_t n = 0; n < chunkTiles(); ++n)
      GM_UNROLL
    for (int32_t i = 0; i < 8; ++i)
      dots[n][i / 4][i % 4] = // codes of keys are 128 too large
          -128 * c.querySum[n * TilePairs + laneOf() % 4 * 2 + i % 2][block];
    Rows k[4];
    GM_UNROLL
    for (int32_t i = 0; i < 4; ++i)
      if (i * 32 < lanes)
        k[i] = rowsOf(keys, block * lanes / 4 + i * 8);
    GM_UNROLL
    for (int32_t n = 0; n < chunkTiles(); ++n) {
      if (!sees[n])
        continue;
      GM_UNROLL
      for (int32_t i = 0; i < 4; ++i) {
        if (i * 32 >= lanes)
          break;
        const Columns q =
            columnsOf(queries(), queryStride(), n, block * lanes / 4 + i * 8);
        GM_UNROLL
        for (int32_t t = 0; t < 2; ++t)
          multiplyCodes(dots[n][t], k[i].product(t).a, q.b, dots[n][t]);
      }
    }
    const f32x4 scale = *reinterpret_cast<const f32x4 *>(
        scales + block * GM_PAGE_KEYS + laneOf() / 4 * 4);
    GM_UNROLL
    for (int32_t n = 0; n < chunkTiles(); ++n)
      GM_UNROLL
    for (int32_t i = 0; i < 8; ++i) {
      const float x =
          float(dots[n][i / 4][i % 4]) * scale[i / 4 * 2 + i % 4 / 2];
      d[n][i / 4][i % 4] =
          fma(x, c.queryScale[n * TilePairs + laneOf() % 4 * 2 + i % 2][block],
              d[n][i / 4][i % 4]);
    }
  }
  GM_UNROLL
  for (int32_t n = 0; n < chunkTiles(); ++n)
    if (sees[n])
      storeScores(d[n], n, key);
}

// A lane has a key.
GM_INLINE void scoresF32(const float *keys, int32_t key,
                         const bool (&sees)[Tiles]) {
  const float *k = keys + laneOf() / cacheF32.group * gm_hd * cacheF32.group +
                   laneOf() % cacheF32.group;
  GM_UNROLL
  for (int32_t n = 0; n < chunkTiles(); ++n) {
    if (!sees[n])
      continue;
    float d[TilePairs] = {};
    for (int32_t i = 0; i < gm_hd; i += 4) {
      float number[4];
      GM_UNROLL
      for (int32_t j = 0; j < 4; ++j)
        number[j] = k[(i + j) * cacheF32.group];
      GM_UNROLL
      for (int32_t p = 0; p < TilePairs; ++p) {
        const f32x4 q = *reinterpret_cast<const f32x4 *>(
            queries() + (n * TilePairs + p) * queryStride() + i);
        GM_UNROLL
        for (int32_t j = 0; j < 4; ++j)
          d[p] = fma(q[j], number[j], d[p]);
      }
    }
    GM_UNROLL
    for (int32_t p = 0; p < TilePairs; ++p)
      weightsOf(n * TilePairs + p)[key + laneOf()] = d[p];
  }
}

// The warp's 32 keys of the split, if some pair sees one.
template <Format F, bool Few>
GM_INLINE void scores(const Unit &u, int32_t base) {
  const int32_t key = warpOf() * 32;
  if (key >= chunk().to || key + 32 <= chunk().from)
    return;
  bool sees[Tiles];
  GM_UNROLL
  for (int32_t n = 0; n < chunkTiles(); ++n)
    sees[n] = anySees(n, key, key + 32);
  const uint8_t *page = u.keyPage(base + key);
  const int32_t inPage = key % GM_PAGE_KEYS;
  const uint8_t *keys = page + keyWord(shapeOf<F>, gm_hd, inPage, 0) * 4;
  if constexpr (F == Bf16)
    scoresBf16<Few>(keys, key, sees);
  else if constexpr (F == Q8)
    scoresQ8(
        keys,
        reinterpret_cast<const float *>(page + keyScaleAt(gm_hd, inPage, 0)),
        key, sees);
  else
    scoresF32(reinterpret_cast<const float *>(keys), key, sees);
}

//===-- weights -----------------------------------------------------------===//

// Codes of the products of the two weights of every lane with the values'
// scales, and their scale: page `g` of the split.
GM_INLINE void storeCodes(Chunk &c, int32_t pair, int32_t g, float w0,
                          float w1) {
  const float top = mostOfWarp(larger(w0, w1));
  const float scale = top > 1e-30f ? top * float(1.0 / 255.0) : 0.0f,
              inverse = scale > 0.0f ? 1.0f / scale : 0.0f;
  const uint32_t code0 = bitsOf(fma(w0, inverse, roundingMagic)) & 0xff,
                 code1 = bitsOf(fma(w1, inverse, roundingMagic)) & 0xff;
  reinterpret_cast<uint16_t *>(weightsOf(
      pair))[g * GM_PAGE_KEYS / 2 + laneOf()] = uint16_t(code0 | code1 << 8);
  c.weightScale[pair][g] = scale;
}

// Largest visible score, weights in the cache format in the scores' place and
// their sum, of a pair; a lane has two keys of every page. The sum is that of
// the rounded weights (q8: not rounded).
template <Format F>
GM_INLINE Softmax softmaxOf(const Unit &u, int32_t base, int32_t pair) {
  Chunk &c = chunk();
  const int32_t lo = c.lo[pair], hi = c.hi[pair];
  float *s = weightsOf(pair), w[SplitPages][2], top = GM_LOWEST, sum = 0;
  auto isVisible = [=](int32_t g, int32_t i) GM_LAMBDA {
    const int32_t key = g * GM_PAGE_KEYS + laneOf() * 2 + i;
    return key >= lo && key < hi;
  };
  GM_UNROLL
  for (int32_t g = 0; g < SplitPages; ++g)
    GM_UNROLL
  for (int32_t i = 0; i < 2; ++i) {
    w[g][i] = GM_LOWEST;
    if (isVisible(g, i))
      w[g][i] = s[g * GM_PAGE_KEYS + laneOf() * 2 + i];
    top = larger(top, w[g][i]);
  }
  top = mostOfWarp(top);
  __nvvm_bar_warp_sync(-1); // all scores are read
  GM_UNROLL
  for (int32_t g = 0; g < SplitPages; ++g) {
    float scale[2] = {};
    if (F == Q8 && lo < (g + 1) * GM_PAGE_KEYS && hi > g * GM_PAGE_KEYS) {
      auto *scales = reinterpret_cast<const float *>(
          u.valuePage(base + g * GM_PAGE_KEYS) + valueScaleAt(gm_hd, 0));
      scale[0] = scales[laneOf() * 2], scale[1] = scales[laneOf() * 2 + 1];
    }
    GM_UNROLL
    for (int32_t i = 0; i < 2; ++i) {
      w[g][i] = isVisible(g, i) ? weightOf(w[g][i] - top) : 0.0f;
      if constexpr (F == Bf16)
        w[g][i] = fromBf16(toBf16(w[g][i]));
      sum += w[g][i];
    }
    const int32_t word = g * GM_PAGE_KEYS / 2 + laneOf();
    if constexpr (F == Q8)
      storeCodes(c, pair, g, isVisible(g, 0) ? w[g][0] * scale[0] : 0.0f,
                 isVisible(g, 1) ? w[g][1] * scale[1] : 0.0f);
    else if constexpr (F == Bf16)
      reinterpret_cast<uint32_t *>(s)[word] =
          bitsOf(w[g][0]) >> 16 | (bitsOf(w[g][1]) & 0xffff0000u);
    else
      s[2 * word] = w[g][0], s[2 * word + 1] = w[g][1];
  }
  return {top, sumOfWarp(sum)};
}

template <Format F, bool Few>
GM_INLINE void softmax(const Unit &u, int32_t base) {
  Chunk &c = chunk();
  for (int32_t pair = warpOf(); pair < u.count; pair += Warps) {
    const Softmax part = softmaxOf<F>(u, base, pair);
    if (laneOf() != 0)
      continue;
    c.part[pair] = part;
    if (!Few && takesPart(part.top)) {
      Softmax merged = c.merged[pair];
      c.factors[pair] = mergeSoftmax(merged, part.top, part.sum);
      c.merged[pair] = merged;
    }
  }
  // The columns of the last tile that are no pairs.
  const int32_t pairs = (u.count + TilePairs - 1) / TilePairs * TilePairs;
  for (int32_t pair = u.count + warpOf(); pair < pairs; pair += Warps)
    for (int32_t i = laneOf(); i < GM_SPLIT_KEYS; i += WarpLanes)
      weightsOf(pair)[i] = 0;
}

//===-- values ------------------------------------------------------------===//

// Outputs of a thread: pair and lane of the head of number `i` of tile `n` in
// block `b`.
struct Outputs {
  float o[Blocks][Tiles][8];
};
// Whether some warp has a block `b` of lanes; else it needs no registers.
GM_INLINE bool isBlock(int32_t b) { return b * Warps * 32 < gm_hd; }
template <Format F>
GM_INLINE int32_t outputPair(int32_t n, int32_t i) {
  return n * TilePairs + (F == F32 ? i : laneOf() % 4 * 2 + i % 2);
}
template <Format F>
GM_INLINE int32_t outputLane(int32_t b, int32_t i) {
  return (b * Warps + warpOf()) * 32 +
         (F == F32 ? laneOf() : laneOf() / 4 * 4 + i / 4 * 2 + i % 4 / 2);
}

// Bits of two bf16 values, of keys `key` and the next, that are visible.
GM_INLINE uint32_t visibleBits(int32_t key, int32_t lo, int32_t hi) {
  return (key >= lo && key < hi ? 0xffffu : 0) |
         (key + 1 >= lo && key + 1 < hi ? 0xffff0000u : 0);
}

// 16 keys from `key` on that not all pairs of tile `n` see: once for every run
// of pairs that see the same ones.
GM_INLINE void weighEdge(float (&o)[8], const Rows &v, Columns p, int32_t n,
                         int32_t key) {
  const int32_t *lo = chunk().lo + n * TilePairs,
                *hi = chunk().hi + n * TilePairs;
  for (int32_t pair = 0, next; pair < TilePairs; pair = next) {
    for (next = pair + 1;
         next < TilePairs && lo[next] == lo[pair] && hi[next] == hi[pair];)
      ++next;
    const int32_t first = key + laneOf() % 4 * 2;
    const uint32_t low = visibleBits(first, lo[pair], hi[pair]),
                   high = visibleBits(first + 8, lo[pair], hi[pair]);
    const Rows seen = {v.low & low, v.high & high};
    GM_UNROLL
    for (int32_t t = 0; t < 2; ++t) {
      float d[4];
      GM_UNROLL
      for (int32_t r = 0; r < 4; ++r)
        d[r] = o[t * 4 + r];
      multiplyBf16(d, seen.product(t).a, p.b);
      GM_UNROLL
      for (int32_t r = 0; r < 4; ++r) {
        const int32_t column = laneOf() % 4 * 2 + r % 2;
        if (column >= pair && column < next)
          o[t * 4 + r] = d[r];
      }
    }
  }
}

GM_INLINE Columns weightColumns(int32_t n, int32_t word) {
  return columnsOf(reinterpret_cast<uint32_t *>(weightsOf(0)), WeightStride, n,
                   word);
}

// A page of the split, `values` its words of 32 lanes, `key` its first key.
// `Ahead`: products whose values are read before the first is computed.
template <int Ahead>
GM_INLINE void weighBf16(float (&o)[Tiles][8], const uint8_t *values,
                         int32_t key, int32_t pairs) {
  const Chunk &c = chunk();
  auto multiply = [](float (&o)[8], const Rows &v, Columns p) GM_LAMBDA {
    GM_UNROLL
    for (int32_t t = 0; t < 2; ++t) {
      float d[4];
      GM_UNROLL
      for (int32_t r = 0; r < 4; ++r)
        d[r] = o[t * 4 + r];
      multiplyBf16(d, v.product(t).a, p.b);
      GM_UNROLL
      for (int32_t r = 0; r < 4; ++r)
        o[t * 4 + r] = d[r];
    }
  };
  if (c.allFrom <= key && c.allTo >= key + GM_PAGE_KEYS) {
    GM_UNROLL
    for (int32_t from = 0; from < GM_PAGE_KEYS / 16; from += Ahead) {
      Rows v[Ahead];
      GM_UNROLL
      for (int32_t i = 0; i < Ahead; ++i)
        v[i] = rowsOf(values, (from + i) * 8);
      GM_UNROLL
      for (int32_t n = 0; n < chunkTiles(); ++n) {
        if (n * TilePairs >= pairs)
          continue;
        GM_UNROLL
        for (int32_t i = 0; i < Ahead; ++i)
          multiply(o[n], v[i], weightColumns(n, key / 2 + (from + i) * 8));
      }
    }
    return;
  }
#pragma clang loop unroll(disable)
  for (int32_t i = key; i < key + GM_PAGE_KEYS; i += 16) {
    if (i >= c.to || i + 16 <= c.from)
      continue;
    const Rows v = rowsOf(values, (i - key) / 2);
    GM_UNROLL
    for (int32_t n = 0; n < chunkTiles(); ++n) {
      if (!anySees(n, i, i + 16))
        continue;
      const Columns p = weightColumns(n, i / 2);
      if (allSee(n, i, i + 16))
        multiply(o[n], v, p);
      else
        weighEdge(o[n], v, p, n, i);
    }
  }
}

// The same; keys that a pair does not see have weights of 0.
GM_INLINE void weighQ8(float (&o)[Tiles][8], const uint8_t *values, int32_t key,
                       int32_t pairs) {
  const Chunk &c = chunk();
  enum { Steps = GM_PAGE_KEYS / 32 };
  int32_t dots[Tiles][2][4] = {};
  Rows v[Steps];
  GM_UNROLL
  for (int32_t i = 0; i < Steps; ++i)
    v[i] = rowsOf(values, i * 8);
  GM_UNROLL
  for (int32_t n = 0; n < chunkTiles(); ++n) {
    if (n * TilePairs >= pairs)
      continue;
    GM_UNROLL
    for (int32_t i = 0; i < Steps; ++i) {
      const Columns p = weightColumns(n, key / 4 + i * 8);
      GM_UNROLL
      for (int32_t t = 0; t < 2; ++t)
        multiplySigned(dots[n][t], v[i].product(t).a, p.b, dots[n][t]);
    }
  }
  GM_UNROLL
  for (int32_t n = 0; n < chunkTiles(); ++n) {
    if (n * TilePairs >= pairs)
      continue;
    GM_UNROLL
    for (int32_t i = 0; i < 8; ++i)
      o[n][i] =
          fma(float(dots[n][i / 4][i % 4]),
              c.weightScale[outputPair<Q8>(n, i)][key / GM_PAGE_KEYS], o[n][i]);
  }
}

// A lane has a lane of the head.
GM_INLINE void weighF32(float (&o)[Tiles][8], const float *values,
                        int32_t key) {
  const Chunk &c = chunk();
  values += laneOf() / cacheF32.group * GM_PAGE_KEYS * cacheF32.group +
            laneOf() % cacheF32.group;
  for (int32_t i = 0; i < GM_PAGE_KEYS; i += 4) {
    if (key + i >= c.to || key + i + 4 <= c.from)
      continue;
    float v[4];
    GM_UNROLL
    for (int32_t j = 0; j < 4; ++j)
      v[j] = values[(i + j) * cacheF32.group];
    GM_UNROLL
    for (int32_t n = 0; n < chunkTiles(); ++n) {
      if (!anySees(n, key + i, key + i + 4))
        continue;
      const bool all = allSee(n, key + i, key + i + 4);
      GM_UNROLL
      for (int32_t p = 0; p < TilePairs; ++p) {
        const int32_t pair = n * TilePairs + p;
        const f32x4 w =
            *reinterpret_cast<const f32x4 *>(weightsOf(pair) + key + i);
        GM_UNROLL
        for (int32_t j = 0; j < 4; ++j)
          if (all || (key + i + j >= c.lo[pair] && key + i + j < c.hi[pair]))
            o[n][p] = fma(w[j], v[j], o[n][p]);
      }
    }
  }
}

template <Format F>
GM_INLINE void values(Outputs &out, const Unit &u, int32_t base) {
  const Chunk &c = chunk();
  GM_UNROLL
  for (int32_t b = 0; b < Blocks; ++b) {
    GM_UNROLL
    for (int32_t n = 0; n < chunkTiles(); ++n)
      GM_UNROLL
    for (int32_t i = 0; i < 8; ++i)
      out.o[b][n][i] = 0;
    if (!isBlock(b))
      continue;
    const int32_t block = b * Warps + warpOf();
    if (block * 32 >= gm_hd)
      continue;
    for (int32_t key = c.from / GM_PAGE_KEYS * GM_PAGE_KEYS; key < c.to;
         key += GM_PAGE_KEYS) {
      const uint8_t *page =
          u.valuePage(base + key) +
          valueElement(shapeOf<F>, 0, block * 32) * shapeOf<F>.bytes;
      if constexpr (F == Bf16)
        weighBf16<2>(out.o[b], page, key, u.count);
      else if constexpr (F == Q8)
        weighQ8(out.o[b], page, key, u.count);
      else
        weighF32(out.o[b], reinterpret_cast<const float *>(page), key);
    }
  }
}

template <Format F>
GM_INLINE void mergeOutputs(Outputs &merged, const Outputs &part) {
  const Chunk &c = chunk();
  GM_UNROLL
  for (int32_t n = 0; n < chunkTiles(); ++n)
    GM_UNROLL
  for (int32_t i = 0; i < 8; ++i) {
    const int32_t pair = outputPair<F>(n, i);
    if (!takesPart(c.part[pair].top))
      continue;
    const MergeFactors f = c.factors[pair];
    GM_UNROLL
    for (int32_t b = 0; b < Blocks; ++b) {
      if (isBlock(b))
        merged.o[b][n][i] = mergeOutput(merged.o[b][n][i], part.o[b][n][i], f);
    }
  }
}

// Into shared memory, where queries and weights were.
template <Format F>
GM_INLINE void storeOutputs(const Outputs &out, int32_t count) {
  syncBlock();
  GM_UNROLL
  for (int32_t b = 0; b < Blocks; ++b)
    GM_UNROLL
  for (int32_t n = 0; n < chunkTiles(); ++n)
    GM_UNROLL
  for (int32_t i = 0; i < 8; ++i)
    if (outputPair<F>(n, i) < count && outputLane<F>(b, i) < gm_hd)
      outputsOf(outputPair<F>(n, i))[outputLane<F>(b, i)] = out.o[b][n][i];
  syncBlock();
}

//===-- splits ------------------------------------------------------------===//

// The split before is done; queries may still be on their way.
template <Format F, bool Few>
GM_INLINE void split(Outputs &out, const Unit &u, int32_t base) {
  if (warpOf() == 0)
    findBounds(u, base);
  syncBlock();
  scores<F, Few>(u, base);
  syncBlock();
  softmax<F, Few>(u, base);
  syncBlock();
  values<F>(out, u, base);
}

// Queries as family rope_q has left them.
struct StoredQueries {
  const uint8_t *q;
  template <Format F>
  GM_LAMBDA void prepare(const Operands &, const gm_split &, int32_t) const {}
  template <Format F>
  GM_LAMBDA void load(const Unit &u) const {
    loadQueries<F>(u, q);
  }
};

// Unit = (split, K/V head): partials o [H][hd], m [H], l [H] of (row, part).
// `queries` prepare a unit, for who comes behind a barrier, and load the
// queries of a chunk.
template <Format F, class Queries>
GM_INLINE void few(const Operands &x, int32_t unit, const Queries &queries) {
  const int32_t kvHeads = gm_heads / gm_group;
  const gm_split piece = x.pieces[unit / kvHeads];
  Unit &u = sharedUnit();
  if (threadOf() == 0) {
    u = unitOf<F>(x, piece.tile, unit % kvHeads);
    setChunk(u, 0);
  }
  queries.template prepare<F>(x, piece, unit % kvHeads);
  syncBlock();
  for (int32_t first = 0; first < unitPairs(u); first += chunkPairs()) {
    if (first > 0)
      nextChunk(u, first);
    queries.template load<F>(u);
    Outputs out;
    split<F, true>(out, u, piece.key0 / GM_SPLIT_KEYS * GM_SPLIT_KEYS);
    storeOutputs<F>(out, u.count);
    for (int32_t pair = warpOf(); pair < u.count; pair += Warps) {
      const int32_t h = u.headOf(pair);
      float *to =
          reinterpret_cast<float *>(x.y) +
          (int64_t(u.tile.row0 + u.rowOf(pair)) * x.maxSplits + piece.part) *
              gm_heads * (gm_hd + 2);
      for (int32_t d = laneOf(); d < gm_hd; d += WarpLanes)
        to[h * gm_hd + d] = outputsOf(pair)[d];
      if (laneOf() == 0) {
        to[gm_heads * gm_hd + h] = chunk().part[pair].top;
        to[gm_heads * (gm_hd + 1) + h] = chunk().part[pair].sum;
      }
    }
  }
}

// Unit = (tile, K/V head): y [H][hd].
template <Format F>
GM_INLINE void many(const Operands &x, int32_t unit) {
  const int32_t kvHeads = gm_heads / gm_group;
  Unit &u = sharedUnit();
  if (threadOf() == 0) {
    u = unitOf<F>(x, unit / kvHeads, unit % kvHeads);
    setChunk(u, 0);
  }
  syncBlock();
  for (int32_t first = 0; first < unitPairs(u); first += chunkPairs()) {
    if (first > 0)
      nextChunk(u, first);
    loadQueries<F>(u, x.q);
    if (threadOf() < ChunkPairs) {
      chunk().merged[threadOf()] = {GM_LOWEST, 0};
      chunk().part[threadOf()] = {GM_LOWEST, 0};
    }
    Outputs merged = {};
    const int32_t last = u.lastKey(u.rowOf(u.count - 1));
    const int32_t begin =
        u.firstKey(u.rowOf(0)) / GM_SPLIT_KEYS * GM_SPLIT_KEYS;
    for (int32_t base = begin; base <= last; base += GM_SPLIT_KEYS) {
      if (base > begin)
        syncBlock(); // the split before is done
      Outputs part;
      split<F, false>(part, u, base);
      mergeOutputs<F>(merged, part);
    }
    storeOutputs<F>(merged, u.count);
    for (int32_t pair = warpOf(); pair < u.count; pair += Warps) {
      uint8_t *to =
          x.y + (u.tile.row0 + u.rowOf(pair)) *
                    rowBytes(gm_act_q8, gm_act_bf16, int64_t(gm_heads) * gm_hd);
      for (int32_t d = laneOf(); d < gm_hd; d += WarpLanes)
        storeElement(gm_act_q8, gm_act_bf16, to, u.headOf(pair) * gm_hd + d,
                     outputsOf(pair)[d] / chunk().merged[pair].sum);
    }
  }
}

template <bool Few, class Queries>
GM_INLINE void attend(const Operands &x, const gm_numbers *step, int32_t begin,
                      int32_t end, const Queries &queries) {
  if (gm_hd > MostLanes) // no registers for more
    __builtin_trap();
  waitForLaunches();
  const int32_t unit = begin + blockX();
  const int32_t units =
      (Few ? step->splits[gm_window > 0 ? GM_LOCAL : GM_GLOBAL] : step->tiles) *
      (gm_heads / gm_group);
  if (unit >= end || unit >= units)
    return;
  auto run = [&]<Format F>() GM_LAMBDA {
    if constexpr (Few)
      few<F>(x, unit, queries);
    else
      many<F>(x, unit);
  };
  if (gm_cache_q8)
    run.template operator()<Q8>();
  else if (gm_cache_bf16)
    run.template operator()<Bf16>();
  else
    run.template operator()<F32>();
}
template <bool Few>
GM_INLINE void attend(const Operands &x, const gm_numbers *step, int32_t begin,
                      int32_t end) {
  attend<Few>(x, step, begin, end, StoredQueries{x.q});
}

} // namespace

#endif
