// See Inspect.h.
#include "compiler/Inspect.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"

#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include <map>
#include <set>

namespace gemmac {
namespace {

using Object = nlohmann::ordered_json;

struct Share {
  int64_t tensors = 0;
  uint64_t bytes = 0; // in the checkpoint
};

// By type of the file.
std::map<std::string, Share> typesOf(const TensorSource &source) {
  std::map<std::string, Share> types;
  for (const SourceTensor &tensor : source.tensors()) {
    Share &share = types[tensor.typeName];
    ++share.tensors;
    share.bytes += tensor.bytes;
  }
  return types;
}

// Matrices by type of the file and format in the program.
std::map<std::pair<std::string, std::string>, Share>
formatsOf(const Inspection &of) {
  std::map<std::pair<std::string, std::string>, Share> formats;
  std::set<std::pair<std::string, std::string>> seen;
  for (const PackedWeight &weight : of.plan.weights)
    for (const Piece &piece : weight.pieces) {
      const SourceTensor *tensor = of.input.tensors->find(piece.tensor);
      if (weight.rows == 1 || !tensor ||
          !seen.insert({piece.tensor, weight.format}).second)
        continue;
      Share &share = formats[{tensor->typeName, weight.format}];
      ++share.tensors;
      share.bytes += tensor->bytes;
    }
  return formats;
}

std::vector<std::string> towerNames(const ModelConfig &model) {
  std::vector<std::string> towers;
  if (model.vision)
    towers.push_back("vision");
  if (model.audio)
    towers.push_back("audio");
  return towers;
}

std::string sizeText(uint64_t bytes) {
  return bytes < 1000000000 ? fmt::format("{:.1f} MB", double(bytes) / 1e6)
                            : fmt::format("{:.2f} GB", double(bytes) / 1e9);
}

std::string countText(int64_t n, const char *what) {
  return fmt::format("{} {}{}", n, what, n == 1 ? "" : "s");
}

//===-- one screen --------------------------------------------------------===//

class Screen {
public:
  // `title` in a column of its own; `words` broken into lines.
  void add(llvm::StringRef title, llvm::StringRef words) {
    constexpr size_t column = 14, width = 80;
    std::string line = title.str();
    line.resize(std::max(column, title.size() + 1), ' ');
    for (bool fresh = true; !words.empty(); fresh = false) {
      auto [word, rest] = words.split(' ');
      if (!fresh && line.size() + 1 + word.size() > width) {
        text += line + "\n";
        line.assign(column, ' ');
        fresh = true;
      }
      line += (fresh ? "" : " ") + word.str();
      words = rest;
    }
    text += line + "\n";
  }
  std::string text;
};

void addModel(Screen &screen, const Inspection &of) {
  const ModelConfig &model = of.input.model;
  const TensorSource *source = of.input.tensors.get();
  std::string kind =
      fmt::format("Gemma 4 {} ({}), {}", model.variant, model.modelType,
                  of.input.isGguf() ? "GGUF" : "folder of Hugging Face");
  if (source) {
    uint64_t bytes = 0;
    for (const SourceFile &file : source->files())
      bytes += file.bytes;
    kind += fmt::format(", {}, {}",
                        countText(int64_t(source->files().size()), "file"),
                        sizeText(bytes));
  } else if (!of.cannot) {
    kind += ", without tensors: it can be compiled to a stage only";
  }
  screen.add("kind", kind);
  int64_t global = llvm::count_if(
      model.layer, [](const LayerConfig &l) { return l.global; });
  std::string sizes = fmt::format(
      "{} layers ({} sliding with a window of {}, {} global), hidden {}, {} "
      "heads, vocabulary {}, context {}",
      model.layers, model.layers - global, model.window, global, model.hidden,
      model.heads, model.vocab, model.maxContext);
  if (model.pleWidth)
    sizes += fmt::format(", per-layer embeddings of {}", model.pleWidth);
  if (model.experts)
    sizes += fmt::format(", {} experts of {}, {} for a token", model.experts,
                         model.expertFfn, model.topExperts);
  screen.add("sizes", sizes);
}

void addTensors(Screen &screen, const Inspection &of) {
  const ModelConfig &model = of.input.model;
  if (!of.input.tensors)
    return;
  std::vector<std::string> parts;
  for (const auto &[type, share] : typesOf(*of.input.tensors))
    parts.push_back(fmt::format("{} of type {} ({})", share.tensors, type,
                                sizeText(share.bytes)));
  screen.add("tensors", llvm::join(parts, ", "));
  std::set<std::string> quantised;
  for (const SourceTensor &tensor : of.input.tensors->tensors())
    if (isBlockType(tensor.type))
      quantised.insert(tensor.typeName);
  screen.add("quantised", quantised.empty() ? "no tensor"
                                            : "tensors of type " +
                                                  llvm::join(quantised, ", "));
  if (of.plan.weights.empty())
    return;
  parts.clear();
  for (const auto &[key, share] : formatsOf(of))
    parts.push_back(fmt::format("{} of type {} as {}",
                                countText(share.tensors, "matrix tensor"),
                                key.first, key.second));
  screen.add("program",
             fmt::format("{}; weights of {} for {}", llvm::join(parts, ", "),
                         sizeText(of.plan.weightBytes()), of.target->name));
  screen.add("head", model.tied ? "the embedding" : "a matrix of its own");
}

void addFindings(Screen &screen, const Inspection &of) {
  std::string last;
  for (const Finding &finding : of.findings) {
    screen.add(last == finding.about ? "" : finding.about, finding.text);
    last = finding.about;
  }
  for (const std::string &warning : of.warnings)
    screen.add(&warning == of.warnings.data() ? "odd" : "", warning);
}

} // namespace

std::string inspectionText(const Inspection &of) {
  Screen screen;
  screen.add("checkpoint", of.path);
  if (!of.input.name.empty())
    screen.add("name", of.input.name);
  if (of.input.model.layers) {
    addModel(screen, of);
    addTensors(screen, of);
    if (of.input.vocabulary.pieces)
      screen.add("tokenizer",
                 fmt::format("{} tokens", of.input.vocabulary.pieces));
    std::vector<std::string> towers = towerNames(of.input.model);
    screen.add(
        "towers",
        towers.empty()
            ? "none"
            : fmt::format("{}: not compiled, the program reads text only",
                          llvm::join(towers, ", ")));
    screen.add("drafter", "none: a drafter is a checkpoint of its own");
  }
  addFindings(screen, of);
  screen.add("result", of.cannot ? "cannot be compiled: " + of.cannot->message
                       : of.plan.weights.empty() || !of.input.tensors
                           ? "no program without tensors"
                           : "can be compiled");
  return screen.text;
}

//===-- JSON --------------------------------------------------------------===//

static Object modelJson(const ModelConfig &model) {
  std::vector<std::string> kinds;
  for (const LayerConfig &layer : model.layer)
    kinds.push_back(layer.global ? "global" : "sliding");
  return {{"type", model.modelType},  {"variant", model.variant},
          {"layers", model.layers},   {"hidden", model.hidden},
          {"heads", model.heads},     {"vocab", model.vocab},
          {"window", model.window},   {"max_context", model.maxContext},
          {"layer_types", kinds},     {"per_layer_embeddings", model.pleWidth},
          {"experts", model.experts}, {"experts_per_token", model.topExperts},
          {"tied_head", model.tied},  {"towers", towerNames(model)}};
}

static Object tensorsJson(const Inspection &of) {
  Object types = Object::object(), files = Object::array(),
         formats = Object::array(), ignored = Object::array();
  for (const auto &[type, share] : typesOf(*of.input.tensors))
    types[type] = {{"tensors", share.tensors}, {"bytes", share.bytes}};
  for (const SourceFile &file : of.input.tensors->files())
    files.push_back({{"path", file.path}, {"bytes", file.bytes}});
  for (const auto &[key, share] : formatsOf(of))
    formats.push_back({{"type", key.first},
                       {"format", key.second},
                       {"tensors", share.tensors},
                       {"bytes", share.bytes}});
  for (const IgnoredTensor &tensor : of.ignored)
    ignored.push_back({{"name", tensor.name},
                       {"file", tensor.file},
                       {"reason", tensor.reason}});
  return {{"files", files},
          {"types", types},
          {"formats", formats},
          {"ignored", ignored}};
}

static Object generationJson(const GenerationConfig &g) {
  return {{"temperature", g.temperature},
          {"top_k", g.topK},
          {"top_p", g.topP},
          {"min_p", g.minP},
          {"stop", g.stop},
          {"suppress", g.suppress},
          {"limit", g.limit},
          {"from", g.samplingFrom},
          {"stop_from", g.stopFrom}};
}

std::string inspectionJson(const Inspection &of) {
  const ModelInput &input = of.input;
  Object found = Object::array();
  for (const Finding &finding : of.findings)
    found.push_back({{"about", finding.about}, {"text", finding.text}});
  Object all = {{"path", of.path},
                {"name", input.name},
                {"kind", input.isGguf() ? "gguf" : "safetensors"},
                {"can_compile", !of.cannot && !of.plan.weights.empty() &&
                                    input.tensors != nullptr}};
  if (of.cannot)
    all["error"] = {{"code", int(of.cannot->code)},
                    {"message", of.cannot->message}};
  if (input.model.layers) {
    all["model"] = modelJson(input.model);
    if (!input.model.quantisation.empty())
      all["quantisation"] = input.model.quantisation;
    if (input.tensors)
      all["tensors"] = tensorsJson(of);
    if (!of.plan.weights.empty())
      all["program"] = {{"target", of.target->name},
                        {"weights_bytes", of.plan.weightBytes()}};
    all["tokenizer"] = {{"tokens", input.vocabulary.pieces},
                        {"unused", input.vocabulary.unused.size()},
                        {"beyond", input.vocabulary.beyond}};
    all["chat"] = {{"template", input.chat.place},
                   {"known", input.chat.known},
                   {"sha256", input.chat.sha256},
                   {"protocol", chatProtocolName(input.protocol)}};
    all["generation"] = generationJson(input.generation);
  }
  all["findings"] = found;
  all["warnings"] = of.warnings;
  return all.dump(2, ' ', false, Object::error_handler_t::replace) + "\n";
}

} // namespace gemmac
