// Family attend_blocks: attention in which rows of a block of images see all of
// it. All of it is in cuda/attend.h.
namespace {
constexpr bool hasBlocks = true;
}
#include "codegen/kernels/cuda/attend.h"

GM_ENTRY(gm_few, Threads, sharedBytes(), 1, 0)
(const uint8_t *q, const gm_tile *tile, const int32_t *ends,
 const gm_split *pieces, const uint8_t *k, const uint8_t *v,
 const int32_t *pages, int32_t pageStride, uint8_t *y, const gm_numbers *step,
 int32_t maxSplits, int32_t begin, int32_t end) {
  attend<true>({q, tile, ends, pieces, k, v, pages, pageStride, y, maxSplits},
               step, begin, end);
}

GM_ENTRY(gm_many, Threads, sharedBytes(), 1, 0)
(const uint8_t *q, const gm_tile *tile, const int32_t *ends,
 const gm_split *pieces, const uint8_t *k, const uint8_t *v,
 const int32_t *pages, int32_t pageStride, uint8_t *y, const gm_numbers *step,
 int32_t maxSplits, int32_t begin, int32_t end) {
  attend<false>({q, tile, ends, pieces, k, v, pages, pageStride, y, maxSplits},
                step, begin, end);
}
