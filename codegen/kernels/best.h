// The best (value, id), at most 64, of a stream with ascending ids, shared by
// the families top, top_scan and top_merge. Freestanding, for body files only.
#ifndef GEMMAC_CODEGEN_KERNELS_BEST_H
#define GEMMAC_CODEGEN_KERNELS_BEST_H

#include "codegen/kernels/body.h"

// Descending; equal values in the order in which they came. Places that are not
// filled hold GM_LOWEST and -1.
struct Best {
  float *values;
  int32_t *ids;
  int32_t places = GM_TOP; // that are used, of GM_TOP
};

GM_INLINE void clear(Best b) {
  for (int32_t i = 0; i < GM_TOP; ++i)
    b.values[i] = GM_LOWEST, b.ids[i] = -1;
}

// A value enters if it is larger than this.
GM_INLINE float threshold(Best b) { return b.values[b.places - 1]; }

GM_INLINE void insert(Best b, float value, int32_t id) {
  int32_t i = b.places - 1;
  for (; i > 0 && value > b.values[i - 1]; --i)
    b.values[i] = b.values[i - 1], b.ids[i] = b.ids[i - 1];
  b.values[i] = value, b.ids[i] = id;
}

#endif
