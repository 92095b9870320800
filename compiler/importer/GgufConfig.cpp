// GGUF metadata -> ModelConfig and GenerationConfig. Every number that later
// code multiplies or allocates by is bounded as for config.json. Must not know
// files or MLIR.
#include "compiler/importer/ConfigReader.h"
#include "compiler/importer/GgufModel.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <new>

namespace gemmac {
namespace {

using Kind = GgufValue::Kind;

// Typed, range-checked access to metadata; the first problem is kept.
class Metadata {
public:
  Metadata(const GgufHeader &header, Problems &problems)
      : header(header), problems(problems) {}

  const GgufValue *get(const std::string &key) const {
    return header.find(key);
  }

  int64_t integer(const std::string &key, int64_t low, int64_t high,
                  std::optional<int64_t> fallback = {}) const {
    const GgufValue *value = need(key, range(low, high), fallback.has_value());
    if (!value)
      return fallback.value_or(low);
    return checked(key, *value, low, high);
  }

  double number(const std::string &key, double low, double high,
                std::optional<double> fallback = {}) const {
    std::string expected =
        fmt::format("a number from {} to {}", shown(low), shown(high));
    const GgufValue *value = need(key, expected, fallback.has_value());
    if (!value)
      return fallback.value_or(low);
    bool good = (value->is(Kind::Number) || value->is(Kind::Integer)) &&
                value->number >= low && value->number <= high;
    if (!good)
      problems.bad("{} expects {}, got {}", key, expected, value->describe());
    return good ? value->number : low;
  }

  // A number for all layers or an array of one per layer.
  std::vector<int64_t> perLayer(const std::string &key, int64_t layers,
                                int64_t low, int64_t high) const {
    std::vector<int64_t> list(size_t(layers), low);
    const GgufValue *value = need(key, range(low, high), false);
    if (!value)
      return list;
    if (!value->is(Kind::Array)) {
      std::fill(list.begin(), list.end(), checked(key, *value, low, high));
      return list;
    }
    if (!isPerLayer(key, *value, layers))
      return list;
    for (int64_t i = 0; i < layers; ++i)
      list[size_t(i)] = checked(key + "[" + std::to_string(i) + "]",
                                value->item(uint64_t(i)), low, high);
    return list;
  }

  // As perLayer, but all the same.
  int64_t uniform(const std::string &key, int64_t layers, int64_t low,
                  int64_t high) const {
    std::vector<int64_t> list = perLayer(key, layers, low, high);
    for (int64_t value : list)
      if (value != list.front()) {
        problems.unsupported(
            "{} expects the same number for all layers, got {} and {}", key,
            list.front(), value);
        break;
      }
    return list.front();
  }

  // An array with an element for each layer that is no string or array.
  bool isPerLayer(const std::string &key, const GgufValue &value,
                  int64_t layers) const {
    if (value.is(Kind::Array) && value.count == uint64_t(layers) &&
        value.element != 8 && value.element != 9)
      return true;
    problems.bad("{} expects an array of {} numbers, one per layer, got {}",
                 key, layers, value.describe());
    return false;
  }

  // Ids of an array or one id; nothing if the key is absent.
  void ids(const std::string &key, int64_t vocab,
           std::vector<int64_t> &list) const {
    const GgufValue *value = get(key);
    if (!value)
      return;
    if (!value->is(Kind::Array)) {
      list.push_back(checked(key, *value, 0, vocab - 1));
      return;
    }
    if (value->element == 8 || value->element == 9 ||
        value->count > uint64_t(vocab)) {
      problems.bad("{} expects an array of token ids, got {}", key,
                   value->describe());
      return;
    }
    for (uint64_t i = 0; i < value->count; ++i)
      list.push_back(checked(key, value->item(i), 0, vocab - 1));
  }

private:
  static std::string range(int64_t low, int64_t high) {
    return fmt::format("an integer from {} to {}", low, high);
  }
  const GgufValue *need(const std::string &key, const std::string &expected,
                        bool optional) const {
    const GgufValue *value = get(key);
    if (!value && !optional)
      problems.bad("{} is missing, expects {}", key, expected);
    return value;
  }
  int64_t checked(const std::string &key, const GgufValue &value, int64_t low,
                  int64_t high) const {
    if (value.is(Kind::Integer) && value.integer >= low &&
        value.integer <= high)
      return value.integer;
    problems.bad("{} expects {}, got {}", key, range(low, high),
                 value.describe());
    return low;
  }

