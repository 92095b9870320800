// See ModelInput.h.
#include "compiler/ModelInput.h"

#include "compiler/importer/Checkpoint.h"
#include "compiler/importer/TensorNames.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"

#include <fmt/ranges.h>

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

Status ModelInput::open(const std::string &from, bool needsTensors,
                        std::vector<std::string> &warnings) {
  path = from;
  if (isGgufFile(path)) {
    Result<std::unique_ptr<GgufModel>> opened = GgufModel::open(path);
    if (!opened)
      return opened.error();
    gguf = opened->get();
    tensors = std::move(*opened);
  } else if (Status s = checkPath(path); !s) {
    return s;
  }
  Result<ModelConfig> config =
      gguf ? readGgufConfig(*gguf, warnings) : readModelConfig(path, warnings);
  if (!config)
    return config.error();
  model = *config;
  name = gguf ? gguf->ownName() : "";
  if (name.empty())
    name = checkpointName(path);
  Result<GenerationConfig> read =
      gguf ? readGgufGeneration(*gguf, model, warnings)
           : readGenerationConfig(path, model, warnings);
  if (!read)
    return read.error();
  generation = *read;
  if (gguf || (!needsTensors && !hasTensors(path)))
    return Done{};
  auto opened = openCheckpoint(path, warnings);
  if (!opened)
    return opened.error();
  tensors = std::move(*opened);
  if (settleHead(model, *tensors))
    warnings.push_back(path + ": tensor 'lm_head.weight' differs from the "
                              "embedding: it is used, although "
                              "tie_word_embeddings is true");
  return Done{};
}

//===-- texts -------------------------------------------------------------===//

// The names of the chat protocol's forms that --chat-template accepts.
static std::optional<ChatProtocol> protocolOf(const std::string &choice) {
  for (ChatProtocol p :
       {ChatProtocol::None, ChatProtocol::Small, ChatProtocol::Large})
    if (choice == chatProtocolName(p))
      return p;
  return std::nullopt;
}

// The template's protocol, the chosen one, or that of the model where there is
// no template: what it needs is that the vocabulary has its tokens.
Status ModelInput::chooseProtocol(const std::string &choice,
                                  std::vector<std::string> &warnings) {
  const char *const lack = "<|turn> and <turn|>, the tokens of a turn";
  bool can = vocabulary.speaksChat();
  if (std::optional<ChatProtocol> chosen = protocolOf(choice)) {
    protocol = *chosen;
    if (protocol == ChatProtocol::None || can)
      return Done{};
    return makeError(ExitCode::Unsupported,
                     "--chat-template={}: the vocabulary of '{}' lacks {}",
                     choice, path, lack);
  }
  protocol = chat.protocol;
  if (protocol == ChatProtocol::None && can) {
    protocol = model.pleWidth > 0 ? ChatProtocol::Small : ChatProtocol::Large;
    warnings.push_back(fmt::format(
        "'{}' has no chat template: the program speaks the {} form of Gemma "
        "4's own; --chat-template=none is for a model that only continues text",
        path, chatProtocolName(protocol)));
  } else if (!can) {
    protocol = ChatProtocol::None;
    if (vocabulary.pieces)
      warnings.push_back(fmt::format(
          "the vocabulary of '{}' lacks {}: 'run' continues text and 'chat' is "
          "not available",
          path, lack));
  }
  return Done{};
}

// Rows that no token has are read, but never generated; nor is what has no row
// in the table of per-layer embeddings, because it could not be read.
void ModelInput::limitIds(std::vector<std::string> &warnings,
                          std::vector<Finding> &found) {
  const bool known = vocabulary.pieces > 0;
  int64_t limit = known ? vocabulary.pieces : model.vocab;
  if (model.pleWidth && model.pleVocab < limit) {
    warnings.push_back(fmt::format(
        "'{}' has {} {} and per-layer embeddings for {}: the others are "
        "refused in texts and never generated",
        path, limit, known ? "tokens" : "rows", model.pleVocab));
    limit = model.pleVocab;
  }
  if (vocabulary.beyond)
    warnings.push_back(fmt::format(
        "'{}' adds {} token{} that the model has no row for: in texts {} plain "
        "text",
        path, vocabulary.beyond, vocabulary.beyond == 1 ? "" : "s",
        vocabulary.beyond == 1 ? "it is" : "they are"));
  std::vector<int64_t> &suppress = generation.suppress;
  suppress.insert(suppress.end(), vocabulary.unused.begin(),
                  vocabulary.unused.end());
  llvm::sort(suppress);
  suppress.erase(llvm::unique(suppress), suppress.end());
  if (limit == model.vocab)
    return;
  generation.limit = limit;
  if (!known)
    return;
  std::string text = fmt::format(
      "'{}' has {} rows for {} tokens: ids from {} on are never generated",
      path, model.vocab, vocabulary.pieces, limit);
  // That many are no padding: it may be the tokenizer of another model.
  if (limit * 2 < model.vocab)
    warnings.push_back(text);
  else
    found.push_back({"ids", text});
}

