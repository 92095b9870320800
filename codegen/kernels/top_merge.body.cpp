// Family top_merge: the 64 best of the parts that family top left.
#include "codegen/kernels/best.h"

// Unit = row.
extern "C" void gm_many(const float *values, const int32_t *ids,
                        int32_t *topIds, float *topValues, int32_t rows,
                        int32_t parts, int32_t begin, int32_t end) {
  for (int64_t row = begin; row < end; ++row) {
    Best best = {topValues + row * GM_TOP, topIds + row * GM_TOP};
    clear(best);
    for (int32_t part = 0; part < parts; ++part)
      for (int32_t i = 0; i < GM_TOP; ++i) {
        const int64_t from = (row * parts + part) * GM_TOP + i;
        if (ids[from] < 0 || !(values[from] > threshold(best)))
          break; // a part is sorted
        insert(best, values[from], ids[from]);
      }
  }
}

extern "C" void gm_few(const float *values, const int32_t *ids, int32_t *topIds,
                       float *topValues, int32_t rows, int32_t parts,
                       int32_t begin, int32_t end) {
  if (begin < end)
    gm_many(values, ids, topIds, topValues, rows, parts, 0, rows);
}
