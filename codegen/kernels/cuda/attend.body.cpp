// Family attend: causal attention. All of it is in cuda/attend.h.
namespace {
constexpr bool hasBlocks = false;
}
#include "codegen/kernels/cuda/attend.h"

GM_ENTRY(gm_few, Threads, sharedBytes(), 1, 0)
(const uint8_t *q, const gm_tile *tile, const gm_split *pieces,
 const uint8_t *k, const uint8_t *v, const int32_t *pages, int32_t pageStride,
 uint8_t *y, const gm_numbers *step, int32_t maxSplits, int32_t begin,
 int32_t end) {
  attend<true>(
      {q, tile, nullptr, pieces, k, v, pages, pageStride, y, maxSplits}, step,
      begin, end);
}

GM_ENTRY(gm_many, Threads, sharedBytes(), 1, 0)
(const uint8_t *q, const gm_tile *tile, const gm_split *pieces,
 const uint8_t *k, const uint8_t *v, const int32_t *pages, int32_t pageStride,
 uint8_t *y, const gm_numbers *step, int32_t maxSplits, int32_t begin,
 int32_t end) {
  attend<false>(
      {q, tile, nullptr, pieces, k, v, pages, pageStride, y, maxSplits}, step,
      begin, end);
}