void ModelInput::completeStops(std::vector<std::string> &warnings,
                               std::vector<Finding> &found) {
  std::vector<int64_t> &stop = generation.stop;
  auto add = [&](gm_tok_name name) {
    int64_t id = vocabulary.pieces ? vocabulary.named[name] : -1;
    if (id >= 0 && !llvm::is_contained(stop, id))
      stop.push_back(id);
  };
  if (protocol != ChatProtocol::None)
    for (gm_tok_name name :
         {GM_TOK_EOS, GM_TOK_TURN_CLOSE, GM_TOK_TOOL_RESPONSE_OPEN})
      add(name);
  else if (generation.stopFrom.empty())
    add(GM_TOK_EOS);
  if (stop.empty() && generation.stopFrom.empty() && !vocabulary.pieces)
    stop.push_back(1); // <eos> of the family
  llvm::sort(stop);
  if (stop.empty())
    warnings.push_back(fmt::format(
        "'{}' names no token that ends a text: only -n does", path));
  std::vector<std::string> by;
  if (!generation.stopFrom.empty())
    by.push_back(generation.stopFrom);
  if (protocol != ChatProtocol::None)
    by.push_back("the chat protocol");
  found.push_back(
      {"end tokens",
       fmt::format("texts end at {} ({})", fmt::join(stop, ", "),
                   by.empty() ? "no file says so" : llvm::join(by, " and "))});
}

void ModelInput::addFacts(std::vector<Finding> &found) const {
  const GenerationConfig &g = generation;
  found.push_back(
      {"template",
       chat.place.empty()
           ? fmt::format("no chat template, protocol {}",
                         chatProtocolName(protocol))
           : fmt::format("chat template in {} ({}), protocol {}", chat.place,
                         chat.known ? "a known one" : "an unknown one",
                         chatProtocolName(protocol))});
  std::string from =
      g.samplingFrom.empty() ? "no file says how to generate" : g.samplingFrom;
  found.push_back(
      {"sampling",
       g.temperature > 0
           ? fmt::format("tokens are drawn: temperature {}, top-k {}, top-p "
                         "{}, min-p {} ({})",
                         g.temperature, g.topK, g.topP, g.minP, from)
           : fmt::format("always the most likely token, as transformers ({}); "
                         "--temp of the program decides",
                         from)});
}

Status ModelInput::readText(const std::string &choice,
                            std::vector<std::string> &warnings,
                            std::vector<Finding> &found) {
  auto packed = gguf ? packGgufTokenizer(gguf->metadata(), gguf->path(),
                                         model.vocab, warnings)
                     : packTokenizer(path, model.vocab, warnings);
  if (!packed)
    return packed.error();
  if (*packed) {
    tokenizer = std::move((*packed)->blob);
    vocabulary = std::move((*packed)->vocabulary);
  } else {
    warnings.push_back(
        fmt::format("'{}' has no {}: the program will take --tokens only", path,
                    gguf ? "tokenizer.ggml.tokens" : "tokenizer.json"));
  }
  bool small = model.pleWidth > 0;
  auto read = gguf ? readGgufChatTemplate(gguf->metadata(), gguf->path(), small,
                                          warnings)
                   : readChatTemplate(path, small, warnings);
  if (!read)
    return read.error();
  chat = *read;
  if (Status s = chooseProtocol(choice, warnings); !s)
    return s;
  limitIds(warnings, found);
  completeStops(warnings, found);
  addFacts(found);
  if (gguf)
    gguf->dropMetadata();
  return Done{};
}

} // namespace gemmac
