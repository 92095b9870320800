// Family top_experts: the chosen experts of a row and their weights.
#include "codegen/kernels/cuda/choice.h"

enum { Threads = 128 };

// Unit = row.
GM_ENTRY(gm_body, Threads, choiceBytes(), 1, 0)
(const float *logits, const float *perExpert, float *weights, int32_t *ids,
 const gm_numbers *step, int32_t begin, int32_t end) {
  waitForLaunches();
  const int64_t row = begin + blockX();
  if (row >= end || row >= step->rows)
    return;
  weights += row * paddedColumns(gm_top);
  ids += row * gm_top;
  chooseExperts(sharedMemory(), logits + row * paddedColumns(gm_experts))
      .forEach(perExpert, [&](int32_t j, int32_t id, float weight) GM_LAMBDA {
        ids[j] = id;
        weights[j] = weight;
      });
}
