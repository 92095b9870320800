// Folder -> TensorSource. Must not know MLIR or what is done with the tensors.
#include "compiler/importer/Checkpoint.h"

#include "compiler/importer/Failure.h"
#include "compiler/importer/Json.h"
#include "compiler/importer/MappedTensors.h"

#include <charconv>

namespace gemmac {
namespace {

const char singleName[] = "model.safetensors";
const char indexName[] = "model.safetensors.index.json";

bool takePrefix(std::string_view &text, std::string_view prefix) {
  if (!text.starts_with(prefix))
    return false;
  text.remove_prefix(prefix.size());
  return true;
}

class Checkpoint : public MappedTensors {
public:
  void addSingle(const std::string &folder);
  void addShards(const std::string &folder);

private:
  void addSafetensors(const std::string &path);
  void check(const ShardIndex &shards, const NamedFile &indexFile) const;
};

void Checkpoint::addSafetensors(const std::string &path) {
  MappedFile map = orFail(MappedFile::open(path));
  SafetensorsHeader header = orFail(parseSafetensors(map.text(), path));
  for (SafetensorsEntry &entry : header.entries)
    addTensor(canonicalName(entry.name), entry.name, entry.type->type,
              entry.type->name, std::move(entry.shape), map,
              header.dataStart + entry.begin, header.dataStart + entry.end);
  addFile(std::move(map));
}

// Both directions: what the index lists is in that file, and it lists all.
void Checkpoint::check(const ShardIndex &shards,
                       const NamedFile &indexFile) const {
  std::unordered_map<std::string_view, const SourceTensor *> byFileName;
  for (const SourceTensor &tensor : tensors())
    byFileName.emplace(tensor.fileName, &tensor);
  for (const ShardIndex::Tensor &listed : shards.tensors) {
    auto at = byFileName.find(listed.name);
    const std::string &shard = shards.shards[listed.shard];
    if (at == byFileName.end())
      indexFile.bad("tensor {} is listed in {}, which does not hold it",
                    gemmac::quoted(listed.name), shard);
    if (size_t(at->second->file) != listed.shard)
      indexFile.bad("tensor {} is listed in {}, but is in {}",
                    gemmac::quoted(listed.name), shard,
                    files()[size_t(at->second->file)].path);
    byFileName.erase(at);
  }
  for (const SourceTensor &tensor : tensors())
    if (byFileName.count(tensor.fileName))
      NamedFile{files()[size_t(tensor.file)].path}.bad(
          "tensor {} is not listed in {}", gemmac::quoted(tensor.fileName),
          indexName);
}

void Checkpoint::addShards(const std::string &folder) {
  NamedFile file{joinPath(folder, indexName)};
  std::string text = orFail(readFile(file.name, safetensorsHeaderBytes));
  ShardIndex shards = orFail(parseShardIndex(text, file.name));
  for (const std::string &shard : shards.shards)
    if (!hasFile(folder, shard))
      NamedFile{joinPath(folder, shard)}.bad(
          "missing shard, {} lists {} files; fetch it", indexName,
          shards.shards.size());
  for (const std::string &shard : shards.shards)
    addSafetensors(joinPath(folder, shard));
  index();
  check(shards, file);
}

void Checkpoint::addSingle(const std::string &folder) {
  addSafetensors(joinPath(folder, singleName));
  index();
}

} // namespace

Result<std::unique_ptr<TensorSource>>
openCheckpoint(const std::string &folder, std::vector<std::string> &warnings) {
  return reading(folder, [&]() -> std::unique_ptr<TensorSource> {
    orFail(checkFolder(folder));
    bool single = hasFile(folder, singleName);
    bool sharded = hasFile(folder, indexName);
    if (!single && !sharded)
      NamedFile{folder}.bad("no safetensors; expects {} or {} with its files",
                            singleName, indexName);
    if (single && sharded)
      warnings.push_back(fmt::format("{}: has both {} and {}; taking {}",
                                     folder, singleName, indexName,
                                     singleName));
    auto checkpoint = std::make_unique<Checkpoint>();
    single ? checkpoint->addSingle(folder) : checkpoint->addShards(folder);
    return checkpoint;
  });
}

std::string canonicalName(std::string_view name) {
  if (!takePrefix(name, "model.language_model."))
    takePrefix(name, "model.");
  return std::string(name);
}

const char *towerOf(std::string_view name) {
  static const char *const towers[] = {"audio_tower",  "embed_audio",
                                       "embed_vision", "multi_modal_projector",
                                       "vision_tower", "vision_embedder"};
  for (const char *tower : towers)
    if (name.substr(0, name.find('.')) == tower)
      return tower;
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
