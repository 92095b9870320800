// Files -> tensors under their canonical names. Must not know MLIR or what is
// done with the tensors.
#include "compiler/importer/GgufModel.h"

#include "compiler/importer/Json.h"

#include <cstdio>
#include <new>

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
const NamePair towerNames[] = {
    {"a.", "audio_tower."}, {"mm.", "embed_vision."}, {"v.", "vision_tower."}};

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
  if (name.substr(0, fromLayer.size()) != fromLayer || dot == name.npos)
    return std::string(name);
  std::string_view layer =
      name.substr(fromLayer.size(), dot - fromLayer.size());
  const NamePair *pair = findName(layerNames, from, name.substr(dot + 1));
  if (!pair || layer.empty() ||
      layer.find_first_not_of("0123456789") != layer.npos)
    return std::string(name);
  return fmt::format("{}{}.{}", toLayer, layer, pair->*to);
}

template <typename... T>
Error bad(fmt::format_string<T...> text, T &&...arguments) {
  return makeError(ExitCode::BadInput, text, std::forward<T>(arguments)...);
}

int64_t integerOr(const GgufHeader &header, std::string_view key,
                  int64_t fallback) {
  const GgufValue *value = header.find(key);
  return value && value->is(GgufValue::Kind::Integer) ? value->integer
                                                      : fallback;
}

// "-00002-of-00003.gguf" for part 1 of 3.
std::string partEnding(int64_t part, int64_t parts) {
  char text[64];
  std::snprintf(text, sizeof text, "-%05lld-of-%05lld.gguf",
                (long long)part + 1, (long long)parts);
  return text;
}

constexpr int64_t mostParts = 4096;

} // namespace

std::string canonicalFromGguf(std::string_view name) {
  for (const NamePair &tower : towerNames)
    if (name.substr(0, tower.gguf.size()) == tower.gguf)
      return std::string(tower.canonical) +
             std::string(name.substr(tower.gguf.size()));
  return translate(name, &NamePair::gguf, &NamePair::canonical, "blk.",
                   "layers.");
}

std::string ggufFromCanonical(std::string_view name) {
  return translate(name, &NamePair::canonical, &NamePair::gguf, "layers.",
                   "blk.");
}

bool isGgufFile(const std::string &path) {
  if (checkFolder(path))
    return false;
  const std::string_view end = ".gguf", name = path;
  if (name.size() > end.size() && name.substr(name.size() - end.size()) == end)
    return true;
  Result<MappedFile> map = MappedFile::open(path);
  return map && isGguf(map->text());
}

const SourceTensor *GgufModel::find(const std::string &name) const {
  auto at = byName.find(name);
  return at == byName.end() ? nullptr : &list[at->second];
}

Status GgufModel::checkArchitecture() const {
  const GgufValue *value = first.find("general.architecture");
  if (!value || !value->is(GgufValue::Kind::String))
    return bad("{}: general.architecture expects a string, got {}", path(),
               value ? value->describe() : "nothing");
  const GgufValue *type = first.find("general.type");
  if (value->text == "clip" || (type && type->text == "mmproj"))
    return makeError(
        ExitCode::Unsupported,
        "{}: holds only the vision and audio towers of a model (mmproj), which "
        "are not compiled; pass the GGUF file of its text model",
        path());
  if (value->text == "gemma4")
    return Done{};
  bool drafter = value->text.find("assistant") != value->text.npos;
  return makeError(ExitCode::Unsupported,
                   "{}: general.architecture {}{}; supported is gemma4", path(),
                   gemmac::quoted(value->text),
                   drafter ? " is a drafter, which is not supported yet"
                           : " is not supported");
}

