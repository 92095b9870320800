// GGUF metadata -> ModelConfig and GenerationConfig. Every number that later
// code multiplies or allocates by is bounded as for config.json. Must not know
// files or MLIR.
#include "compiler/importer/ConfigReader.h"
#include "compiler/importer/GgufModel.h"
#include "compiler/importer/TensorNames.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstring>

namespace gemmac {
namespace {

class GgufConfigReader {
public:
  GgufConfigReader(const GgufModel &source, std::vector<std::string> &warnings)
      : source(source), file{source.path()},
        data(*source.metadata().metadata, "", file), warnings(warnings) {}

  ModelConfig read();

private:
  void readDimensions();
  void readExperts();
  void readTypes();
  void readLayers();
  void readKeyIsValue();
  void readRopes();
  // The value of `key`, which must be `expected`: what `why` says.
  void same(const std::string &key, int64_t expected, const char *why);
  int64_t rotatedPairs(int64_t dim);
  int64_t rowsOf(const char *name, int64_t most); // of a matrix

  const GgufModel &source;
  const NamedFile file;
  const Fields data;
  std::vector<std::string> &warnings;
  ModelConfig model;
};

int64_t GgufConfigReader::rowsOf(const char *name, int64_t most) {
  const SourceTensor *tensor = source.find(name);
  std::string called = "tensor " + gemmac::quoted(ggufFromCanonical(name));
  if (!tensor)
    file.bad("{} is missing", called);
  if (tensor->shape.size() != 2 || tensor->shape[0] < 16 ||
      tensor->shape[0] > most)
    file.bad("{} expects 16 to {} rows", called, most);
  return tensor->shape[0];
}

void GgufConfigReader::same(const std::string &key, int64_t expected,
                            const char *why) {
  int64_t value = data.integer(key, 1, limits::headDim, expected);
  if (value != expected)
    file.unsupported("{} expects {}{}, got {}", key, why, expected, value);
}

void GgufConfigReader::readDimensions() {
  model.modelType = "gemma4";
  model.layers = data.integer("gemma4.block_count", 1, limits::layers);
  model.hidden = data.integer("gemma4.embedding_length", 1, limits::width);
  model.heads = data.uniform("gemma4.attention.head_count", model.layers, 1,
                             limits::heads);
  model.vocab = rowsOf(source.find("embed_tokens.weight") ||
                               !source.find("lm_head.weight")
                           ? "embed_tokens.weight"
                           : "lm_head.weight", // which is the embedding, too
                       limits::vocab);
  model.window =
      data.integer("gemma4.attention.sliding_window", 1, limits::positions);
  model.maxContext =
      data.integer("gemma4.context_length", 1, limits::positions);
  model.eps = data.number("gemma4.attention.layer_norm_rms_epsilon", 1e-30, 1);
  model.softcap =
      data.number("gemma4.final_logit_softcapping", 1e-3, 1e6, 30.0);
  for (const std::string suffix : {"", "_swa"})
    same("gemma4.attention.value_length" + suffix,
         data.integer("gemma4.attention.key_length" + suffix, 2,
                      limits::headDim),
         "the keys' ");
  int64_t rows =
      data.integer("gemma4.vocab_size", 1, limits::vocab, model.vocab);
  if (rows != model.vocab)
    warnings.push_back(
        fmt::format("{}: gemma4.vocab_size is {}; the {} rows of "
                    "token_embd.weight count",
                    file.name, rows, model.vocab));
  model.pleWidth = data.integer("gemma4.embedding_length_per_layer_input", 0,
                                limits::width, 0);
  if (model.pleWidth)
    model.pleVocab = rowsOf("embed_tokens_per_layer.weight", limits::vocab);
}

void GgufConfigReader::readExperts() {
  model.experts = data.integer("gemma4.expert_count", 0, limits::experts, 0);
  if (!model.experts)
    return;
  model.topExperts = data.integer("gemma4.expert_used_count", 1, model.experts);
  model.expertFfn = data.uniform("gemma4.expert_feed_forward_length",
                                 model.layers, 1, limits::ffn);
}

// true = sliding, one per layer; a number n: every n-th layer is global.
void GgufConfigReader::readTypes() {
  model.layer.resize(size_t(model.layers));
  const char *key = "gemma4.attention.sliding_window_pattern";
  const Json &value = data.get(key);
  if (value.is_number()) {
    int64_t period = data.integer(key, 1, limits::layers);
    for (int64_t i = 0; i < model.layers; ++i)
      model.layer[size_t(i)].global = i % period == period - 1;
  } else {
    auto isSwitch = [](const Json &item) {
      return item.is_boolean() || item.is_number_integer();
    };
    if (!value.is_array() || int64_t(value.size()) != model.layers ||
        !std::all_of(value.begin(), value.end(), isSwitch))
      file.bad("{} expects an array of {} booleans, one per layer, got {}", key,
               model.layers, shown(value));
    for (size_t i = 0; i < value.size(); ++i)
      model.layer[i].global = value[i] == false || value[i] == 0;
  }
  if (!model.layer.back().global)
    file.unsupported("{} expects a global last layer", key);
}

void GgufConfigReader::readLayers() {
  readTypes();
  int64_t layers = model.layers;
  std::vector<int64_t> ffn =
      data.perLayer("gemma4.feed_forward_length", layers, 1, limits::ffn);
  std::vector<int64_t> kvHeads =
      data.perLayer("gemma4.attention.head_count_kv", layers, 1, limits::heads);
  int64_t globalDim =
      data.integer("gemma4.attention.key_length", 2, limits::headDim);
  int64_t localDim =
      data.integer("gemma4.attention.key_length_swa", 2, limits::headDim);
  int64_t shared =
      data.integer("gemma4.attention.shared_kv_layers", 0, layers - 1, 0);
  for (int64_t i = 0; i < layers; ++i) {
    LayerConfig &layer = model.layer[size_t(i)];
    layer.headDim = layer.global ? globalDim : localDim;
    layer.kvHeads = kvHeads[size_t(i)];
    layer.ffn = ffn[size_t(i)];
  }
  finishLayers(model, shared, localDim, file);
  readKeyIsValue();
}

// K = V is said by the absence of attn_v in all global layers.
void GgufConfigReader::readKeyIsValue() {
  bool any = false;
  for (int64_t i = 0; i < model.layers; ++i)
    any |= model.layer[size_t(i)].global &&
           source.find(fmt::format("layers.{}.self_attn.v_proj.weight", i));
  for (LayerConfig &layer : model.layer)
    layer.keyIsValue = layer.global && !any;
}

void GgufConfigReader::readRopes() {
  for (const char *key : {"type", "factor", "scale_linear"}) {
    std::string name = std::string("gemma4.rope.scaling.") + key;
    if (const Json &value = data.get(name);
        !value.is_discarded() && !isText(value, "none") && value != 1)
      file.unsupported("{} expects an unscaled rope, got {}", name,
                       shown(value));
  }
  model.localRope.theta =
      data.number("gemma4.rope.freq_base_swa", 1, 1e12, 1e4);
  model.globalRope.theta = data.number("gemma4.rope.freq_base", 1, 1e12);
  same("gemma4.rope.dimension_count", model.globalRope.dim, "the head size ");
  same("gemma4.rope.dimension_count_swa", model.localRope.dim,
       "the head size ");
  model.localRope.pairs = model.localRope.dim / 2;
  model.globalRope.pairs = rotatedPairs(model.globalRope.dim);
}

// The file spells the proportional rule as divisors of the frequencies: 1 for
// pairs that rotate, huge for those that do not.
int64_t GgufConfigReader::rotatedPairs(int64_t dim) {
  const SourceTensor *factors = source.find("rope_freqs.weight");
  const char *name = "tensor 'rope_freqs.weight'";
  if (!factors) {
    warnings.push_back(fmt::format("{}: {} is missing; a quarter of the lanes "
                                   "of global layers is rotated",
                                   file.name, name));
    return std::max<int64_t>(dim / 8, 1);
  }
  if (factors->type != SourceType::F32 ||
      factors->shape != std::vector<int64_t>{dim / 2})
    file.bad("{} expects type F32 and shape [{}]", name, dim / 2);
  int64_t pairs = 0;
  for (int64_t i = 0; i < dim / 2; ++i) {
    float factor;
    std::memcpy(&factor, factors->data + 4 * i, 4);
    if (factor == 1 && i == pairs)
      ++pairs;
    else if (!(factor >= 1e20f))
      file.unsupported("{} expects 1 for the pairs that rotate, then at least "
                       "1e20, got {} for pair {}",
                       name, shown(double(factor)), i);
  }
  if (!pairs)
    file.bad("{} expects at least one factor of 1", name);
  return pairs;
}

ModelConfig GgufConfigReader::read() {
  readDimensions();
  settleHead(model, source);
  readExperts();
  finishDimensions(model);
  readLayers();
  readRopes();
  return std::move(model);
}

// The format has no do_sample: who writes a temperature draws by it.
const GenerationKeys &ggufKeys() {
  static const GenerationKeys keys = {
      .temperature = "general.sampling.temp",
      .topK = "general.sampling.top_k",
      .topP = "general.sampling.top_p",
      .minP = "general.sampling.min_p",
      .suppress = "tokenizer.ggml.suppress_tokens",
      .stop = {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eos_token_ids",
               "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"},
      .ignored = {{"general.sampling.mirostat", 0, true},
                  {"general.sampling.penalty_repeat", 1},
                  {"general.sampling.xtc_probability", 0, true}}};
  return keys;
}

} // namespace

Result<ModelConfig> readGgufConfig(const GgufModel &model,
                                   std::vector<std::string> &warnings) {
  return reading(model.path(),
                 [&] { return GgufConfigReader(model, warnings).read(); });
}

Result<GenerationConfig>
readGgufGeneration(const GgufModel &model, const ModelConfig &config,
                   std::vector<std::string> &warnings) {
  return reading(model.path(), [&] {
    NamedFile file{model.path()};
    const GenerationKeys &keys = ggufKeys();
    GenerationReader reader(keys,
                            {Fields(*model.metadata().metadata, "", file)},
                            config.vocab, file, warnings);
    GenerationConfig result;
    bool sample = reader.has(keys.temperature) || reader.has(keys.topK) ||
                  reader.has(keys.topP) || reader.has(keys.minP);
    reader.readSampling(sample, result);
    reader.readSuppress(result);
    reader.readStop(result);
    if (!sample)
      result.samplingFrom.clear();
    return result;
  });
}

} // namespace gemmac
