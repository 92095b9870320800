// Opens a model in GGUF form, one file or the parts of a split one: its tensors
// under the names and shapes of the Hugging Face checkpoint, its configuration
// and sampling defaults from the metadata. Knows what the converters of the
// family write; must not know MLIR or what is done with the tensors.
#pragma once

#include "compiler/importer/Config.h"
#include "compiler/importer/Gguf.h"
#include "compiler/importer/MappedTensors.h"

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace gemmac {

class GgufModel : public MappedTensors {
public:
  // Any part of a split model opens all of it. Errors: what Gguf.h refuses, a
  // missing part, parts that do not belong together, another architecture or
  // the towers' file (Unsupported), a file without tensors.
  static Result<std::unique_ptr<GgufModel>> open(const std::string &path);

  // Adds the tensors of a file of vision and audio towers (mmproj), and what
  // they are to `config`, which is that of the model. Changes nothing if the
  // file cannot be read or is that of another model; of a tower that is not
  // wanted that is not known.
  Status addTowers(const std::string &path, ModelConfig &config,
                   const WantedMedia &wanted = {});

  std::string nameInFile(const std::string &name) const override;
  const char *whyUnused(const SourceTensor &tensor) const override;
  const SourceWords &words() const override;

  // The first file and its metadata.
  const std::string &path() const { return files().front().path; }
  const GgufHeader &metadata() const { return first; }
  // Gives back their memory; `metadata` must not be asked any more.
  void dropMetadata() { first = {}; }
  // general.name, empty: none that can be printed.
  std::string ownName() const;

private:
  void openAll(const std::string &path);
  void openPart(const std::string &path, int64_t part, int64_t parts);
  void openTowers(const std::string &path, ModelConfig &config,
                  const WantedMedia &wanted);
  void checkArchitecture() const;
  void add(MappedFile map, GgufHeader header);

  GgufHeader first;
};

// True if PATH is a file that ends in .gguf or starts like one.
bool isGgufFile(const std::string &path);

// "blk.3.ffn_up.weight" <-> "layers.3.mlp.up_proj.weight"; a name that has no
// counterpart stays as it is. Tensors of towers in the model's own file are
// "in_model.vision_tower. ...": how they lie there is not known.
std::string canonicalFromGguf(std::string_view name);
std::string ggufFromCanonical(std::string_view name);

// The configuration. Layers whose attn_v is missing throughout use K = V.
// Errors name the key, the value and the allowed range.
Result<ModelConfig> readGgufConfig(const GgufModel &model,
                                   std::vector<std::string> &warnings);

// Sampling defaults and special ids. Stop ids are eos_token_id, those that the
// file lists, and the tokens that end a turn or ask for a tool's answer.
Result<GenerationConfig> readGgufGeneration(const GgufModel &model,
                                            const ModelConfig &config,
                                            std::vector<std::string> &warnings);

} // namespace gemmac
