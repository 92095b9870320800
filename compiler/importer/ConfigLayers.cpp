// What differs per layer: type, head size, K/V heads, sharing, MLP width, rope.
// The rules are those of docs/model/text.md#1.2. Must not know
// tensors or MLIR.
#include "compiler/importer/ConfigReader.h"

#include <cmath>

namespace gemmac {

using Kind = JsonValue::Kind;

void ConfigReader::readTypes(const Fields &text) {
  model.layer.resize(size_t(model.layers));
  const JsonValue *types = text.get("layer_types");
  std::string called = text.called("layer_types");
  if (types && (!types->is(Kind::Array) ||
                int64_t(types->items.size()) != model.layers)) {
    problems.bad("{} expects an array of {} strings, got {}", called,
                 model.layers,
                 types->is(Kind::Array)
                     ? std::to_string(types->items.size()) + " entries"
                     : shown(*types));
    return;
  }
  for (int64_t i = 0; i < model.layers; ++i) {
    LayerConfig &layer = model.layer[size_t(i)];
    layer.global = i % 6 == 5;
    if (!types)
      continue;
    const JsonValue &type = types->items[size_t(i)];
    layer.global = type.text == "full_attention";
    if (layer.global || type.text == "sliding_attention")
      continue;
    std::string what = fmt::format(
        "{}[{}] expects \"sliding_attention\" or \"full_attention\", got {}",
        called, i, shown(type));
    if (type.is(Kind::String))
      problems.unsupported("{}", what);
    else
      problems.bad("{}", what);
    return;
  }
  if (!model.layer.back().global) {
    model.layer.back().global = true;
    warn(called + ": the last layer is sliding_attention, taking "
                  "full_attention");
  }
}

// The head size and K/V heads of each layer, from either spelling.
std::vector<LayerShape> ConfigReader::readShapes(const Fields &text) {
  std::vector<LayerShape> shapes(size_t(model.layers), {headDim, kvHeads});
  if (const JsonValue *map = text.child("per_layer_config")) {
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
void ConfigReader::readPerLayerConfig(const JsonValue &map,
                                      const std::string &called,
                                      std::vector<LayerShape> &shapes) {
  std::vector<bool> seen(shapes.size());
  for (size_t k = 0; k < map.keys.size() && !failed(); ++k) {
    const std::string &key = map.keys[k];
    bool digits = !key.empty() && key.size() <= 9 &&
                  key.find_first_not_of("0123456789") == std::string::npos;
    size_t index = digits ? std::stoul(key) : shapes.size();
    if (index >= shapes.size())
      return problems.bad("{} expects layer numbers from 0 to {}, got {}",
                          called, shapes.size() - 1, gemmac::quoted(key));
    if (seen[index])
      return problems.bad("{} names layer {} twice", called, index);
    seen[index] = true;
    const JsonValue &entry = map.items[k];
    if (!entry.is(Kind::Object))
      return problems.bad("{}.{} expects an object, got {}", called,
                          gemmac::quoted(key), shown(entry));
    for (const std::string &name : entry.keys)
      if (name != "head_dim" && name != "num_key_value_heads")
        return problems.unsupported(
            "{}.{}: {} cannot differ per layer; supported are head_dim and "
            "num_key_value_heads",
            called, gemmac::quoted(key), gemmac::quoted(name));
    Fields fields(entry, called + "." + gemmac::quoted(key) + ".", problems);
    LayerShape &shape = shapes[index];
    shape.headDim =
        fields.integer("head_dim", 2, limits::headDim, shape.headDim);
    shape.kvHeads =
        fields.integer("num_key_value_heads", 1, limits::heads, shape.kvHeads);
  }
}

void ConfigReader::readLayers(const Fields &text) {
  readTypes(text);
  if (failed())
    return;
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
  if (!failed())
    finishLayers(model, shared, headDim, problems);
}

namespace {

// Each of the last `shared` layers reads the cache of the last owning layer of
// its type.
void readSharing(ModelConfig &model, int64_t shared, Problems &problems) {
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
      return problems.bad(
          "{} shares K/V (num_kv_shared_layers {}) but no earlier layer of "
          "type {} has K/V of its own",
          name, shared, layer.global ? "full_attention" : "sliding_attention");
    layer.donor = donor;
    const LayerConfig &owner = model.layer[size_t(donor)];
    if (owner.headDim != layer.headDim || owner.kvHeads != layer.kvHeads)
      return problems.bad("{} reads the K/V of layer {} and expects its "
                          "head_dim {} and K/V heads {}, got {} and {}",
                          name, donor, owner.headDim, owner.kvHeads,
                          layer.headDim, layer.kvHeads);
  }
}

// One rope table per type means one head size per type.
void checkUniform(ModelConfig &model, int64_t headDim, Problems &problems) {
  int64_t dim[2] = {0, 0};
  for (int64_t i = 0; i < model.layers; ++i) {
    const LayerConfig &layer = model.layer[size_t(i)];
    int64_t &first = dim[layer.global];
    if (!first)
      first = layer.headDim;
    if (first != layer.headDim)
      return problems.unsupported(
          "layer {} expects head_dim {} like the other {} layers, got {}", i,
          first, layer.global ? "full_attention" : "sliding_attention",
          layer.headDim);
  }
  model.localRope.dim = dim[0] ? dim[0] : headDim;
  model.globalRope.dim = dim[1];
}

} // namespace

void finishLayers(ModelConfig &model, int64_t shared, int64_t headDim,
                  Problems &problems) {
  for (int64_t i = 0; i < model.layers && !problems.first; ++i) {
    LayerConfig &layer = model.layer[size_t(i)];
    layer.ownsKv = i < model.layers - shared;
    layer.donor = i;
    std::string name = fmt::format("layer {}", i);
    if (layer.headDim % 2)
      problems.bad("{} expects an even head_dim, got {}", name, layer.headDim);
    if (model.heads % layer.kvHeads)
      problems.bad("{} expects num_attention_heads to be a multiple of its K/V "
                   "heads, got {} and {}",
                   name, model.heads, layer.kvHeads);
  }
  if (!problems.first)
    readSharing(model, shared, problems);
  if (!problems.first)
    checkUniform(model, headDim, problems);
}

void ConfigReader::readRopes(const Fields &text) {
  // The older spelling of a scaled rope.
  if (text.has("rope_scaling"))
    problems.unsupported("{} expects null; use rope_parameters",
                         text.called("rope_scaling"));
  const JsonValue *all = text.child("rope_parameters");
  std::string called = text.called("rope_parameters");
  model.localRope =
      readRope(all, called, "sliding_attention", model.localRope.dim);
  model.globalRope =
      readRope(all, called, "full_attention", model.globalRope.dim);
}

// Without `all` the values that every released model has; otherwise each type
// must be spelled out.
RopeConfig ConfigReader::readRope(const JsonValue *all,
                                  const std::string &called, const char *type,
                                  int64_t dim) {
  RopeConfig rope;
  rope.dim = dim;
  bool partial = std::string(type) == "full_attention";
  double part = partial ? 0.25 : 1;
  rope.theta = partial ? 1e6 : 1e4;
  std::string name = fmt::format("{}.{}", called, type);
  if (all) {
    const JsonValue *entry = Fields(*all, called + ".", problems).child(type);
    if (!entry) {
      problems.bad("{} is missing, expects an object", name);
      return rope;
    }
    Fields fields(*entry, name + ".", problems);
    std::string kind = fields.string("rope_type", {});
    partial = kind == "proportional";
    if (!partial && kind != "default")
      problems.unsupported(
          "{}.rope_type expects \"default\" or \"proportional\", got {}", name,
          gemmac::quoted(kind));
    rope.theta = fields.number("rope_theta", 1, 1e12);
    double factor = fields.number("factor", 1e-6, 1e6, 1.0);
    if (factor != 1)
      problems.unsupported("{}.factor expects 1, got {}", name, shown(factor));
    part = partial ? fields.number("partial_rotary_factor", 1e-6, 1)
                   : fields.number("partial_rotary_factor", 1e-6, 1, 1.0);
    if (!partial && part != 1)
      problems.unsupported("{}.partial_rotary_factor expects 1 with rope_type "
                           "\"default\", got {}",
                           name, shown(part));
  }
  rope.pairs = partial ? int64_t(std::floor(part * double(dim) / 2)) : dim / 2;
  if (rope.pairs < 1)
    problems.bad(
        "{}.partial_rotary_factor rotates no lane of head_dim {}, got {}", name,
        dim, shown(part));
  return rope;
}

} // namespace gemmac
