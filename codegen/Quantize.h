// Weights to blocks of 32 codes and a scale (targets/Layouts.h): the choice of
// scales and codes, and where they lie. Must not know tensors or files.
#pragma once

#include "codegen/StoredError.h"
#include "targets/Layouts.h"

#include <cstdint>

namespace gemmac {

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

// Packs `rows[i]` (layout.rowGroup rows of `cols` values, null: zeros) at `to`;
// adds what that changes in row i to `errors[i]`.
void packQuantized(const Layout &layout, const float *const *rows, int64_t cols,
                   uint8_t *to, StoredError *errors);

} // namespace gemmac
