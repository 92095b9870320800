// config.json -> ModelConfig: which model it is, its dimensions, its layers.
// The rules are those of the text specification, section 1.2; every number that
// later code multiplies or allocates by is bounded here. Must not know tensors
// or MLIR. generation_config.json is read in GenerationConfig.cpp.
#include "compiler/importer/Config.h"

#include "compiler/importer/Fields.h"
#include "compiler/importer/File.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <new>

namespace gemmac {
namespace {

using Kind = JsonValue::Kind;

const char supportedModels[] =
    "supported are gemma4, gemma4_unified (the text part) and gemma4_text";

constexpr uint64_t configBytes = 16 << 20;
constexpr int64_t maxLayers = 1024;
constexpr int64_t maxWidth = 65536;
constexpr int64_t maxFfn = 1 << 20;
constexpr int64_t maxVocab = 1 << 24;
constexpr int64_t maxPositions = 1 << 24;

// Round to nearest even, by way of f32 as the reference does.
double roundToBf16(double value) {
  float single = float(value);
  uint32_t bits;
  std::memcpy(&bits, &single, sizeof bits);
  bits += 0x7fff + (bits >> 16 & 1);
  bits &= 0xffff0000;
  std::memcpy(&single, &bits, sizeof bits);
  return single;
}

const char *variantName(int64_t layers, int64_t hidden) {
  struct Size {
    int64_t layers, hidden;
    const char *name;
  };
  static const Size sizes[] = {{35, 1536, "E2B"},
                               {42, 2560, "E4B"},
                               {48, 3840, "12B"},
                               {30, 2816, "26B-A4B"},
                               {60, 5376, "31B"}};
  for (const Size &size : sizes)
    if (size.layers == layers && size.hidden == hidden)
      return size.name;
  return "custom";
}

// What the global layers differ in, before it is spread over the layers.
struct LayerShape {
  int64_t headDim = 0;
  int64_t kvHeads = 0;
};

// Reads one config.json.
class ConfigReader {
public:
  ConfigReader(const JsonValue &root, const std::string &name,
               std::vector<std::string> &warnings)
      : root(root), problems{name, {}}, warnings(warnings) {}

  Result<ModelConfig> read();

private:
  bool failed() const { return problems.first.has_value(); }
  void warn(const std::string &what) {
    warnings.push_back(problems.file + ": " + what);
  }

  const JsonValue *findText(); // identifies the model
  void checkQuantization(const Fields &fields);
  void readDimensions(const Fields &text);
  void readOptions(const Fields &top, const Fields &text);
  void readPerLayerEmbedding(const Fields &text);
  void readExperts(const Fields &text);
  void readTypes(const Fields &text);
  std::vector<LayerShape> readShapes(const Fields &text);
  void readPerLayerConfig(const JsonValue &map, const std::string &called,
                          std::vector<LayerShape> &shapes);
  void readLayers(const Fields &text);
  void readSharing(int64_t shared);
  void checkUniform();
  void readRopes(const Fields &text);
  RopeConfig readRope(const JsonValue *all, const std::string &called,
                      const char *type, int64_t dim);

