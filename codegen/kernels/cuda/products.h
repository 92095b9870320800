// How a block of threads multiplies groups of 16 outputs with rows: few rows
// with k divided among its warps, and many in tiles. Freestanding, for body
// files only; must not know what families make of the sums.
//
// A row's sums have the same bits in both and whatever the other rows are: k is
// cut into ranges, which depend on k and the format alone; each is summed in
// order, and ranges are added in ascending order.
#ifndef GEMMAC_CODEGEN_KERNELS_CUDA_PRODUCTS_H
#define GEMMAC_CODEGEN_KERNELS_CUDA_PRODUCTS_H

#include "codegen/kernels/cuda/formats.h"

//===-- ranges of k -------------------------------------------------------===//

template <class P>
GM_INLINE int32_t steps() {
  return (P::k() + P::StepK - 1) / P::StepK;
}
// None of them is empty. Equal ones if they are as long as the longest of most
// ranges: fewer warps take as long, and registers for unequal counts are
// spared.
template <class P>
GM_INLINE int32_t ranges() {
  const int32_t most = smaller(steps<P>(), P::MostRanges),
                each = (steps<P>() + most - 1) / most;
  return steps<P>() % each == 0 ? steps<P>() / each : most;
}
template <class P>
GM_INLINE int32_t rangeBegin(int32_t range) {
  return steps<P>() * range / ranges<P>();
}
template <class P>
GM_INLINE int32_t longestRange() {
  return (steps<P>() + ranges<P>() - 1) / ranges<P>();
}
// Equal ranges are known when a body is compiled; of others, that one more step
// is all they differ by, which spares most guards.
template <class P>
GM_INLINE int32_t rangeSteps(int32_t range) {
  const int32_t least = steps<P>() / ranges<P>();
  if (steps<P>() % ranges<P>() == 0)
    return least;
  const int32_t count = rangeBegin<P>(range + 1) - rangeBegin<P>(range);
  __builtin_assume(count >= least && count <= least + 1);
  return count;
}

// Bytes from a group to the next, of either matrix.
template <class P>
GM_INLINE int64_t groupBytes() {
  return P::weightBytes() + P::TailBytes;
}
template <class P>
GM_INLINE int64_t lowGroupBytes() {
  return int64_t(steps<P>()) * P::LowBytes;
}
template <class P>
GM_INLINE Group groupAt(const uint8_t *w, const uint8_t *low, int64_t number) {
  return {w + number * groupBytes<P>(), low + number * lowGroupBytes<P>()};
}

// What a product does when its weights are asked for and before it reads rows:
// nothing else but to wait: they lie in the arena. Called by all threads of
// class few.
struct RowsAreThere {
  GM_LAMBDA void operator()() const { waitForLaunches(); }
};

//===-- a warp ------------------------------------------------------------===//

// Steps of which a warp holds the weights of G groups at once.
template <class P, int32_t G>
constexpr int32_t ahead = P::MostHeld > G ? P::MostHeld / G : 1;

// Bytes of a warp's memory for L rows, and the steps of them that fit: what 16
// steps of 8 rows of codes take, so that k = 4096 is staged at once, else 12,
// with which ptxas gets along in the registers that there are.
template <class P, int32_t L, int32_t G>
GM_INLINE int32_t warpBytes() {
  constexpr int32_t step = P::StagedBytes * L;
  const int32_t all = longestRange<P>() * step, once = ahead<P, G> * step,
                most = all <= 5120 ? 5120 : 4096;
  return larger(larger(smaller(all, most), once), L * G * groupRows * 4);
}

// Adds the steps [begin, begin + count) of k to acc. Row r < `rows` is at
// rowAt(r); with M = 1 group j has row j alone (Own) or all have row 0, as if
// it were all 8 rows. `memory`: warpBytes of L rows, this warp's, free. What is
// computed of rows that are not there is anything.
//
// Weights are read before anything else is: nobody writes them.
template <class P, int32_t M, int32_t L, int32_t G, bool Own, class RowAt,
          class Ready = RowsAreThere>
