// See ModelInput.h.
#include "compiler/ModelInput.h"

#include "compiler/importer/Checkpoint.h"
#include "compiler/importer/TensorNames.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"

namespace gemmac {

std::vector<std::string> checkpointFiles(const std::string &path) {
  namespace fs = llvm::sys::fs;
  namespace names = llvm::sys::path;
  std::vector<std::string> files = {path};
  std::string folder = fs::is_directory(path) ? path
                       : names::has_parent_path(path)
                           ? names::parent_path(path).str()
                           : ".";
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end;
       at.increment(error))
    if (llvm::StringRef kind = names::extension(at->path());
        kind == ".json" || kind == ".jinja" || kind == ".safetensors" ||
        kind == ".gguf")
      files.push_back(at->path());
  return files;
}

std::string checkpointName(const std::string &path) {
  namespace names = llvm::sys::path;
  llvm::SmallString<256> real;
  if (llvm::sys::fs::real_path(path, real))
    real = path;
  llvm::StringRef name = names::filename(real);
  if (!llvm::sys::fs::is_directory(real)) {
    name = names::filename(path); // a cache may hold the file as a number
    name.consume_back(".gguf");
    if (size_t at = name.rfind("-of-"); at != name.npos && at > 6)
      name = name.take_front(at - 6); // -00001-of-00002
    return name.str();
  }
  // models--google--gemma-4-E2B-it/snapshots/3f1b2c
  llvm::StringRef folder = names::parent_path(real);
  if (names::filename(folder) == "snapshots") {
    llvm::StringRef model = names::filename(names::parent_path(folder));
    if (model.consume_front("models--"))
      name = model.substr(
          model.rfind("--") == model.npos ? 0 : model.rfind("--") + 2);
  }
  return name.str();
}

// What is there instead of a checkpoint, where that can be guessed.
static Status checkPath(const std::string &path) {
  namespace fs = llvm::sys::fs;
  if (fs::is_regular_file(path)) {
    std::string folder = llvm::sys::path::parent_path(path).str();
    if (folder.empty())
      folder = ".";
    if (fs::exists(folder + "/config.json"))
      return makeError(ExitCode::BadInput,
                       "'{}' is a file of a checkpoint: expects its folder, "
                       "pass '{}'",
                       path, folder);
  }
  return Done{};
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
  } else if (Status s = checkPath(path); !s) {
    return s.error();
  }
  Result<ModelConfig> config = input.gguf
                                   ? readGgufConfig(*input.gguf, warnings)
                                   : readModelConfig(path, warnings);
  if (!config)
    return config.error();
  input.model = *config;
  input.name = input.gguf ? input.gguf->ownName() : "";
  if (input.name.empty())
    input.name = checkpointName(path);
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
    if (settleHead(input.model, *input.tensors))
      warnings.push_back(path + ": tensor 'lm_head.weight' differs from the "
                                "embedding: it is used, although "
                                "tie_word_embeddings is true");
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
        fmt::format("'{}' has no {}: the program will take --tokens only", path,
                    gguf ? "tokenizer.ggml.tokens" : "tokenizer.json"));
  return tokenizer;
}

Result<ChatTemplate>
ModelInput::readChatTemplate(std::vector<std::string> &warnings) const {
  bool small = model.pleWidth > 0;
  auto chat = gguf ? readGgufChatTemplate(gguf->metadata(), gguf->path(), small,
                                          warnings)
                   : gemmac::readChatTemplate(path, small, warnings);
  if (chat && chat->protocol == ChatProtocol::None)
    warnings.push_back(fmt::format(
        "'{}' has no chat template{}: 'run' continues text and 'chat' is not "
        "available; an instruction model needs it to answer",
        path, gguf ? "" : " (chat_template.jinja)"));
  return chat;
}

} // namespace gemmac
