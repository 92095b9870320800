// Family moe_sort: the (row, expert) pairs of all rows, stably by expert.
#include "codegen/kernels/body.h"

extern "C" {
extern const int32_t gm_experts, gm_top;
}

extern "C" void gm_body(const int32_t *ids, int32_t *order, int32_t rows,
                        int32_t begin, int32_t end) {
  if (begin >= end)
    return;
  // place[e]: where the next pair of expert e goes.
  int32_t *place = static_cast<int32_t *>(
      __builtin_alloca(sizeof(int32_t) * (gm_experts + 1)));
  for (int32_t e = 0; e <= gm_experts; ++e)
    place[e] = 0;
  const int32_t pairs = rows * gm_top;
  for (int32_t q = 0; q < pairs; ++q)
    ++place[ids[q] + 1];
  for (int32_t e = 0; e < gm_experts; ++e)
    place[e + 1] += place[e];
  for (int32_t q = 0; q < pairs; ++q)
    order[place[ids[q]]++] = q;
}
