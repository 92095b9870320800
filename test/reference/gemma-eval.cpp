// gemma-eval: runs gemma-dialect IR in the reference evaluator.
//
//   gemma-eval --import=FOLDER --golden=FILE --case=short,mid
//     compares with a golden file
//   gemma-eval --import=FOLDER --golden=FILE --encode=grid0,p2
//     compares soft rows of pictures and sounds with a golden file
//   gemma-eval --import=FOLDER --passes=gemma-optimize --equal
//     runs passes and compares before with after
//   gemma-eval a.mlir --equal-to=b.mlir
//     compares two modules
//   gemma-eval --import=FOLDER --ids=2,17,99
//     prints what comes out; with --media rows of media stand for some ids
//   gemma-eval --import=FOLDER --soft=FILE
//     writes soft rows as f32: of each --medium, or of a picture and a sound
//     whose values are made up
//   gemma-eval --import=FOLDER --print-import
//     prints the IR
//
// The module comes from a file or, with --import, from the configuration of a
// checkpoint: a folder or a GGUF file, which --mmproj gives its towers. Weights
// come from --weights (default: the imported checkpoint) or are made up.
#include "compiler/importer/Bind.h"
#include "compiler/importer/Checkpoint.h"
#include "compiler/importer/Gemma4.h"
#include "compiler/importer/GgufModel.h"
#include "compiler/importer/TensorNames.h"
#include "dialects/kernel/Kernel.h"
#include "passes/Pipelines.h"
#include "test/reference/Equal.h"
#include "test/reference/TowerCase.h"
#include "test/reference/Weights.h"

#include "mlir/IR/Diagnostics.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassRegistry.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/InitLLVM.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/raw_ostream.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>

using namespace mlir;
using namespace gemmac;
using namespace gemmac::reference;

