// Family top_experts: the chosen experts of a row and their weights. Always
// gives valid ids, whatever the logits. The sum of the softmax over all experts
// cancels.
#include "codegen/kernels/cuda/best.h"

extern "C" {
extern const int32_t gm_experts, gm_top;
}

enum { Threads = 128 };

// Unit = row.
GM_ENTRY(gm_body, Threads,
         gm_experts *int32_t(sizeof(Entry)) +
             gm_top * int32_t(2 * sizeof(int32_t) + sizeof(float)),
         1, 0)
(const float *logits, const float *perExpert, float *weights, int32_t *ids,
 const gm_numbers *step, int32_t begin, int32_t end) {
  waitForLaunches();
  const int64_t row = begin + blockX();
  if (row >= end || row >= step->rows)
    return;
  auto *entries = reinterpret_cast<Entry *>(sharedMemory());
  auto *best = reinterpret_cast<int32_t *>(entries + gm_experts), // descending
      *chosen = best + gm_top; // ids in ascending order
  auto *parts = reinterpret_cast<float *>(chosen + gm_top);
  logits += row * paddedColumns(gm_experts);
  weights += row * paddedColumns(gm_top);
  ids += row * gm_top;
  for (int32_t e = threadOf(); e < gm_experts; e += Threads)
    entries[e] = entryOf(logits[e], e);
  syncBlock();
  for (int32_t e = threadOf(); e < gm_experts; e += Threads)
    if (int32_t rank = rankOf(entries[e], entries, gm_experts); rank < gm_top)
      best[rank] = e;
  syncBlock();
  const float largest = logits[best[0]];
  for (int32_t i = threadOf(); i < gm_top; i += Threads) {
    int32_t place = 0;
    for (int32_t j = 0; j < gm_top; ++j)
      place += best[j] < best[i];
    chosen[place] = best[i];
    parts[place] = weightOf(logits[best[i]] - largest);
  }
  syncBlock();
  float sum = 0;
  for (int32_t j = 0; j < gm_top; ++j)
    sum += parts[j];
  for (int32_t j = threadOf(); j < gm_top; j += Threads) {
    ids[j] = chosen[j];
    weights[j] = parts[j] / sum * perExpert[chosen[j]];
  }
}
