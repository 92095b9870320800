// See GgufTowers.h.
#include "compiler/importer/GgufTowers.h"

#include "compiler/importer/ConfigReader.h"

#include <nlohmann/json.hpp>

#include <algorithm>

namespace gemmac {
namespace {

//===-- names -------------------------------------------------------------===//

// How the file's tensor differs from the canonical one.
enum class Kind {
  Plain,
  Linear,    // ".weight" is ".linear.weight", beside four bounds
  Planes,    // pixels are stored channel by channel
  Exchanged, // the first two dimensions are
  Depthwise, // without the dimension of 1 in the middle
  Softplus,  // is applied
};

// Stems, in front of ".weight" and the like; or whole names.
struct TowerName {
  std::string_view gguf, canonical;
  Kind kind = Kind::Plain;
};

const TowerName towerNames[] = {
    {"v.patch_embd", "vision_tower.patch_embedder.input_proj", Kind::Planes},
    {"v.position_embd.weight",
     "vision_tower.patch_embedder.position_embedding_table"},
    {"v.std_bias", "vision_tower.std_bias"},
    {"v.std_scale", "vision_tower.std_scale"},
    {"mm.input_projection", "embed_vision.embedding_projection"},
    {"a.conv1d.0", "audio_tower.subsample_conv_projection.layer0.conv"},
    {"a.conv1d.0.norm", "audio_tower.subsample_conv_projection.layer0.norm"},
    {"a.conv1d.1", "audio_tower.subsample_conv_projection.layer1.conv"},
    {"a.conv1d.1.norm", "audio_tower.subsample_conv_projection.layer1.norm"},
    {"a.input_projection",
     "audio_tower.subsample_conv_projection.input_proj_linear"},
    {"a.pre_encode.out", "audio_tower.output_proj"},
    {"mm.a.input_projection", "embed_audio.embedding_projection"},
};

const TowerName unifiedNames[] = {
    {"v.patch_norm.1", "vision_embedder.patch_ln1", Kind::Planes},
    {"v.patch_norm.2", "vision_embedder.patch_ln2"},
    {"v.patch_norm.3", "vision_embedder.pos_norm"},
    // The bias has no pixels.
    {"v.patch_embd.weight", "vision_embedder.patch_dense.weight", Kind::Planes},
    {"v.patch_embd.bias", "vision_embedder.patch_dense.bias"},
    {"v.position_embd.weight", "vision_embedder.pos_embedding",
     Kind::Exchanged},
    {"mm.input_projection", "embed_vision.embedding_projection"},
    {"mm.a.input_projection", "embed_audio.embedding_projection"},
};

// Behind "v.blk.3." and "vision_tower.encoder.layers.3.".
const TowerName visionLayerNames[] = {
    {"ln1", "input_layernorm"},
    {"ln2", "pre_feedforward_layernorm"},
    {"attn_post_norm", "post_attention_layernorm"},
    {"ffn_post_norm", "post_feedforward_layernorm"},
    {"attn_q", "self_attn.q_proj", Kind::Linear},
    {"attn_k", "self_attn.k_proj", Kind::Linear},
    {"attn_v", "self_attn.v_proj", Kind::Linear},
    {"attn_out", "self_attn.o_proj", Kind::Linear},
    {"attn_q_norm", "self_attn.q_norm"},
    {"attn_k_norm", "self_attn.k_norm"},
    {"ffn_gate", "mlp.gate_proj", Kind::Linear},
    {"ffn_up", "mlp.up_proj", Kind::Linear},
    {"ffn_down", "mlp.down_proj", Kind::Linear},
};

// Behind "a.blk.3." and "audio_tower.layers.3.". conv_norm is what stands
// before the convolution, norm_conv what stands behind it.
const TowerName audioLayerNames[] = {
    {"ffn_norm", "feed_forward1.pre_layer_norm"},
    {"ffn_up", "feed_forward1.ffw_layer_1", Kind::Linear},
    {"ffn_down", "feed_forward1.ffw_layer_2", Kind::Linear},
    {"ffn_post_norm", "feed_forward1.post_layer_norm"},
    {"ffn_norm_1", "feed_forward2.pre_layer_norm"},
    {"ffn_up_1", "feed_forward2.ffw_layer_1", Kind::Linear},
    {"ffn_down_1", "feed_forward2.ffw_layer_2", Kind::Linear},
    {"ffn_post_norm_1", "feed_forward2.post_layer_norm"},
    {"attn_pre_norm", "norm_pre_attn"},
    {"attn_post_norm", "norm_post_attn"},
    {"attn_q", "self_attn.q_proj", Kind::Linear},
    {"attn_k", "self_attn.k_proj", Kind::Linear},
    {"attn_v", "self_attn.v_proj", Kind::Linear},
    {"attn_out", "self_attn.post", Kind::Linear},
    {"attn_k_rel", "self_attn.relative_k_proj"},
    {"per_dim_scale.weight", "self_attn.per_dim_scale", Kind::Softplus},
    {"conv_norm", "lconv1d.pre_layer_norm"},
    {"conv_pw1", "lconv1d.linear_start", Kind::Linear},
    {"conv_dw", "lconv1d.depthwise_conv1d", Kind::Depthwise},
    {"norm_conv", "lconv1d.conv_norm"},
    {"conv_pw2", "lconv1d.linear_end", Kind::Linear},
    {"ln2", "norm_out"},
};

// Names of one kind, what stands in front of them on both sides, and whether a
// number and a dot follow that.
struct Table {
  std::string_view gguf, canonical;
  const TowerName *begin, *end;
  bool numbered;
};
const Table towerTables[] = {
    {"v.blk.", "vision_tower.encoder.layers.", std::begin(visionLayerNames),
     std::end(visionLayerNames), true},
    {"a.blk.", "audio_tower.layers.", std::begin(audioLayerNames),
     std::end(audioLayerNames), true},
    {"", "", std::begin(towerNames), std::end(towerNames), false},
    {"", "", std::begin(unifiedNames), std::end(unifiedNames), false},
};

// Towers of names that are not known, the longest beginnings first.
const TowerName beginnings[] = {{"mm.a.", "embed_audio."},
                                {"mm.", "embed_vision."},
                                {"a.", "audio_tower."},
                                {"v.", "vision_tower."}};

using Side = std::string_view TowerName::*;

struct Translated {
  std::string name;
  Kind kind;
};

// `name` is the stem or the stem and one more part, which `more` gets.
bool hasStem(std::string_view name, std::string_view stem,
             std::string_view &more) {
  if (!name.starts_with(stem))
    return false;
  more = name.substr(stem.size());
  return more.empty() || (more[0] == '.' && more.find('.', 1) == more.npos);
}

std::optional<Translated> translate(std::string_view name, const Table &table,
                                    bool toCanonical) {
  const Side from = toCanonical ? &TowerName::gguf : &TowerName::canonical,
             to = toCanonical ? &TowerName::canonical : &TowerName::gguf;
  std::string_view front = toCanonical ? table.gguf : table.canonical;
  if (!name.starts_with(front))
    return {};
  std::string result(toCanonical ? table.canonical : table.gguf);
  name.remove_prefix(front.size());
  if (table.numbered) {
    const size_t dot = name.find('.');
    if (dot == name.npos || !dot ||
        name.substr(0, dot).find_first_not_of("0123456789") != name.npos)
      return {};
    result += name.substr(0, dot + 1);
    name.remove_prefix(dot + 1);
  }
  constexpr std::string_view linear = ".linear.weight", weight = ".weight";
  for (const TowerName *n = table.begin; n != table.end; ++n) {
    std::string_view more, rest = name;
    const bool isMatrix =
        !toCanonical && n->kind == Kind::Linear && name.ends_with(linear);
    if (isMatrix)
      rest.remove_suffix(linear.size());
    if (!hasStem(rest, n->*from, more) || (isMatrix && !more.empty()))
      continue;
    if (isMatrix)
      more = weight;
    result += n->*to;
    result += toCanonical && n->kind == Kind::Linear && more == weight ? linear
                                                                       : more;
    return Translated{result, n->kind};
  }
  return {};
}

} // namespace

TowerTensor towerTensor(std::string_view name, std::vector<int64_t> shape,
                        bool unified) {
  std::optional<Translated> found;
  for (const Table &table : towerTables)
    if (!found && (table.begin == unifiedNames || !unified) &&
        (table.begin != unifiedNames || unified))
      found = translate(name, table, true);
  if (!found) {
    for (const TowerName &beginning : beginnings)
      if (name.starts_with(beginning.gguf))
        return {fmt::format("{}gguf.{}", beginning.canonical,
                            name.substr(beginning.gguf.size())),
                std::move(shape),
                {}};
    return {std::string(name), std::move(shape), {}};
  }
  TowerTensor tensor{std::move(found->name), std::move(shape), {}};
  std::vector<int64_t> &s = tensor.shape;
  switch (found->kind) {
  case Kind::Planes:
    tensor.form.planes = 3;
    if (s.size() == 4)
      s = {s[0], s[1] * s[2] * s[3]};
    break;
  case Kind::Exchanged:
    tensor.form.exchanged = s.size() == 3;
    if (s.size() == 3)
      std::swap(s[0], s[1]);
    break;
  case Kind::Depthwise:
    if (s.size() == 2)
      s = {s[0], 1, s[1]};
    break;
  case Kind::Softplus:
    tensor.form.softplus = true;
    break;
  case Kind::Plain:
  case Kind::Linear:
    break;
  }
  return tensor;
}

std::string ggufTowerName(std::string_view canonical) {
  for (const Table &table : towerTables)
    if (std::optional<Translated> found = translate(canonical, table, false))
      return found->name;
  return std::string(canonical);
}

//===-- metadata ----------------------------------------------------------===//

namespace {

class TowersReader {
public:
  TowersReader(const GgufHeader &header, const NamedFile &file,
               const ModelConfig &text, const std::string &model,
               const WantedMedia &wanted)
      : header(header), file(file), data(*header.metadata, "", file),
        text(text), model(model), wanted(wanted) {}

