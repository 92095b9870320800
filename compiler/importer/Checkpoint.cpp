// Folder -> TensorSource. Must not know MLIR or what is done with the tensors.
#include "compiler/importer/Checkpoint.h"

#include "compiler/importer/Failure.h"
#include "compiler/importer/Json.h"
#include "compiler/importer/MappedTensors.h"
#include "compiler/importer/OtherForms.h"
#include "compiler/importer/TensorNames.h"

#include <algorithm>
#include <charconv>

namespace gemmac {
namespace {

const char singleName[] = "model.safetensors";
const char indexName[] = "model.safetensors.index.json";
constexpr std::string_view tensorsEnd = ".safetensors";

// "model-00002-of-00003.safetensors": 3; 0 for other names.
int64_t shardsOf(std::string_view name) {
  size_t at = name.rfind("-of-");
  int64_t count = 0;
  if (at != name.npos)
    std::from_chars(name.data() + at + 4, name.data() + name.size(), count);
  return count;
}

// Files that may hold the tensors where neither of the two names is there.
std::vector<std::string> unnamedTensors(const std::string &folder) {
  std::vector<std::string> names;
  for (std::string &name : fileNames(folder))
    if (name.ends_with(tensorsEnd) && !name.starts_with("consolidated") &&
        !name.starts_with("adapter_"))
      names.push_back(std::move(name));
  return names;
}

class Checkpoint : public MappedTensors {
public:
  explicit Checkpoint(const std::string &folder) : folder(folder) {}
  void addAll(std::vector<std::string> &warnings);

  std::string nameInFile(const std::string &name) const override;
  std::string whyMissing(const std::string &name) const override;

private:
  void addUnnamed();
  void addSafetensors(const std::string &path);
  void addShards();
  void compare(const ShardIndex &shards);
  void note(const char *what, const std::vector<std::string> &names);

