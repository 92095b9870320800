// What the generated code reads and computes, from its table of calls (gm_call
// and gm_work of runtime/abi.h).
#pragma once

#include "runtime/abi.h"

#include <cstdint>

namespace gm {

// How much a run of a segment has to do.
struct Extent {
  int32_t rows = 0, tiles = 0;
  int32_t splits[2] = {0, 0};
  // Per kind (local, global) the sum, over the tiles, of the keys that rows of
  // the tile see.
  int64_t keys[2] = {0, 0};
};
Extent extent_of(const gm_ctx &ctx, int64_t window);

// The range of units that worker `w` computes; `cut` as in gm_ctx.
struct UnitRange {
  int64_t begin, end, all;
};
UnitRange units_of(const gm_work &work, const Extent &extent,
                   const uint32_t *cut, int32_t w);

// Bytes of weights and of cached keys and values that a call reads from memory
// if each is read once: of a stack of experts no more than the rows can choose.
double bytes_of(const gm_work &work, const Extent &extent);

inline const gm_work &facts_of(const gm_call &call) {
  return gm_model.work[call.work];
}

struct Work {
  double bytes = 0;
  double ops = 0; // multiplications and additions with weights
};

// Of a run of a segment ("body", "tail", "top", "logits").
Work work_of(const char *segment, const Extent &extent);

} // namespace gm
