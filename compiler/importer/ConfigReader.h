// What the readers of config.json (Config.cpp: which model, its dimensions and
// options; ConfigLayers.cpp: what differs per layer; ConfigMedia.cpp: what it
// sees and hears), generation_config.json (GenerationConfig.cpp),
// processor_config.json (ProcessorConfig.cpp) and GGUF metadata share. Private
// to them.
#pragma once

#include "compiler/importer/Config.h"
#include "compiler/importer/Fields.h"

namespace gemmac {

// The largest values that a file may give; later code multiplies and allocates
// by them.
namespace limits {
inline constexpr int64_t layers = 1024;
inline constexpr int64_t width = 65536;
inline constexpr int64_t ffn = 1 << 20;
inline constexpr int64_t vocab = 1 << 24;
inline constexpr int64_t positions = 1 << 24;
inline constexpr int64_t heads = 1024;
inline constexpr int64_t headDim = 4096;
inline constexpr int64_t experts = 4096;
inline constexpr int64_t budget = 4096;
inline constexpr int64_t channels = 4096;
} // namespace limits

// What the two spellings of the global layers' shape say about one layer.
struct LayerShape {
  int64_t headDim = 0;
  int64_t kvHeads = 0;
};

// What a model_type or general.architecture that is not compiled is: "Gemma 3".
std::string describeModel(std::string_view type);

// Sets what follows from hidden, pleWidth and layers: scales and the variant.
void finishDimensions(ModelConfig &model);
// `model.layer` says type, head size, K/V heads and MLP width of each layer.
// Sets ownership and donors (the last `shared` layers own no K/V) and the rope
// tables' sizes; `headDim` is that of sliding layers if there is none.
void finishLayers(ModelConfig &model, int64_t shared, int64_t headDim,
                  const NamedFile &file);

// A field that transformers generates by and our programs do not, and its value
// that changes nothing (null does not, either).
struct IgnoredKey {
  const char *key;
  std::optional<double> neutral = {};
  bool sampling = false; // counts only where tokens are drawn
};

// How a kind of file spells the fields of a GenerationConfig.
struct GenerationKeys {
  const char *temperature, *topK, *topP, *minP, *suppress;
  std::vector<const char *> stop;
  std::vector<IgnoredKey> ignored;
};

// Reads what a checkpoint says of generation, with the defaults, and the
// meaning of odd values, of transformers 5.24: see
// docs/model/tokenizer-chat.md#8.
class GenerationReader {
public:
  // Of several objects the first that has a key counts.
  GenerationReader(const GenerationKeys &keys, std::vector<Fields> objects,
                   int64_t vocab, const NamedFile &file,
                   std::vector<std::string> &warnings)
      : keys(keys), objects(std::move(objects)), vocab(vocab), file(file),
        warnings(warnings) {}

  // As Python takes the value of `key`: null, zeros and what is empty are not.
  bool isTrue(const char *key) const { return isTrue(find(key)); }
  bool has(const char *key) const { return isGiven(find(key)); }
  // Unless `sample`, the most likely token is taken.
  void readSampling(bool sample, GenerationConfig &config) const;
  void readSuppress(GenerationConfig &config) const;
  // Of all keys together; what `config` has stays if no key is given.
  void readStop(GenerationConfig &config) const;

private:
  static bool isTrue(const Json &value);
  const Json &find(const char *key) const;
  double number(const char *key, double fallback, double low, double high,
                double otherwise, const char *meaning) const;
  void addIds(const char *key, std::vector<int64_t> &ids) const;
  void warnOfIgnored(bool sample) const;

  const GenerationKeys &keys;
  const std::vector<Fields> objects;
  const int64_t vocab;
  const NamedFile &file;
  std::vector<std::string> &warnings;
};

// Reads one config.json.
class ConfigReader {
public:
  ConfigReader(const Json &root, const std::string &name,
               std::vector<std::string> &warnings, const WantedMedia &wanted)
      : root(root), file{name}, warnings(warnings), wanted(wanted) {}

  ModelConfig read();

private:
  template <typename... T>
  void warn(fmt::format_string<T...> what, T &&...arguments) {
    warnings.push_back(file.name + ": " +
                       fmt::format(what, std::forward<T>(arguments)...));
  }

  const Json &findText(); // identifies the model
  void noteQuantisation(const Fields &fields);
  void readMedia(const Fields &top);
  void readTokens(const Fields &top);
  void readVision(const Json &object);
  void readAudio(const Json &object);
  void readDimensions(const Fields &text);
  void readOptions(const Fields &top, const Fields &text);
  void readPerLayerEmbedding(const Fields &text);
  void readExperts(const Fields &text);
  void readTypes(const Fields &text);
  std::vector<LayerShape> readShapes(const Fields &text);
  void readPerLayerConfig(const Json &map, const std::string &called,
                          std::vector<LayerShape> &shapes);
  void readLayers(const Fields &text);
  void readRopes(const Fields &text);
  RopeConfig readRope(const Json *all, const std::string &called,
                      const char *type, int64_t dim);

  const Json &root;
  const NamedFile file;
  std::vector<std::string> &warnings;
  const WantedMedia wanted;
  ModelConfig model;
  bool keyIsValue = false;
  int64_t headDim = 0, kvHeads = 0, ffn = 0; // of a plain sliding layer
};

} // namespace gemmac
