// model.safetensors.index.json: which tensor is in which file. Everything but
// its weight_map is skipped. Must not know which tensors a model has.
#include "compiler/importer/Safetensors.h"

#include "compiler/importer/Json.h"

#include <algorithm>
#include <map>
#include <new>

namespace gemmac {
namespace {

// A name that stays inside the folder.
bool isPlainName(const std::string &name) {
  const std::string end = ".safetensors";
  return name.size() > end.size() && name.size() <= 255 &&
         name.compare(name.size() - end.size(), end.size(), end) == 0 &&
         name.find('/') == std::string::npos &&
         name.find('\0') == std::string::npos;
}

// {"metadata": anything, "weight_map": {"tensor": "file", ...}}
class IndexBuilder : public JsonEvents {
public:
  std::map<std::string, size_t> shards;
  std::vector<ShardIndex::Tensor> tensors;
  bool hasMap = false;

  bool null() override { return scalar("null"); }
  bool boolean(bool) override { return scalar("a boolean"); }
  bool integer(int64_t) override { return scalar("an integer"); }
  bool number(double) override { return scalar("a number"); }
  bool string(std::string &value) override {
    if (!inMap)
      return scalar("a string");
    if (!isPlainName(value))
      return refuse("tensor {} expects the name of a .safetensors file, got {}",
                    gemmac::quoted(field), gemmac::quoted(value));
    size_t shard = shards.emplace(value, shards.size()).first->second;
    if (shards.size() > safetensorsShards)
      return refuse("more than {} files", safetensorsShards);
    if (int64_t(tensors.size()) == safetensorsTensors)
      return refuse("more than {} tensors", safetensorsTensors);
    tensors.push_back({std::move(field), shard});
    return true;
  }
  bool startObject() override {
    if (inMap)
      return scalar("an object");
    inMap = depth == 1 && field == "weight_map";
    hasMap |= inMap;
    ++depth;
    return true;
  }
  bool key(std::string &value) override {
    if (inMap || depth == 1)
      field = std::move(value);
    return true;
  }
  bool endObject() override {
    --depth;
    inMap = false;
    return true;
  }
  bool startArray() override {
    if (!scalar("an array"))
      return false;
    ++depth;
    return true;
  }
  bool endArray() override {
    --depth;
    return true;
  }

private:
  template <typename... T>
  bool refuse(fmt::format_string<T...> text, T &&...arguments) {
    problem = fmt::format(text, std::forward<T>(arguments)...);
    return false;
  }
  // Anything but an object; wrong in the map, as the map and as the document.
  bool scalar(const char *what) {
    if (inMap)
      return refuse("tensor {} expects a file name, got {}",
                    gemmac::quoted(field), what);
    if (depth == 0)
      return refuse("expects an object, got {}", what);
    if (depth == 1 && field == "weight_map")
      return refuse("weight_map expects an object, got {}", what);
    return true;
  }

  std::string field; // the key read last at depth 1 or in the map
  int depth = 0;
  bool inMap = false;
};

ShardIndex sorted(IndexBuilder &builder) {
  ShardIndex index;
  std::vector<size_t> place(builder.shards.size());
  for (const auto &[shard, number] : builder.shards) {
    place[number] = index.shards.size();
    index.shards.push_back(shard);
  }
  index.tensors = std::move(builder.tensors);
  for (ShardIndex::Tensor &tensor : index.tensors)
    tensor.shard = place[tensor.shard];
  std::sort(index.tensors.begin(), index.tensors.end(),
            [](const ShardIndex::Tensor &a, const ShardIndex::Tensor &b) {
              return a.name < b.name;
            });
  return index;
}

} // namespace

Result<ShardIndex> parseShardIndex(std::string_view json,
                                   const std::string &name) {
  try {
    IndexBuilder builder;
    Status read = readJson(json, name, builder);
    if (!read)
      return read.error();
    if (!builder.hasMap)
      return makeError(ExitCode::BadInput,
                       "{}: weight_map is missing, expects an object", name);
    if (builder.tensors.empty())
      return makeError(ExitCode::BadInput, "{}: weight_map names no tensor",
                       name);
    return sorted(builder);
  } catch (const std::bad_alloc &) {
    return makeError(ExitCode::Resources, "{}: not enough memory to read it",
                     name);
  }
}

} // namespace gemmac
