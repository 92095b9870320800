// Family top_experts_up. Unit = 32 outputs of a pair, a block; it chooses the
// experts of its row itself. The first block of a row stores the choice.
#include "codegen/kernels/cuda/choice.h"
#include "codegen/kernels/cuda/gates.h"

GM_RESIDENT(gm_few, fewBlocksOf())
GM_ENTRY(gm_few, fewThreadsOf(), (choiceBytes() + fewBytesOf<1, Groups>()), 1,
         -gm_top)
(const uint8_t *x, const float *logits, const uint8_t *w,
 const float *perExpert, uint8_t *y, float *weights, int32_t *ids,
 const gm_numbers *step, int32_t begin, int32_t end) {
  waitForLaunches();
  const int32_t unit = begin + blockX(), pair = blockY(), row = pair / gm_top;
  if (unit >= end || row >= step->rows)
    return;
  const Choice choice = chooseExperts(sharedMemory() + fewBytesOf<1, Groups>(),
                                      logits + row * paddedColumns(gm_experts));
  if (unit == 0 && pair % gm_top == 0)
    choice.forEach(perExpert,
                   [&](int32_t j, int32_t id, float weight) GM_LAMBDA {
                     ids[row * gm_top + j] = id;
                     weights[row * paddedColumns(gm_top) + j] = weight;
                   });
  multiplyPair(x, w, y, choice.ids[pair % gm_top], pair, unit);
}