GM_INLINE void addRange(float (&acc)[G][4], const Group (&groups)[G],
                        RowAt rowAt, int32_t rows, int32_t begin, int32_t count,
                        uint8_t *memory, Ready ready = {}) {
  // With rows of their own, groups need the registers for those.
  constexpr int32_t A = Own ? 1 : ahead<P, G>, bytes = P::StagedBytes * L;
  typename P::Held held[A][G];
  auto fetch = [&](int32_t i, int32_t step) GM_LAMBDA {
    GM_UNROLL for (int32_t j = 0; j < G; ++j)
        P::template load<true>(held[i][j], groups[j], step);
  };
  GM_UNROLL for (int32_t i = 0; i < A; ++i) if (i < count) fetch(i, begin + i);
  ready();
  auto use = [&](int32_t i, const uint8_t *staged) GM_LAMBDA {
    typename P::Input in;
    if constexpr (!Own)
      P::template read<M, L>(in, staged, 0);
    GM_UNROLL for (int32_t j = 0; j < G; ++j) {
      if constexpr (Own)
        P::template read<1, L>(in, staged, j);
      P::template multiply<M>(acc[j], held[i][j], in);
    }
  };
  // Parts of equal length: a short one at the end is code of its own.
  const int32_t fit = warpBytes<P, L, G>() / bytes, longest = longestRange<P>(),
                parts = (longest + fit - 1) / fit,
                each = ((longest + parts - 1) / parts + A - 1) / A * A,
                space = parts == 1 ? fit : smaller(each, fit / A * A);
  int32_t step = 0;
  const uint8_t *staged = memory;
  for (int32_t first = 0; first < count; first += space) {
    const int32_t last = smaller(first + space, count);
    if (first > 0)
      syncWarp(); // what was staged before is used
    P::template stage<L>(memory, rowAt, rows, begin + first, begin + last);
    syncWarp();
    staged = memory;
    // Asking at each step whether one is left to fetch for costs a third of
    // the instructions: where there are many, only the last ones do.
    for (; longest >= 3 * A && step + A <= last && step + 2 * A <= count;
         step += A, staged += A * bytes)
      GM_UNROLL for (int32_t i = 0; i < A; ++i) {
        use(i, staged + i * bytes);
        fetch(i, begin + step + i + A);
      }
    for (; step + A <= last; step += A, staged += A * bytes)
      GM_UNROLL for (int32_t i = 0; i < A; ++i) {
        use(i, staged + i * bytes);
        if (step + i + A < count)
          fetch(i, begin + step + i + A);
      }
  }
  GM_UNROLL for (int32_t i = 0; i < A - 1; ++i) if (step + i < count)
      use(i, staged + i * bytes);
}

template <int32_t G>
GM_INLINE void clear(float (&acc)[G][4]) {
  GM_UNROLL for (int32_t j = 0; j < G; ++j)
      GM_UNROLL for (int32_t i = 0; i < 4; ++i) acc[j][i] = 0;
}

//===-- few rows ----------------------------------------------------------===//

// Sums in shared memory: sum of output o < outputs of the block's groups and
// row r at [r * stride + o].
struct Sums {
  const float *at;
  int32_t outputs, stride;
  bool isShared; // else a thread may read those that forEachSum gives it

  // Then all threads, who call it, may read all of them.
  GM_LAMBDA void share() const {
    if (!isShared)
      syncBlock();
  }
  GM_LAMBDA float of(int32_t row, int32_t output) const {
    return at[row * stride + output];
  }
};

template <class P>
GM_INLINE int32_t fewThreads() {
  return ranges<P>() * WarpLanes;
}
// Shared memory of a block: that of the warps, then the sums.
template <class P, int32_t L, int32_t G>
GM_INLINE int32_t fewBytes() {
  return ranges<P>() * warpBytes<P, L, G>() + L * G * groupRows * 4;
}

