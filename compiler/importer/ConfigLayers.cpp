// What differs per layer: type, head size, K/V heads, sharing, MLP width, rope.
// The rules are those of docs/model/text.md#1.2. Must not know
// tensors or MLIR.
#include "compiler/importer/ConfigReader.h"

#include <nlohmann/json.hpp>

#include <cmath>

namespace gemmac {

void ConfigReader::readTypes(const Fields &text) {
  model.layer.resize(size_t(model.layers));
  const Json &types = text.get("layer_types");
  std::string called = text.called("layer_types");
  if (isGiven(types) &&
      (!types.is_array() || int64_t(types.size()) != model.layers))
    file.bad("{} expects an array of {} strings, got {}", called, model.layers,
             shown(types));
  for (int64_t i = 0; i < model.layers; ++i) {
    bool &global = model.layer[size_t(i)].global;
    global = i % 6 == 5;
    if (!isGiven(types))
      continue;
    const Json &type = types[size_t(i)];
    global = isText(type, "full_attention");
    if (!global && !isText(type, "sliding_attention"))
      file.fail(type.is_string() ? ExitCode::Unsupported : ExitCode::BadInput,
                "{}[{}] expects \"sliding_attention\" or \"full_attention\", "
                "got {}",
                called, i, shown(type));
  }
  if (!model.layer.back().global) {
    model.layer.back().global = true;
    warn("{}: the last layer is sliding_attention, taking full_attention",
         called);
  }
}

// The head size and K/V heads of each layer, from either spelling.
std::vector<LayerShape> ConfigReader::readShapes(const Fields &text) {
  std::vector<LayerShape> shapes(size_t(model.layers), {headDim, kvHeads});
  if (const Json *map = text.child("per_layer_config")) {
    readPerLayerConfig(*map, text.called("per_layer_config"), shapes);
    return shapes;
  }
  LayerShape global = {text.integer("global_head_dim", 2, limits::headDim, 512),
                       kvHeads};
  // Honoured only with K = V, as the reference does.
  int64_t globalHeads =
      text.integer("num_global_key_value_heads", 1, limits::heads, kvHeads);
  if (keyIsValue)
    global.kvHeads = globalHeads;
  for (int64_t i = 0; i < model.layers; ++i)
    if (model.layer[size_t(i)].global)
      shapes[size_t(i)] = global;
  return shapes;
}

// A map from layer index ("5" or "05") to what differs from the other layers.
void ConfigReader::readPerLayerConfig(const Json &map,
                                      const std::string &called,
                                      std::vector<LayerShape> &shapes) {
  std::vector<bool> seen(shapes.size());
  for (const auto &[key, entry] : map.items()) {
    bool digits = !key.empty() && key.size() <= 9 &&
                  key.find_first_not_of("0123456789") == std::string::npos;
    size_t index = digits ? std::stoul(key) : shapes.size();
    if (index >= shapes.size())
      file.bad("{} expects layer numbers from 0 to {}, got {}", called,
               shapes.size() - 1, gemmac::quoted(key));
    if (seen[index])
      file.bad("{} names layer {} twice", called, index);
    seen[index] = true;
    std::string name = called + "." + gemmac::quoted(key);
    if (!entry.is_object())
      file.bad("{} expects an object, got {}", name, shown(entry));
    for (const auto &field : entry.items())
      if (field.key() != "head_dim" && field.key() != "num_key_value_heads")
        file.unsupported(
            "{}: {} cannot differ per layer; supported are head_dim and "
            "num_key_value_heads",
            name, gemmac::quoted(field.key()));
    Fields fields(entry, name + ".", file);
    LayerShape &shape = shapes[index];
    shape.headDim =
        fields.integer("head_dim", 2, limits::headDim, shape.headDim);
    shape.kvHeads =
        fields.integer("num_key_value_heads", 1, limits::heads, shape.kvHeads);
  }
}

void ConfigReader::readLayers(const Fields &text) {
  readTypes(text);
  std::vector<LayerShape> shapes = readShapes(text);
  int64_t shared = text.integer("num_kv_shared_layers", 0, model.layers - 1, 0);
  bool doubleWide = text.boolean("use_double_wide_mlp", false);
  for (int64_t i = 0; i < model.layers; ++i) {
    LayerConfig &layer = model.layer[size_t(i)];
    layer.headDim = shapes[size_t(i)].headDim;
    layer.kvHeads = shapes[size_t(i)].kvHeads;
    layer.keyIsValue = keyIsValue && layer.global;
    layer.ffn = doubleWide && i >= model.layers - shared ? 2 * ffn : ffn;
  }
  finishLayers(model, shared, headDim, file);
}

namespace {

// Each of the last `shared` layers reads the cache of the last owning layer of
// its type.
void readSharing(ModelConfig &model, int64_t shared, const NamedFile &file) {
  int64_t last[2] = {-1, -1}; // sliding, global
  for (int64_t i = 0; i < model.layers; ++i) {
    LayerConfig &layer = model.layer[size_t(i)];
    if (layer.ownsKv) {
      last[layer.global] = i;
      continue;
    }
    int64_t donor = last[layer.global];
    std::string name = fmt::format("layer {}", i);
    if (donor < 0)
      file.bad(
          "{} shares K/V (num_kv_shared_layers {}) but no earlier layer of "
          "type {} has K/V of its own",
          name, shared, layer.global ? "full_attention" : "sliding_attention");
    layer.donor = donor;
    const LayerConfig &owner = model.layer[size_t(donor)];
    if (owner.headDim != layer.headDim || owner.kvHeads != layer.kvHeads)
      file.bad("{} reads the K/V of layer {} and expects its "
               "head_dim {} and K/V heads {}, got {} and {}",
               name, donor, owner.headDim, owner.kvHeads, layer.headDim,
               layer.kvHeads);
  }
}

// One rope table per type means one head size per type.
void checkUniform(ModelConfig &model, int64_t headDim, const NamedFile &file) {
  int64_t dim[2] = {0, 0};
  for (int64_t i = 0; i < model.layers; ++i) {
    const LayerConfig &layer = model.layer[size_t(i)];
    int64_t &first = dim[layer.global];
    if (!first)
      first = layer.headDim;
    if (first != layer.headDim)
      file.unsupported(
          "layer {} expects head_dim {} like the other {} layers, got {}", i,
          first, layer.global ? "full_attention" : "sliding_attention",
          layer.headDim);
  }
  model.localRope.dim = dim[0] ? dim[0] : headDim;
  model.globalRope.dim = dim[1];
}

} // namespace

void finishLayers(ModelConfig &model, int64_t shared, int64_t headDim,
                  const NamedFile &file) {
  for (int64_t i = 0; i < model.layers; ++i) {
    LayerConfig &layer = model.layer[size_t(i)];
    layer.ownsKv = i < model.layers - shared;
    layer.donor = i;
    std::string name = fmt::format("layer {}", i);
    if (layer.headDim % 2)
      file.bad("{} expects an even head_dim, got {}", name, layer.headDim);
    if (model.heads % layer.kvHeads)
      file.bad("{} expects num_attention_heads to be a multiple of its K/V "
               "heads, got {} and {}",
               name, model.heads, layer.kvHeads);
  }
  readSharing(model, shared, file);
  checkUniform(model, headDim, file);
}

void ConfigReader::readRopes(const Fields &text) {
  // The older spelling of a scaled rope.
  if (text.has("rope_scaling"))
    file.unsupported("{} expects null; use rope_parameters",
                     text.called("rope_scaling"));
  const Json *all = text.child("rope_parameters");
  std::string called = text.called("rope_parameters");
  model.localRope =
      readRope(all, called, "sliding_attention", model.localRope.dim);
  model.globalRope =
      readRope(all, called, "full_attention", model.globalRope.dim);
}

// Without `all` the values that every released model has; otherwise each type
// must be spelled out.
RopeConfig ConfigReader::readRope(const Json *all, const std::string &called,
                                  const char *type, int64_t dim) {
  RopeConfig rope;
  rope.dim = dim;
  bool partial = std::string_view(type) == "full_attention";
  double part = partial ? 0.25 : 1;
  rope.theta = partial ? 1e6 : 1e4;
  std::string name = fmt::format("{}.{}", called, type);
  if (all) {
    const Json *entry = Fields(*all, called + ".", file).child(type);
    if (!entry)
      file.bad("{} is missing, expects an object", name);
    Fields fields(*entry, name + ".", file);
    std::string kind = fields.string("rope_type");
    partial = kind == "proportional";
    if (!partial && kind != "default")
      file.unsupported(
          "{}.rope_type expects \"default\" or \"proportional\", got {}", name,
          gemmac::quoted(kind));
    rope.theta = fields.number("rope_theta", 1, 1e12);
    double factor = fields.number("factor", 1e-6, 1e6, 1.0);
    if (factor != 1)
      file.unsupported("{}.factor expects 1, got {}", name, shown(factor));
    part = partial ? fields.number("partial_rotary_factor", 1e-6, 1)
                   : fields.number("partial_rotary_factor", 1e-6, 1, 1.0);
    if (!partial && part != 1)
      file.unsupported("{}.partial_rotary_factor expects 1 with rope_type "
                       "\"default\", got {}",
                       name, shown(part));
  }
  rope.pairs = partial ? int64_t(std::floor(part * double(dim) / 2)) : dim / 2;
  if (rope.pairs < 1)
    file.bad("{}.partial_rotary_factor rotates no lane of head_dim {}, got {}",
             name, dim, shown(part));
  return rope;
}

} // namespace gemmac
