// Reads a GGUF file's header: metadata and the places of its tensors, checked
// completely, so that every view and offset is inside the file and no two
// tensors overlap. Versions 2 and 3, little endian. Must not know which keys or
// tensors a model has.
#pragma once

#include "codegen/Source.h"
#include "compiler/importer/Json.h"
#include "support/Result.h"

#include <cstdint>
#include <memory>
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

struct GgufTensor {
  std::string_view name;
  const GgufTensorType *type = nullptr;
  std::vector<int64_t> shape;  // outermost first; the file has it reversed
  uint64_t begin = 0, end = 0; // bytes from the start of the file
};

struct GgufHeader {
  uint32_t version = 0;
  // An object, copied: nothing of it points into the file. f32 arrive as the
  // shortest decimal says them, u64 above 2^63 as numbers.
  std::shared_ptr<const Json> metadata;
  std::vector<GgufTensor> tensors; // in file order; names differ

  // The value of `key`; discarded if there is no such key.
  const Json &find(std::string_view key) const;
};

// What bounds a hostile header; far above any file of the family.
constexpr uint64_t ggufEntries = 65536;
constexpr uint64_t ggufTensors = 200000;
constexpr uint64_t ggufValues = 1 << 24; // elements of arrays, all together
constexpr int ggufDepth = 4;             // of arrays in arrays

// `file` is the whole file; names of tensors point into it.
Result<GgufHeader> parseGguf(std::string_view file, const std::string &name);

// True if the bytes start like a GGUF file of any version.
bool isGguf(std::string_view file);

} // namespace gemmac
