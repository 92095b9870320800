// Reads a GGUF file's header: metadata and the places of its tensors, checked
// completely, so that every view and offset is inside the file and no two
// tensors overlap. Versions 2 and 3, little endian. Must not know which keys or
// tensors a model has.
#pragma once

#include "codegen/Source.h"
#include "support/Result.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace gemmac {

// An element type of a tensor.
struct GgufTensorType {
  uint32_t id;
  const char *name;         // "Q4_0"
  uint32_t elements, bytes; // of a block
  SourceType type;
};

// nullptr if there is no type of that number.
const GgufTensorType *findGgufTensorType(uint32_t id);

// A metadata value; views point into the file.
struct GgufValue {
  enum class Kind { Integer, Number, Bool, String, Array };
  Kind kind = Kind::Integer;
  uint32_t type = 0;   // as the file spells it: 0 (u8) to 12 (f64)
  int64_t integer = 0; // of integers; u64 above 2^63 arrive as a number
  double number = 0;   // of numbers; f32 as the shortest decimal says it
  bool boolean = false;
  std::string_view text; // of a string; of an array its elements' bytes
  uint32_t element = 0;  // of an array: the type of its elements
  uint64_t count = 0;    // of an array

  bool is(Kind k) const { return kind == k; }
  // "an array of 10 strings"
  std::string describe() const;
  // Element `i` < count of an array of scalars.
  GgufValue item(uint64_t i) const;
  // The elements of an array of strings; empty for other values.
  std::vector<std::string_view> strings() const;
};

struct GgufEntry {
  std::string_view key;
  GgufValue value;
};

struct GgufTensor {
  std::string_view name;
  const GgufTensorType *type = nullptr;
  std::vector<int64_t> shape;  // outermost first; the file has it reversed
  uint64_t begin = 0, end = 0; // bytes from the start of the file
};

struct GgufHeader {
  uint32_t version = 0;
  std::vector<GgufEntry> entries;  // keys differ
  std::vector<GgufTensor> tensors; // in file order; names differ

  // nullptr if there is no such key.
  const GgufValue *find(std::string_view key) const;
};

// What bounds a hostile header; far above any file of the family.
constexpr uint64_t ggufEntries = 65536;
constexpr uint64_t ggufTensors = 200000;
constexpr int ggufDepth = 4; // of arrays in arrays

// `file` is the whole file; the result points into it.
Result<GgufHeader> parseGguf(std::string_view file, const std::string &name);

// True if the bytes start like a GGUF file of any version.
bool isGguf(std::string_view file);

} // namespace gemmac
