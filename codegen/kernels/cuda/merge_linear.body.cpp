// Family merge_linear: k columns are heads of gm_hd. Unit = 16 outputs.
#include "codegen/kernels/cuda/ends.h"
#include "codegen/kernels/cuda/merging.h"
#include "codegen/kernels/cuda/prologue.h"

extern "C" {
extern const int32_t gm_hd;
}

// x = merge(partials).
struct Merged {
  const float *partials;
  const int32_t *parts;
  int32_t maxSplits;

  GM_INLINE int32_t bytes() { return preparedBytes(); }
  GM_LAMBDA void rows(uint8_t *memory, int32_t rows) const {
    const int32_t heads = gm_k / gm_hd;
    storeRows(memory, rows, [&](int32_t r, int32_t i) GM_LAMBDA {
      return mergedOutput(partials, int64_t(r) * maxSplits, parts[r], heads,
                          gm_hd, i);
    });
  }
};

GM_RESIDENT(gm_few, fewBlocksOf())
GM_ENTRY(gm_few, fewThreadsOf(),
         (fewBytesOf<GM_FEW_ROWS, 1>() + Merged::bytes()), 1, 0)
(const float *partials, const int32_t *parts, const uint8_t *w, float *y,
 const gm_numbers *step, int32_t maxSplits, int32_t stride, int32_t begin,
 int32_t end) {
  fewBehind<1>(Merged{partials, parts, maxSplits}, w, step->rows, begin, end,
               storeSums(y, stride));
}
