// A checkpoint folder and a GGUF file behind one face: what gemmac reads of
// either. Must not know MLIR.
#pragma once

#include "compiler/importer/Config.h"
#include "compiler/importer/GgufModel.h"
#include "compiler/importer/Tokenizer.h"

#include <memory>
#include <string>
#include <vector>

namespace gemmac {

// Every file that may be read as part of the checkpoint: those of the folder,
// or of a GGUF file's folder, that have a name of that kind.
std::vector<std::string> checkpointFiles(const std::string &path);

// What the checkpoint is called by its path: the folder's name, the model's in
// a snapshot of Hugging Face's cache, a GGUF file's without the part and
// ending.
std::string checkpointName(const std::string &path);

struct InputOptions {
  std::string mmproj; // file of a GGUF model's towers; empty: found by its name
  WantedMedia media;
  bool needsTensors = true; // a folder that has none is an error
};

class ModelInput {
public:
  // Reads the configuration. Tensors are opened too, except those of a folder
  // that has none and need not have. After an error what was read before it is
  // here.
  Status open(const std::string &path, const InputOptions &options,
              std::vector<std::string> &warnings, std::vector<Finding> &found);

  ModelConfig model;
  GenerationConfig generation;
  std::unique_ptr<TensorSource> tensors; // null: the configuration alone

  std::string name; // what the model calls itself, else checkpointName

  // Of readText.
  std::vector<uint8_t> tokenizer; // packed; empty: there is none
  Vocabulary vocabulary;
  ChatTemplate chat;                          // of the checkpoint
  ChatProtocol protocol = ChatProtocol::None; // that the program speaks

  // Reads what a program needs for texts, and completes `generation` by it: no
  // padding is generated, and what ends a turn of the chat protocol ends a
  // text. `choice` is --chat-template. `found` gets what was found where.
  Status readText(const std::string &choice, std::vector<std::string> &warnings,
                  std::vector<Finding> &found);

  // What was found of a chat template, in words.
  std::string templateFact() const;

  bool isGguf() const { return gguf != nullptr; }

private:
  Status openConfig(const InputOptions &options,
                    std::vector<std::string> &warnings);
  Status openTowers(const InputOptions &options,
                    std::vector<std::string> &warnings,
                    std::vector<Finding> &found);
  void settleMedia(std::vector<std::string> &warnings);
  Status chooseProtocol(const std::string &choice,
                        std::vector<std::string> &warnings);
  void limitIds(std::vector<std::string> &warnings,
                std::vector<Finding> &found);
  void completeStops(std::vector<std::string> &warnings,
                     std::vector<Finding> &found);
  void addFacts(std::vector<Finding> &found) const;

  std::string path;
  GgufModel *gguf = nullptr; // `tensors` where it is one
};

} // namespace gemmac
