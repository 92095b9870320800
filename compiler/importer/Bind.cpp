// Module + TensorSource -> sources of weights and the list of what is ignored.
// Must not know file formats or how weights are packed.
#include "compiler/importer/Bind.h"

#include "compiler/importer/Json.h"
#include "compiler/importer/TensorNames.h"
#include "dialects/gemma/Gemma.h"
#include "targets/Formats.h"

#include <map>
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

  Status bindAll(ModuleOp module);
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
  Status bindEach(ModuleOp module);
  Status bind(gemma::WeightOp weight);
  Status explain(const SourceTensor &tensor);
  const char *whyIgnored(const SourceTensor &tensor) const;
  std::string whyNoTower(const char *tower) const;
  void noteIgnored();
  Error missing(gemma::WeightOp weight) const;
  Status checkKernel(const SourceTensor &tensor) const;
  Status use(const SourceTensor &tensor, ArrayRef<int64_t> shape);
  using Parts = std::pair<const SourceTensor *, const SourceTensor *>;
  Parts expertParts(StringRef name) const;
  Status bindExperts(gemma::WeightOp weight, const SourceTensor &gate,
                     const SourceTensor &up);

  const ModelConfig &config;
  const TensorSource &source;
  const SourceWords &words;
  std::set<const SourceTensor *> used;
};

Error Binder::missing(gemma::WeightOp weight) const {
  std::string name = weight.getFrom().str();
  ArrayRef<SourceFile> files = source.files();
  std::string where = files.empty() ? "the checkpoint" : files.front().path;
  if (files.size() > 1)
    where += fmt::format(" and the other {} files", files.size() - 1);
  return makeError(ExitCode::BadInput,
                   "{}: tensor '{}'{} is missing, expects shape {}; the "
                   "checkpoint is incomplete or {} {} another model{}",
                   where, source.nameInFile(name), layerText(name),
                   shapeText(weight.getTensorType().getShape()), words.sizes,
                   words.describe, source.whyMissing(name));
}

// The sizes of the kernel of a convolution of that name; none: it is no such.
static std::vector<int64_t> kernelOf(const ModelConfig &config,
                                     StringRef name) {
  if (!config.audio || !config.audio->tower)
    return {};
  const AudioConfig &a = *config.audio;
  if (name.ends_with(".layer0.conv.weight"))
    return {a.channels[0], 1, 3, 3};
  if (name.ends_with(".layer1.conv.weight"))
    return {a.channels[1], a.channels[0], 3, 3};
  if (name.ends_with(".lconv1d.depthwise_conv1d.weight"))
    return {a.width, 1, a.taps};
  return {};
}

Status Binder::checkKernel(const SourceTensor &tensor) const {
  const std::vector<int64_t> expected = kernelOf(config, tensor.name),
                             &got = tensor.kernel.empty() ? tensor.shape
                                                          : tensor.kernel;
  if (expected.empty() || got == expected)
    return Done{};
  return bad(tensor, "expects shape {} from {}, got {}", shapeText(expected),
             words.sizes, shapeText(got));
}

// Whether `tensor` can be a weight of that shape.
Status Binder::use(const SourceTensor &tensor, ArrayRef<int64_t> shape) {
  if (!sourceWord(tensor.type)) {
    Error error = bad(tensor, "expects type {}, got {}; {}", words.types,
                      tensor.typeName, words.otherTypes);
    error.code = ExitCode::Unsupported;
    return error;
  }
  if (Status fits = checkKernel(tensor); !fits)
    return fits;
  // A number is a vector of one.
  const bool isNumber = tensor.shape.empty() && shape == ArrayRef<int64_t>{1};
  if (ArrayRef<int64_t>(tensor.shape) != shape && !isNumber)
    return bad(tensor, "expects shape {} from {}, got {}", shapeText(shape),
               words.sizes, shapeText(tensor.shape));
  used.insert(&tensor);
  return Done{};
}

// The format of the canonical values: blocks do not survive another order.
static const char *wordOf(const SourceTensor &tensor) {
  const bool changes = tensor.form.softplus ||
                       (!tensor.form.isPlain() && isBlockType(tensor.type));
  return sourceWord(changes ? SourceType::F32 : tensor.type);
}

