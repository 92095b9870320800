// See ModelInput.h.
#include "compiler/ModelInput.h"

#include "compiler/importer/Checkpoint.h"

#include "llvm/Support/FileSystem.h"

namespace gemmac {

static bool hasTensors(const std::string &folder) {
  return llvm::sys::fs::exists(folder + "/model.safetensors") ||
         llvm::sys::fs::exists(folder + "/model.safetensors.index.json");
}

Result<ModelInput> ModelInput::open(const std::string &path, bool needsTensors,
                                    std::vector<std::string> &warnings) {
  ModelInput input;
  input.path = path;
  if (isGgufFile(path)) {
    Result<std::unique_ptr<GgufModel>> opened = GgufModel::open(path);
    if (!opened)
      return opened.error();
    input.gguf = opened->get();
    input.tensors = std::move(*opened);
  }
  Result<ModelConfig> config = input.gguf
                                   ? readGgufConfig(*input.gguf, warnings)
                                   : readModelConfig(path, warnings);
  if (!config)
    return config.error();
  input.model = *config;
  Result<GenerationConfig> generation =
      input.gguf ? readGgufGeneration(*input.gguf, input.model, warnings)
                 : readGenerationConfig(path, input.model, warnings);
  if (!generation)
    return generation.error();
  input.generation = *generation;
  if (!input.gguf && (needsTensors || hasTensors(path))) {
    auto opened = openCheckpoint(path, warnings);
    if (!opened)
      return opened.error();
    input.tensors = std::move(*opened);
  }
  return input;
}

Result<std::optional<std::vector<uint8_t>>>
ModelInput::packTokenizer(std::vector<std::string> &warnings) const {
  auto tokenizer = gguf ? packGgufTokenizer(gguf->metadata(), gguf->path(),
                                            model.vocab, warnings)
                        : gemmac::packTokenizer(path, model.vocab, warnings);
  if (tokenizer && !*tokenizer)
    warnings.push_back(
        "'" + path +
        (gguf ? "' has no tokenizer.ggml.tokens" : "' has no tokenizer.json") +
        ": the program will take --tokens only");
  return tokenizer;
}

Result<ChatTemplate>
ModelInput::readChatTemplate(std::vector<std::string> &warnings) const {
  bool small = model.pleWidth > 0;
  return gguf ? readGgufChatTemplate(gguf->metadata(), gguf->path(), small,
                                     warnings)
              : gemmac::readChatTemplate(path, small, warnings);
}

} // namespace gemmac