// A warp's sums of a range, as [row][output].
template <int32_t M, int32_t G>
GM_INLINE void storePart(float *part, const float (&acc)[G][4]) {
  const int32_t g = groupLane(), t = inGroup();
  GM_UNROLL for (int32_t j = 0; j < G; ++j)
      GM_UNROLL for (int32_t i = 0; i < 4; i += M == 1 ? 2 : 1) {
    if (M > 1 || t == 0)
      part[(M == 1 ? 0 : 2 * t + i % 2) * (G * groupRows) + j * groupRows +
           2 * g + i / 2] = acc[j][i];
  }
}
// The sums of all ranges' parts, `stride` bytes apart, by all `threads`: each
// has the ones that forEachSum gives it.
template <class P, int32_t M, int32_t Outputs>
GM_INLINE void addParts(float *sums, const uint8_t *parts, int32_t stride,
                        int32_t rows, int32_t threads) {
  syncBlock();
  const int32_t count = M == 1 ? Outputs : smaller(rows, M) * Outputs;
  for (int32_t i = threadOf(); i < count; i += threads) {
    const uint8_t *part = parts + i * 4;
    float sum = load<float>(part);
    for (int32_t w = 1; w < ranges<P>(); ++w)
      sum += load<float>(part + w * stride);
    sums[i] = sum;
  }
}

// Warp w has range w of k. M, L, G and Own as of addRange; with Own the sums
// are those of row 0 alone.
template <class P, int32_t M, int32_t L, int32_t G, bool Own, class RowAt,
          class Ready = RowsAreThere>
GM_INLINE Sums sumFew(const Group (&groups)[G], RowAt rowAt, int32_t rows,
                      Ready ready = {}) {
  constexpr int32_t outputs = G * groupRows;
  const int32_t warp = warpOf(), bytes = warpBytes<P, L, G>();
  uint8_t *memory = sharedMemory();
  float acc[G][4];
  clear(acc);
  addRange<P, M, L, G, Own>(acc, groups, rowAt, rows, rangeBegin<P>(warp),
                            rangeSteps<P>(warp), memory + warp * bytes, ready);
  syncWarp();
  storePart<M>(reinterpret_cast<float *>(memory + warp * bytes), acc);
  auto *sums = reinterpret_cast<float *>(memory + ranges<P>() * bytes);
  addParts<P, M, outputs>(sums, memory, bytes, rows, fewThreads<P>());
  return {sums, outputs, outputs, false};
}

// Up to 8 rows that lie `rowBytes` apart.
template <class P, int32_t G, class Finish, class Ready>
GM_INLINE void multiplyFew(const Group (&groups)[G], const uint8_t *x,
                           int64_t rowBytes, int32_t rows, Finish finish,
                           Ready ready) {
  auto rowAt = [&](int32_t r) GM_LAMBDA { return x + r * rowBytes; };
  if (rows == 1)
    finish(sumFew<P, 1, GM_FEW_ROWS, G, false>(groups, rowAt, 1, ready));
  else
    finish(sumFew<P, GM_FEW_ROWS, GM_FEW_ROWS, G, false>(groups, rowAt, rows,
                                                         ready));
}

//===-- few rows, any number of warps -------------------------------------===//

// Shared memory of sumRanges: that of the warps, the parts, the sums.
template <class P, int32_t G>
GM_INLINE int32_t rangesBytes(int32_t warps) {
  return warps * warpBytes<P, GM_FEW_ROWS, G>() +
         (ranges<P>() + 1) * (GM_FEW_ROWS * G * groupRows * 4);
}

