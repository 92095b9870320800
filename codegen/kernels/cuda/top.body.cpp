// Family top: the 64 largest logits of a part of the vocabulary. Every part has
// a list of its own: they are found side by side.
#include "codegen/kernels/cuda/best.h"

// Unit = part of the vocabulary; y = row.
GM_ENTRY(gm_body, BestThreads, sizeof(BestMemory), 1, 1)
(const float *logits, const uint32_t *mask, float *values, int32_t *ids,
 const gm_numbers *step, int32_t vocab, int32_t stride, int32_t parts,
 int32_t begin, int32_t end) {
  waitForLaunches();
  const int64_t part = begin + blockX(), row = blockY();
  if (part >= end || row >= step->rows)
    return;
  const int32_t from = int32_t(part * vocab / parts),
                to = int32_t((part + 1) * vocab / parts);
  logits += row * stride;
  if (mask)
    mask += row * ((vocab + 31) / 32);
  findBest(
      to - from,
      [&](int32_t i) GM_LAMBDA {
        const int32_t id = from + i;
        const float value = logits[id]; // NaN are left out, too
        const bool enters =
            value > GM_LOWEST && (!mask || (mask[id / 32] >> (id % 32) & 1));
        return enters ? entryOf(value, id) : 0;
      },
      values + (row * parts + part) * GM_TOP,
      ids + (row * parts + part) * GM_TOP);
}
