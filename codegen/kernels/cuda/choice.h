// How a block of threads chooses the experts of a row: for families top_experts
// and top_experts_up. Always gives valid ids, whatever the logits. The sum of
// the softmax over all experts cancels. Freestanding, for body files only.
#ifndef GEMMAC_CODEGEN_KERNELS_CUDA_CHOICE_H
#define GEMMAC_CODEGEN_KERNELS_CUDA_CHOICE_H

#include "codegen/kernels/cuda/best.h"

extern "C" {
extern const int32_t gm_experts, gm_top;
}

// Shared memory of chooseExperts.
GM_INLINE int32_t choiceBytes() {
  return gm_experts * int32_t(sizeof(Entry)) +
         gm_top * int32_t(2 * sizeof(int32_t) + sizeof(float));
}

// A row's experts in ascending order, and the parts of their softmax, in shared
// memory.
struct Choice {
  const int32_t *ids;
  const float *parts;

  // f(j, id, weight) for the chosen ones, once each.
  template <class F>
  GM_LAMBDA void forEach(const float *perExpert, F f) const {
    float sum = 0;
    for (int32_t j = 0; j < gm_top; ++j)
      sum += parts[j];
    for (int32_t j = threadOf(); j < gm_top; j += threadsOf())
      f(j, ids[j], parts[j] / sum * perExpert[ids[j]]);
  }
};

// Called by all threads, which may then read the choice.
GM_INLINE Choice chooseExperts(uint8_t *memory, const float *logits) {
  auto *entries = reinterpret_cast<Entry *>(memory);
  auto *best = reinterpret_cast<int32_t *>(entries + gm_experts), // descending
      *chosen = best + gm_top;
  auto *parts = reinterpret_cast<float *>(chosen + gm_top);
  const int32_t threads = threadsOf();
  for (int32_t e = threadOf(); e < gm_experts; e += threads)
    entries[e] = entryOf(logits[e], e);
  syncBlock();
  for (int32_t e = threadOf(); e < gm_experts; e += threads)
    if (int32_t rank = rankOf(entries[e], entries, gm_experts); rank < gm_top)
      best[rank] = e;
  syncBlock();
  const float largest = logits[best[0]];
  for (int32_t i = threadOf(); i < gm_top; i += threads) {
    int32_t place = 0;
    for (int32_t j = 0; j < gm_top; ++j)
      place += best[j] < best[i];
    chosen[place] = best[i];
    parts[place] = weightOf(logits[best[i]] - largest);
  }
  syncBlock();
  return {chosen, parts};
}

#endif
