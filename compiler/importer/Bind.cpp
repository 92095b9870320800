// Module + TensorSource -> sources of weights and the list of what is ignored.
// Must not know file formats or how weights are packed.
#include "compiler/importer/Bind.h"

#include "compiler/importer/Checkpoint.h"
#include "dialects/gemma/Gemma.h"

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
      : config(config), source(source) {}

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

  const ModelConfig &config;
  const TensorSource &source;
  std::set<const SourceTensor *> used;
  std::set<std::string> towers; // remarked on
};

Status Binder::bind(gemma::WeightOp weight) {
  std::string name = weight.getFrom().str();
  ArrayRef<int64_t> shape = weight.getTensorType().getShape();
  const SourceTensor *tensor = source.find(name);
  if (!tensor) {
    std::string where =
        source.files().empty() ? "the checkpoint" : source.files().front().path;
    if (source.files().size() > 1)
      where += " and the other " + std::to_string(source.files().size() - 1) +
               " files";
    return Error{ExitCode::BadInput,
                 where + ": tensor '" + name + "'" + layerText(name) +
                     " is missing, expects shape " + shapeText(shape) +
                     "; the checkpoint is incomplete or config.json describes "
                     "another model"};
  }
  if (ArrayRef<int64_t>(tensor->shape) != shape)
    return bad(*tensor, "expects shape " + shapeText(shape) +
                            " from config.json, got " +
                            shapeText(tensor->shape));
  const char *type = nullptr;
  switch (tensor->type) {
  case SourceType::F32:
    type = "f32";
    break;
  case SourceType::F16:
    type = "f16";
    break;
  case SourceType::BF16:
    type = "bf16";
    break;
  case SourceType::I64:
  case SourceType::Other:
    return bad(*tensor, "expects type F32, F16 or BF16, got " +
                            tensor->typeName +
                            "; quantised checkpoints are not supported");
  }
  weight.setSource(type);
  used.insert(tensor);
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
  if (config.tied && tensor.name == "lm_head.weight") {
    ignoreHead(tensor);
    return Done{};
  }
  return bad(tensor, "of shape " + shapeText(tensor.shape) + " and type " +
                         tensor.typeName +
                         " has no place in the model that config.json "
                         "describes; expects only tensors of a Gemma 4 text "
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
