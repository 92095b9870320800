// Family attend_blocks: attention in which rows of a block of images see all of
// it. All of it is in attend_units.h.
namespace {
constexpr bool hasBlocks = true;
}
#include "codegen/kernels/attend_units.h"

extern "C" void gm_few(const void *q, const gm_tile *tile, const int32_t *ends,
                       const gm_split *pieces, const uint8_t *k,
                       const uint8_t *v, const int32_t *pages,
                       int32_t pageStride, void *y, int32_t rows,
                       int32_t maxSplits, int32_t begin, int32_t end) {
  attend<true>({{ends}, q, tile, pieces, k, v, pages, pageStride, y, maxSplits},
               begin, end);
}

extern "C" void gm_many(const void *q, const gm_tile *tile, const int32_t *ends,
                        const gm_split *pieces, const uint8_t *k,
                        const uint8_t *v, const int32_t *pages,
                        int32_t pageStride, void *y, int32_t rows,
                        int32_t maxSplits, int32_t begin, int32_t end) {
  attend<false>(
      {{ends}, q, tile, pieces, k, v, pages, pageStride, y, maxSplits}, begin,
      end);
}
