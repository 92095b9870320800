// model.safetensors.index.json: which tensor is in which file. Everything but
// its weight_map is skipped. Must not know which tensors a model has.
#include "compiler/importer/Failure.h"
#include "compiler/importer/Json.h"
#include "compiler/importer/Safetensors.h"

#include <nlohmann/json.hpp>

#include <map>

namespace gemmac {

// A name that stays inside the folder.
static bool isPlainName(std::string_view name) {
  const std::string_view end = ".safetensors";
  return name.size() > end.size() && name.size() <= 255 &&
         name.ends_with(end) && name.find('/') == name.npos &&
         name.find('\0') == name.npos;
}

// {"metadata": anything, "weight_map": {"tensor": "file", ...}}
static ShardIndex readIndex(const Json &root, const NamedFile &file) {
  if (!root.is_object())
    file.bad("expects an object, got {}", shown(root));
  const Json &map = member(root, "weight_map");
  if (map.is_discarded())
    file.bad("weight_map is missing, expects an object");
  if (!map.is_object())
    file.bad("weight_map expects an object, got {}", shown(map));
  if (map.empty())
    file.bad("weight_map names no tensor");
  if (map.size() > safetensorsTensors)
    file.bad("more than {} tensors", safetensorsTensors);
  std::map<std::string, size_t> shards;
  for (const auto &[tensor, shard] : map.items()) {
    if (!shard.is_string() ||
        !isPlainName(shard.get_ref<const std::string &>()))
      file.bad("tensor {} expects the name of a .safetensors file, got {}",
               gemmac::quoted(tensor), shown(shard));
    shards.emplace(shard, 0);
  }
  if (shards.size() > safetensorsShards)
    file.bad("more than {} files", safetensorsShards);
  ShardIndex index;
  for (auto &[shard, number] : shards) {
    number = index.shards.size();
    index.shards.push_back(shard);
  }
  for (const auto &[tensor, shard] : map.items())
    index.tensors.push_back({tensor, shards[shard]});
  return index;
}

Result<ShardIndex> parseShardIndex(std::string_view json,
                                   const std::string &name) {
  return reading(name, [&] {
    return readIndex(orFail(parseJson(json, name, mostJsonValues)),
                     NamedFile{name});
  });
}

} // namespace gemmac
