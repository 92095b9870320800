// Weights to blocks of 32 codes and a scale (targets/Layouts.h): the choice of
// scales and codes, and where they lie. Must not know tensors or files.
#pragma once

#include "targets/Layouts.h"

#include <algorithm>
#include <cstdint>

namespace gemmac {

// What quantising changed: largest and summed squared difference.
struct QuantError {
  double largest = 0, squares = 0;
  int64_t values = 0;
  void add(const QuantError &other) {
    largest = std::max(largest, other.largest);
    squares += other.squares;
    values += other.values;
  }
};

// A block: codes, and the bits of its scale.
struct QuantBlock {
  int8_t codes[quantBlock];
  uint16_t scale;
};

// The block of `format` nearest to 32 values. q8_0: largest magnitude / 127.
// 4-bit: exact if the values are an exact multiple of a scale, otherwise the
// scale of least squared error among some around the largest value.
QuantBlock quantize(const std::string &format, const float *values);
// scale * code, as kernels see it.
float quantValue(const std::string &format, const QuantBlock &block, int i);

// Round to nearest, ties to even; what is too large becomes the largest half.
uint16_t floatToHalf(float x);

// packQuantized for format q8_0.
QuantError packBytes(const Layout &layout, const float *const *rows,
                     int64_t cols, uint8_t *to);
// Packs `rows[i]` (layout.rowGroup rows of `cols` values, null: zeros) at `to`.
QuantError packQuantized(const Layout &layout, const float *const *rows,
                         int64_t cols, uint8_t *to);

} // namespace gemmac