// The second product of a kernel, whose block has the threads that the first
// one wants: a warp has every range that is its number modulo their number.
// All threads call it, and nothing else is in shared memory there.
template <class P, int32_t M, int32_t G, class RowAt>
GM_INLINE Sums sumRanges(const Group (&groups)[G], RowAt rowAt, int32_t rows) {
  constexpr int32_t L = GM_FEW_ROWS, outputs = G * groupRows,
                    partBytes = L * outputs * 4;
  const int32_t warps = threadsOf() / WarpLanes, bytes = warpBytes<P, L, G>();
  uint8_t *own = sharedMemory() + warpOf() * bytes,
          *parts = sharedMemory() + warps * bytes;
  if (warpOf() >= ranges<P>())
    waitForLaunches();
  for (int32_t range = warpOf(); range < ranges<P>(); range += warps) {
    float acc[G][4];
    clear(acc);
    if (range >= warps)
      syncWarp(); // the rows of the range before are used
    addRange<P, M, L, G, false>(acc, groups, rowAt, rows, rangeBegin<P>(range),
                                rangeSteps<P>(range), own);
    storePart<M>(reinterpret_cast<float *>(parts + range * partBytes), acc);
  }
  auto *sums = reinterpret_cast<float *>(parts + ranges<P>() * partBytes);
  addParts<P, M, outputs>(sums, parts, partBytes, rows, threadsOf());
  return {sums, outputs, outputs, false};
}
template <class P, int32_t G, class RowAt, class Finish>
GM_INLINE void multiplyRanges(const Group (&groups)[G], RowAt rowAt,
                              int32_t rows, Finish finish) {
  if (rows == 1)
    finish(sumRanges<P, 1, G>(groups, rowAt, 1));
  else
    finish(sumRanges<P, GM_FEW_ROWS, G>(groups, rowAt, rows));
}

//===-- many rows ---------------------------------------------------------===//

// A block has a tile of 4 groups and 64 rows, a warp 2 groups and 32 rows.
enum {
  TileGroups = 4,
  TileRows = 64,
  TileWarps = 4,
  TileThreads = TileWarps * WarpLanes,
  TileBlocks = 3, // of a multiprocessor
  WarpGroups = 2,
  WarpRowBlocks = 4,                          // of 8 rows
  CopiedRowBlocks = TileRows / 8 / TileWarps, // by a warp
  SumsStride = TileGroups * groupRows + 4
};
static_assert(TileWarps == TileGroups); // each copies one

template <class P>
constexpr int32_t tileWeightBytes = TileGroups * P::TileSteps * P::StepBytes;
template <class P>
constexpr int32_t tileLowBytes = TileGroups * P::TileSteps * P::LowBytes;
template <class P>
constexpr int32_t tileBytes =
    tileWeightBytes<P> + tileLowBytes<P> + TileRows * P::TileStride;
template <class P>
constexpr int32_t tileShared =
    P::Stages * tileBytes<P> > TileRows * SumsStride * 4
        ? P::Stages *tileBytes<P>
        : TileRows * SumsStride * 4;

// Chunk after chunk of Bytes bytes of what lies at `from`, to be asked for in
// order: this lane's pieces, Lanes lanes side by side. `all` bytes are there,
// the rest are zeros.
template <int32_t Bytes, int32_t Piece, int32_t Lanes>
struct ChunkCopy {
  const uint8_t *from;
  int32_t all, place;

  ChunkCopy() = default;
  GM_LAMBDA ChunkCopy(const uint8_t *row, int64_t bytes)
      : from(row + laneOf() % Lanes * Piece), all(int32_t(bytes)),
        place(laneOf() % Lanes * Piece) {}

  // `to`: of the chunk. Not `isThere`: all are zeros.
  GM_LAMBDA void next(uint8_t *to, int32_t chunk, bool isThere) {
    to += place;
    GM_UNROLL for (int32_t at = 0; at < Bytes; at += Lanes * Piece) {
      if (at + Lanes * Piece > Bytes && place + at >= Bytes)
        continue;
      int32_t bytes = Piece;
      const uint8_t *piece = from + at;
      if (all % Bytes) {
        const int32_t left = all - chunk * Bytes - place - at;
        bytes = left >= Piece ? Piece : left > 0 ? left : 0;
        if (bytes == 0)
          piece -= chunk * Bytes + at; // somewhere that is there
      }
      copyAsync<Piece>(to + at, piece, isThere ? bytes : 0);
    }
    from += Bytes;
  }
};

