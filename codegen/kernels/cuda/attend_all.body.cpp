// Family attend_all: attention of a picture, whose rows all see each other. A
// block does a tile of rows of a head, splits of GM_SPLIT_KEYS keys one after
// the other: scores with a key each thread, weights with rows each warp, then
// values with a lane each thread, whose keys are divided in `Groups`, added in
// ascending order. All of it in f32.
#include "codegen/kernels/cuda/device.h"

extern "C" {
extern const int32_t gm_heads, gm_hd, gm_cache_bf16, gm_act_bf16, gm_act_q8;
}

namespace {

constexpr int32_t Threads = GM_SPLIT_KEYS, Warps = Threads / WarpLanes,
                  RowsOfWarp = GM_TILE_ROWS / Warps;

GM_INLINE int32_t headLanes() { return int32_t(paddedColumns(gm_hd)); }
// Groups of threads that have all lanes each.
GM_INLINE int32_t groups() {
  return headLanes() <= 32    ? 8
         : headLanes() <= 64  ? 4
         : headLanes() <= 128 ? 2
                              : 1;
}

// Shared memory: queries and sums [rows][lanes], weights [rows][keys], values
// of a group [rows][lanes], and of a row the factors of a merge.
enum : int32_t { Factors = 4 };
GM_INLINE int32_t sharedFloats() {
  return GM_TILE_ROWS *
         ((1 + groups()) * headLanes() + GM_SPLIT_KEYS + Factors);
}

struct Memory {
  float *queries, *weights, *values, *factors;
};
GM_INLINE Memory memory() {
  auto *m = reinterpret_cast<float *>(sharedMemory());
  float *weights = m + GM_TILE_ROWS * headLanes(),
        *values = weights + GM_TILE_ROWS * GM_SPLIT_KEYS;
  return {m, weights, values, values + groups() * GM_TILE_ROWS * headLanes()};
}

template <bool Bf16>
constexpr const CacheShape &shapeOf = Bf16 ? cacheBf16 : cacheF32;

// acc[r] += the numbers of a word, of bf16 two, times by[r * apart + ..].
template <bool Bf16>
GM_INLINE void addWord(float (&acc)[GM_TILE_ROWS], uint32_t word,
                       const float *by, int32_t apart) {
  GM_UNROLL for (int32_t r = 0; r < GM_TILE_ROWS; ++r) {
    acc[r] = fma(asFloat(Bf16 ? word << 16 : word), by[r * apart], acc[r]);
    if constexpr (Bf16)
      acc[r] = fma(asFloat(word & 0xffff0000u), by[r * apart + 1], acc[r]);
  }
}

// weights[r][key] = scores of the tile's rows with the key of this thread.
template <bool Bf16>
GM_INLINE void score(const Memory &m, const uint8_t *k, int64_t page,
                     int32_t keys) {
  constexpr const CacheShape &c = shapeOf<Bf16>;
  const int32_t key = threadOf();
  if (key >= keys)
    return;
  const auto *words =
      reinterpret_cast<const uint32_t *>(k + key / GM_PAGE_KEYS * page) +
      keyWord(c, headLanes(), key % GM_PAGE_KEYS, 0);
  float acc[GM_TILE_ROWS] = {};
  for (int32_t w = 0; w < headLanes() / c.perWord; ++w)
    addWord<Bf16>(acc, words[w * c.group], m.queries + w * c.perWord,
                  headLanes());
  GM_UNROLL for (int32_t r = 0; r < GM_TILE_ROWS; ++r)
      m.weights[r * GM_SPLIT_KEYS + key] = acc[r];
}

// Makes scores of row `r` weights, 0 behind the last key, and merges their
// softmax into `all`.
GM_INLINE void weigh(const Memory &m, int32_t r, int32_t keys, Softmax &all) {
  float *s = m.weights + r * GM_SPLIT_KEYS;
  float top = GM_LOWEST, sum = 0;
  for (int32_t k = laneOf(); k < keys; k += WarpLanes)
    top = larger(top, s[k]);
  top = mostOfWarp(top);
  for (int32_t k = laneOf(); k < GM_SPLIT_KEYS; k += WarpLanes) {
    const float w = k < keys ? weightOf(s[k] - top) : 0;
    s[k] = w;
    sum += w;
  }
  const MergeFactors f = mergeSoftmax(all, top, sumOfWarp(sum));
  if (laneOf() == 0) {
    float *of = m.factors + r * Factors;
    of[0] = f.old, of[1] = f.part, of[2] = all.sum;
  }
}

// values[group][r][lane] = the weighted values of the group's keys.
template <bool Bf16>
GM_INLINE void addValues(const Memory &m, const uint8_t *v, int64_t page,
                         int32_t keys) {
  constexpr const CacheShape &c = shapeOf<Bf16>;
  const int32_t each = GM_SPLIT_KEYS / groups(), lanes = Threads / groups(),
                lane = threadOf() % lanes, group = threadOf() / lanes,
                first = group * each, last = smaller(first + each, keys);
  if (lane >= headLanes())
    return;
  float acc[GM_TILE_ROWS] = {};
  for (int32_t key = first; key < last; key += c.perWord) {
    const auto *words =
        reinterpret_cast<const uint32_t *>(v + key / GM_PAGE_KEYS * page);
    addWord<Bf16>(acc,
                  words[valueElement(c, key % GM_PAGE_KEYS, lane) / c.perWord],
                  m.weights + key, GM_SPLIT_KEYS);
  }
  GM_UNROLL for (int32_t r = 0; r < GM_TILE_ROWS; ++r)
      m.values[(group * GM_TILE_ROWS + r) * headLanes() + lane] = acc[r];
}

// What this thread has of [rows][lanes].
constexpr int32_t MostOwn = GM_TILE_ROWS;

template <bool Bf16>
GM_INLINE void attend(const uint8_t *q, const uint8_t *k, const uint8_t *v,
                      gm_tile tile, int32_t head, uint8_t *y, int32_t rows) {
  constexpr const CacheShape &c = shapeOf<Bf16>;
  const Memory m = memory();
  const int32_t numbers = GM_TILE_ROWS * headLanes();
  for (int32_t i = threadOf(); i < numbers; i += Threads) {
    const int32_t r = i / headLanes();
    const int64_t at =
        (int64_t(tile.row0 + r) * gm_heads + head) * headLanes() +
        i % headLanes();
    m.queries[i] = r >= tile.rows ? 0
                   : Bf16 ? fromBf16(reinterpret_cast<const uint16_t *>(q)[at])
                          : reinterpret_cast<const float *>(q)[at];
  }
  float out[MostOwn] = {};
  Softmax all[RowsOfWarp];
  GM_UNROLL for (int32_t i = 0; i < RowsOfWarp; ++i) all[i] = {GM_LOWEST, 0};
  const int64_t bytes = keyPageBytes(c, headLanes()), page = bytes * gm_heads;
  for (int32_t base = 0; base < rows; base += GM_SPLIT_KEYS) {
    const int64_t at = base / GM_PAGE_KEYS * page + head * bytes;
    const int32_t keys = smaller(rows - base, GM_SPLIT_KEYS);
    syncBlock();
    score<Bf16>(m, k + at, page, keys);
    syncBlock();
    GM_UNROLL for (int32_t i = 0; i < RowsOfWarp; ++i)
        weigh(m, warpOf() + i * Warps, keys, all[i]);
    syncBlock();
    addValues<Bf16>(m, v + at, page, keys);
    syncBlock();
    GM_UNROLL for (int32_t j = 0; j < MostOwn; ++j) {
      const int32_t i = threadOf() + j * Threads;
      if (i >= numbers)
        continue;
      float part = m.values[i];
      for (int32_t g = 1; g < groups(); ++g)
        part += m.values[g * numbers + i];
      const float *of = m.factors + i / headLanes() * Factors;
      out[j] = fma(part, of[1], out[j] * of[0]);
    }
  }
  const int64_t stride = rowBytes(gm_act_q8, gm_act_bf16, gm_heads * gm_hd);
  GM_UNROLL for (int32_t j = 0; j < MostOwn; ++j) {
    const int32_t i = threadOf() + j * Threads, r = i / headLanes(),
                  d = i % headLanes();
    if (i < numbers && r < tile.rows && d < gm_hd)
      storeElement(gm_act_q8, gm_act_bf16, y + (tile.row0 + r) * stride,
                   head * gm_hd + d, out[j] / m.factors[r * Factors + 2]);
  }
}

} // namespace

// Unit = (tile, head), tile-major.
GM_ENTRY(gm_body, Threads, sharedFloats() * int32_t(sizeof(float)), 1, 0)
(const uint8_t *q, const uint8_t *k, const uint8_t *v, const gm_tile *tiles,
 uint8_t *y, const gm_numbers *step, int32_t begin, int32_t end) {
  waitForLaunches();
  const int32_t unit = begin + blockX();
  if (unit >= end || unit / gm_heads >= step->tiles)
    return;
  const gm_tile tile = tiles[unit / gm_heads];
  if (gm_cache_bf16)
    attend<true>(q, k, v, tile, unit % gm_heads, y, step->rows);
  else
    attend<false>(q, k, v, tile, unit % gm_heads, y, step->rows);
}
