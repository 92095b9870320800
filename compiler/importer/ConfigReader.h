// The reader of one config.json, split over Config.cpp (which model, its
// dimensions and options) and ConfigLayers.cpp (what differs per layer), and
// what it shares with the reader of GGUF metadata. Private to the three.
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
} // namespace limits

// What the two spellings of the global layers' shape say about one layer.
struct LayerShape {
  int64_t headDim = 0;
  int64_t kvHeads = 0;
};

// Sets what follows from hidden, pleWidth and layers: scales and the variant.
void finishDimensions(ModelConfig &model);
// `model.layer` says type, head size, K/V heads and MLP width of each layer.
// Sets ownership and donors (the last `shared` layers own no K/V) and the rope
// tables' sizes; `headDim` is that of sliding layers if there is none.
void finishLayers(ModelConfig &model, int64_t shared, int64_t headDim,
                  Problems &problems);

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

} // namespace gemmac
