// Family attend_all: attention of a picture, whose rows all see each other. The
// rows of the tiles of a call are taken head by head, up to ChunkRows at a
// time, so that pages come out of the caches seldom; a row's bits depend on
// neither.
//
// Products and weights are f32: bf16 pages are widened in registers, once for
// all rows of a register tile. Machines that have a dot product of bf16 pairs
// make at most half of the f32 products with it (measured with avx512:
// vdpbf16ps starts every second cycle, two fma every cycle).
#include "codegen/kernels/pairs.h"
#include "codegen/kernels/vectors.h"

extern "C" {
extern const int32_t gm_heads, gm_hd, gm_cache_bf16, gm_act_bf16, gm_act_q8;
}

namespace {

constexpr int32_t ChunkRows = 64;

GM_INLINE int32_t headLanes() { return roundUp(gm_hd, 32); }
// Of vectors of 16 lanes.
GM_INLINE int32_t headVectors() { return roundUp(gm_hd, 16) / 16; }

struct Operands {
  const uint8_t *q, *k, *v;
  uint8_t *y;
  int32_t rows;
};

// Rows of one head.
struct Chunk {
  int32_t head, count;
  int32_t rows[ChunkRows];
  float *q, *s, *o; // [count][headLanes], [count][256], [count][headLanes]
  // Largest score and sum of the weights, of all keys before and of a split;
  // factors of the outputs before and of the split's.
  float top[ChunkRows], sum[ChunkRows], partTop[ChunkRows], partSum[ChunkRows],
      byOld[ChunkRows], byPart[ChunkRows];
};

// acc += the numbers of a word of `from`, of format bf16 two that belong to
// by[0] and by[1] of each row, rows `apart` numbers from one another.
template <bool Bf16, int N, int V>
GM_INLINE void addWord(f32x16 (&acc)[N][V], const uint32_t *from,
                       int32_t vectorsApart, const float *by, int32_t apart) {
  f32x16 first[V], second[V];
  GM_UNROLL
  for (int32_t j = 0; j < V; ++j) {
    const u32x16 word = load<u32x16>(from + j * vectorsApart);
    first[j] = __builtin_bit_cast(f32x16, Bf16 ? word << 16 : word);
    second[j] = __builtin_bit_cast(f32x16, word & 0xffff0000u);
  }
  GM_UNROLL
  for (int32_t i = 0; i < N; ++i) {
    GM_UNROLL
    for (int32_t j = 0; j < V; ++j)
      acc[i][j] = fma(first[j], f32x16(by[i * apart]), acc[i][j]);
    if constexpr (Bf16)
      GM_UNROLL
    for (int32_t j = 0; j < V; ++j)
      acc[i][j] = fma(second[j], f32x16(by[i * apart + 1]), acc[i][j]);
  }
}

template <bool Bf16>
constexpr const CacheShape &shapeOf = Bf16 ? cacheBf16 : cacheF32;

// Scores of N rows with 32 keys.
template <bool Bf16, int N>
GM_INLINE void score(const float *q, const uint32_t *k, float *s) {
  constexpr int32_t perWord = shapeOf<Bf16>.perWord, step = shapeOf<Bf16>.group;
  const int32_t apart = keyWord(shapeOf<Bf16>, headLanes(), 16, 0);
  for (int32_t v = 0; v < 2; v += GM_VECTORS) {
    f32x16 acc[N][GM_VECTORS] = {};
    for (int32_t w = 0; w < roundUp(gm_hd, perWord) / perWord; ++w)
      addWord<Bf16>(acc, k + v * apart + w * step, apart, q + w * perWord,
                    headLanes());
    GM_UNROLL
    for (int32_t i = 0; i < N; ++i)
      GM_UNROLL
    for (int32_t j = 0; j < GM_VECTORS; ++j)
      store(s + i * GM_SPLIT_KEYS + (v + j) * 16, acc[i][j]);
  }
}

// Scores of vectors that end behind the last key.
GM_INLINE f32x16 visible(f32x16 score, Whole) { return score; }
GM_INLINE f32x16 visible(f32x16 score, Part part) {
  return counting() < part.lanes ? score : f32x16(GM_LOWEST);
}

// Makes scores of `keys` keys weights; of what is behind them 0.
GM_INLINE Softmax weights(float *s, int32_t keys) {
  f32x16 most = GM_LOWEST;
  forVectors(keys, [&](int32_t k, auto lanes) GM_LAMBDA {
    most = larger(most, visible(load<f32x16>(s + k), lanes));
  });
  const float top = maxLanes(most);
  f32x16 sum = 0;
  forVectors(keys, [&](int32_t k, auto lanes) GM_LAMBDA {
    const f32x16 w = only(weightOf(load<f32x16>(s + k) - top), lanes);
    store(s + k, w);
    sum += w;
  });
  return {top, sumLanes(sum)};
}

// Merges the parts of all rows, 16 rows at a time (as mergeSoftmax does one).
GM_INLINE void mergeParts(Chunk &c) {
  for (int32_t i = 0; i < c.count; i += 16) {
    const f32x16 old = load<f32x16>(c.top + i),
                 part = load<f32x16>(c.partTop + i);
    const f32x16 largest = larger(old, part);
    const f32x16 byOld = weightOf(old - largest),
                 byPart = weightOf(part - largest);
    store(c.top + i, largest);
    store(c.sum + i, fma(load<f32x16>(c.partSum + i), byPart,
                         load<f32x16>(c.sum + i) * byOld));
    store(c.byOld + i, byOld);
    store(c.byPart + i, byPart);
  }
}

// Vectors [vector, vector + V) of the outputs of N rows: the values of `keys`
// keys, merged into what was there. `page`: bytes from one page to the next.
template <bool Bf16, int N, int V>
GM_INLINE void weigh(const Chunk &c, int32_t row, const uint8_t *v,
                     int64_t page, int32_t vector, int32_t keys) {
  constexpr int32_t perWord = shapeOf<Bf16>.perWord, step = shapeOf<Bf16>.group;
  const int32_t from = valueElement(shapeOf<Bf16>, 0, vector * 16) / perWord,
                apart = valueElement(shapeOf<Bf16>, 0, 16) / perWord;
  f32x16 acc[N][V] = {};
  const float *by = c.s + row * GM_SPLIT_KEYS;
  for (int32_t key = 0; key < keys; key += GM_PAGE_KEYS, v += page) {
    const uint32_t *values = reinterpret_cast<const uint32_t *>(v) + from;
    const int32_t words =
        roundUp(smaller(keys - key, GM_PAGE_KEYS), perWord) / perWord;
    for (int32_t w = 0; w < words; ++w)
      addWord<Bf16>(acc, values + w * step, apart, by + key + w * perWord,
                    GM_SPLIT_KEYS);
  }
  GM_UNROLL
  for (int32_t i = 0; i < N; ++i)
    GM_UNROLL
  for (int32_t j = 0; j < V; ++j) {
    float *o = c.o + (row + i) * headLanes() + (vector + j) * 16;
    store(o, mergeOutputs(load<f32x16>(o), acc[i][j],
                          {c.byOld[row + i], c.byPart[row + i]}));
  }
}

// Merges keys [base, base + keys) into c.o, c.merged. `k`, `v`: their first
// page.
template <bool Bf16>
GM_INLINE void split(Chunk &c, const uint8_t *k, const uint8_t *v,
                     int64_t kBytes, int64_t vBytes, int32_t keys) {
  for (int32_t key = 0; key < keys; key += 32) {
    const uint32_t *from =
        reinterpret_cast<const uint32_t *>(k + key / GM_PAGE_KEYS * kBytes) +
        keyWord(shapeOf<Bf16>, headLanes(), key % GM_PAGE_KEYS, 0);
    forPairs(c.count, [&](auto n, int32_t i) GM_LAMBDA {
      score<Bf16, decltype(n)::value>(c.q + i * headLanes(), from,
                                      c.s + i * GM_SPLIT_KEYS + key);
    });
  }
  for (int32_t i = 0; i < c.count; ++i) {
    const Softmax part = weights(c.s + i * GM_SPLIT_KEYS, keys);
    c.partTop[i] = part.top, c.partSum[i] = part.sum;
  }
  mergeParts(c);
  for (int32_t b = 0; b < headVectors(); b += GM_VECTORS)
    forPairs(c.count, [&](auto n, int32_t i) GM_LAMBDA {
      constexpr int N = decltype(n)::value;
      if (b + GM_VECTORS <= headVectors())
        weigh<Bf16, N, GM_VECTORS>(c, i, v, vBytes, b, keys);
      else
        weigh<Bf16, N, 1>(c, i, v, vBytes, b, keys);
    });
}

template <bool Bf16>
GM_INLINE void takeQueries(Chunk &c, const uint8_t *q) {
  for (int32_t i = 0; i < c.count; ++i) {
    const int64_t at = (int64_t(c.rows[i]) * gm_heads + c.head) * headLanes();
    for (int32_t d = 0; d < headLanes(); d += 16)
      store(c.q + i * headLanes() + d,
            Bf16 ? fromBf16(load<u16x16>(q + (at + d) * 2))
                 : load<f32x16>(q + (at + d) * 4));
  }
}

// y of a head, whose columns are no whole vectors in every row.
GM_INLINE void storeHead(uint8_t *y, int32_t head, float *o, float sum) {
  for (int32_t d = 0; d < gm_hd; d += 16)
    store(o + d, load<f32x16>(o + d) / sum);
  if (gm_act_q8)
    return storeRow(1, 0, y + rowBytes(1, 0, head * gm_hd), o, gm_hd);
  forVectors(gm_hd, [&](int32_t d, auto lanes) GM_LAMBDA {
    const int64_t at = head * gm_hd + d;
    if (gm_act_bf16)
      put(reinterpret_cast<uint16_t *>(y) + at, load<f32x16>(o + d), lanes);
    else
      put(reinterpret_cast<float *>(y) + at, load<f32x16>(o + d), lanes);
  });
}

template <bool Bf16>
GM_INLINE void attend(Chunk &c, const Operands &x) {
  takeQueries<Bf16>(c, x.q);
  for (int32_t i = 0; i < ChunkRows; ++i) // vectors of rows may end behind them
    c.top[i] = c.partTop[i] = GM_LOWEST, c.sum[i] = c.partSum[i] = 0;
  for (int32_t i = 0; i < c.count * headLanes(); i += 16)
    store(c.o + i, f32x16(0));
  const int64_t kHead = keyPageBytes(shapeOf<Bf16>, headLanes()),
                vHead = valuePageBytes(shapeOf<Bf16>, headLanes());
  for (int32_t base = 0; base < x.rows; base += GM_SPLIT_KEYS) {
    const int64_t page = int64_t(base / GM_PAGE_KEYS) * gm_heads + c.head;
    split<Bf16>(c, x.k + page * kHead, x.v + page * vHead, kHead * gm_heads,
                vHead * gm_heads, smaller(x.rows - base, GM_SPLIT_KEYS));
  }
  const int64_t stride = rowBytes(gm_act_q8, gm_act_bf16, gm_heads * gm_hd);
  for (int32_t i = 0; i < c.count; ++i)
    storeHead(x.y + c.rows[i] * stride, c.head, c.o + i * headLanes(),
              c.sum[i]);
}

// Unit = (tile, head), tile-major.
template <bool Bf16>
GM_INLINE void units(const Operands &x, const gm_tile *tile, int32_t begin,
                     int32_t end) {
  Chunk c;
  c.q = GM_WORDS(float, ChunkRows *headLanes());
  c.s = GM_WORDS(float, ChunkRows *GM_SPLIT_KEYS);
  c.o = GM_WORDS(float, ChunkRows *headLanes());
  for (c.head = 0; c.head < gm_heads; ++c.head) {
    c.count = 0;
    // The first of the units of this head.
    int32_t unit = begin + (c.head + gm_heads - begin % gm_heads) % gm_heads;
    for (; unit < end; unit += gm_heads) {
      const gm_tile &t = tile[unit / gm_heads];
      for (int32_t i = 0; i < t.rows; ++i)
        c.rows[c.count++] = t.row0 + i;
      const bool last = end - unit <= gm_heads;
      if (last || c.count + GM_TILE_ROWS > ChunkRows)
        attend<Bf16>(c, x), c.count = 0;
    }
  }
}

} // namespace

extern "C" void gm_many(const uint8_t *q, const uint8_t *k, const uint8_t *v,
                        const gm_tile *tile, uint8_t *y, int32_t rows,
                        int32_t begin, int32_t end) {
  if (gm_cache_bf16)
    units<true>({q, k, v, y, rows}, tile, begin, end);
  else
    units<false>({q, k, v, y, rows}, tile, begin, end);
}
