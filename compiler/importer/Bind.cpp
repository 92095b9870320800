// Module + TensorSource -> sources of weights and the list of what is ignored.
// Must not know file formats or how weights are packed.
#include "compiler/importer/Bind.h"

#include "compiler/importer/Checkpoint.h"
#include "compiler/importer/GgufModel.h"
#include "dialects/gemma/Gemma.h"
#include "targets/Formats.h"

#include <algorithm>
#include <cstring>
#include <set>

using namespace mlir;

namespace gemmac {
namespace {

// "[128, 96]"
std::string shapeText(ArrayRef<int64_t> shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i)
    text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + "]";
}

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
      : config(config), source(source),
        gguf(dynamic_cast<const GgufModel *>(&source) != nullptr) {}

  Status bind(gemma::WeightOp weight);
  Status explain(const SourceTensor &tensor);
  bool isUsed(const SourceTensor &tensor) const { return used.count(&tensor); }
  Binding result;

private:
  const std::string &path(const SourceTensor &tensor) const {
    return source.files()[size_t(tensor.file)].path;
  }
  Error bad(const SourceTensor &tensor, const std::string &what) const {
    return {ExitCode::BadInput,
            path(tensor) + ": tensor '" + tensor.fileName + "' " + what};
  }
  void ignore(const SourceTensor &tensor, const std::string &reason) {
    result.ignored.push_back({tensor.fileName, path(tensor), reason});
  }
  void ignoreHead(const SourceTensor &tensor);

  bool isGguf() const { return gguf; }
  // Where the sizes come from, for messages.
  const char *described() const {
    return gguf ? "the metadata" : "config.json";
  }
  // The name that a tensor would have in the file.
  std::string inFile(const std::string &name) const {
    return gguf ? ggufFromCanonical(name) : name;
  }
  using Parts = std::pair<const SourceTensor *, const SourceTensor *>;
  Parts expertParts(StringRef name) const;
  Status bindExperts(gemma::WeightOp weight, const SourceTensor &gate,
                     const SourceTensor &up);

  const ModelConfig &config;
  const TensorSource &source;
  bool gguf;
  std::set<const SourceTensor *> used;
  std::set<std::string> towers; // remarked on
};

Status Binder::bind(gemma::WeightOp weight) {
  std::string name = weight.getFrom().str();
  ArrayRef<int64_t> shape = weight.getTensorType().getShape();
  const SourceTensor *tensor = source.find(name);
  if (auto [gate, up] = expertParts(name); !tensor && gate && up)
    return bindExperts(weight, *gate, *up);
  if (!tensor) {
    std::string where =
        source.files().empty() ? "the checkpoint" : source.files().front().path;
    if (source.files().size() > 1)
      where += " and the other " + std::to_string(source.files().size() - 1) +
               " files";
    return Error{ExitCode::BadInput,
                 where + ": tensor '" + inFile(name) + "'" + layerText(name) +
                     " is missing, expects shape " + shapeText(shape) +
                     "; the checkpoint is incomplete or " + described() +
                     (gguf ? " describe" : " describes") + " another model"};
  }
  if (ArrayRef<int64_t>(tensor->shape) != shape)
    return bad(*tensor, "expects shape " + shapeText(shape) + " from " +
                            described() + ", got " + shapeText(tensor->shape));
  const char *type = sourceWord(tensor->type);
  if (!type)
    return bad(*tensor, std::string("expects type F32, F16") +
                            (isGguf() ? ", BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, "
                                        "Q4_K, Q5_K or Q6_K"
                                      : " or BF16") +
                            ", got " + tensor->typeName +
                            (isGguf() ? "; quantise the model to one of them"
                                      : "; quantised checkpoints are not "
                                        "supported"));
  weight.setSource(type);
  used.insert(tensor);
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
  for (const SourceTensor *part : {&gate, &up}) {
    if (ArrayRef<int64_t>(part->shape) != ArrayRef<int64_t>(half))
      return bad(*part, "expects shape " + shapeText(half) + " from " +
                            described() + ", got " + shapeText(part->shape));
    if (!sourceWord(part->type))
      return bad(*part, "has the unsupported type " + part->typeName);
    used.insert(part);
  }
  weight.setSource(wider(sourceWord(gate.type), sourceWord(up.type)));
  weight.setPartsAttr(
      Builder(weight.getContext()).getStrArrayAttr({gate.name, up.name}));
  return Done{};
}

// A stored head of a tied model must be the embedding once more.
void Binder::ignoreHead(const SourceTensor &tensor) {
  ignore(tensor, "tied to the embedding");
  const SourceTensor *embed = source.find("embed_tokens.weight");
  if (embed && embed->type == tensor.type && embed->bytes == tensor.bytes &&
      !std::memcmp(embed->data, tensor.data, tensor.bytes))
    return;
  result.warnings.push_back(
      path(tensor) + ": tensor '" + tensor.fileName + "' differs from '" +
      (embed ? embed->fileName : "embed_tokens.weight") +
      "' but tie_word_embeddings is true; the embedding is used");
}

// Why the program does not need this tensor; an error if nothing explains it.
Status Binder::explain(const SourceTensor &tensor) {
  if (isDeadKv(config, tensor.name)) {
    ignore(tensor, "the layer reads another layer's keys and values");
    return Done{};
  }
  if (const char *tower = towerOf(tensor.name)) {
    ignore(tensor, std::string(tower) + " is not compiled");
    if (towers.insert(tower).second)
      result.remarks.push_back(std::string(tower) +
                               " is not compiled: the program reads text only");
    return Done{};
  }
  if (gguf && tensor.name == "rope_freqs.weight") {
    ignore(tensor, "restates which lanes of global layers are rotated");
    return Done{};
  }
  if (config.tied && tensor.name == "lm_head.weight") {
    ignoreHead(tensor);
    return Done{};
  }
  return bad(tensor, "of shape " + shapeText(tensor.shape) + " and type " +
                         tensor.typeName + " has no place in the model that " +
                         described() + (gguf ? " describe" : " describes") +
                         "; expects only tensors of a Gemma 4 text "
                         "decoder and its towers");
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
