// Pictures as rows of patches, the input of the vision towers and of the 12B's
// embedder (docs/model/vision.md#2.4, docs/model/vision.md#7).
#pragma once

#include "runtime/media/picture.h"

namespace gm::media {

inline constexpr int kTowerPatch = 16;   // pixels; both towers
inline constexpr int kUnifiedPatch = 48; // the 12B, one soft token each

struct Patches {
  int64_t count = 0; // of the picture; row-major, i = y * columns + x
  int64_t columns = 0;
  int64_t rows = 0; // with padding
  // f32 (rows, side * side * 3), ordered (py, px, channel), in [0, 1]: the
  // byte times 1/255, both f32, as the reference's tensors have it (its arrays
  // round byte / 255 once, 6e-8 away at most). Padding is zero.
  std::vector<float> values;
  // i32 (rows, 2): column x, row y of a patch; (-1, -1) for padding.
  std::vector<int32_t> positions;
};

// Cuts the picture into patches of side x side pixels and pads them to `rows`
// rows (0: none, which is all that a tower with a run-time number of patches
// needs; the reference pads to the budget's). USAGE if the sides are no
// multiples of `side`, `side` is not 1 to 64, or there are more patches than
// rows; the picture must be within the bounds of picture.h.
Status make_patches(const Picture &picture, int side, int64_t rows,
                    Patches &patches);

// The same patches for a tower that pools cells of pool x pool of them: cell
// after cell, row by row, the patches of a cell likewise. Into `values` f32
// (patches, side * side * 3), rows `stride` apart and 0 up to there, and
// `positions` i32 (patches, 2). USAGE as above,
// with sides that are multiples of side * pool.
Status make_cells(const Picture &picture, int side, int pool, float *values,
                  int64_t stride, int32_t *positions);

} // namespace gm::media
