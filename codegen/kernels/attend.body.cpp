// Family attend: causal attention. All of it is in attend_units.h.
namespace {
constexpr bool hasBlocks = false;
}
#include "codegen/kernels/attend_units.h"

extern "C" void gm_few(const void *q, const gm_tile *tile,
                       const gm_split *pieces, const uint8_t *k,
                       const uint8_t *v, const int32_t *pages,
                       int32_t pageStride, void *y, int32_t rows,
                       int32_t maxSplits, int32_t begin, int32_t end) {
  attend<true>({{}, q, tile, pieces, k, v, pages, pageStride, y, maxSplits},
               begin, end);
}

extern "C" void gm_many(const void *q, const gm_tile *tile,
                        const gm_split *pieces, const uint8_t *k,
                        const uint8_t *v, const int32_t *pages,
                        int32_t pageStride, void *y, int32_t rows,
                        int32_t maxSplits, int32_t begin, int32_t end) {
  attend<false>({{}, q, tile, pieces, k, v, pages, pageStride, y, maxSplits},
                begin, end);
}
