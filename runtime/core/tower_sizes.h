// The segments that make soft rows, and how much they read: for the core, which
// lays their arrays out, and back ends, which copy them.
#pragma once

#include "runtime/gemma.h"

namespace gm {

// Each with rows of its own.
enum { PATCHES, IMAGE, AUDIO, TOWERS };

// Rows of the towers and what their arrays need, from plan and manifest.
struct TowerSizes {
  int64_t rows[TOWERS] = {};    // most, multiples of a page
  int64_t columns[TOWERS] = {}; // of the input
  // From one of its rows to the next: what kernels read in, 32 at a time.
  int64_t stride(int tower) const { return (columns[tower] + 31) / 32 * 32; }
  int64_t pairs = 0;  // of rope_patch, both axes
  int64_t merged = 1; // patches of a cell
};
TowerSizes tower_sizes(const File &file, const Plan &plan);

} // namespace gm