// groupOf(j): group j < TileGroups of the block, readable in any case; only
// those < `groups` are wanted. Rows [0, rows) of the tile lie `rowBytes` apart
// from `x` on; others are not read.
template <class P, class GroupOf>
GM_INLINE Sums sumTile(GroupOf groupOf, int32_t groups, const uint8_t *x,
                       int64_t rowBytes, int32_t rows) {
  constexpr int32_t T = P::TileSteps;
  uint8_t *memory = sharedMemory();
  const int32_t chunks = (steps<P>() + T - 1) / T;
  // A warp copies a group and some blocks of 8 rows, 4 lanes a row. Instead of
  // rows that are not there the first one is read.
  const int32_t warp = warpOf(),
                copied = warp * (CopiedRowBlocks * 8) + groupLane();
  const Group own = groupOf(warp);
  ChunkCopy<T * P::StepBytes, 16, WarpLanes> weights(own.w, P::weightBytes());
  ChunkCopy<T * P::LowBytes, 16, WarpLanes> low(own.low, lowGroupBytes<P>());
  ChunkCopy<T * P::TileBytes, P::TilePiece, 4> copies[CopiedRowBlocks];
  GM_UNROLL for (int32_t i = 0; i < CopiedRowBlocks; ++i) {
    const int32_t r = copied + i * 8;
    copies[i] = {x + (r < rows ? r * rowBytes : 0), P::rowBytes()};
  }
  auto copyChunk = [&](int32_t chunk) GM_LAMBDA {
    if (chunk < chunks) {
      uint8_t *to = memory + chunk % P::Stages * tileBytes<P>;
      weights.next(to + warp * (T * P::StepBytes), chunk, true);
      to += tileWeightBytes<P>;
      if constexpr (P::LowBytes > 0)
        low.next(to + warp * (T * P::LowBytes), chunk, true);
      to += tileLowBytes<P> + copied * P::TileStride;
      GM_UNROLL for (int32_t i = 0; i < CopiedRowBlocks; ++i) copies[i].next(
          to + i * 8 * P::TileStride, chunk, copied + i * 8 < rows);
    }
    commitCopies();
  };

  const int32_t group = warp % (TileGroups / WarpGroups) * WarpGroups,
                first = warp / (TileGroups / WarpGroups) * (WarpRowBlocks * 8);
  const bool isWanted = group < groups && first < rows;
  float acc[WarpRowBlocks][WarpGroups][4], total[WarpRowBlocks][WarpGroups][4];
  auto each = [&](auto f) GM_LAMBDA {
    GM_UNROLL for (int32_t n = 0; n < WarpRowBlocks; ++n)
        GM_UNROLL for (int32_t j = 0; j < WarpGroups; ++j)
            GM_UNROLL for (int32_t i = 0; i < 4; ++i)
                f(acc[n][j][i], total[n][j][i], n, j, i);
  };
  // Anything added to -0 is what it is.
  each([](float &a, float &sum, int32_t, int32_t, int32_t)
           GM_LAMBDA { a = 0, sum = -0.0f; });
  int32_t range = 0, border = rangeBegin<P>(1);
  GM_UNROLL for (int32_t i = 0; i < P::Stages - 1; ++i) copyChunk(i);
  for (int32_t chunk = 0; chunk < chunks; ++chunk) {
    waitForCopies<P::Stages - 2>();
    syncBlock(); // the chunk is there, the one before is used
    copyChunk(chunk + P::Stages - 1);
    const uint8_t *tile = memory + chunk % P::Stages * tileBytes<P>,
                  *tileLow = tile + tileWeightBytes<P>,
                  *tileRows = tileLow + tileLowBytes<P> + first * P::TileStride;
    for (int32_t i = 0; isWanted && i < T; ++i) {
      const int32_t step = chunk * T + i;
      if (step >= steps<P>())
        break;
      typename P::Held held[WarpGroups];
      GM_UNROLL for (int32_t j = 0; j < WarpGroups; ++j)
          P::template load<false>(held[j],
                                  {tile + (group + j) * (T * P::StepBytes),
                                   tileLow + (group + j) * (T * P::LowBytes)},
                                  i);
      GM_UNROLL for (int32_t n = 0; n < WarpRowBlocks; ++n) {
        typename P::Input in;
        P::readTile(in, tileRows + n * 8 * P::TileStride, i);
        GM_UNROLL for (int32_t j = 0; j < WarpGroups; ++j)
            P::template multiply<8>(acc[n][j], held[j], in);
      }
      if (step + 1 == border) {
        each([&](float &a, float &sum, int32_t, int32_t, int32_t) GM_LAMBDA {
          sum += a;
          a = 0;
        });
        border += rangeSteps<P>(++range);
      }
    }
  }
  syncBlock(); // the last chunk is used; no copy is under way
  auto *sums = reinterpret_cast<float *>(memory);
  each([&](float &, float &sum, int32_t n, int32_t j, int32_t i) GM_LAMBDA {
    sums[(first + n * 8 + 2 * inGroup() + i % 2) * SumsStride +
         (group + j) * groupRows + 2 * groupLane() + i / 2] = sum;
  });
  syncBlock();
  return {sums, TileGroups * groupRows, SumsStride, true};
}

