// Module + TensorSource -> sources of weights and the list of what is ignored.
// Must not know file formats or how weights are packed.
#include "compiler/importer/Bind.h"

#include "compiler/importer/Checkpoint.h"
#include "compiler/importer/Json.h"
#include "dialects/gemma/Gemma.h"
#include "targets/Formats.h"

#include <set>

using namespace mlir;

namespace gemmac {
namespace {

// "layers.3.mlp.up_proj.weight" -> " of layer 3"; "" outside layers.
std::string layerText(StringRef name) {
  int64_t layer;
  if (!name.consume_front("layers.") ||
      name.take_until([](char c) { return c == '.'; }).getAsInteger(10, layer))
    return "";
  return " of layer " + std::to_string(layer);
}

class Binder {
public:
  Binder(const ModelConfig &config, const TensorSource &source)
      : config(config), source(source), words(source.words()) {}

  Status bind(gemma::WeightOp weight);
  Status explain(const SourceTensor &tensor);
  bool isUsed(const SourceTensor &tensor) const { return used.count(&tensor); }
  Binding result;

private:
  const std::string &path(const SourceTensor &tensor) const {
    return source.files()[size_t(tensor.file)].path;
  }
  template <typename... T>
  Error bad(const SourceTensor &tensor, fmt::format_string<T...> what,
            T &&...arguments) const {
    return makeError(ExitCode::BadInput, "{}: tensor '{}' {}", path(tensor),
                     tensor.fileName,
                     fmt::format(what, std::forward<T>(arguments)...));
  }
  void ignore(const SourceTensor &tensor, const std::string &reason) {
    result.ignored.push_back({tensor.fileName, path(tensor), reason});
  }
  void ignoreHead(const SourceTensor &tensor);

  Error missing(gemma::WeightOp weight) const;
  Status use(const SourceTensor &tensor, ArrayRef<int64_t> shape);
  using Parts = std::pair<const SourceTensor *, const SourceTensor *>;
  Parts expertParts(StringRef name) const;
  Status bindExperts(gemma::WeightOp weight, const SourceTensor &gate,
                     const SourceTensor &up);

  const ModelConfig &config;
  const TensorSource &source;
  const SourceWords &words;
  std::set<const SourceTensor *> used;
  std::set<std::string> towers; // remarked on
};

Error Binder::missing(gemma::WeightOp weight) const {
  std::string name = weight.getFrom().str();
  ArrayRef<SourceFile> files = source.files();
  std::string where = files.empty() ? "the checkpoint" : files.front().path;
  if (files.size() > 1)
    where += fmt::format(" and the other {} files", files.size() - 1);
  return makeError(ExitCode::BadInput,
                   "{}: tensor '{}'{} is missing, expects shape {}; the "
                   "checkpoint is incomplete or {} {} another model",
                   where, source.nameInFile(name), layerText(name),
                   shapeText(weight.getTensorType().getShape()), words.sizes,
                   words.describe);
}

// Whether `tensor` can be a weight of that shape.
Status Binder::use(const SourceTensor &tensor, ArrayRef<int64_t> shape) {
  if (ArrayRef<int64_t>(tensor.shape) != shape)
    return bad(tensor, "expects shape {} from {}, got {}", shapeText(shape),
               words.sizes, shapeText(tensor.shape));
  if (!sourceWord(tensor.type))
    return bad(tensor, "expects type {}, got {}; {}", words.types,
               tensor.typeName, words.otherTypes);
  used.insert(&tensor);
  return Done{};
}

Status Binder::bind(gemma::WeightOp weight) {
  std::string name = weight.getFrom().str();
  const SourceTensor *tensor = source.find(name);
  if (auto [gate, up] = expertParts(name); !tensor && gate && up)
    return bindExperts(weight, *gate, *up);
  if (!tensor)
    return missing(weight);
  if (Status s = use(*tensor, weight.getTensorType().getShape()); !s)
    return s;
  weight.setSource(sourceWord(tensor->type));
  return Done{};
}

// Of two types in one weight the one that more formats lose digits of: what
// holds it holds the other as well as can be.
static const char *wider(const char *a, const char *b) {
  return isMoreExact(formatOf(b), formatOf(a)) ? b : a;
}

// GGUF files may hold the experts' gate and up projections as two tensors of
// half the rows instead of the one called `name`; null where there are none.
Binder::Parts Binder::expertParts(StringRef name) const {
  if (!name.consume_back(".experts.gate_up_proj"))
    return {nullptr, nullptr};
  return {source.find(name.str() + ".experts.gate_proj"),
          source.find(name.str() + ".experts.up_proj")};
}

Status Binder::bindExperts(gemma::WeightOp weight, const SourceTensor &gate,
                           const SourceTensor &up) {
  SmallVector<int64_t> half(weight.getTensorType().getShape());
  half[1] /= 2;
  for (const SourceTensor *part : {&gate, &up})
    if (Status s = use(*part, half); !s)
      return s;
  weight.setSource(wider(sourceWord(gate.type), sourceWord(up.type)));
  weight.setPartsAttr(
      Builder(weight.getContext()).getStrArrayAttr({gate.name, up.name}));
  return Done{};
}

// A stored head of a tied model must be the embedding once more.
void Binder::ignoreHead(const SourceTensor &tensor) {
  ignore(tensor, "tied to the embedding");
  const SourceTensor *embed = source.find("embed_tokens.weight");
  if (sameData(embed, &tensor))
    return;
  result.warnings.push_back(fmt::format(
      "{}: tensor '{}' differs from '{}' but tie_word_embeddings is true; the "
      "embedding is used",
      path(tensor), tensor.fileName,
      embed ? embed->fileName : "embed_tokens.weight"));
}

// Why the program does not need this tensor; an error if nothing explains it.
Status Binder::explain(const SourceTensor &tensor) {
  if (isDeadKv(config, tensor.name)) {
    ignore(tensor, "the layer reads another layer's keys and values");
  } else if (const char *tower = towerOf(tensor.name)) {
    ignore(tensor, fmt::format("{} is not compiled", tower));
    if (towers.insert(tower).second)
      result.remarks.push_back(fmt::format(
          "{} is not compiled: the program reads text only", tower));
  } else if (const char *why = source.whyUnused(tensor)) {
    ignore(tensor, why);
  } else if (config.tied && tensor.name == "lm_head.weight") {
    ignoreHead(tensor);
  } else {
    return bad(tensor,
               "of shape {} and type {} has no place in the model that {} {}; "
               "expects only tensors of a Gemma 4 text decoder and its towers",
               shapeText(tensor.shape), tensor.typeName, words.sizes,
               words.describe);
  }
  return Done{};
}

} // namespace

Result<Binding> bindCheckpoint(ModuleOp module, const ModelConfig &config,
                               const TensorSource &source) {
  Binder binder(config, source);
  for (gemma::WeightOp weight : module.getOps<gemma::WeightOp>()) {
    Status bound = binder.bind(weight);
    if (!bound)
      return bound.error();
  }
  for (const SourceTensor &tensor : source.tensors()) {
    if (binder.isUsed(tensor))
      continue;
    Status explained = binder.explain(tensor);
    if (!explained)
      return explained.error();
  }
  return std::move(binder.result);
}

} // namespace gemmac
