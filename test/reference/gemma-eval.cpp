// gemma-eval: runs gemma-dialect IR in the reference evaluator.
//
//   gemma-eval --import=FOLDER --golden=FILE --case=short,mid
//     compares with a golden file
//   gemma-eval --import=FOLDER --golden=FILE --media=grid0,p2
//     compares soft rows of pictures and sounds with a golden file
//   gemma-eval --import=FOLDER --passes=gemma-optimize --equal
//     runs passes and compares before with after
//   gemma-eval a.mlir --equal-to=b.mlir
//     compares two modules
//   gemma-eval --import=FOLDER --ids=2,17,99
//     prints what comes out; with --media rows of media stand for some ids
//   gemma-eval --import=FOLDER --print-import
//     prints the IR
//
// The module comes from a file or, with --import, from the folder's
// config.json; weights come from --weights (default: the imported folder) or
// are made up.
#include "compiler/importer/Bind.h"
#include "compiler/importer/Checkpoint.h"
#include "compiler/importer/Gemma4.h"
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
                                  cl::desc("import FOLDER/config.json"),
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
    media("media", cl::CommaSeparated,
          cl::desc("pictures, sounds or prompts of the golden "
                   "file, through the towers"),
          cl::cat(category));
cl::opt<double> softTolerance("tolerance-soft", cl::init(1e-5),
                              cl::cat(category));
cl::opt<double> theta("theta", cl::init(100), cl::desc("of towers"),
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

// The named file, or config.json of the imported folder with its weights bound.
OwningOpRef<ModuleOp> load(MLIRContext &context, const TensorSource *source,
                           int &code) {
  if (importFolder.empty())
    return parseSourceFile<ModuleOp>(input, &context);
  std::vector<std::string> warnings;
  Result<ModelConfig> config = readModelConfig(importFolder, warnings);
  if (!config) {
    code = report(config.error());
    return {};
  }
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
  bool good = !cases.empty() || !media.empty();
  for (const std::string &name : media)
    good &= runTowerCase(module, weights, *golden, name, theta, valuesTolerance,
                         softTolerance);
  for (const std::string &name : cases)
    good &= runCase(module, weights, *golden, name, tolerance);
  return good ? 0 : 1;
}

int run(MLIRContext &context) {
  std::string folder =
      weightsFolder.empty() && !equal ? importFolder : weightsFolder;
  std::unique_ptr<TensorSource> source;
  std::vector<std::string> warnings;
  if (!folder.empty() && folder != "random" && !printImport) {
    Result<std::unique_ptr<TensorSource>> opened =
        openCheckpoint(folder, warnings);
    if (!opened)
      return report(opened.error());
    source = std::move(*opened);
  }
  int code = 1;
  OwningOpRef<ModuleOp> module = load(context, source.get(), code);
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
  if (!goldenPath.empty())
    return runGolden(*module, weights);
  std::vector<int64_t> ids;
  if (!mediaPath.empty() && prefill)
    return llvm::errs() << "error: --media is for one step\n", 2;
  if (!readIds(ids) || ids.empty()) {
    llvm::errs() << "error: expects --golden, --equal, --equal-to, "
                    "--print-import or token ids\n";
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