//===-- families of units -------------------------------------------------===//

// The share of a block: units [first, first + units) of U groups and rows
// [row, row + rows).
struct Share {
  int32_t first, units, row, rows;
};

// Class few: N units a block, all rows. finish(Share, Sums).
template <int32_t U, int32_t N, class Finish, class Ready = RowsAreThere>
GM_INLINE void productFew(const uint8_t *x, const uint8_t *w,
                          const uint8_t *low, Share share, Finish finish,
                          Ready ready = {}) {
  withProduct([&](auto p) GM_LAMBDA {
    using P = decltype(p);
    Group groups[U * N];
    GM_UNROLL for (int32_t j = 0; j < U * N; ++j) {
      const int32_t unit = smaller(j / U, share.units - 1);
      groups[j] = groupAt<P>(w, low, int64_t(share.first + unit) * U + j % U);
    }
    const int64_t rowBytes = ::rowBytes(gm_act_q8, gm_act_bf16, gm_k);
    multiplyFew<P, U * N>(
        groups, x + share.row * rowBytes, rowBytes, share.rows,
        [&](Sums sums) GM_LAMBDA { finish(share, sums); }, ready);
  });
}

template <int32_t U>
GM_INLINE void productTile(const uint8_t *x, const uint8_t *w,
                           const uint8_t *low, Share share, auto finish) {
  withTileProduct([&](auto p) GM_LAMBDA {
    using P = decltype(p);
    const int64_t rowBytes = ::rowBytes(gm_act_q8, gm_act_bf16, gm_k);
    auto groupOf = [&](int32_t j) GM_LAMBDA {
      const int32_t unit = smaller(j / U, share.units - 1);
      return groupAt<P>(w, low, int64_t(share.first + unit) * U + j % U);
    };
    finish(share, sumTile<P>(groupOf, share.units * U, x + share.row * rowBytes,
                             rowBytes, share.rows));
  });
}

