// How far what a program stores is from its source: the numbers of the fidelity
// card (`PROGRAM info --card`). Must not know tensors or files.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace gemmac {

// Of `values` stored values: the largest difference from their sources, and the
// sums of the squares of the differences and of the sources. Of quantised ones
// also the blocks that are not zero, and those of them whose values are the
// same, also as bf16.
struct StoredError {
  double largest = 0, squares = 0, source = 0;
  int64_t values = 0, blocks = 0, exactBlocks = 0;

  void add(const StoredError &other) {
    largest = std::max(largest, other.largest);
    squares += other.squares;
    source += other.source;
    values += other.values;
    blocks += other.blocks;
    exactBlocks += other.exactBlocks;
  }
  double rms() const { return values ? std::sqrt(squares / values) : 0; }
  // Root of error energy per energy of the source; 0 where nothing differs.
  double relative() const {
    return squares == 0 ? 0 : std::sqrt(squares / source);
  }
};

// Adds `n` source values and what is stored for them, both as f32. Squares are
// summed in f32 over at most 16 values each, then in double.
void measureError(const float *source, const float *stored, int64_t n,
                  StoredError &error);
// Adds `n` values that are stored as they are: their squares are not needed.
inline void addExact(int64_t n, StoredError &error) { error.values += n; }

} // namespace gemmac