  const JsonValue &root;
  Problems problems;
  std::vector<std::string> &warnings;
  ModelConfig model;
  bool keyIsValue = false;
  int64_t headDim = 0, kvHeads = 0, ffn = 0; // of a plain sliding layer
};

const JsonValue *ConfigReader::findText() {
  if (!root.is(Kind::Object)) {
    problems.bad(std::string("expects an object, got ") + shown(root));
    return nullptr;
  }
  Fields top(root, "", problems);
  model.modelType = top.string("model_type", {});
  if (failed())
    return nullptr;
  bool nested =
      model.modelType == "gemma4" || model.modelType == "gemma4_unified";
  if (model.modelType == "gemma4_assistant" ||
      model.modelType == "gemma4_unified_assistant") {
    problems.unsupported("model_type " + gemmac::quoted(model.modelType) +
                         " is a drafter, which is not supported yet; " +
                         supportedModels);
    return nullptr;
  }
  if (!nested && model.modelType != "gemma4_text") {
    problems.unsupported("model_type " + gemmac::quoted(model.modelType) +
                         " is not supported; " + supportedModels);
    return nullptr;
  }
  checkQuantization(top);
  if (!nested)
    return failed() ? nullptr : &root;

  const JsonValue *text = top.child("text_config");
  if (!text) {
    problems.bad("text_config is missing, expects an object (model_type is " +
                 gemmac::quoted(model.modelType) + ")");
    return nullptr;
  }
  Fields fields(*text, "text_config.", problems);
  checkQuantization(fields);
  std::string expected = model.modelType + "_text";
  std::string type = fields.string("model_type", expected);
  if (type != expected)
    problems.unsupported("text_config.model_type expects " +
                         gemmac::quoted(expected) + ", got " +
                         gemmac::quoted(type));
  model.hasVision = top.child("vision_config") != nullptr;
  model.hasAudio = top.child("audio_config") != nullptr;
  return failed() ? nullptr : text;
}

void ConfigReader::checkQuantization(const Fields &fields) {
  for (const char *key : {"quantization_config", "compression_config"}) {
    const JsonValue *quantization = fields.get(key);
    if (!quantization)
      continue;
    const JsonValue *method = quantization->find("quant_method");
    problems.unsupported(
        fields.called(key) +
        (method ? " (quant_method " + shown(*method) + ")" : "") +
        " is not supported; use the checkpoint with bf16, f16 or f32 weights");
  }
}

void ConfigReader::readDimensions(const Fields &text) {
  model.layers = text.integer("num_hidden_layers", 1, maxLayers);
  model.hidden = text.integer("hidden_size", 1, maxWidth);
  model.heads = text.integer("num_attention_heads", 1, 1024);
  kvHeads = text.integer("num_key_value_heads", 1, 1024);
  headDim = text.integer("head_dim", 2, 4096);
  ffn = text.integer("intermediate_size", 1, maxFfn);
  // Fewer than 16 ids would leave `top` without parts.
  model.vocab = text.integer("vocab_size", 16, maxVocab);
  model.window = text.integer("sliding_window", 1, maxPositions);
  model.maxContext = text.integer("max_position_embeddings", 1, maxPositions);
  model.eps = text.number("rms_norm_eps", 1e-30, 1, 1e-6);
  model.embedScale = roundToBf16(std::sqrt(double(model.hidden)));
  model.variant = variantName(model.layers, model.hidden);
}

void ConfigReader::readOptions(const Fields &top, const Fields &text) {
  std::string activation =
      text.string("hidden_activation", "gelu_pytorch_tanh");
  if (activation != "gelu_pytorch_tanh")
    problems.unsupported(text.called("hidden_activation") +
                         " expects \"gelu_pytorch_tanh\", got " +
                         gemmac::quoted(activation));
  if (text.boolean("attention_bias", false))
    problems.unsupported(text.called("attention_bias") +
                         " expects false, got true");
  // An explicit null means no softcap.
  const JsonValue *cap = text.raw("final_logit_softcapping");
  if (!cap)
    warn(text.called("final_logit_softcapping") + " is absent, taking 30");
  model.softcap = cap && cap->is(Kind::Null)
                      ? 0
                      : text.number("final_logit_softcapping", 1e-3, 1e6, 30.0);
  bool tiedText = text.boolean("tie_word_embeddings", true);
  model.tied = top.boolean("tie_word_embeddings", tiedText);
  if (text.has("tie_word_embeddings") && model.tied != tiedText)
    warn(std::string("tie_word_embeddings is ") +
         (model.tied ? "true" : "false") + " at the top and " +
         (tiedText ? "true" : "false") + " in text_config; the top one holds");
  keyIsValue = text.boolean("attention_k_eq_v", false);

  const JsonValue *bidirectional = text.get("use_bidirectional_attention");
  if (!bidirectional ||
      (bidirectional->is(Kind::Bool) && !bidirectional->boolean))
    return;
  model.imageBlocks =
      bidirectional->is(Kind::String) && bidirectional->text == "vision";
  if (!model.imageBlocks)
    problems.unsupported(text.called("use_bidirectional_attention") +
                         " expects null or \"vision\", got " +
                         shown(*bidirectional));
}

void ConfigReader::readPerLayerEmbedding(const Fields &text) {
  if (model.modelType == "gemma4_unified")
    return;
  model.pleWidth = text.integer("hidden_size_per_layer_input", 0, maxWidth, 0);
  if (!model.pleWidth)
    return;
  model.pleVocab =
      text.integer("vocab_size_per_layer_input", 1, maxVocab, model.vocab);
  if (model.pleVocab < model.vocab)
    problems.bad(text.called("vocab_size_per_layer_input") +
                 " expects at least vocab_size " + std::to_string(model.vocab) +
                 ", got " + std::to_string(model.pleVocab));
  model.pleScale = roundToBf16(std::sqrt(double(model.pleWidth)));
}

void ConfigReader::readExperts(const Fields &text) {
  if (model.modelType == "gemma4_unified" ||
      !text.boolean("enable_moe_block", false))
    return;
  model.experts = text.integer("num_experts", 1, 4096);
  model.topExperts = text.integer("top_k_experts", 1, model.experts);
  model.expertFfn = text.integer("moe_intermediate_size", 1, maxFfn);
}

void ConfigReader::readTypes(const Fields &text) {
  model.layer.resize(size_t(model.layers));
  const JsonValue *types = text.get("layer_types");
  std::string called = text.called("layer_types");
  if (types && (!types->is(Kind::Array) ||
                int64_t(types->items.size()) != model.layers)) {
    problems.bad(called + " expects an array of " +
                 std::to_string(model.layers) + " strings, got " +
                 (types->is(Kind::Array)
                      ? std::to_string(types->items.size()) + " entries"
                      : shown(*types)));
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
    std::string what = called + "[" + std::to_string(i) +
                       "] expects \"sliding_attention\" or "
                       "\"full_attention\", got " +
                       shown(type);
    if (type.is(Kind::String))
      problems.unsupported(what);
    else
      problems.bad(what);
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
  LayerShape global = {text.integer("global_head_dim", 2, 4096, 512), kvHeads};
  // Honoured only with K = V, as the reference does.
  int64_t globalHeads =
      text.integer("num_global_key_value_heads", 1, 1024, kvHeads);
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
      return problems.bad(called + " expects layer numbers from 0 to " +
                          std::to_string(shapes.size() - 1) + ", got " +
                          gemmac::quoted(key));
    if (seen[index])
      return problems.bad(called + " names layer " + std::to_string(index) +
                          " twice");
    seen[index] = true;
    const JsonValue &entry = map.items[k];
    if (!entry.is(Kind::Object))
      return problems.bad(called + "." + gemmac::quoted(key) +
                          " expects an object, got " + shown(entry));
    for (const std::string &name : entry.keys)
      if (name != "head_dim" && name != "num_key_value_heads")
        return problems.unsupported(
            called + "." + gemmac::quoted(key) + ": " + gemmac::quoted(name) +
            " cannot differ per layer; supported are head_dim and "
            "num_key_value_heads");
    Fields fields(entry, called + "." + gemmac::quoted(key) + ".", problems);
    LayerShape &shape = shapes[index];
    shape.headDim = fields.integer("head_dim", 2, 4096, shape.headDim);
    shape.kvHeads =
        fields.integer("num_key_value_heads", 1, 1024, shape.kvHeads);
  }
}

void ConfigReader::readLayers(const Fields &text) {
  readTypes(text);
  if (failed())
    return;
  std::vector<LayerShape> shapes = readShapes(text);
  int64_t shared = text.integer("num_kv_shared_layers", 0, model.layers - 1, 0);
  bool doubleWide = text.boolean("use_double_wide_mlp", false);
  for (int64_t i = 0; i < model.layers && !failed(); ++i) {
    LayerConfig &layer = model.layer[size_t(i)];
    layer.headDim = shapes[size_t(i)].headDim;
    layer.kvHeads = shapes[size_t(i)].kvHeads;
    layer.ownsKv = i < model.layers - shared;
    layer.donor = i;
    layer.keyIsValue = keyIsValue && layer.global;
    layer.ffn = doubleWide && !layer.ownsKv ? 2 * ffn : ffn;
    std::string name = "layer " + std::to_string(i);
    if (layer.headDim % 2)
      problems.bad(name + " expects an even head_dim, got " +
                   std::to_string(layer.headDim));
    if (model.heads % layer.kvHeads)
      problems.bad(name +
                   " expects num_attention_heads to be a multiple of "
                   "its K/V heads, got " +
                   std::to_string(model.heads) + " and " +
                   std::to_string(layer.kvHeads));
  }
  if (!failed())
    readSharing(shared);
  if (!failed())
    checkUniform();
}

// Each of the last `shared` layers reads the cache of the last owning layer of
// its type.
void ConfigReader::readSharing(int64_t shared) {
  int64_t last[2] = {-1, -1}; // sliding, global
  for (int64_t i = 0; i < model.layers; ++i) {
    LayerConfig &layer = model.layer[size_t(i)];
    if (layer.ownsKv) {
      last[layer.global] = i;
      continue;
    }
    int64_t donor = last[layer.global];
    std::string name = "layer " + std::to_string(i);
    if (donor < 0)
      return problems.bad(
          name + " shares K/V (num_kv_shared_layers " + std::to_string(shared) +
          ") but no earlier layer of type " +
          (layer.global ? "full_attention" : "sliding_attention") +
          " has K/V of its own");
    layer.donor = donor;
    const LayerConfig &owner = model.layer[size_t(donor)];
    if (owner.headDim != layer.headDim || owner.kvHeads != layer.kvHeads)
      return problems.bad(name + " reads the K/V of layer " +
                          std::to_string(donor) + " and expects its head_dim " +
                          std::to_string(owner.headDim) + " and K/V heads " +
                          std::to_string(owner.kvHeads) + ", got " +
                          std::to_string(layer.headDim) + " and " +
                          std::to_string(layer.kvHeads));
  }
}

// One rope table per type means one head size per type.
void ConfigReader::checkUniform() {
  int64_t dim[2] = {0, 0};
  for (int64_t i = 0; i < model.layers; ++i) {
    const LayerConfig &layer = model.layer[size_t(i)];
    int64_t &first = dim[layer.global];
    if (!first)
      first = layer.headDim;
    if (first != layer.headDim)
      return problems.unsupported(
          "layer " + std::to_string(i) + " expects head_dim " +
          std::to_string(first) + " like the other " +
          (layer.global ? "full_attention" : "sliding_attention") +
          " layers, got " + std::to_string(layer.headDim));
  }
  model.localRope.dim = dim[0] ? dim[0] : headDim;
  model.globalRope.dim = dim[1];
}

void ConfigReader::readRopes(const Fields &text) {
  // The older spelling of a scaled rope.
  if (text.has("rope_scaling"))
    problems.unsupported(text.called("rope_scaling") +
                         " expects null; use rope_parameters");
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
  std::string name = called + "." + type;
  if (all) {
    const JsonValue *entry = Fields(*all, called + ".", problems).child(type);
    if (!entry) {
      problems.bad(name + " is missing, expects an object");
      return rope;
    }
    Fields fields(*entry, name + ".", problems);
    std::string kind = fields.string("rope_type", {});
    partial = kind == "proportional";
    if (!partial && kind != "default")
      problems.unsupported(name +
                           ".rope_type expects \"default\" or "
                           "\"proportional\", got " +
                           gemmac::quoted(kind));
    rope.theta = fields.number("rope_theta", 1, 1e12);
    double factor = fields.number("factor", 1e-6, 1e6, 1.0);
    if (factor != 1)
      problems.unsupported(name + ".factor expects 1, got " + shown(factor));
    part = partial ? fields.number("partial_rotary_factor", 1e-6, 1)
                   : fields.number("partial_rotary_factor", 1e-6, 1, 1.0);
    if (!partial && part != 1)
      problems.unsupported(name +
                           ".partial_rotary_factor expects 1 with "
                           "rope_type \"default\", got " +
                           shown(part));
  }
  rope.pairs = partial ? int64_t(std::floor(part * double(dim) / 2)) : dim / 2;
  if (rope.pairs < 1)
    problems.bad(name + ".partial_rotary_factor rotates no lane of head_dim " +
                 std::to_string(dim) + ", got " + shown(part));
  return rope;
}

Result<ModelConfig> ConfigReader::read() {
  const JsonValue *text = findText();
  if (!text)
    return *problems.first;
  Fields top(root, "", problems);
  Fields fields(*text, text == &root ? "" : "text_config.", problems);
  readDimensions(fields);
  readOptions(top, fields);
  readPerLayerEmbedding(fields);
  readExperts(fields);
  if (!failed())
    readLayers(fields);
  if (!failed())
    readRopes(fields);
  if (failed())
    return *problems.first;
  return std::move(model);
}

} // namespace

int64_t ModelConfig::lastOwner() const {
  for (int64_t i = int64_t(layer.size()); i-- > 0;)
    if (layer[size_t(i)].ownsKv)
      return i;
  return 0;
}

Result<ModelConfig> parseModelConfig(const std::string &text,
                                     const std::string &name,
                                     std::vector<std::string> &warnings) {
  try {
    Result<JsonValue> root = parseJson(text, name);
    if (!root)
      return root.error();
    return ConfigReader(*root, name, warnings).read();
  } catch (const std::bad_alloc &) {
    return Error{ExitCode::Resources, name + ": not enough memory to read it"};
  }
}

Result<ModelConfig> readModelConfig(const std::string &folder,
                                    std::vector<std::string> &warnings) {
  Status there = checkFolder(folder);
  if (!there)
    return there.error();
  std::string path = joinPath(folder, "config.json");
  if (!hasFile(folder, "config.json"))
    return Error{ExitCode::BadInput,
                 path + ": no such file; expects the folder of a Hugging Face "
                        "checkpoint (config.json, *.safetensors)"};
  Result<std::string> text = readFile(path, configBytes);
  if (!text)
    return text.error();
  return parseModelConfig(*text, path, warnings);
}

} // namespace gemmac