// What GM_ENTRY asks, of families whose units are U groups.
GM_INLINE int32_t fewThreadsOf() {
  int32_t threads = 0;
  withProduct([&](auto p) GM_LAMBDA { threads = fewThreads<decltype(p)>(); });
  return threads;
}
template <int32_t L, int32_t G>
GM_INLINE int32_t fewBytesOf() {
  int32_t bytes = 0;
  withProduct([&](auto p) GM_LAMBDA { bytes = fewBytes<decltype(p), L, G>(); });
  return bytes;
}
GM_INLINE int32_t manyThreadsOf() {
  return isWide() ? fewThreadsOf() : int32_t(TileThreads);
}
template <int32_t G>
GM_INLINE int32_t manyBytesOf() {
  if (isWide())
    return fewBytesOf<GM_FEW_ROWS, G>();
  int32_t bytes = 0;
  withTileProduct([&](auto p) GM_LAMBDA { bytes = tileShared<decltype(p)>; });
  return bytes;
}
// What ptxas is told, lest it spills registers for more.
GM_INLINE int32_t fewBlocksOf() { return fewThreadsOf() > 256 ? 1 : 2; }
GM_INLINE int32_t manyBlocksOf() {
  return isWide() ? fewBlocksOf() : int32_t(TileBlocks);
}
GM_INLINE int32_t manyRowsOf() {
  return isWide() ? int32_t(GM_FEW_ROWS) : int32_t(TileRows);
}

// The block's share of units [begin, end) and rows: `units` units and `most`
// rows; none if there are no rows or units left.
GM_INLINE Share shareOf(int32_t units, int32_t most, int32_t rows,
                        int32_t begin, int32_t end) {
  const int32_t first = begin + blockX() * units, row = blockY() * most;
  return {first, smaller(units, end - first), row, smaller(most, rows - row)};
}

// The whole of an entry.
template <int32_t U, int32_t N, class Finish>
GM_INLINE void few(const uint8_t *x, const uint8_t *w, const uint8_t *low,
                   int32_t rows, int32_t begin, int32_t end, Finish finish) {
  const Share share = shareOf(N, GM_FEW_ROWS, rows, begin, end);
  if (share.units > 0 && share.rows > 0)
    productFew<U, N>(x, w, low, share, finish);
}
template <int32_t U, int32_t N, class Finish>
GM_INLINE void many(const uint8_t *x, const uint8_t *w, const uint8_t *low,
                    int32_t rows, int32_t begin, int32_t end, Finish finish) {
  if (isWide())
    return few<U, N>(x, w, low, rows, begin, end, finish);
  const Share share = shareOf(TileGroups / U, TileRows, rows, begin, end);
  if (share.units <= 0 || share.rows <= 0)
    return;
  waitForLaunches();
  productTile<U>(x, w, low, share, finish);
}
template <int32_t U, int32_t N>
GM_INLINE int32_t manyUnitsOf() {
  return isWide() ? N : TileGroups / U;
}

// The ends of entries: f(row of the block, output of the block, sum) for all
// of the block's outputs, U groups a unit.
template <int32_t U, class F>
GM_INLINE void forEachSum(Share share, Sums sums, F f) {
  for (int32_t i = threadOf(); i < share.rows * sums.outputs;
       i += threadsOf()) {
    const int32_t r = i / sums.outputs, o = i % sums.outputs;
    if (o < share.units * (U * groupRows))
      f(r, o, sums.of(r, o));
  }
}
// f(row of the block, unit of the block), called by whole warps.
template <int32_t U, class F>
GM_INLINE void forEachUnit(Share share, Sums sums, F f) {
  sums.share();
  const int32_t units = sums.outputs / (U * groupRows);
  for (int32_t i = warpOf(); i < share.rows * units;
       i += threadsOf() / WarpLanes)
    if (i % units < share.units)
      f(i / units, i % units);
}

// Stores a unit of 32 values, one a lane, in row `row` of y, whose rows are
// `stride` elements apart.
GM_INLINE void storeUnit(uint8_t *y, int64_t row, int32_t stride, int32_t unit,
                         float value) {
  storeElement(gm_act_q8, gm_act_bf16,
               y + row * rowBytes(gm_act_q8, gm_act_bf16, stride),
               unit * WarpLanes + laneOf(), value);
}

#endif