  const GgufHeader &header;
  Problems &problems;
};

class GgufConfigReader {
public:
  GgufConfigReader(const GgufModel &source, std::vector<std::string> &warnings)
      : source(source), problems{source.path(), {}},
        data(source.metadata(), problems), warnings(warnings) {}

  Result<ModelConfig> read();

private:
  bool failed() const { return problems.first.has_value(); }

  void readDimensions();
  void readExperts();
  void readTypes();
  void readLayers();
  void readKeyIsValue();
  void readRopes();
  int64_t rotatedPairs(int64_t dim);
  // Rows of a matrix; 0 and a problem if there is none.
  int64_t rowsOf(const char *name, int64_t most);

  const GgufModel &source;
  Problems problems;
  Metadata data;
  std::vector<std::string> &warnings;
  ModelConfig model;
};

int64_t GgufConfigReader::rowsOf(const char *name, int64_t most) {
  const SourceTensor *tensor = source.find(name);
  std::string called = "tensor " + gemmac::quoted(ggufFromCanonical(name));
  if (!tensor) {
    problems.bad("{} is missing", called);
    return 0;
  }
  if (tensor->shape.size() == 2 && tensor->shape[0] >= 16 &&
      tensor->shape[0] <= most)
    return tensor->shape[0];
  problems.bad("{} expects 16 to {} rows", called, most);
  return 0;
}

void GgufConfigReader::readDimensions() {
  model.modelType = "gemma4";
  model.layers = data.integer("gemma4.block_count", 1, limits::layers);
  model.hidden = data.integer("gemma4.embedding_length", 1, limits::width);
  model.heads = data.uniform("gemma4.attention.head_count", model.layers, 1,
                             limits::heads);
  model.vocab = rowsOf("embed_tokens.weight", limits::vocab);
  model.window =
      data.integer("gemma4.attention.sliding_window", 1, limits::positions);
  model.maxContext =
      data.integer("gemma4.context_length", 1, limits::positions);
  model.eps = data.number("gemma4.attention.layer_norm_rms_epsilon", 1e-30, 1);
  model.softcap =
      data.number("gemma4.final_logit_softcapping", 1e-3, 1e6, 30.0);
  // The values' head size is the keys' everywhere.
  for (const char *suffix : {"", "_swa"}) {
    std::string key = std::string("gemma4.attention.value_length") + suffix;
    int64_t keys =
        data.integer(std::string("gemma4.attention.key_length") + suffix, 2,
                     limits::headDim);
    int64_t values = data.integer(key, 2, limits::headDim, keys);
    if (values != keys)
      problems.unsupported("{} expects {} like the keys, got {}", key, keys,
                           values);
  }
  int64_t rows = data.integer("gemma4.vocab_size", 1, limits::vocab,
                              std::max<int64_t>(model.vocab, 1));
  if (!failed() && rows != model.vocab)
    problems.bad(
        "gemma4.vocab_size expects the {} rows of token_embd.weight, got {}",
        model.vocab, rows);
  model.pleWidth = data.integer("gemma4.embedding_length_per_layer_input", 0,
                                limits::width, 0);
  if (model.pleWidth)
    model.pleVocab = rowsOf("embed_tokens_per_layer.weight", limits::vocab);
  if (!failed() && model.pleWidth && model.pleVocab < model.vocab)
    problems.bad(
        "tensor 'per_layer_token_embd.weight' expects at least {} rows, got {}",
        model.vocab, model.pleVocab);
  // A head of its own counts only if it differs from the embedding.
  const SourceTensor *head = source.find("lm_head.weight");
  const SourceTensor *embed = source.find("embed_tokens.weight");
  model.tied = !head || (embed && head->type == embed->type &&
                         head->bytes == embed->bytes &&
                         !std::memcmp(head->data, embed->data, head->bytes));
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
  std::string key = "gemma4.attention.sliding_window_pattern";
  const GgufValue *value = data.get(key);
  if (!value)
    return problems.bad("{} is missing, expects an array of {} booleans", key,
                        model.layers);
  if (!value->is(Kind::Array)) {
    int64_t period = data.integer(key, 1, limits::layers);
    for (int64_t i = 0; i < model.layers; ++i)
      model.layer[size_t(i)].global = i % period == period - 1;
  } else {
    if (!data.isPerLayer(key, *value, model.layers))
      return;
    for (int64_t i = 0; i < model.layers; ++i) {
      GgufValue sliding = value->item(uint64_t(i));
      if (!sliding.is(Kind::Bool) && !sliding.is(Kind::Integer))
        return problems.bad("{} expects booleans, got {}", key,
                            sliding.describe());
      model.layer[size_t(i)].global =
          !(sliding.is(Kind::Bool) ? sliding.boolean : sliding.integer != 0);
    }
  }
  if (!model.layer.back().global)
    problems.unsupported("{} expects a global last layer", key);
}

void GgufConfigReader::readLayers() {
  readTypes();
  if (failed())
    return;
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
  if (failed())
    return;
  finishLayers(model, shared, localDim, problems);
  if (!failed())
    readKeyIsValue();
}

// K = V is said by the absence of attn_v in all global layers.
void GgufConfigReader::readKeyIsValue() {
  auto hasValues = [&](int64_t i) {
    return source.find("layers." + std::to_string(i) +
                       ".self_attn.v_proj.weight") != nullptr;
  };
  bool any = false;
  for (int64_t i = 0; i < model.layers; ++i)
    any |= model.layer[size_t(i)].global && hasValues(i);
  for (LayerConfig &layer : model.layer)
    layer.keyIsValue = layer.global && !any;
}

void GgufConfigReader::readRopes() {
  for (const char *key : {"type", "factor", "scale_linear"}) {
    std::string name = std::string("gemma4.rope.scaling.") + key;
    const GgufValue *value = data.get(name);
    if (value && !(value->is(Kind::String) && value->text == "none") &&
        !(!value->is(Kind::String) && value->number == 1))
      problems.unsupported("{} expects an unscaled rope, got {}", name,
                           value->describe());
  }
  model.localRope.theta =
      data.number("gemma4.rope.freq_base_swa", 1, 1e12, 1e4);
  model.globalRope.theta = data.number("gemma4.rope.freq_base", 1, 1e12);
  struct {
    const char *key;
    int64_t dim;
  } const counts[] = {{"gemma4.rope.dimension_count", model.globalRope.dim},
                      {"gemma4.rope.dimension_count_swa", model.localRope.dim}};
  for (const auto &c : counts) {
    int64_t count = data.integer(c.key, 1, limits::headDim, c.dim);
    if (count != c.dim)
      problems.unsupported("{} expects the head size {}, got {}", c.key, c.dim,
                           count);
  }
  model.localRope.pairs = model.localRope.dim / 2;
  model.globalRope.pairs = rotatedPairs(model.globalRope.dim);
}

// The file spells the proportional rule as divisors of the frequencies: 1 for
// pairs that rotate, huge for those that do not.
int64_t GgufConfigReader::rotatedPairs(int64_t dim) {
  const SourceTensor *factors = source.find("rope_freqs.weight");
  if (!factors) {
    warnings.push_back(source.path() +
                       ": tensor 'rope_freqs.weight' is missing; a quarter of "
                       "the lanes of global layers is rotated");
    return std::max<int64_t>(dim / 8, 1);
  }
  std::string name = "tensor 'rope_freqs.weight'";
  if (factors->type != SourceType::F32 ||
      factors->shape != std::vector<int64_t>{dim / 2}) {
    problems.bad("{} expects type F32 and shape [{}]", name, dim / 2);
    return 1;
  }
  int64_t pairs = 0;
  for (int64_t i = 0; i < dim / 2; ++i) {
    float factor;
    std::memcpy(&factor, factors->data + 4 * i, 4);
    if (factor == 1 && i == pairs)
      ++pairs;
    else if (!(factor >= 1e20f)) {
      problems.unsupported("{} expects 1 for the pairs that rotate, then at "
                           "least 1e20, got {} for pair {}",
                           name, shown(double(factor)), i);
      return 1;
    }
  }
  if (!pairs)
    problems.bad("{} expects at least one factor of 1", name);
  return std::max<int64_t>(pairs, 1);
}

Result<ModelConfig> GgufConfigReader::read() {
  readDimensions();
  readExperts();
  finishDimensions(model);
  if (!failed())
    readLayers();
  if (!failed())
    readRopes();
  if (failed())
    return *problems.first;
  return std::move(model);
}

} // namespace

Result<ModelConfig> readGgufConfig(const GgufModel &model,
                                   std::vector<std::string> &warnings) {
  try {
    return GgufConfigReader(model, warnings).read();
  } catch (const std::bad_alloc &) {
    return makeError(ExitCode::Resources, "{}: not enough memory to read it",
                     model.path());
  }
}

Result<GenerationConfig>
readGgufGeneration(const GgufModel &model, const ModelConfig &config,
                   std::vector<std::string> &warnings) {
  try {
    Problems problems{model.path(), {}};
    Metadata data(model.metadata(), problems);
    GenerationConfig result;
    int64_t last = config.vocab - 1;
    result.bos = data.integer("tokenizer.ggml.bos_token_id", 0, last, 2);
    result.pad = data.integer("tokenizer.ggml.padding_token_id", 0, last, 0);
    for (const char *key :
         {"eos_token_id", "eos_token_ids", "eot_token_id", "eom_token_id"})
      data.ids(std::string("tokenizer.ggml.") + key, config.vocab, result.stop);
    if (const GgufValue *tokens = data.get("tokenizer.ggml.tokens")) {
      int64_t id = 0;
      for (std::string_view text : tokens->strings()) {
        if (id <= last && (text == "<turn|>" || text == "<|tool_response>"))
          result.stop.push_back(id);
        ++id;
      }
    }
    if (result.stop.empty())
      result.stop = {1};
    std::sort(result.stop.begin(), result.stop.end());
    result.stop.erase(std::unique(result.stop.begin(), result.stop.end()),
                      result.stop.end());
    data.ids("tokenizer.ggml.suppress_tokens", config.vocab, result.suppress);
    std::sort(result.suppress.begin(), result.suppress.end());
    result.suppress.erase(
        std::unique(result.suppress.begin(), result.suppress.end()),
        result.suppress.end());
    result.temperature =
        data.number("general.sampling.temp", 0, 1000, result.temperature);
    result.topK = data.integer("general.sampling.top_k", 0, int64_t(1) << 31,
                               result.topK);
    result.topP = data.number("general.sampling.top_p", 0, 1, result.topP);
    double penalty =
        data.number("general.sampling.penalty_repeat", 0, 1e6, 1.0);
    if (penalty != 1)
      warnings.push_back(model.path() +
                         ": general.sampling.penalty_repeat is ignored");
    if (problems.first)
      return *problems.first;
    return result;
  } catch (const std::bad_alloc &) {
    return makeError(ExitCode::Resources, "{}: not enough memory to read it",
                     model.path());
  }
}

} // namespace gemmac
