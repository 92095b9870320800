// config.json -> ModelConfig: which model it is, its dimensions, its layers.
// The rules are those of docs/model/text.md#1.2; every number that
// later code multiplies or allocates by is bounded here. The layers are in
// ConfigLayers.cpp, generation_config.json in GenerationConfig.cpp. Must not
// know tensors or MLIR.
#include "compiler/importer/ConfigReader.h"
#include "compiler/importer/File.h"

#include <cmath>
#include <cstring>
#include <new>

namespace gemmac {
namespace {

using Kind = JsonValue::Kind;

const char supportedModels[] =
    "supported are gemma4, gemma4_unified (the text part) and gemma4_text";

constexpr uint64_t configBytes = 16 << 20;

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

} // namespace

void finishDimensions(ModelConfig &model) {
  model.embedScale = roundToBf16(std::sqrt(double(model.hidden)));
  model.pleScale = roundToBf16(std::sqrt(double(model.pleWidth)));
  model.variant = variantName(model.layers, model.hidden);
}

const JsonValue *ConfigReader::findText() {
  if (!root.is(Kind::Object)) {
    problems.bad("expects an object, got {}", shown(root));
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
    problems.unsupported(
        "model_type {} is a drafter, which is not supported yet; {}",
        gemmac::quoted(model.modelType), supportedModels);
    return nullptr;
  }
  if (!nested && model.modelType != "gemma4_text") {
    problems.unsupported("model_type {} is not supported; {}",
                         gemmac::quoted(model.modelType), supportedModels);
    return nullptr;
  }
  checkQuantization(top);
  if (!nested)
    return failed() ? nullptr : &root;

  const JsonValue *text = top.child("text_config");
  if (!text) {
    problems.bad("text_config is missing, expects an object (model_type is {})",
                 gemmac::quoted(model.modelType));
    return nullptr;
  }
  Fields fields(*text, "text_config.", problems);
  checkQuantization(fields);
  std::string expected = model.modelType + "_text";
  std::string type = fields.string("model_type", expected);
  if (type != expected)
    problems.unsupported("text_config.model_type expects {}, got {}",
                         gemmac::quoted(expected), gemmac::quoted(type));
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
    problems.unsupported("{}{} is not supported; use the checkpoint with bf16, "
                         "f16 or f32 weights",
                         fields.called(key),
                         method ? " (quant_method " + shown(*method) + ")"
                                : "");
  }
}

void ConfigReader::readDimensions(const Fields &text) {
  model.layers = text.integer("num_hidden_layers", 1, limits::layers);
  model.hidden = text.integer("hidden_size", 1, limits::width);
  model.heads = text.integer("num_attention_heads", 1, limits::heads);
  kvHeads = text.integer("num_key_value_heads", 1, limits::heads);
  headDim = text.integer("head_dim", 2, limits::headDim);
  ffn = text.integer("intermediate_size", 1, limits::ffn);
  // Fewer than 16 ids would leave `top` without parts.
  model.vocab = text.integer("vocab_size", 16, limits::vocab);
  model.window = text.integer("sliding_window", 1, limits::positions);
  model.maxContext =
      text.integer("max_position_embeddings", 1, limits::positions);
  model.eps = text.number("rms_norm_eps", 1e-30, 1, 1e-6);
}

void ConfigReader::readOptions(const Fields &top, const Fields &text) {
  std::string activation =
      text.string("hidden_activation", "gelu_pytorch_tanh");
  if (activation != "gelu_pytorch_tanh")
    problems.unsupported("{} expects \"gelu_pytorch_tanh\", got {}",
                         text.called("hidden_activation"),
                         gemmac::quoted(activation));
  if (text.boolean("attention_bias", false))
    problems.unsupported("{} expects false, got true",
                         text.called("attention_bias"));
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
    problems.unsupported("{} expects null or \"vision\", got {}",
                         text.called("use_bidirectional_attention"),
                         shown(*bidirectional));
}

void ConfigReader::readPerLayerEmbedding(const Fields &text) {
  if (model.modelType == "gemma4_unified")
    return;
  model.pleWidth =
      text.integer("hidden_size_per_layer_input", 0, limits::width, 0);
  if (!model.pleWidth)
    return;
  model.pleVocab =
      text.integer("vocab_size_per_layer_input", 1, limits::vocab, model.vocab);
  if (model.pleVocab < model.vocab)
    problems.bad("{} expects at least vocab_size {}, got {}",
                 text.called("vocab_size_per_layer_input"), model.vocab,
                 model.pleVocab);
}

void ConfigReader::readExperts(const Fields &text) {
  if (model.modelType == "gemma4_unified" ||
      !text.boolean("enable_moe_block", false))
    return;
  model.experts = text.integer("num_experts", 1, limits::experts);
  model.topExperts = text.integer("top_k_experts", 1, model.experts);
  model.expertFfn = text.integer("moe_intermediate_size", 1, limits::ffn);
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
  finishDimensions(model);
  if (!failed())
    readLayers(fields);
  if (!failed())
    readRopes(fields);
  if (failed())
    return *problems.first;
  return std::move(model);
}

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
    return makeError(ExitCode::Resources, "{}: not enough memory to read it",
                     name);
  }
}

Result<ModelConfig> readModelConfig(const std::string &folder,
                                    std::vector<std::string> &warnings) {
  Status there = checkFolder(folder);
  if (!there)
    return there.error();
  std::string path = joinPath(folder, "config.json");
  if (!hasFile(folder, "config.json"))
    return makeError(ExitCode::BadInput,
                     "{}: no such file; expects the folder of a Hugging Face "
                     "checkpoint (config.json, *.safetensors)",
                     path);
  Result<std::string> text = readFile(path, configBytes);
  if (!text)
    return text.error();
  return parseModelConfig(*text, path, warnings);
}

} // namespace gemmac
