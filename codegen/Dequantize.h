// The element types of source tensors: their sizes and their exact values in
// f32. Block types are those of GGUF files, a scale or two for 32 or 256 values
// of a row. Must not know tensors, files or what is packed from them.
#pragma once

#include <cstdint>

namespace gemmac {

enum class SourceType {
  F32,
  F16,
  BF16,
  I64,
  Q8_0,
  Q4_0,
  Q4_1,
  Q5_0,
  Q5_1,
  Q4_K,
  Q5_K,
  Q6_K,
  Other
};

// The format of a type (targets/Formats.h); null for types that are no weights.
const char *sourceWord(SourceType type);
// True for the types that hold blocks of quantised values.
bool isBlockType(SourceType type);
// Values of a block; 1 for plain types.
int64_t blockElements(SourceType type);
// Bytes of `n` values, a multiple of the block. Not for Other.
int64_t sourceBytes(SourceType type, int64_t n);

// The `n` values at `from`, a multiple of the block, as f32. Block types are
// computed in f32, every product and sum rounded once, as their reference does.
// Not for I64 and Other.
void dequantizeRow(SourceType type, const uint8_t *from, int64_t n, float *to);

// The first of the `n` values at `from`, a multiple of the block, that is not
// finite; -1: none. Of a block with such a scale its first value. Not for I64
// and Other.
int64_t firstNonFinite(SourceType type, const uint8_t *from, int64_t n);

float halfToFloat(uint16_t half);
float bf16ToFloat(uint16_t half);
// Round to nearest, ties to even; NaN stays NaN.
uint16_t floatToBf16(float x);

} // namespace gemmac
