// The reader of one config.json, split over Config.cpp (which model, its
// dimensions and options) and ConfigLayers.cpp (what differs per layer).
// Private to these two.
#pragma once

#include "compiler/importer/Config.h"
#include "compiler/importer/Fields.h"

namespace gemmac {

// What the two spellings of the global layers' shape say about one layer.
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

} // namespace gemmac
