// See Inspect.h.
#include "compiler/Inspect.h"

#include "compiler/importer/TensorNames.h"

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

// What makes soft rows of one kind of medium.
struct Tower {
  const char *name; // "vision", "audio"
  const char *kind = "";
  Object sizes;        // empty: not read
  std::string leftOut; // why; empty: it is compiled
  std::map<std::string, Share> types;
};

Object visionSizes(const VisionConfig &v) {
  Object sizes = {{"width", v.width},   {"patch", v.patch},
                  {"pool", v.pool},     {"positions", v.positions},
                  {"budget", v.budget}, {"video_budget", v.filmBudget}};
  if (v.tower)
    sizes.update({{"layers", v.layers},
                  {"heads", v.heads},
                  {"head_dim", v.headDim},
                  {"ffn", v.ffn},
                  {"theta", v.theta},
                  {"clipped", v.clipped},
                  {"standardized", v.standardized}});
  return sizes;
}

Object audioSizes(const AudioConfig &a) {
  if (!a.tower)
    return {{"samples", a.output}};
  return {{"width", a.width},    {"layers", a.layers}, {"heads", a.heads},
          {"bins", a.bins},      {"window", a.window}, {"output", a.output},
          {"clipped", a.clipped}};
}

// Those that the checkpoint has.
std::vector<Tower> towersOf(const Inspection &of) {
  const ModelConfig &model = of.input.model;
  std::map<bool, std::map<std::string, Share>> types; // by whether for sounds
  if (of.input.tensors)
    for (const SourceTensor &tensor : of.input.tensors->tensors())
      if (const char *tower = towerOf(tensor.name)) {
        Share &share = types[isAudioTower(tower)][tensor.typeName];
        ++share.tensors;
        share.bytes += tensor.bytes;
      }
  std::vector<Tower> towers;
  if (const auto &v = model.vision; v || !model.noVision.empty())
    towers.push_back({.name = "vision",
                      .kind = !v                ? ""
                              : !v->tower       ? "without layers"
                              : v->standardized ? "large"
                                                : "small",
                      .sizes = v ? visionSizes(*v) : Object(),
                      .leftOut = v ? "" : model.noVision,
                      .types = types[false]});
  if (const auto &a = model.audio; a || !model.noAudio.empty())
    towers.push_back({.name = "audio",
                      .kind = !a         ? ""
                              : a->tower ? "conformer"
                                         : "raw frames",
                      .sizes = a ? audioSizes(*a) : Object(),
                      .leftOut = a ? "" : model.noAudio,
                      .types = types[true]});
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

void addTowers(Screen &screen, const Inspection &of) {
  const char *title = "towers";
  for (const Tower &tower : towersOf(of)) {
    std::vector<std::string> words = {tower.name};
    if (*tower.kind)
      words[0] += fmt::format(" ({})", tower.kind);
    if (!tower.sizes.is_null()) {
      const Object &s = tower.sizes;
      auto has = [&](const char *key) { return s.contains(key); };
      auto number = [&](const char *key) { return s[key].get<int64_t>(); };
      if (has("layers"))
        words.push_back(fmt::format(
            "{} of width {}, {}", countText(number("layers"), "layer"),
            number("width"), countText(number("heads"), "head")));
      if (has("budget"))
        words.push_back(
            fmt::format("at most {} rows for a picture, {} for a frame of film",
                        number("budget"), number("video_budget")));
      if (has("samples"))
        words.push_back(fmt::format("{} samples for a row", number("samples")));
    }
    for (const auto &[type, share] : tower.types)
      words.push_back(fmt::format("{} of type {} ({})",
                                  countText(share.tensors, "tensor"), type,
                                  sizeText(share.bytes)));
    if (!tower.leftOut.empty())
      words.push_back("not compiled: " + tower.leftOut);
    screen.add(title, llvm::join(words, ", "));
    title = "";
  }
  if (*title)
    screen.add(title, "none");
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
    addTowers(screen, of);
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

static Object towersJson(const Inspection &of) {
  Object all = Object::array();
  for (const Tower &tower : towersOf(of)) {
    Object types = Object::object();
    for (const auto &[type, share] : tower.types)
      types[type] = {{"tensors", share.tensors}, {"bytes", share.bytes}};
    Object object = {{"medium", tower.name}};
    if (!tower.sizes.is_null())
      object.update({{"kind", tower.kind}, {"sizes", tower.sizes}});
    object["types"] = types;
    object["compiled"] = tower.leftOut.empty();
    if (!tower.leftOut.empty())
      object["left_out"] = tower.leftOut;
    all.push_back(object);
  }
  return all;
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
                   {"name", input.chat.name},
                   {"differs", input.chat.differs},
                   {"sha256", input.chat.sha256},
                   {"protocol", chatProtocolName(input.protocol)}};
    all["generation"] = generationJson(input.generation);
    all["towers"] = towersJson(of);
  }
  all["findings"] = found;
  all["warnings"] = of.warnings;
  return all.dump(2, ' ', false, Object::error_handler_t::replace) + "\n";
}

} // namespace gemmac