  const std::string folder;
  std::string front; // of all tensors of the decoder
  bool both = false; // model.safetensors and the index
  // Canonical names that the index lists, but no file holds, and where.
  std::unordered_map<std::string, std::string> stale;
};

void Checkpoint::addSafetensors(const std::string &path) {
  MappedFile map = orFail(MappedFile::open(path));
  SafetensorsHeader header = orFail(parseSafetensors(map.text(), path));
  for (SafetensorsEntry &entry : header.entries)
    addTensor("", entry.name, entry.type->type, entry.type->name,
              std::move(entry.shape), map, header.dataStart + entry.begin,
              header.dataStart + entry.end);
  addFile(std::move(map));
}

void Checkpoint::note(const char *what, const std::vector<std::string> &names) {
  if (!names.empty())
    found.push_back(
        {"layout", fmt::format("{}: {}, such as {}", what, names.size(),
                               gemmac::quoted(names[0]))});
}

// The files decide, as in transformers; where the index is wrong is noted.
void Checkpoint::compare(const ShardIndex &shards) {
  std::unordered_map<std::string_view, const SourceTensor *> inFiles;
  for (const SourceTensor &tensor : tensors())
    inFiles.emplace(tensor.fileName, &tensor);
  std::vector<std::string> gone, elsewhere, unlisted;
  for (const ShardIndex::Tensor &listed : shards.tensors) {
    auto at = inFiles.find(listed.name);
    if (at == inFiles.end()) {
      gone.push_back(listed.name);
      stale[canonicalName(listed.name, front)] = shards.shards[listed.shard];
      continue;
    }
    if (size_t(at->second->file) != listed.shard)
      elsewhere.push_back(listed.name);
    inFiles.erase(at);
  }
  for (const auto &[name, tensor] : inFiles)
    unlisted.emplace_back(name);
  std::sort(unlisted.begin(), unlisted.end());
  note("tensors of the index that are in no file", gone);
  note("tensors in another file than the index says", elsewhere);
  note("tensors that are not in the index", unlisted);
}

void Checkpoint::addShards() {
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
  front = decoderPrefix(tensors());
  compare(shards);
}

// One file of another name, or why the files cannot be read.
void Checkpoint::addUnnamed() {
  std::vector<std::string> names = unnamedTensors(folder);
  NamedFile file{folder};
  if (names.empty()) {
    orFail(explainFolder(folder, "safetensors of a model"));
    file.bad("no safetensors; expects {} or {} with its files", singleName,
             indexName);
  }
  if (int64_t count = shardsOf(names[0]); count > 1)
    file.bad("{} is missing, which says what the shards hold: {} and {} more "
             "of {}; fetch it",
             indexName, names[0], names.size() - 1, count);
  if (names.size() > 1)
    file.bad("{} is missing, which says which of {} files belong together: {}, "
             "{}, ...; fetch it",
             indexName, names.size(), names[0], names[1]);
  found.push_back({"layout", fmt::format("there is no {}; taking {}, the only "
                                         "file of tensors",
                                         singleName, names[0])});
  addSafetensors(joinPath(folder, names[0]));
}

void Checkpoint::addAll(std::vector<std::string> &warnings) {
  bool single = hasFile(folder, singleName);
  bool sharded = hasFile(folder, indexName);
  both = single && sharded;
  if (hasFile(folder, "adapter_config.json")) {
    if (hasFile(folder, "adapter_model.safetensors") ||
        hasFile(folder, "adapter_model.bin"))
      NamedFile{folder}.unsupported(
          "holds a model and an adapter for it (adapter_config.json); merge "
          "the adapter (merge_and_unload of peft), or compile a folder without "
          "it");
    warnings.push_back(folder +
                       ": adapter_config.json is ignored, there is no adapter");
  }
  if (both)
    warnings.push_back(fmt::format("{}: has both {} and {}; taking {}", folder,
                                   singleName, indexName, singleName));
  if (single)
    addSafetensors(joinPath(folder, singleName));
  else if (sharded)
    addShards();
  else
    addUnnamed();
  front = decoderPrefix(tensors());
  for (SourceTensor &tensor : list())
    tensor.name = canonicalName(tensor.fileName, front);
  index();
  const SourceTensor *embed = find("embed_tokens.weight");
  std::string_view usual = "model.language_model.embed_tokens.weight";
  if (embed && embed->fileName != usual)
    found.push_back({"layout", fmt::format("the embedding is named {}",
                                           gemmac::quoted(embed->fileName))});
}

// Towers stand beside the decoder: behind what stands in front of their other
// tensors.
std::string Checkpoint::nameInFile(const std::string &name) const {
  if (name == "lm_head.weight")
    return name;
  if (!towerOf(name))
    return front + name;
  for (const SourceTensor &tensor : tensors())
    if (const char *tower = towerOf(tensor.fileName))
      return tensor.fileName.substr(0, tensor.fileName.find(tower)) + name;
  return "model." + name;
}

std::string Checkpoint::whyMissing(const std::string &name) const {
  auto at = stale.find(name);
  if (at != stale.end())
    return fmt::format("; {} lists it in {}, which does not hold it", indexName,
                       at->second);
  return both ? fmt::format("; the folder has both {} and {}, of which {} was "
                            "taken: remove the one that is not the model",
                            singleName, indexName, singleName)
              : "";
}

} // namespace

bool hasTensors(const std::string &folder) {
  return hasFile(folder, singleName) || hasFile(folder, indexName) ||
         !unnamedTensors(folder).empty();
}

Result<std::unique_ptr<TensorSource>>
openCheckpoint(const std::string &folder, std::vector<std::string> &warnings) {
  return reading(folder, [&]() -> std::unique_ptr<TensorSource> {
    orFail(checkFolder(folder));
    auto checkpoint = std::make_unique<Checkpoint>(folder);
    checkpoint->addAll(warnings);
    return checkpoint;
  });
}

} // namespace gemmac
