// See ModelInput.h.
#include "compiler/ModelInput.h"

#include "compiler/importer/Checkpoint.h"
#include "compiler/importer/File.h"
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

// The files beside a GGUF model that are named as its towers are.
static std::vector<std::string> towerFiles(const std::string &model) {
  std::string folder = llvm::sys::path::parent_path(model).str();
  if (folder.empty())
    folder = ".";
  std::vector<std::string> files;
  for (const std::string &name : fileNames(folder))
    if (llvm::StringRef n = name; n.ends_with_insensitive(".gguf") &&
                                  n.contains_insensitive("mmproj") &&
                                  n != llvm::sys::path::filename(model))
      files.push_back(llvm::sys::path::has_parent_path(model)
                          ? joinPath(folder, name)
                          : name);
  return files;
}

// The towers of a GGUF model: the named file, or the only one beside it. One
// that nobody has named and that is of another model is not taken.
Status ModelInput::openTowers(const InputOptions &options,
                              std::vector<std::string> &warnings,
                              std::vector<Finding> &found) {
  const WantedMedia &media = options.media;
  std::vector<std::string> files = {options.mmproj};
  const bool named = !options.mmproj.empty();
  if (!named && (media.vision || media.audio))
    files = towerFiles(path);
  if (files.size() > 1) {
    warnings.push_back(fmt::format(
        "'{}' has {} files of towers beside it, of which none is taken: {}; "
        "name one with --mmproj",
        path, files.size(), fmt::join(files, ", ")));
    return Done{};
  }
  if (files.empty() || files[0].empty())
    return Done{};
  if (Status s = gguf->addTowers(files[0], model, media); !s) {
    if (named)
      return s;
    warnings.push_back(fmt::format("the towers beside '{}' are not taken: {}",
                                   path, s.error().message));
    return Done{};
  }
  found.push_back(
      {"towers", fmt::format("towers are taken from '{}'{}", files[0],
                             named ? ""
                                   : ", the only file beside the model that is "
                                     "named like one of towers")});
  return Done{};
}

Status ModelInput::openConfig(const InputOptions &options,
                              std::vector<std::string> &warnings) {
  Result<ModelConfig> config =
      gguf ? readGgufConfig(*gguf, warnings)
           : readModelConfig(path, warnings, options.media);
  if (!config)
    return config.error();
  model = *config;
  name = gguf ? gguf->ownName() : "";
  if (name.empty())
    name = checkpointName(path);
  if (!gguf)
    if (Status s = readProcessorConfig(path, model); !s)
      return s;
  Result<GenerationConfig> read =
      gguf ? readGgufGeneration(*gguf, model, warnings)
           : readGenerationConfig(path, model, warnings);
  if (!read)
    return read.error();
  generation = *read;
  return Done{};
}

Status ModelInput::open(const std::string &from, const InputOptions &options,
                        std::vector<std::string> &warnings,
                        std::vector<Finding> &found) {
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
  if (!gguf && !options.mmproj.empty())
    return makeError(ExitCode::Usage,
                     "--mmproj names the towers of a GGUF model, but '{}' is "
                     "no such file: a folder holds its towers itself",
                     path);
  if (Status s = openConfig(options, warnings); !s)
    return s;
  if (gguf)
    return openTowers(options, warnings, found);
  if (!options.needsTensors && !hasTensors(path))
    return Done{};
  auto opened = openCheckpoint(path, warnings);
  if (!opened)
    return opened.error();
  tensors = std::move(*opened);
  std::vector<std::string> absent;
  settleTowers(model, *tensors, absent);
  for (const std::string &text : absent)
    warnings.push_back(path + ": " + text);
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

// The program makes ids of its own tokenizer's tokens: where the configuration
// has others, those are not the model's.
void ModelInput::settleMedia(std::vector<std::string> &warnings) {
  auto settle = [&](int64_t &id, gm_tok_name name, const char *text) {
    const int64_t known = vocabulary.pieces ? vocabulary.named[name] : -1;
    if (id >= model.vocab)
      id = -1;
    if (known < 0)
      return;
    if (id >= 0 && id != known)
      warnings.push_back(
          fmt::format("'{}' has token {} for {} in config.json and {} in its "
                      "tokenizer, which is taken",
                      path, id, text, known));
    id = known;
  };
  auto settleAll = [&](MediaTokens &tokens, const char *what,
                       std::array<gm_tok_name, 3> names,
                       std::array<const char *, 3> texts) {
    settle(tokens.begin, names[0], texts[0]);
    settle(tokens.soft, names[1], texts[1]);
    settle(tokens.end, names[2], texts[2]);
    if (tokens.begin < 0 || tokens.soft < 0 || tokens.end < 0)
      warnings.push_back(fmt::format(
          "'{}' lacks a token of {}, {}, {}: the program takes no {}", path,
          texts[0], texts[1], texts[2], what));
  };
  if (model.vision) {
    settleAll(model.imageTokens, "pictures",
              {GM_TOK_IMAGE_OPEN, GM_TOK_IMAGE, GM_TOK_IMAGE_CLOSE},
              {"<|image>", "<|image|>", "<image|>"});
    settle(model.filmToken, GM_TOK_VIDEO, "<|video|>");
  }
  if (model.audio)
    settleAll(model.audioTokens, "sounds",
              {GM_TOK_AUDIO_OPEN, GM_TOK_AUDIO, GM_TOK_AUDIO_CLOSE},
              {"<|audio>", "<|audio|>", "<audio|>"});
}

std::string ModelInput::templateFact() const {
  if (chat.place.empty())
    return "no chat template";
  if (!chat.known)
    return fmt::format("chat template in {}: an unknown one (sha256 {})",
                       chat.place, chat.sha256);
  return fmt::format("chat template in {}: {}{}", chat.place, chat.name,
                     chat.differs ? " (the program speaks as of 2026-07-09)"
                                  : "");
}

void ModelInput::addFacts(std::vector<Finding> &found) const {
  const GenerationConfig &g = generation;
  found.push_back({"template", fmt::format("{}, protocol {}", templateFact(),
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
  const bool small = model.pleWidth > 0;
  // What an unknown one is taken for matters only where it decides.
  std::vector<std::string> taken;
  auto read =
      gguf ? readGgufChatTemplate(gguf->metadata(), gguf->path(), small, taken)
           : readChatTemplate(path, small, taken);
  if (!protocolOf(choice))
    warnings.insert(warnings.end(), taken.begin(), taken.end());
  if (!read)
    return read.error();
  chat = *read;
  if (Status s = chooseProtocol(choice, warnings); !s)
    return s;
  limitIds(warnings, found);
  settleMedia(warnings);
  completeStops(warnings, found);
  addFacts(found);
  if (gguf)
    gguf->dropMetadata();
  return Done{};
}

} // namespace gemmac
