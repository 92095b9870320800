// Family append_attend. Unit = (split, K/V head).
#include "codegen/kernels/cuda/turned.h"

GM_ENTRY(gm_few, Threads, sharedBytes(), 1, 0)
(const float *x, const float *rope, const gm_tile *tile, const gm_split *pieces,
 const float *w, const float *kW, uint8_t *k, uint8_t *v, const int32_t *pages,
 int32_t pageStride, uint8_t *y, const gm_numbers *step, int32_t maxSplits,
 int32_t stride, int32_t column, int32_t kColumn, int32_t vColumn,
 int32_t begin, int32_t end) {
  attend<true>(
      {nullptr, tile, nullptr, pieces, k, v, pages, pageStride, y, maxSplits},
      step, begin, end,
      AppendedQueries{{x, rope, w, stride, column},
                      {x, rope, kW, stride, kColumn, vColumn},
                      tile,
                      k,
                      v});
}
