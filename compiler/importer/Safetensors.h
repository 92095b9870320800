// Reads the headers of safetensors files and the index of a sharded checkpoint,
// and checks them completely: after that every offset is inside its file, no
// two tensors overlap and every byte belongs to one. Must not know which
// tensors a model has.
#pragma once

#include "codegen/Source.h"
#include "support/Result.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace gemmac {

// An element type of the format.
struct SafetensorsType {
  const char *name; // "BF16"
  int bits;         // per element
  SourceType type;
};

// nullptr if there is no type of that name.
const SafetensorsType *findSafetensorsType(std::string_view name);

struct SafetensorsEntry {
  std::string name;
  const SafetensorsType *type = nullptr;
  std::vector<int64_t> shape;
  uint64_t begin = 0, end = 0; // bytes from the start of the data
};

struct SafetensorsHeader {
  uint64_t dataStart = 0;
  std::vector<SafetensorsEntry> entries; // ascending by place
};

// The limits are far above any checkpoint of the family and bound what a
// hostile header can make us allocate.
constexpr uint64_t safetensorsHeaderBytes = 32 << 20;
constexpr int64_t safetensorsTensors = 200000;
constexpr int64_t safetensorsRank = 8;

// The whole file: 8 bytes of header length, header, data.
Result<SafetensorsHeader> parseSafetensors(std::string_view file,
                                           const std::string &name);

// The header alone; `dataBytes` is the size of the data that follows it.
Result<std::vector<SafetensorsEntry>>
parseSafetensorsHeader(std::string_view json, uint64_t dataBytes,
                       const std::string &name);

// model.safetensors.index.json.
struct ShardIndex {
  struct Tensor {
    std::string name;
    size_t shard; // index into shards
  };
  std::vector<std::string> shards; // plain file names, ascending
  std::vector<Tensor> tensors;     // ascending by name
};

constexpr size_t safetensorsShards = 4096;

Result<ShardIndex> parseShardIndex(std::string_view json,
                                   const std::string &name);

} // namespace gemmac
