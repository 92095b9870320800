// Weights to blocks of 32 codes and a scale (targets/Layouts.h): the choice of
// scales and codes, and where they lie. Must not know tensors or files.
#pragma once

#include "codegen/Dequantize.h"
#include "codegen/StoredError.h"
#include "targets/Layouts.h"

#include <cstdint>

namespace gemmac {

// A block: codes, and the bits of its scale.
struct QuantBlock {
  int8_t codes[blockValues] = {};
  uint16_t scale = 0;
};

// The block of `format` nearest to 32 values: least squared error among scales
// around the plain one (largest magnitude at 127 of 8 bits, at -8 or 7 of 4);
// without `search` q8_0 has the plain scale. Blocks are exact where the values
// are multiples of a scale by -8 to 7, also where these were rounded to bf16. A
// block with a value that is not finite, or with none of at least 2^-40, is
// zero.
QuantBlock quantize(const std::string &format, const float *values,
                    bool search = true);
// scale * code, as kernels see it.
float quantValue(const std::string &format, const QuantBlock &block, int i);

// Whether blocks of `format` hold every value of blocks of `type` exactly: then
// packing takes over codes and scales as they are.
bool keepsBits(const std::string &format, SourceType type);

// A row of source blocks or values.
struct QuantRow {
  SourceType type = SourceType::F32;
  const void *data = nullptr; // null: a row of zeros
};

// Packs `rows[i]` (layout.rowGroup rows of `cols` values) at `to` and adds what
// that changed to `errors[i]`. Rows are f32 values or of a type whose bits the
// format keeps.
void packQuantized(const Layout &layout, const QuantRow *rows, int64_t cols,
                   uint8_t *to, StoredError *errors);

} // namespace gemmac
