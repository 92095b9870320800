// Family experts_down_linear: units of the experts' sum, 16 outputs of a row
// each, then those of the dense product, 16 outputs of all rows.
#include "codegen/kernels/cuda/ends.h"
#include "codegen/kernels/cuda/mixture.h"

extern "C" {
extern const int32_t gm_dense_k, gm_dense_format_f32, gm_dense_format_bf16,
    gm_dense_format_q8_0, gm_dense_format_q4_0;
}

struct Dense {
  GM_INLINE int32_t k() { return gm_dense_k; }
  GM_INLINE int32_t isF32() { return gm_dense_format_f32; }
  GM_INLINE int32_t isBf16() { return gm_dense_format_bf16; }
  GM_INLINE int32_t isQ8() { return gm_dense_format_q8_0; }
  GM_INLINE int32_t isSplit() { return 0; }
  GM_INLINE int32_t isQ4() { return gm_dense_format_q4_0; }
};

GM_INLINE int32_t sharedBytes() {
  int32_t bytes = 0;
  withTileProduct<Dense>([&](auto p) GM_LAMBDA {
    bytes = rangesBytes<decltype(p), 1>(fewThreadsOf() / WarpLanes);
  });
  return larger(bytes, fewBytesOf<Together, Together>());
}

GM_RESIDENT(gm_few, fewBlocksOf())
GM_ENTRY(gm_few, fewThreadsOf(), sharedBytes(), 1, 1)
(const uint8_t *x, const int32_t *ids, const float *weights, const uint8_t *g,
 const uint8_t *w, const uint8_t *dense, float *y, float *z,
 const gm_numbers *step, int32_t stride, int32_t begin, int32_t end) {
  constexpr int32_t group = groupRows;
  const int32_t units = (gm_n + group - 1) / group, unit = begin + blockX(),
                row = blockY(),
                rows = smaller(step->rows, int32_t(GM_FEW_ROWS));
  if (unit >= end || row >= rows)
    return;
  if (unit < units) {
    waitForLaunches();
    return mixRow(x, ids, weights, w, y, stride, row, unit);
  }
  if (row > 0)
    return;
  withTileProduct<Dense>([&](auto p) GM_LAMBDA {
    using P = decltype(p);
    const int64_t bytes = rowBytes(gm_act_q8, gm_act_bf16, gm_dense_k);
    const Group groups[1] = {groupAt<P>(dense, nullptr, unit - units)};
    multiplyRanges<P>(
        groups, [&](int32_t r) GM_LAMBDA { return g + r * bytes; }, rows,
        [&](Sums sums) GM_LAMBDA {
          storeSums(z, stride)(Share{unit - units, 1, 0, rows}, sums);
        });
  });
}