Status Binder::bind(gemma::WeightOp weight) {
  std::string name = weight.getFrom().str();
  const SourceTensor *tensor = source.find(name);
  if (auto [gate, up] = expertParts(name); !tensor && gate && up)
    return bindExperts(weight, *gate, *up);
  // Of two tied matrices one is enough.
  if (!tensor && config.tied && name == "embed_tokens.weight" &&
      (tensor = source.find("lm_head.weight"))) {
    weight.setFrom(tensor->name);
    result.findings.push_back(
        {"head", "the embedding is stored as the head, lm_head.weight"});
  }
  if (!tensor)
    return missing(weight);
  if (Status s = use(*tensor, weight.getTensorType().getShape()); !s)
    return s;
  weight.setSource(wordOf(*tensor));
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

const char *Binder::whyIgnored(const SourceTensor &tensor) const {
  if (const char *why = source.whyUnused(tensor))
    return why;
  if (const char *why = whyDeadKv(config, tensor.name))
    return why;
  if (config.tied && tensor.name == "lm_head.weight")
    return "tied to the embedding";
  return whyLeftOver(tensor.name);
}

std::string Binder::whyNoTower(const char *tower) const {
  const std::string &why =
      isAudioTower(tower) ? config.noAudio : config.noVision;
  return why.empty()
             ? fmt::format("{} {} no such tower", words.sizes, words.describe)
             : why;
}

// Why the program does not need this tensor; an error if nothing explains it.
Status Binder::explain(const SourceTensor &tensor) {
  std::string why;
  const char *tower = towerOf(tensor.name);
  if (const char *reason = tower ? source.whyUnused(tensor) : nullptr)
    why = reason;
  else if (tower && !hasTower(config, tower))
    why = fmt::format("{} is not compiled: {}", tower, whyNoTower(tower));
  else if (const char *other = whyIgnored(tensor))
    why = other;
  else
    return bad(tensor,
               "of shape {} and type {} has no place in the model that {} {}; "
               "expects only tensors of a Gemma 4 text decoder and its towers",
               shapeText(tensor.shape), tensor.typeName, words.sizes,
               words.describe);
  result.ignored.push_back({tensor.fileName, path(tensor), why});
  return Done{};
}

// One remark per reason.
void Binder::noteIgnored() {
  std::map<std::string, std::vector<std::string>> byReason;
  for (const IgnoredTensor &tensor : result.ignored)
    byReason[tensor.reason].push_back(tensor.name);
  for (const auto &[reason, names] : byReason)
    result.findings.push_back(
        {"ignored",
         reason.find(" is not compiled: ") != reason.npos
             ? reason
             : fmt::format("{} {} ignored, such as '{}': {}", names.size(),
                           names.size() == 1 ? "tensor is" : "tensors are",
                           names[0], reason)});
}

Status Binder::bindEach(ModuleOp module) {
  for (gemma::WeightOp weight : module.getOps<gemma::WeightOp>())
    if (Status bound = bind(weight); !bound)
      return bound;
  for (const SourceTensor &tensor : source.tensors())
    if (!used.count(&tensor))
      if (Status explained = explain(tensor); !explained)
        return explained;
  return Done{};
}

// What does not fit may be a checkpoint of another kind; then that is said.
Status Binder::bindAll(ModuleOp module) {
  if (Status bound = bindEach(module); !bound) {
    std::optional<ForeignKind> kind;
    if (words.showTools)
      kind = foreignKind(config, source);
    if (!kind)
      return bound;
    Error error = bad(*kind->tensor, "{}", kind->what);
    error.code = ExitCode::Unsupported;
    return error;
  }
  result.findings.insert(result.findings.end(), source.findings().begin(),
                         source.findings().end());
  noteIgnored();
  if (!config.quantisation.empty())
    result.warnings.push_back(
        fmt::format("{} of {} is ignored: no tensor is quantised",
                    config.quantisation, words.sizes));
  return Done{};
}

} // namespace

Result<Binding> bindCheckpoint(ModuleOp module, const ModelConfig &config,
                               const TensorSource &source) {
  Binder binder(config, source);
  if (Status bound = binder.bindAll(module); !bound)
    return bound.error();
  return std::move(binder.result);
}

} // namespace gemmac
