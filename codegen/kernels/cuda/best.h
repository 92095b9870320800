// The 64 best (value, id) of many by a block of threads, shared by the families
// top and top_merge. Freestanding, for bodies of CUDA kernels only.
#ifndef GEMMAC_CODEGEN_KERNELS_CUDA_BEST_H
#define GEMMAC_CODEGEN_KERNELS_CUDA_BEST_H

#include "codegen/kernels/cuda/device.h"

// Value and id as one number, so that no two are equal: the larger one is
// better, which of equal values has the lower id; 0 is none.
using Entry = uint64_t;

// Ascends with the number; NaN stand at the ends, 0 and -0 are the same.
GM_INLINE uint32_t orderOf(float value) {
  const uint32_t bits = bitsOf(value + 0.0f);
  return bits >> 31 ? ~bits : bits | 0x80000000u;
}
GM_INLINE Entry entryOf(float value, int32_t id) {
  return Entry(orderOf(value)) << 32 | uint32_t(~id);
}
GM_INLINE int32_t idOf(Entry entry) { return int32_t(~uint32_t(entry)); }
GM_INLINE float valueOf(Entry entry) {
  const uint32_t order = uint32_t(entry >> 32);
  return !entry ? GM_LOWEST
                : asFloat(order >> 31 ? order & 0x7fffffffu : ~order);
}

// Entries of a thread at a time, in registers, and of the block.
constexpr int32_t BestThreads = 128, BestWarps = BestThreads / WarpLanes,
                  OwnEntries = 32, ChunkEntries = BestThreads * OwnEntries;
// Of a multiprocessor: threads have registers for their entries.
constexpr int32_t BestBlocks = 4;

// Shared memory of findBest.
struct BestMemory {
  Entry best[GM_TOP]; // descending, as far as there are any
  Entry border;
  Entry largest[BestThreads]; // of a thread's entries
  // Kept ones, and of those of a chunk at most the entries of GM_TOP threads.
  Entry candidates[GM_TOP + GM_TOP * OwnEntries];
  int32_t counts[BestWarps];
};

// How many of `n` entries are better.
GM_INLINE int32_t rankOf(Entry entry, const Entry *entries, int32_t n) {
  int32_t rank = 0;
  for (int32_t i = 0; i < n; ++i)
    rank += entries[i] > entry;
  return rank;
}

// Sum of `count` of the threads before this one; `total` of all.
GM_INLINE int32_t sumBefore(int32_t count, int32_t *scratch, int32_t &total) {
  int32_t sum = count;
  GM_UNROLL for (int32_t d = 1; d < WarpLanes; d *= 2) {
    const int32_t before = shuffleFrom(sum, laneOf() - d);
    sum += laneOf() >= d ? before : 0;
  }
  if (laneOf() == WarpLanes - 1)
    scratch[warpOf()] = sum;
  syncBlock();
  total = 0;
  GM_UNROLL for (int32_t w = 0; w < BestWarps; ++w) {
    sum += w < warpOf() ? scratch[w] : 0;
    total += scratch[w];
  }
  return sum - count;
}

// Finds the best of at(0), .. at(n - 1), which are entries, and stores them:
// values and ids of GM_TOP places, of missing ones GM_LOWEST and -1.
//
// The 64th of the largest entries of every thread is not better than the 64th
// of all: 64 threads have one that is not worse. So only what is not worse than
// it has to be ranked: about 90 entries, and never more than those threads own.
template <class F>
GM_INLINE void findBest(int32_t n, F at, float *values, int32_t *ids) {
  auto &m = *reinterpret_cast<BestMemory *>(sharedMemory());
  const int32_t thread = threadOf();
  if (thread < GM_TOP)
    m.best[thread] = 0;
  for (int32_t from = 0; from < n; from += ChunkEntries) {
    syncBlock();
    const Entry least = m.best[GM_TOP - 1];
    const int32_t kept = from ? GM_TOP : 0;
    Entry own[OwnEntries], largest = 0;
    GM_UNROLL for (int32_t j = 0; j < OwnEntries; ++j) {
      const int32_t i = from + j * BestThreads + thread;
      own[j] = i < n ? at(i) : 0;
      if (own[j] <= least)
        own[j] = 0;
      largest = own[j] > largest ? own[j] : largest;
    }
    m.largest[thread] = largest;
    if (thread == 0)
      m.border = 1;
    if (thread < kept)
      m.candidates[thread] = m.best[thread];
    syncBlock();
    if (largest && rankOf(largest, m.largest, BestThreads) == GM_TOP - 1)
      m.border = largest;
    syncBlock();
    const Entry border = m.border;
    int32_t count = 0, total;
    GM_UNROLL for (int32_t j = 0; j < OwnEntries; ++j) count +=
        own[j] >= border;
    int32_t to = kept + sumBefore(count, m.counts, total);
    GM_UNROLL for (int32_t j = 0; j < OwnEntries; ++j) if (own[j] >= border)
        m.candidates[to++] = own[j];
    total += kept;
    syncBlock();
    for (int32_t i = thread; i < total; i += BestThreads) {
      const Entry entry = m.candidates[i];
      const int32_t rank = rankOf(entry, m.candidates, total);
      if (entry && rank < GM_TOP)
        m.best[rank] = entry;
    }
  }
  syncBlock();
  if (thread < GM_TOP) {
    values[thread] = valueOf(m.best[thread]);
    ids[thread] = idOf(m.best[thread]);
  }
}

#endif
