// Folder -> TensorSource. Must not know MLIR or what is done with the tensors.
#include "compiler/importer/Checkpoint.h"

#include "compiler/importer/File.h"
#include "compiler/importer/Json.h"

#include <algorithm>
#include <charconv>
#include <new>
#include <unordered_map>

namespace gemmac {

const char *const ignoredTowers[] = {
    "audio_tower",           "embed_audio",  "embed_vision", "vision_embedder",
    "multi_modal_projector", "vision_tower", nullptr};

namespace {

const char singleName[] = "model.safetensors";
const char indexName[] = "model.safetensors.index.json";

bool takePrefix(std::string_view &text, std::string_view prefix) {
  if (text.substr(0, prefix.size()) != prefix)
    return false;
  text.remove_prefix(prefix.size());
  return true;
}

template <typename... T>
Error bad(fmt::format_string<T...> text, T &&...arguments) {
  return makeError(ExitCode::BadInput, text, std::forward<T>(arguments)...);
}

class Checkpoint : public TensorSource {
public:
  const std::vector<SourceTensor> &tensors() const override { return list; }
  const std::vector<SourceFile> &files() const override { return fileList; }
  const SourceTensor *find(const std::string &name) const override {
    auto at = byName.find(name);
    return at == byName.end() ? nullptr : &list[at->second];
  }

  Status addFile(const std::string &path);
  // After the last file.
  Status index();
  Status check(const ShardIndex &shards, const std::string &indexPath) const;

private:
  std::vector<MappedFile> maps;
  std::vector<SourceFile> fileList;
  std::vector<SourceTensor> list;
  std::unordered_map<std::string_view, size_t> byName; // views into list
};

Status Checkpoint::addFile(const std::string &path) {
  Result<MappedFile> map = MappedFile::open(path);
  if (!map)
    return map.error();
  Result<SafetensorsHeader> header = parseSafetensors(map->text(), path);
  if (!header)
    return header.error();
  for (SafetensorsEntry &entry : header->entries) {
    SourceTensor tensor;
    tensor.name = canonicalName(entry.name);
    tensor.fileName = std::move(entry.name);
    tensor.type = entry.type->type;
    tensor.typeName = entry.type->name;
    tensor.shape = std::move(entry.shape);
    tensor.data = map->data() + header->dataStart + entry.begin;
    tensor.bytes = entry.end - entry.begin;
    tensor.file = int(fileList.size());
    list.push_back(std::move(tensor));
  }
  fileList.push_back({path, map->bytes(), map->mtimeNs()});
  maps.push_back(std::move(*map));
  return Done{};
}

Status Checkpoint::index() {
  byName.reserve(list.size());
  for (size_t i = 0; i < list.size(); ++i) {
    auto [at, fresh] = byName.emplace(list[i].name, i);
    if (fresh)
      continue;
    const SourceTensor &first = list[at->second];
    return bad("{}: tensor {} is a duplicate of tensor {} in {}",
               fileList[size_t(list[i].file)].path,
               gemmac::quoted(list[i].fileName), gemmac::quoted(first.fileName),
               fileList[size_t(first.file)].path);
  }
  return Done{};
}

// Both directions: what the index lists is in that file, and it lists all.
Status Checkpoint::check(const ShardIndex &shards,
                         const std::string &indexPath) const {
  std::unordered_map<std::string_view, const SourceTensor *> byFileName;
  for (const SourceTensor &tensor : list)
    byFileName.emplace(tensor.fileName, &tensor);
  for (const ShardIndex::Tensor &listed : shards.tensors) {
    auto at = byFileName.find(listed.name);
    const std::string &shard = shards.shards[listed.shard];
    if (at == byFileName.end())
      return bad("{}: tensor {} is listed in {}, which does not hold it",
                 indexPath, gemmac::quoted(listed.name), shard);
    if (size_t(at->second->file) != listed.shard)
      return bad("{}: tensor {} is listed in {}, but is in {}", indexPath,
                 gemmac::quoted(listed.name), shard,
                 fileList[size_t(at->second->file)].path);
    byFileName.erase(at);
  }
  for (const SourceTensor &tensor : list)
    if (byFileName.count(tensor.fileName))
      return bad("{}: tensor {} is not listed in {}",
                 fileList[size_t(tensor.file)].path,
                 gemmac::quoted(tensor.fileName), indexName);
  return Done{};
}

Status addShards(Checkpoint &checkpoint, const std::string &folder) {
  std::string path = joinPath(folder, indexName);
  Result<MappedFile> map = MappedFile::open(path);
  if (!map)
    return map.error();
  if (map->bytes() > safetensorsHeaderBytes)
    return bad("{}: has {} bytes, expects at most {}", path, map->bytes(),
               safetensorsHeaderBytes);
  Result<ShardIndex> shards = parseShardIndex(map->text(), path);
  if (!shards)
    return shards.error();
  for (const std::string &shard : shards->shards)
    if (!hasFile(folder, shard))
      return bad("{}: missing shard, {} lists {} files; fetch it",
                 joinPath(folder, shard), indexName, shards->shards.size());
  for (const std::string &shard : shards->shards) {
    Status added = checkpoint.addFile(joinPath(folder, shard));
    if (!added)
      return added.error();
  }
  Status indexed = checkpoint.index();
  if (!indexed)
    return indexed.error();
  return checkpoint.check(*shards, path);
}

Status addSingle(Checkpoint &checkpoint, const std::string &folder) {
  Status added = checkpoint.addFile(joinPath(folder, singleName));
  if (!added)
    return added.error();
  return checkpoint.index();
}

} // namespace

Result<std::unique_ptr<TensorSource>>
openCheckpoint(const std::string &folder, std::vector<std::string> &warnings) {
  try {
    Status there = checkFolder(folder);
    if (!there)
      return there.error();
    bool single = hasFile(folder, singleName);
    bool sharded = hasFile(folder, indexName);
    if (!single && !sharded)
      return bad("{}: no safetensors; expects {} or {} with its files", folder,
                 singleName, indexName);
    if (single && sharded)
      warnings.push_back(fmt::format("{}: has both {} and {}; taking {}",
                                     folder, singleName, indexName,
                                     singleName));
    auto checkpoint = std::make_unique<Checkpoint>();
    Status added = single ? addSingle(*checkpoint, folder)
                          : addShards(*checkpoint, folder);
    if (!added)
      return added.error();
    return std::unique_ptr<TensorSource>(std::move(checkpoint));
  } catch (const std::bad_alloc &) {
    return makeError(ExitCode::Resources,
                     "{}: not enough memory to read the tensors' names",
                     folder);
  }
}

std::string canonicalName(std::string_view name) {
  if (!takePrefix(name, "model.language_model."))
    takePrefix(name, "model.");
  return std::string(name);
}

const char *towerOf(std::string_view name) {
  std::string_view first = name.substr(0, name.find('.'));
  for (const char *const *tower = ignoredTowers; *tower; ++tower)
    if (first == *tower)
      return *tower;
  return nullptr;
}

bool isDeadKv(const ModelConfig &model, std::string_view name) {
  if (!takePrefix(name, "layers."))
    return false;
  size_t layer = 0;
  const char *end = name.data() + name.size();
  auto [rest, error] = std::from_chars(name.data(), end, layer);
  if (error != std::errc() || layer >= model.layer.size() ||
      model.layer[layer].ownsKv)
    return false;
  std::string_view tail(rest, size_t(end - rest));
  return tail == ".self_attn.k_proj.weight" ||
         tail == ".self_attn.v_proj.weight" ||
         tail == ".self_attn.k_norm.weight";
}

} // namespace gemmac