Status GgufModel::add(MappedFile map, GgufHeader header) {
  for (GgufTensor &entry : header.tensors) {
    SourceTensor tensor;
    tensor.name = canonicalFromGguf(entry.name);
    tensor.fileName = std::string(entry.name);
    tensor.type = entry.type->type;
    tensor.typeName = entry.type->name;
    tensor.shape = std::move(entry.shape);
    tensor.data = map.data() + entry.begin;
    tensor.bytes = entry.end - entry.begin;
    tensor.file = int(fileList.size());
    list.push_back(std::move(tensor));
  }
  if (maps.empty())
    first = std::move(header);
  fileList.push_back({map.path(), map.bytes(), map.mtimeNs()});
  maps.push_back(std::move(map));
  return Done{};
}

Status GgufModel::index() {
  byName.reserve(list.size());
  for (size_t i = 0; i < list.size(); ++i) {
    auto [at, fresh] = byName.emplace(list[i].name, i);
    if (!fresh)
      return bad("{}: tensor {} is a duplicate of tensor {} in {}",
                 fileList[size_t(list[i].file)].path,
                 gemmac::quoted(list[i].fileName),
                 gemmac::quoted(list[at->second].fileName),
                 fileList[size_t(list[at->second].file)].path);
  }
  return Done{};
}

Status GgufModel::openAll(const std::string &given) {
  Result<MappedFile> map = MappedFile::open(given);
  if (!map)
    return map.error();
  Result<GgufHeader> header = parseGguf(map->text(), given);
  if (!header)
    return header.error();
  int64_t parts = integerOr(*header, "split.count", 1);
  int64_t part = integerOr(*header, "split.no", 0);
  if (parts < 1 || parts > mostParts || part < 0 || part >= parts)
    return bad("{}: expects split.count from 1 to {} and split.no below it, "
               "got {} and {}",
               given, mostParts, parts, part);
  if (parts == 1)
    return add(std::move(*map), std::move(*header));

  std::string stem = given, ending = partEnding(part, parts);
  if (stem.size() <= ending.size() ||
      stem.compare(stem.size() - ending.size(), ending.size(), ending) != 0)
    return bad("{}: is part {} of {} and expects a name that ends in {}, to "
               "find the other parts",
               given, part + 1, parts, ending);
  stem.resize(stem.size() - ending.size());
  for (int64_t i = 0; i < parts; ++i)
    if (Status opened = openPart(stem + partEnding(i, parts), i, parts);
        !opened)
      return opened.error();
  int64_t expected = integerOr(first, "split.tensors.count", -1);
  if (expected >= 0 && expected != int64_t(list.size()))
    return bad(
        "{}: split.tensors.count expects {} tensors in all parts, got {}",
        given, expected, list.size());
  return Done{};
}

Status GgufModel::openPart(const std::string &path, int64_t part,
                           int64_t parts) {
  Result<MappedFile> map = MappedFile::open(path);
  if (!map)
    return Error{map.error().code, map.error().message + "; it is one of " +
                                       std::to_string(parts) +
                                       " parts, fetch all of them"};
  Result<GgufHeader> header = parseGguf(map->text(), path);
  if (!header)
    return header.error();
  int64_t no = integerOr(*header, "split.no", 0);
  int64_t count = integerOr(*header, "split.count", 1);
  if (no != part || count != parts)
    return bad("{}: expects part {} of {} (split.no and split.count), got part "
               "{} of {}",
               path, part + 1, parts, no + 1, count);
  return add(std::move(*map), std::move(*header));
}

Result<std::unique_ptr<GgufModel>> GgufModel::open(const std::string &path) {
  try {
    auto model = std::make_unique<GgufModel>();
    if (Status opened = model->openAll(path); !opened)
      return opened.error();
    if (Status good = model->checkArchitecture(); !good)
      return good.error();
    if (model->list.empty())
      return bad("{}: holds no tensors, only a vocabulary and metadata; pass "
                 "the GGUF file of the whole model",
                 path);
    if (Status indexed = model->index(); !indexed)
      return indexed.error();
    return model;
  } catch (const std::bad_alloc &) {
    return makeError(ExitCode::Resources, "{}: not enough memory to read it",
                     path);
  }
}

} // namespace gemmac
