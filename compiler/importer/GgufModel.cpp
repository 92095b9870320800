// Files -> tensors under their canonical names. Must not know MLIR or what is
// done with the tensors.
#include "compiler/importer/GgufModel.h"

#include "compiler/importer/ConfigReader.h"
#include "compiler/importer/GgufTowers.h"
#include "compiler/importer/TensorNames.h"

#include <nlohmann/json.hpp>

#include <algorithm>

namespace gemmac {
namespace {

struct NamePair {
  std::string_view gguf, canonical;
};

const NamePair globalNames[] = {
    {"output.weight", "lm_head.weight"},
    {"output_norm.weight", "norm.weight"},
    {"per_layer_model_proj.weight", "per_layer_model_projection.weight"},
    {"per_layer_proj_norm.weight", "per_layer_projection_norm.weight"},
    {"per_layer_token_embd.weight", "embed_tokens_per_layer.weight"},
    {"token_embd.weight", "embed_tokens.weight"},
};

// Behind "blk.3." and "layers.3.".
const NamePair layerNames[] = {
    {"attn_k.weight", "self_attn.k_proj.weight"},
    {"attn_k_norm.weight", "self_attn.k_norm.weight"},
    {"attn_norm.weight", "input_layernorm.weight"},
    {"attn_output.weight", "self_attn.o_proj.weight"},
    {"attn_q.weight", "self_attn.q_proj.weight"},
    {"attn_q_norm.weight", "self_attn.q_norm.weight"},
    {"attn_v.weight", "self_attn.v_proj.weight"},
    {"ffn_down.weight", "mlp.down_proj.weight"},
    {"ffn_down_exps.scale", "router.per_expert_scale"},
    {"ffn_down_exps.weight", "experts.down_proj"},
    {"ffn_gate.weight", "mlp.gate_proj.weight"},
    {"ffn_gate_exps.weight", "experts.gate_proj"},
    {"ffn_gate_inp.scale", "router.scale"},
    {"ffn_gate_inp.weight", "router.proj.weight"},
    {"ffn_gate_up_exps.weight", "experts.gate_up_proj"},
    {"ffn_norm.weight", "pre_feedforward_layernorm.weight"},
    {"ffn_up.weight", "mlp.up_proj.weight"},
    {"ffn_up_exps.weight", "experts.up_proj"},
    {"inp_gate.weight", "per_layer_input_gate.weight"},
    {"layer_output_scale.weight", "layer_scalar"},
    {"post_attention_norm.weight", "post_attention_layernorm.weight"},
    {"post_ffw_norm.weight", "post_feedforward_layernorm.weight"},
    {"post_ffw_norm_1.weight", "post_feedforward_layernorm_1.weight"},
    {"post_ffw_norm_2.weight", "post_feedforward_layernorm_2.weight"},
    {"post_norm.weight", "post_per_layer_input_norm.weight"},
    {"pre_ffw_norm_2.weight", "pre_feedforward_layernorm_2.weight"},
    {"proj.weight", "per_layer_projection.weight"},
};

// Towers that some converters put into the same file.
const NamePair towerNames[] = {{"a.", "in_model.audio_tower."},
                               {"mm.a.", "in_model.embed_audio."},
                               {"mm.", "in_model.embed_vision."},
                               {"v.", "in_model.vision_tower."}};

using Side = std::string_view NamePair::*;

template <size_t n>
const NamePair *findName(const NamePair (&pairs)[n], Side side,
                         std::string_view name) {
  for (const NamePair &pair : pairs)
    if (pair.*side == name)
      return &pair;
  return nullptr;
}

std::string translate(std::string_view name, Side from, Side to,
                      std::string_view fromLayer, std::string_view toLayer) {
  if (const NamePair *pair = findName(globalNames, from, name))
    return std::string(pair->*to);
  size_t dot = name.find('.', fromLayer.size());
  if (!name.starts_with(fromLayer) || dot == name.npos)
    return std::string(name);
  std::string_view layer =
      name.substr(fromLayer.size(), dot - fromLayer.size());
  const NamePair *pair = findName(layerNames, from, name.substr(dot + 1));
  if (!pair || layer.empty() ||
      layer.find_first_not_of("0123456789") != layer.npos)
    return std::string(name);
  return fmt::format("{}{}.{}", toLayer, layer, pair->*to);
}

int64_t integerOr(const GgufHeader &header, std::string_view key,
                  int64_t fallback) {
  const Json &value = header.find(key);
  return value.is_number_integer() ? value.get<int64_t>() : fallback;
}

// "-00002-of-00003.gguf" for part 1 of 3.
std::string partEnding(int64_t part, int64_t parts) {
  return fmt::format("-{:05}-of-{:05}.gguf", part + 1, parts);
}

constexpr int64_t mostParts = 4096;

} // namespace

std::string canonicalFromGguf(std::string_view name) {
  for (const NamePair &tower : towerNames)
    if (name.starts_with(tower.gguf))
      return fmt::format("{}{}", tower.canonical,
                         name.substr(tower.gguf.size()));
  return translate(name, &NamePair::gguf, &NamePair::canonical, "blk.",
                   "layers.");
}

std::string ggufFromCanonical(std::string_view name) {
  return towerOf(name) ? ggufTowerName(name)
                       : translate(name, &NamePair::canonical, &NamePair::gguf,
                                   "layers.", "blk.");
}

bool isGgufFile(const std::string &path) {
  if (checkFolder(path))
    return false;
  if (path.size() > 5 && path.ends_with(".gguf"))
    return true;
  Result<MappedFile> map = MappedFile::open(path);
  return map && isGguf(map->text());
}

std::string GgufModel::nameInFile(const std::string &name) const {
  return ggufFromCanonical(name);
}

const char *GgufModel::whyUnused(const SourceTensor &tensor) const {
  if (tensor.name == "rope_freqs.weight")
    return "restates which lanes of global layers are rotated";
  if (tensor.name.starts_with("in_model."))
    return "a tower in the model's own file, which is not read: --mmproj takes "
           "towers from a file of their own";
  return MappedTensors::whyUnused(tensor);
}

const SourceWords &GgufModel::words() const {
  static const SourceWords words = {
      .sizes = "the metadata",
      .describe = "describe",
      .types = "F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q4_K, Q5_K or "
               "Q6_K",
      .otherTypes = "quantise the model to one of them",
      .showTools = false};
  return words;
}

std::string GgufModel::ownName() const {
  const Json &own = first.find("general.name");
  std::string name = own.is_string() ? own.get<std::string>() : "";
  bool printable = std::all_of(name.begin(), name.end(),
                               [](char c) { return c >= ' ' && c < 127; });
  return printable ? name : "";
}

void GgufModel::checkArchitecture() const {
  NamedFile file{path()};
  const Json &value = first.find("general.architecture");
  if (!value.is_string())
    file.bad("general.architecture expects a string, got {}", shown(value));
  constexpr const char alone[] =
      "holds only the vision and audio towers of a model (mmproj); pass the "
      "GGUF file of its text model, and this one with --mmproj";
  struct {
    const char *key, *value, *what;
  } const parts[] = {
      {"general.architecture", "clip", alone},
      {"general.type", "mmproj", alone},
      {"general.type", "adapter",
       "holds an adapter (such as LoRA), not a model; merge it into its model "
       "(llama-export-lora) and pass the result"},
      {"general.type", "imatrix",
       "holds statistics of activations (imatrix), not a model"}};
  for (const auto &part : parts)
    if (isText(first.find(part.key), part.value))
      file.unsupported("{}", part.what);
  if (isText(value, "gemma4"))
    return;
  auto name = value.get<std::string>();
  file.unsupported("general.architecture {} is {}; supported is gemma4",
                   gemmac::quoted(name), describeModel(name));
}

void GgufModel::add(MappedFile map, GgufHeader header) {
  for (GgufTensor &entry : header.tensors)
    addTensor(canonicalFromGguf(entry.name), entry.name, entry.type->type,
              entry.type->name, std::move(entry.shape), map, entry.begin,
              entry.end);
  if (files().empty())
    first = std::move(header);
  addFile(std::move(map));
}

void GgufModel::openAll(const std::string &given) {
  MappedFile map = orFail(MappedFile::open(given));
  GgufHeader header = orFail(parseGguf(map.text(), given));
  NamedFile file{given};
  int64_t parts = integerOr(header, "split.count", 1);
  int64_t part = integerOr(header, "split.no", 0);
  if (parts < 1 || parts > mostParts || part < 0 || part >= parts)
    file.bad("expects split.count from 1 to {} and split.no below it, got {} "
             "and {}",
             mostParts, parts, part);
  if (parts == 1)
    return add(std::move(map), std::move(header));

  std::string ending = partEnding(part, parts);
  if (given.size() <= ending.size() || !given.ends_with(ending))
    file.bad("is part {} of {} and expects a name that ends in {}, to find the "
             "other parts",
             part + 1, parts, ending);
  std::string stem = given.substr(0, given.size() - ending.size());
  for (int64_t i = 0; i < parts; ++i)
    openPart(stem + partEnding(i, parts), i, parts);
  auto all = int64_t(tensors().size());
  int64_t expected = integerOr(first, "split.tensors.count", -1);
  if (expected >= 0 && expected != all)
    file.bad("split.tensors.count expects {} tensors in all parts, got {}",
             expected, all);
}

void GgufModel::openPart(const std::string &path, int64_t part, int64_t parts) {
  Result<MappedFile> map = MappedFile::open(path);
  if (!map)
    throw Failure{makeError(map.error().code,
                            "{}; it is one of {} parts, fetch all of them",
                            map.error().message, parts)};
  GgufHeader header = orFail(parseGguf(map->text(), path));
  int64_t no = integerOr(header, "split.no", 0);
  int64_t count = integerOr(header, "split.count", 1);
  if (no != part || count != parts)
    NamedFile{path}.bad("expects part {} of {} (split.no and split.count), got "
                        "part {} of {}",
                        part + 1, parts, no + 1, count);
  add(std::move(*map), std::move(header));
}

Result<std::unique_ptr<GgufModel>> GgufModel::open(const std::string &path) {
  return reading(path, [&] {
    auto model = std::make_unique<GgufModel>();
    model->openAll(path);
    model->checkArchitecture();
    if (model->tensors().empty())
      NamedFile{path}.bad("holds no tensors, only a vocabulary and metadata; "
                          "pass the GGUF file of the whole model");
    model->index();
    return model;
  });
}

void GgufModel::openTowers(const std::string &path, ModelConfig &config,
                           const WantedMedia &wanted) {
  MappedFile map = orFail(MappedFile::open(path));
  GgufHeader header = orFail(parseGguf(map.text(), path));
  Towers towers =
      readTowers(header, NamedFile{path}, config, this->path(), wanted);
  if (integerOr(header, "split.count", 1) != 1)
    NamedFile{path}.unsupported("is a part of a split file, which no file of "
                                "towers is; join the parts (llama-gguf-split)");
  for (GgufTensor &entry : header.tensors) {
    TowerTensor tensor =
        towerTensor(entry.name, std::move(entry.shape), towers.unified);
    addTensor(std::move(tensor.name), entry.name, entry.type->type,
              entry.type->name, std::move(tensor.shape), map, entry.begin,
              entry.end);
    list().back().form = tensor.form;
  }
  addFile(std::move(map));
  index();
  config.vision = towers.vision;
  config.audio = towers.audio;
  // The format does not say it: docs/model/vision.md#8.3.
  config.imageBlocks = towers.sees && !config.pleWidth;
  if (towers.sees && !wanted.vision)
    config.noVision = wanted.whyNotVision;
  if (towers.hears && !wanted.audio)
    config.noAudio = wanted.whyNotAudio;
}

Status GgufModel::addTowers(const std::string &path, ModelConfig &config,
                            const WantedMedia &wanted) {
  return reading(path, [&] {
    openTowers(path, config, wanted);
    return Done{};
  });
}

} // namespace gemmac