  Towers read();

private:
  // What the file is called to be for; "vision" or "audio".
  std::string projectorOf(const char *medium, const char *tower,
                          const char *unified) const;
  void checkWriter() const;
  void checkDecoder(const std::string &projector) const;
  void checkWidth(const char *medium, const char *projection,
                  const std::string &projector) const;
  void readVision();
  void readCells();
  void readAudio();

  const GgufTensor *find(std::string_view name) const {
    for (const GgufTensor &tensor : header.tensors)
      if (tensor.name == name)
        return &tensor;
    return nullptr;
  }
  // Whether any tensor's name begins and ends so.
  bool any(std::string_view begin, std::string_view end) const {
    return std::any_of(header.tensors.begin(), header.tensors.end(),
                       [&](const GgufTensor &tensor) {
                         return tensor.name.starts_with(begin) &&
                                tensor.name.ends_with(end);
                       });
  }
  const std::vector<int64_t> &shapeOf(const char *name, size_t rank) const;
  int64_t size(const char *name, size_t rank, size_t dim, int64_t most) const;

  const GgufHeader &header;
  const NamedFile &file;
  const Fields data;
  const ModelConfig &text;
  const std::string &model;
  const WantedMedia wanted;
  Towers towers;
};

const std::vector<int64_t> &TowersReader::shapeOf(const char *name,
                                                  size_t rank) const {
  const GgufTensor *tensor = find(name);
  if (!tensor)
    file.bad("tensor '{}' is missing", name);
  if (tensor->shape.size() != rank)
    file.bad("tensor '{}' expects {} dimensions, got shape {}", name, rank,
             shapeText(tensor->shape));
  return tensor->shape;
}

int64_t TowersReader::size(const char *name, size_t rank, size_t dim,
                           int64_t most) const {
  const std::vector<int64_t> &shape = shapeOf(name, rank);
  if (shape[dim] < 1 || shape[dim] > most)
    file.bad("tensor '{}' expects at most {} in dimension {}, got shape {}",
             name, most, dim, shapeText(shape));
  return shape[dim];
}

// Which of the two types that can be read, one with a tower and one without.
std::string TowersReader::projectorOf(const char *medium, const char *tower,
                                      const char *unified) const {
  std::string own = fmt::format("clip.{}.projector_type", medium),
              older = "clip.projector_type";
  const std::string &key = data.has(own) || !data.has(older) ? own : older;
  std::string type = data.string(key);
  if (type != tower && type != unified)
    file.unsupported("{} {} is not supported; supported are {} and {}, the "
                     "projectors of Gemma 4",
                     key, gemmac::quoted(type), tower, unified);
  return type;
}

// What only ollama writes, whose other names stand for other tensors.
void TowersReader::checkWriter() const {
  for (const char *name : {"v.clamp_data", "mm.a.fc.weight"})
    if (find(name))
      file.unsupported("tensor '{}' shows the layout of ollama, which is not "
                       "read; use an mmproj file of llama.cpp",
                       name);
}

void TowersReader::checkDecoder(const std::string &projector) const {
  const bool is12B = text.variant == "12B";
  if (towers.unified ? !text.pleWidth && !text.experts : !is12B)
    return;
  file.bad("has projector type {}, that of {}, but '{}' is a model {}; pass "
           "the mmproj file of that model",
           projector,
           towers.unified ? "models without towers (12B)"
                          : "models with towers (E2B, E4B, 26B-A4B, 31B)",
           model,
           is12B           ? "without towers (12B)"
           : text.pleWidth ? "with per-layer embeddings (" + text.variant + ")"
                           : "with experts (" + text.variant + ")");
}

void TowersReader::checkWidth(const char *medium, const char *projection,
                              const std::string &projector) const {
  std::string key = fmt::format("clip.{}.projection_dim", medium);
  const int64_t rows = size(projection, 2, 0, limits::width),
                said = data.integer(key, 1, limits::width, rows);
  for (int64_t width : {rows, said})
    if (width != text.hidden)
      file.bad("has a projector {} to a width of {} ({}), but '{}' ({}) is {} "
               "wide; pass the mmproj file of that model",
               projector, width,
               width == rows ? fmt::format("tensor '{}'", projection) : key,
               model, text.variant, text.hidden);
}

void TowersReader::readVision() {
  VisionConfig vision;
  vision.patch = data.integer("clip.vision.patch_size", 1, 64);
  vision.pool = data.integer("clip.vision.projector.scale_factor", 1, 8, 3);
  vision.width = data.integer("clip.vision.embedding_length", 1, limits::width);
  vision.output = vision.width;
  vision.layers = data.integer("clip.vision.block_count", 1, limits::layers);
  vision.heads =
      data.integer("clip.vision.attention.head_count", 1, limits::heads);
  vision.ffn = data.integer("clip.vision.feed_forward_length", 1, limits::ffn);
  vision.eps =
      data.number("clip.vision.attention.layer_norm_epsilon", 1e-30, 1, 1e-6);
  vision.headDim = size("v.blk.0.attn_q_norm.weight", 1, 0, limits::headDim);
  if (vision.headDim % 4)
    file.bad("tensor 'v.blk.0.attn_q_norm.weight' expects a multiple of 4 "
             "values, got {}",
             vision.headDim);
  vision.positions = size("v.position_embd.weight", 3, 1, limits::positions);
  // Which order a matrix of two dimensions would have is not known.
  const std::vector<int64_t> &patch = shapeOf("v.patch_embd.weight", 4),
                             expected = {vision.width, 3, vision.patch,
                                         vision.patch};
  if (patch != expected)
    file.bad("tensor 'v.patch_embd.weight' expects shape {} from the metadata, "
             "got {}",
             shapeText(expected), shapeText(patch));
  vision.clipped = any("v.blk.", ".input_min") || any("v.blk.", ".output_max");
  vision.standardized = find("v.std_bias") || find("v.std_scale");
  towers.vision = vision;
}

void TowersReader::readCells() {
  VisionConfig vision;
  vision.tower = false;
  vision.patch = data.integer("clip.vision.patch_size", 1, 64);
  vision.pool = data.integer("clip.vision.projector.scale_factor", 1, 8, 3);
  vision.width = data.integer("clip.vision.embedding_length", 1, limits::width);
  vision.output = vision.width;
  vision.eps =
      data.number("clip.vision.attention.layer_norm_epsilon", 1e-30, 1, 1e-6);
  vision.positions = size("v.position_embd.weight", 3, 1, limits::positions);
  towers.vision = vision;
}

// The epsilon of some files is that of another model: all have 1e-6.
void TowersReader::readAudio() {
  AudioConfig audio;
  audio.tower = !towers.unified;
  if (towers.unified) {
    audio.output = size("mm.a.input_projection.weight", 2, 1, limits::width);
    towers.audio = audio;
    return;
  }
  audio.width = data.integer("clip.audio.embedding_length", 1, limits::width);
  audio.layers = data.integer("clip.audio.block_count", 1, limits::layers);
  audio.heads =
      data.integer("clip.audio.attention.head_count", 1, limits::heads);
  if (audio.width % (2 * audio.heads))
    file.bad("clip.audio.embedding_length expects a multiple of twice the "
             "heads ({}), got {}",
             audio.heads, audio.width);
  for (auto [key, expected] :
       {std::pair{"clip.audio.feed_forward_length", 4 * audio.width},
        std::pair{"clip.audio.num_mel_bins", audio.bins}})
    if (int64_t value = data.integer(key, 1, limits::ffn, expected);
        value != expected)
      file.unsupported("{} expects {}, got {}", key, expected, value);
  audio.output = size("a.pre_encode.out.weight", 2, 0, limits::width);
  audio.channels[0] = size("a.conv1d.0.weight", 4, 0, limits::channels);
  audio.channels[1] = size("a.conv1d.1.weight", 4, 0, limits::channels);
  const GgufTensor *taps = find("a.blk.0.conv_dw.weight");
  audio.taps = taps ? taps->shape.back() : audio.taps;
  if (audio.taps < 1 || audio.taps > 64)
    file.bad("tensor 'a.blk.0.conv_dw.weight' expects rows of 1 to 64 values, "
             "got {}",
             audio.taps);
  audio.clipped = any("a.blk.", ".input_min") || any("a.blk.", ".output_max");
  towers.audio = audio;
}

Towers TowersReader::read() {
  const Json &architecture = header.find("general.architecture");
  if (!isText(architecture, "clip"))
    file.bad("expects a file of vision and audio towers (mmproj, "
             "general.architecture \"clip\"), got {}",
             shown(architecture));
  checkWriter();
  towers.sees = data.boolean("clip.has_vision_encoder", false);
  towers.hears = data.boolean("clip.has_audio_encoder", false);
  if (!towers.sees && !towers.hears)
    file.bad("expects clip.has_vision_encoder or clip.has_audio_encoder to be "
             "true");
  const bool vision = towers.sees && wanted.vision,
             audio = towers.hears && wanted.audio;
  if (!vision && !audio) {
    towers.unified = text.variant == "12B";
    return std::move(towers);
  }
  std::string sees, hears;
  if (vision)
    sees = projectorOf("vision", "gemma4v", "gemma4uv");
  if (audio)
    hears = projectorOf("audio", "gemma4a", "gemma4ua");
  towers.unified = sees == "gemma4uv" || hears == "gemma4ua";
  if (vision && audio && (sees == "gemma4uv") != (hears == "gemma4ua"))
    file.bad("expects projectors of one model, got {} and {}", sees, hears);
  checkDecoder(vision ? sees : hears);
  if (vision)
    checkWidth("vision", "mm.input_projection.weight", sees);
  if (audio)
    checkWidth("audio", "mm.a.input_projection.weight", hears);
  if (vision)
    towers.unified ? readCells() : readVision();
  if (audio)
    readAudio();
  return std::move(towers);
}

} // namespace

Towers readTowers(const GgufHeader &header, const NamedFile &file,
                  const ModelConfig &text, const std::string &model,
                  const WantedMedia &wanted) {
  return TowersReader(header, file, text, model, wanted).read();
}

} // namespace gemmac
