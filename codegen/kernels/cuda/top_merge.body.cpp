// Family top_merge: the 64 best of the parts that family top left.
#include "codegen/kernels/cuda/best.h"

// Unit = row.
GM_ENTRY(gm_body, BestThreads, sizeof(BestMemory), 1, 0)
(const float *values, const int32_t *ids, int32_t *topIds, float *topValues,
 const gm_numbers *step, int32_t parts, int32_t begin, int32_t end) {
  waitForLaunches();
  const int64_t row = begin + blockX();
  if (row >= end || row >= step->rows)
    return;
  values += row * parts * GM_TOP;
  ids += row * parts * GM_TOP;
  findBest(
      parts * GM_TOP,
      [&](int32_t i)
          GM_LAMBDA { return ids[i] < 0 ? 0 : entryOf(values[i], ids[i]); },
      topValues + row * GM_TOP, topIds + row * GM_TOP);
}