namespace {

namespace cl = llvm::cl;
cl::OptionCategory category("gemma-eval");
cl::opt<std::string> input(cl::Positional, cl::desc("[IR]"), cl::cat(category));
cl::opt<std::string> importFolder("import",
                                  cl::desc("import a folder or a GGUF file"),
                                  cl::cat(category));
cl::opt<std::string> towers("mmproj", cl::desc("towers of a GGUF file"),
                            cl::cat(category));
cl::opt<std::string> weightsFolder("weights",
                                   cl::desc("checkpoint, or `random`"),
                                   cl::cat(category));
cl::opt<std::string> passes("passes", cl::desc("pipeline to run first"),
                            cl::cat(category));
cl::opt<std::string> goldenPath("golden", cl::desc("golden.safetensors"),
                                cl::cat(category));
cl::list<std::string> cases("case", cl::CommaSeparated,
                            cl::desc("short, mid, offset, long, far, decode, "
                                     "or a prompt with media"),
                            cl::cat(category));
cl::list<std::string>
    encode("encode", cl::CommaSeparated,
           cl::desc("pictures, sounds or prompts of the golden "
                    "file, through the towers"),
           cl::cat(category));
cl::opt<std::string> softOut("soft", cl::desc("write f32 soft rows, raw"),
                             cl::cat(category));
cl::list<std::string>
    mediumList("medium",
               cl::desc("picture,HEIGHT,WIDTH,FILE of uint8 or sound,FILE of "
                        "i16 at 16 kHz: what --soft encodes"),
               cl::cat(category));
cl::opt<double> softTolerance("tolerance-soft", cl::init(1e-5),
                              cl::cat(category));
cl::opt<double> theta("theta", cl::init(100),
                      cl::desc("of towers, where no configuration says it"),
                      cl::cat(category));
cl::opt<double> logitsTolerance("tolerance-logits", cl::init(1e-3),
                                cl::cat(category));
cl::opt<double> valuesTolerance("tolerance", cl::init(2e-4),
                                cl::desc("of intermediates"),
                                cl::cat(category));
cl::opt<bool> partial("partial",
                      cl::desc("allow intermediates that are not computed"),
                      cl::cat(category));
cl::opt<bool> equal("equal", cl::desc("compare before and after --passes"),
                    cl::cat(category));
cl::opt<std::string> equalTo("equal-to", cl::desc("compare with this IR"),
                             cl::cat(category));
cl::list<int64_t> idList("ids", cl::CommaSeparated, cl::desc("token ids"),
                         cl::cat(category));
cl::opt<std::string> idsFile("ids-file", cl::desc("whitespace-separated ids"),
                             cl::cat(category));
cl::opt<std::string>
    mediaPath("media",
              cl::desc("per id two i32: row of the f32 rows that follow or -1, "
                       "rows to the end of its block or 0"),
              cl::cat(category));
cl::opt<std::string> logitsOut("logits", cl::desc("write f32 logits, raw"),
                               cl::cat(category));
cl::opt<bool> roundCaches("round-caches",
                          cl::desc("round keys and values to their format"),
                          cl::cat(category));
cl::opt<bool> exactRope("exact-rope",
                        cl::desc("do not round the rope tables to f32"),
                        cl::cat(category));
cl::opt<int64_t> prefill("prefill", cl::init(0),
                         cl::desc("ids in the first step, then one per step"),
                         cl::cat(category));
cl::opt<bool> showIgnored("show-ignored",
                          cl::desc("list tensors without a use"),
                          cl::cat(category));
cl::opt<bool> printImport("print-import", cl::desc("print the module"),
                          cl::cat(category));

int report(const Error &error) {
  llvm::errs() << "error: " << error.message << "\n";
  return int(error.code);
}

// Tensors of a folder or a GGUF file, and of the latter what it says of the
// model.
struct Opened {
  std::unique_ptr<TensorSource> source; // null: not asked for
  std::optional<ModelConfig> config;
};

Result<Opened> openSource(const std::string &path) {
  std::vector<std::string> warnings;
  if (!isGgufFile(path)) {
    Result<std::unique_ptr<TensorSource>> opened =
        openCheckpoint(path, warnings);
    if (!opened)
      return opened.error();
    return Opened{std::move(*opened), {}};
  }
  Result<std::unique_ptr<GgufModel>> model = GgufModel::open(path);
  if (!model)
    return model.error();
  Result<ModelConfig> config = readGgufConfig(**model, warnings);
  if (!config)
    return config.error();
  if (!towers.empty())
    if (Status s = (*model)->addTowers(towers, *config); !s)
      return s.error();
  return Opened{std::move(*model), *config};
}

// The named file, or what the configuration of the imported checkpoint
// describes with its weights bound.
OwningOpRef<ModuleOp> load(MLIRContext &context, const Opened &opened,
                           int &code) {
  if (importFolder.empty())
    return parseSourceFile<ModuleOp>(input, &context);
  const TensorSource *source = opened.source.get();
  std::vector<std::string> warnings;
  Result<ModelConfig> config = opened.config
                                   ? Result<ModelConfig>(*opened.config)
                                   : readModelConfig(importFolder, warnings);
  if (!config) {
    code = report(config.error());
    return {};
  }
  warnings.clear();
  if (config->vision && !theta.getNumOccurrences())
    theta = config->vision->theta;
  if (source)
    settleTowers(*config, *source, warnings);
  for (const std::string &warning : warnings)
    llvm::errs() << "warning: " << warning << "\n";
  if (source && settleHead(*config, *source))
    llvm::errs() << "warning: the head differs from the embedding\n";
  OwningOpRef<ModuleOp> module = importGemma4(context, *config);
  if (failed(verify(*module)))
    return {};
  if (!source)
    return module;
  Result<Binding> binding = bindCheckpoint(*module, *config, *source);
  if (!binding) {
    code = report(binding.error());
    return {};
  }
  for (const std::string &warning : binding->warnings)
    llvm::errs() << "warning: " << warning << "\n";
  if (!showIgnored)
    return module;
  for (const Finding &finding : binding->findings)
    llvm::outs() << "remark: " << finding.text << "\n";
  for (const IgnoredTensor &ignored : binding->ignored)
    llvm::outs() << "ignored: " << ignored.name << ": " << ignored.reason
                 << "\n";
  return module;
}

LogicalResult runPasses(ModuleOp module, StringRef pipeline) {
  PassManager manager(module.getContext());
  if (failed(parsePassPipeline(pipeline, manager)))
    return failure();
  return manager.run(module);
}

// The evaluator runs primitives.
LogicalResult expand(ModuleOp module) {
  bool fused = false;
  module.walk([&](gemma::FusedOp) { fused = true; });
  return fused ? runPasses(module, "gemma-expand") : success();
}

bool readIds(std::vector<int64_t> &ids) {
  ids.assign(idList.begin(), idList.end());
  if (idsFile.empty())
    return true;
  auto buffer = llvm::MemoryBuffer::getFile(idsFile);
  if (!buffer)
    return false;
  llvm::SmallVector<llvm::StringRef> words;
  llvm::SplitString(buffer.get()->getBuffer(), words);
  for (llvm::StringRef word : words)
    if (word.getAsInteger(10, ids.emplace_back()))
      return false;
  return true;
}

// Puts the soft rows and blocks of --media into a step of all ids. `hidden`
// columns; rows are that, rounded up to 32, apart.
bool takeMedia(Step &step, int64_t hidden) {
  auto buffer = llvm::MemoryBuffer::getFile(mediaPath);
  const size_t rows = step.ids.size(), stride = size_t(hidden + 31) / 32 * 32;
  if (!buffer || buffer.get()->getBufferSize() < rows * 8)
    return false;
  const char *data = buffer.get()->getBufferStart();
  step.ends.resize(rows);
  for (size_t r = 0; r < rows; ++r, data += 8) {
    int32_t pair[2];
    std::memcpy(pair, data, sizeof pair);
    step.ids[r] = pair[0] < 0 ? step.ids[r] : -1 - pair[0];
    step.ends[r] = pair[1] ? step.positions[r] + pair[1] : 0;
  }
  const size_t bytes = size_t(buffer.get()->getBufferEnd() - data);
  step.soft = Tensor(int64_t(bytes / 4 / stride), hidden);
  for (int64_t r = 0; r < step.soft.rows; ++r)
    for (int64_t j = 0; j < hidden; ++j) {
      float x;
      std::memcpy(&x, data + (size_t(r) * stride + size_t(j)) * 4, 4);
      step.soft.row(r)[j] = x;
    }
  return true;
}

void printRow(const char *name, const double *row, int64_t n) {
  llvm::outs() << name;
  for (int64_t i = 0; i < n; ++i)
    llvm::outs() << llvm::format(" %.6f", row[i]);
}

void append(Tensor &all, const Tensor &rows) {
  all.rows += rows.rows;
  all.cols = rows.cols;
  all.data.insert(all.data.end(), rows.data.begin(), rows.data.end());
}

// What the golden table in docs/model/text.md#10 lists: argmax per position,
// the last row's first logits and sums, each layer's output.
int printIds(ModuleOp module, const WeightSource &weights,
             const std::vector<int64_t> &ids) {
  Runner runner(module, weights);
  runner.exactRope = exactRope;
  runner.evaluator.roundCaches = roundCaches;
  std::map<int64_t, Tensor> hidden;
  Tensor logits;
  runner.evaluator.observer = [&](StringRef name, const Tensor &tensor) {
    int64_t layer;
    if (name.consume_front("hidden.") && !name.getAsInteger(10, layer))
      append(hidden[layer], tensor);
  };
  for (size_t at = 0; at < ids.size();) {
    size_t n = prefill ? 1 : ids.size();
    if (!at && prefill)
      n = std::min<size_t>(size_t(prefill), ids.size());
    std::vector<int64_t> part(ids.begin() + at, ids.begin() + at + n);
    Step step = sequence(part, int64_t(at));
    if (!mediaPath.empty() && !takeMedia(step, runner.hidden())) {
      llvm::errs() << "error: expects " << part.size()
                   << " pairs of i32 and rows in " << mediaPath << "\n";
      return 2;
    }
    FailureOr<Output> output = runner.step(step);
    if (failed(output))
      return 1;
    append(logits, output->logits);
    at += n;
  }
  llvm::outs() << "argmax";
  double all = 0;
  for (int64_t r = 0; r < logits.rows; ++r) {
    const double *row = logits.row(r), *end = row + logits.cols;
    llvm::outs() << (r ? "," : " ") << std::max_element(row, end) - row;
    for (; row != end; ++row)
      all += std::fabs(*row);
  }
  double sum = 0, absolute = 0;
  const double *last = logits.row(logits.rows - 1);
  for (int64_t i = 0; i < logits.cols; ++i) {
    sum += last[i];
    absolute += std::fabs(last[i]);
  }
  printRow("\nlogits", last, std::min<int64_t>(8, logits.cols));
  llvm::outs() << llvm::format("\nsums %.6f %.6f %.6f\n", sum, absolute, all);
  for (auto &[layer, h] : hidden) {
    double square = 0;
    for (double x : h.data)
      square += x * x;
    llvm::outs() << "hidden " << layer;
    printRow("", h.row(h.rows - 1), std::min<int64_t>(4, h.cols));
    llvm::outs() << llvm::format(" rms %.6f\n",
                                 std::sqrt(square / double(h.data.size())));
  }
  if (logitsOut.empty())
    return 0;
  std::error_code error;
  llvm::raw_fd_ostream out(logitsOut, error);
  for (double x : logits.data) {
    float single = float(x);
    out.write(reinterpret_cast<const char *>(&single), sizeof single);
  }
  return error ? 5 : 0;
}

int runGolden(ModuleOp module, const WeightSource &weights) {
  Result<GoldenFile> golden = GoldenFile::open(goldenPath);
  if (!golden)
    return report(golden.error());
  Tolerance tolerance{logitsTolerance, valuesTolerance, partial};
  bool good = !cases.empty() || !encode.empty();
  for (const std::string &name : encode)
    good &= runTowerCase(module, weights, *golden, name, theta, valuesTolerance,
                         softTolerance);
  for (const std::string &name : cases)
    good &= runCase(module, weights, *golden, name, tolerance);
  return good ? 0 : 1;
}

// Values in [0, below) that any two runs have in common.
std::vector<double> madeUp(size_t count, uint32_t below) {
  std::vector<double> values(count);
  uint32_t state = 1;
  for (double &value : values) {
    state = state * 1664525 + 1013904223;
    value = (state >> 8) % below;
  }
  return values;
}

using Medium = std::pair<StringRef, Arguments>; // function, its arguments

// A picture of 3 x 2 cells and 27 frames of sound, for the towers that the
// module has.
std::vector<Medium> madeUpMedia(func::FuncOp image, func::FuncOp audio) {
  std::vector<Medium> media;
  if (image) {
    const int64_t side = cellOf(image);
    std::vector<double> bytes = madeUp(size_t(18 * side * side), 256);
    media.push_back(
        {"image", pictureArguments(image, bytes, 2 * side, 3 * side, theta)});
  }
  if (audio) {
    auto type = cast<RankedTensorType>(audio.getArgumentTypes()[0]);
    Tensor features(27, type.getDimSize(1));
    features.data = madeUp(features.data.size(), 1000);
    for (double &x : features.data)
      x = x / 100 - 7;
    media.push_back({"audio", {{"features", features}}});
  }
  return media;
}

// What one --medium names.
std::optional<Medium> readMedium(StringRef named, func::FuncOp image,
                                 func::FuncOp audio) {
  auto [kind, rest] = named.split(',');
  int64_t height = 0, width = 0;
  if (kind == "picture") {
    auto [first, more] = rest.split(',');
    auto [second, path] = more.split(',');
    if (first.getAsInteger(10, height) || second.getAsInteger(10, width))
      return std::nullopt;
    rest = path;
  }
  auto buffer = llvm::MemoryBuffer::getFile(rest, false, false);
  if (!buffer)
    return std::nullopt;
  StringRef bytes = buffer.get()->getBuffer();
  std::vector<double> values;
  if (kind == "picture" && image &&
      int64_t(bytes.size()) == height * width * 3) {
    values.assign(bytes.bytes_begin(), bytes.bytes_end());
    return Medium{"image",
                  pictureArguments(image, values, height, width, theta)};
  }
  if (kind != "sound" || !audio)
    return std::nullopt;
  for (size_t at = 0; at + 2 <= bytes.size(); at += 2) {
    int16_t sample;
    std::memcpy(&sample, bytes.data() + at, sizeof sample);
    values.push_back(double(sample) / 32768);
  }
  return Medium{"audio", soundArguments(audio, values)};
}

int writeSoft(ModuleOp module, const WeightSource &weights) {
  Evaluator evaluator(module, weights);
  auto image = module.lookupSymbol<func::FuncOp>("image"),
       audio = module.lookupSymbol<func::FuncOp>("audio");
  std::vector<Medium> inputs;
  if (mediumList.empty())
    inputs = madeUpMedia(image, audio);
  for (const std::string &named : mediumList) {
    std::optional<Medium> medium = readMedium(named, image, audio);
    if (!medium) {
      llvm::errs() << "error: --medium=" << named
                   << " is nothing that the module takes\n";
      return 2;
    }
    inputs.push_back(*medium);
  }
  std::error_code error;
  llvm::raw_fd_ostream out(softOut, error);
  for (auto &[name, arguments] : inputs) {
    FailureOr<std::vector<Tensor>> soft =
        evaluator.run(module.lookupSymbol<func::FuncOp>(name), arguments);
    if (failed(soft))
      return 1;
    const Tensor &rows = soft->front();
    llvm::outs() << name << ": " << rows.rows << " rows of " << rows.cols
                 << "\n";
    for (double x : rows.data) {
      float single = float(x);
      out.write(reinterpret_cast<const char *>(&single), sizeof single);
    }
  }
  return error ? 5 : 0;
}

int run(MLIRContext &context) {
  std::string folder =
      weightsFolder.empty() && !equal ? importFolder : weightsFolder;
  Opened opened;
  if (!folder.empty() && folder != "random" &&
      (!printImport || isGgufFile(folder))) {
    Result<Opened> result = openSource(folder);
    if (!result)
      return report(result.error());
    opened = std::move(*result);
  }
  const TensorSource *source = opened.source.get();
  int code = 1;
  OwningOpRef<ModuleOp> module = load(context, opened, code);
  if (!module)
    return code;
  OwningOpRef<ModuleOp> before = module->clone();
  if (!passes.empty() && failed(runPasses(*module, passes)))
    return 1;
  if (printImport) {
    OpPrintingFlags flags;
    flags.enableDebugInfo();
    module->print(llvm::outs(), flags);
    return 0;
  }
  if (failed(expand(*module)) || failed(expand(*before)))
    return 1;
  WeightSource weights = source ? checkpointWeights(*source) : randomWeights();
  if (!equalTo.empty()) {
    OwningOpRef<ModuleOp> other = parseSourceFile<ModuleOp>(equalTo, &context);
    if (!other || failed(expand(*other)))
      return 1;
    return runEqual(*module, *other, weights, 1e-9) ? 0 : 1;
  }
  if (equal)
    return runEqual(*before, *module, weights, 1e-9) ? 0 : 1;
  if (!softOut.empty())
    return writeSoft(*module, weights);
  if (!goldenPath.empty())
    return runGolden(*module, weights);
  std::vector<int64_t> ids;
  if (!mediaPath.empty() && prefill)
    return llvm::errs() << "error: --media is for one step\n", 2;
  if (!readIds(ids) || ids.empty()) {
    llvm::errs() << "error: expects --golden, --equal, --equal-to, "
                    "--soft, --print-import or token ids\n";
    return 2;
  }
  return printIds(*module, weights, ids);
}

} // namespace

int main(int argc, char **argv) {
  llvm::InitLLVM init(argc, argv);
  cl::HideUnrelatedOptions(category);
  registerGemmacPasses();
  cl::ParseCommandLineOptions(argc, argv, "reference evaluator\n");
  if (input.empty() == importFolder.empty()) {
    llvm::errs() << "error: expects an IR file or --import=FOLDER\n";
    return 2;
  }
  DialectRegistry registry;
  registry
      .insert<func::FuncDialect, gemma::GemmaDialect, kernel::KernelDialect>();
  MLIRContext context(registry);
  context.loadAllAvailableDialects();
  // Remarks say what passes did; here only errors and warnings matter.
  context.getDiagEngine().registerHandler([](Diagnostic &diagnostic) {
    return success(diagnostic.getSeverity() == DiagnosticSeverity::Remark);
  });
  return run(context);
}
