// config.json -> ModelConfig: which model it is, its dimensions, its layers.
// The rules are those of docs/model/text.md#1.2; every number that
// later code multiplies or allocates by is bounded here. The layers are in
// ConfigLayers.cpp, generation_config.json in GenerationConfig.cpp. Must not
// know tensors or MLIR.
#include "compiler/importer/ConfigReader.h"
#include "compiler/importer/File.h"
#include "compiler/importer/OtherForms.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <bit>
#include <cmath>

namespace gemmac {
namespace {

const char supportedModels[] =
    "supported are gemma4, gemma4_unified (the text part) and gemma4_text";

constexpr uint64_t configBytes = 16 << 20;

// Round to nearest even, by way of f32 as the reference does.
double roundToBf16(double value) {
  auto bits = std::bit_cast<uint32_t>(float(value));
  bits += 0x7fff + (bits >> 16 & 1);
  return std::bit_cast<float>(bits & 0xffff0000);
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

std::string describeModel(std::string_view type) {
  struct Kind {
    std::string_view type;
    const char *what;
  };
  static const Kind kinds[] = {
      {"clip", "the vision or audio tower of a model"},
      {"diffusion_gemma",
       "DiffusionGemma, which does not write token by token"},
      {"embedding_gemma2", "EmbeddingGemma 2, which gives vectors, not text"},
      {"gemma", "the first Gemma"},
      {"gemma2", "Gemma 2"},
      {"gemma3", "Gemma 3"},
      {"gemma3_text", "Gemma 3"},
      {"gemma3n", "Gemma 3n"},
      {"gemma3n_text", "Gemma 3n"},
      {"gemma4_assistant", "a drafter of Gemma 4, which is not supported yet"},
      {"gemma4_audio", "the audio tower of Gemma 4 alone"},
      {"gemma4_unified_assistant",
       "a drafter of Gemma 4, which is not supported yet"},
      {"gemma4_vision", "the vision tower of Gemma 4 alone"},
      {"gemma_embedding", "EmbeddingGemma, which gives vectors, not text"},
      {"paligemma", "PaliGemma"},
      {"recurrent_gemma", "RecurrentGemma"},
      {"shieldgemma2", "ShieldGemma 2, which classifies images"},
      {"t5gemma", "T5Gemma"},
      {"t5gemma2", "T5Gemma 2"},
      {"vaultgemma", "VaultGemma"}};
  std::string plain(type);
  std::replace(plain.begin(), plain.end(), '-', '_');
  for (const Kind &kind : kinds)
    if (plain == kind.type)
      return kind.what;
  return plain.find("assistant") != plain.npos
             ? "a drafter, which is not supported yet"
             : "not supported";
}

void finishDimensions(ModelConfig &model) {
  model.embedScale = roundToBf16(std::sqrt(double(model.hidden)));
  model.pleScale = roundToBf16(std::sqrt(double(model.pleWidth)));
  model.variant = variantName(model.layers, model.hidden);
}

const Json &ConfigReader::findText() {
  if (!root.is_object())
    file.bad("expects an object, got {}", shown(root));
  Fields top(root, "", file);
  model.modelType = top.string("model_type");
  std::string called = gemmac::quoted(model.modelType);
  bool nested =
      model.modelType == "gemma4" || model.modelType == "gemma4_unified";
  if (!nested && model.modelType != "gemma4_text")
    file.unsupported("model_type {} is {}; {}", called,
                     describeModel(model.modelType), supportedModels);
  noteQuantisation(top);
  if (!nested)
    return root;

  const Json *text = top.child("text_config");
  if (!text)
    file.bad("text_config is missing, expects an object (model_type is {})",
             called);
  Fields fields(*text, "text_config.", file);
  noteQuantisation(fields);
  std::string expected = model.modelType + "_text";
  std::string type = fields.string("model_type", expected);
  if (type != expected)
    file.unsupported("text_config.model_type expects {}, got {}",
                     gemmac::quoted(expected), gemmac::quoted(type));
  readMedia(top);
  return *text;
}

// Whether it is true the tensors say.
void ConfigReader::noteQuantisation(const Fields &fields) {
  for (const char *key :
       {"quantization_config", "compression_config", "quantization"})
    if (fields.has(key) && model.quantisation.empty()) {
      const Json &method = member(fields.get(key), "quant_method");
      model.quantisation = fields.called(key);
      if (isGiven(method))
        model.quantisation += " with quant_method " + shown(method);
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
    file.unsupported("{} expects \"gelu_pytorch_tanh\", got {}",
                     text.called("hidden_activation"),
                     gemmac::quoted(activation));
  if (text.boolean("attention_bias", false))
    file.unsupported("{} expects false, got true",
                     text.called("attention_bias"));
  // An explicit null means no softcap.
  const Json &cap = text.get("final_logit_softcapping");
  if (cap.is_discarded())
    warn("{} is absent, taking 30", text.called("final_logit_softcapping"));
  model.softcap = cap.is_null()
                      ? 0
                      : text.number("final_logit_softcapping", 1e-3, 1e6, 30.0);
  bool tiedText = text.boolean("tie_word_embeddings", true);
  model.tied = top.boolean("tie_word_embeddings", tiedText);
  if (text.has("tie_word_embeddings") && model.tied != tiedText)
    warn("tie_word_embeddings is {} at the top and {} in text_config; the top "
         "one holds",
         model.tied, tiedText);
  keyIsValue = text.boolean("attention_k_eq_v", false);

  const Json &bidirectional = text.get("use_bidirectional_attention");
  model.imageBlocks = isText(bidirectional, "vision");
  if (isGiven(bidirectional) && bidirectional != false && !model.imageBlocks)
    file.unsupported("{} expects null or \"vision\", got {}",
                     text.called("use_bidirectional_attention"),
                     shown(bidirectional));
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
}

void ConfigReader::readExperts(const Fields &text) {
  if (model.modelType == "gemma4_unified" ||
      !text.boolean("enable_moe_block", false))
    return;
  model.experts = text.integer("num_experts", 1, limits::experts);
  model.topExperts = text.integer("top_k_experts", 1, model.experts);
  model.expertFfn = text.integer("moe_intermediate_size", 1, limits::ffn);
}

ModelConfig ConfigReader::read() {
  const Json &text = findText();
  Fields top(root, "", file);
  Fields fields(text, &text == &root ? "" : "text_config.", file);
  readDimensions(fields);
  readOptions(top, fields);
  readPerLayerEmbedding(fields);
  readExperts(fields);
  finishDimensions(model);
  readLayers(fields);
  readRopes(fields);
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
                                     std::vector<std::string> &warnings,
                                     const WantedMedia &wanted) {
  return reading(name, [&] {
    const Json root = orFail(parseJson(text, name));
    return ConfigReader(root, name, warnings, wanted).read();
  });
}

Result<ModelConfig> readModelConfig(const std::string &folder,
                                    std::vector<std::string> &warnings,
                                    const WantedMedia &wanted) {
  std::string path = joinPath(folder, "config.json");
  return reading(path, [&] {
    orFail(checkFolder(folder));
    if (!hasFile(folder, "config.json")) {
      orFail(explainFolder(folder, "config.json"));
      NamedFile{path}.bad("no such file; expects the folder of a Hugging Face "
                          "checkpoint (config.json, *.safetensors)");
    }
    return orFail(parseModelConfig(orFail(readFile(path, configBytes)), path,
                                   warnings, wanted));
  });
}

} // namespace gemmac
