// A checkpoint folder and a GGUF file behind one face: what gemmac reads of
// either. Must not know MLIR.
#pragma once

#include "compiler/importer/Config.h"
#include "compiler/importer/GgufModel.h"
#include "compiler/importer/Tokenizer.h"

#include <memory>

namespace gemmac {

// Every file that may be read as part of the checkpoint: those of the folder,
// or of a GGUF file's folder, that have a name of that kind.
std::vector<std::string> checkpointFiles(const std::string &path);

// What the checkpoint is called by its path: the folder's name, the model's in
// a snapshot of Hugging Face's cache, a GGUF file's without the part and
// ending.
std::string checkpointName(const std::string &path);

class ModelInput {
public:
  // Reads the configuration. Tensors are opened too, except those of a folder
  // that has none, which is an error only if `needsTensors`.
  static Result<ModelInput> open(const std::string &path, bool needsTensors,
                                 std::vector<std::string> &warnings);

  ModelConfig model;
  GenerationConfig generation;
  std::unique_ptr<TensorSource> tensors; // null: the configuration alone

  std::string name; // what the model calls itself, else checkpointName

  // nullopt, with a warning: it has none.
  Result<std::optional<std::vector<uint8_t>>>
  packTokenizer(std::vector<std::string> &warnings) const;
  Result<ChatTemplate>
  readChatTemplate(std::vector<std::string> &warnings) const;
  // After those two: gives back what only they read.
  void dropMetadata() {
    if (gguf)
      gguf->dropMetadata();
  }

private:
  std::string path;
  GgufModel *gguf = nullptr; // `tensors` where it is one
};

} // namespace gemmac
