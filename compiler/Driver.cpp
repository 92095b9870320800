// The stages of gemmac in order: see Driver.h.
#include "compiler/Driver.h"

#include "codegen/Linker.h"
#include "codegen/NativeModule.h"
#include "compiler/Progress.h"
#include "compiler/QuantNotes.h"
#include "compiler/Verify.h"
#include "compiler/importer/Bind.h"
#include "compiler/importer/Checkpoint.h"
#include "compiler/importer/Gemma4.h"
#include "compiler/importer/GgufModel.h"
#include "compiler/importer/Tokenizer.h"
#include "dialects/gemma/Gemma.h"
#include "dialects/kernel/Kernel.h"
#include "passes/KernelToLLVM.h"
#include "passes/Pipelines.h"
#include "passes/QuantMap.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/IR/AsmState.h"
#include "mlir/Pass/PassManager.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Support/ToolOutputFile.h"

#include <sched.h>
#include <unistd.h>

using namespace mlir;

namespace gemmac {

static LogicalResult report(Diagnostic &diagnostic, bool remarks);

namespace {

using BuildStage = void (*)(OpPassManager &, const PipelineOptions &);
struct Stage {
  const char *name;
  BuildStage build; // null: import
};
const Stage stages[] = {{"import", nullptr},
                        {"optimize", buildOptimizePipeline},
                        {"select", buildSelectPipeline},
                        {"plan", buildPlanPipeline},
                        {"native", buildNativePipeline}};

// One compilation: what the stages hand to each other. A second one, of the
// exact program that --verify compares with, says nothing but errors.
class Compilation {
public:
  explicit Compilation(const DriverOptions &options, bool second = false)
      : o(options), second(second) {
    context.printOpOnDiagnostic(false);
  }
  Status run();

private:
  Status checkOptions();
  Status toPlan();
  Status toProgram();
  Status printStage();
  Status planExact();
  Result<FidelityFacts> verify(const std::string &program);
  Status readInputs();
  Status runStage(const Stage &stage);
  Status print(const std::string &path,
               llvm::function_ref<void(llvm::raw_ostream &)> write);
  Status writeCode();
  Status makeProgram();
  void printModule(llvm::raw_ostream &stream);
  std::string matrixFormat() const;
  ManifestInput manifestInput(const ChatTemplate &chat);
  void warn(const std::vector<std::string> &lines);
  void remark(const std::vector<std::string> &lines);
  bool hasWeights() const;

  const DriverOptions o;
  const bool second;
  bool printed = false;               // the stage that was asked for
  std::unique_ptr<Compilation> exact; // of --verify
  const Target *target = nullptr;
  int threads = 1;
  MLIRContext context{MLIRContext::Threading::DISABLED};
  OwningOpRef<ModuleOp> module;
  ModelConfig model;
  GenerationConfig generation;
  std::unique_ptr<TensorSource> source;
  const GgufModel *gguf = nullptr; // `source` where it is one
  Binding binding;
  ProgramPlan plan;
  std::vector<KernelSpec> kernels;
};

int usableCores() {
  cpu_set_t set;
  return sched_getaffinity(0, sizeof set, &set) == 0
             ? std::max(1, CPU_COUNT(&set))
             : 1;
}

} // namespace

void Compilation::warn(const std::vector<std::string> &lines) {
  if (second)
    return;
  for (const std::string &line : lines)
    llvm::errs() << "gemmac: warning: " << line << "\n";
}

void Compilation::remark(const std::vector<std::string> &lines) {
  for (const std::string &line : lines)
    if (o.remarks)
      llvm::errs() << "gemmac: remark: " << line << "\n";
}

// A configuration alone can be compiled to every stage but a program.
bool Compilation::hasWeights() const {
  return llvm::sys::fs::exists(o.input + "/model.safetensors") ||
         llvm::sys::fs::exists(o.input + "/model.safetensors.index.json");
}

Status Compilation::readInputs() {
  std::vector<std::string> warnings;
  if (isGgufFile(o.input)) {
    Result<std::unique_ptr<GgufModel>> opened = GgufModel::open(o.input);
    if (!opened)
      return opened.error();
    gguf = opened->get();
    source = std::move(*opened);
  }
  Result<ModelConfig> config = gguf ? readGgufConfig(*gguf, warnings)
                                    : readModelConfig(o.input, warnings);
  if (!config)
    return config.error();
  model = *config;
  Result<GenerationConfig> sampling =
      gguf ? readGgufGeneration(*gguf, model, warnings)
           : readGenerationConfig(o.input, model, warnings);
  if (!sampling)
    return sampling.error();
  generation = *sampling;
  module = importGemma4(context, model);
  if (!gguf && ((o.compileTo.empty() && o.emit.empty()) || hasWeights())) {
    auto opened = openCheckpoint(o.input, warnings);
    if (!opened)
      return opened.error();
    source = std::move(*opened);
  }
  if (source) {
    Result<Binding> bound = bindCheckpoint(*module, model, *source);
    if (!bound)
      return bound.error();
    binding = std::move(*bound);
    warnings.insert(warnings.end(), binding.warnings.begin(),
                    binding.warnings.end());
    remark(binding.remarks);
  }
  warn(warnings);
  return Done{};
}

// Writes text under a temporary name and renames it; "-" is standard output.
Status Compilation::print(const std::string &path,
                          llvm::function_ref<void(llvm::raw_ostream &)> write) {
  if (path == "-" || path.empty()) {
    write(llvm::outs());
    llvm::outs().flush();
    if (llvm::outs().has_error()) {
      llvm::outs().clear_error();
      return Error{ExitCode::Resources, "cannot write to standard output"};
    }
    return Done{};
  }
  llvm::Error error = llvm::writeToOutput(path, [&](llvm::raw_ostream &stream) {
    write(stream);
    return llvm::Error::success();
  });
  if (error)
    return Error{ExitCode::Resources, "cannot write '" + path +
                                          "': " + toString(std::move(error)) +
                                          "; check permissions and free space"};
  return Done{};
}

// Values are printed under the names that the importer gave them.
void Compilation::printModule(llvm::raw_ostream &stream) {
  module->print(stream, OpPrintingFlags().printNameLocAsPrefix(true));
  stream << "\n";
}

Status Compilation::runStage(const Stage &stage) {
  if (stage.build) {
    ScopedDiagnosticHandler handler(
        &context, [&](Diagnostic &d) { return report(d, o.remarks); });
    PassManager pm(&context);
    PipelineOptions options;
    options.quant = o.quant;
    options.quantMap = o.quantMap;
    options.requantize = o.requantize;
    options.cacheType = o.cacheType;
    options.target = target->name;
    stage.build(pm, options);
    if (failed(pm.run(*module)))
      return Error{ExitCode::Unsupported,
                   std::string("stage '") + stage.name +
                       "' does not support this model (see above)"};
  }
  if (o.dumpTo.empty())
    return Done{};
  return print(o.dumpTo + "/" + stage.name + ".mlir",
               [&](llvm::raw_ostream &stream) { printModule(stream); });
}

Status Compilation::checkOptions() {
  target = findTarget(o.target);
  if (!target) {
    std::string names;
    for (const Target &t : targets())
      names += " " + t.name;
    if (o.target == "host")
      return Error{
          ExitCode::Machine,
          "this machine is none of the targets; name one with --target=:" +
              names};
    return Error{ExitCode::Usage, "--target expects one of:" + names +
                                      " host, got '" + o.target + "'"};
  }
  threads = o.threads ? o.threads : usableCores();
  if (!o.dumpTo.empty())
    if (std::error_code error = llvm::sys::fs::create_directories(o.dumpTo))
      return Error{ExitCode::Resources,
                   "cannot create the folder '" + o.dumpTo +
                       "' of --dump-to: " + error.message()};
  if (o.compileTo.empty() && llvm::sys::fs::is_directory(o.output))
    return Error{ExitCode::Usage,
                 "-o expects a file name, got the folder '" + o.output + "'"};
  if (o.compileTo.empty() && o.emit.empty() && o.output == "-")
    return Error{ExitCode::Usage,
                 "-o - prints text; a program needs a file name"};
  if (std::string problem;
      !o.quantMap.empty() && !QuantMap::read(o.quantMap, problem))
    return Error{ExitCode::BadInput, problem};
  return o.verify.empty() ? Status(Done{}) : checkVerify(o.verify, *target);
}

Status Compilation::printStage() {
  printed = true;
  return print(o.output,
               [&](llvm::raw_ostream &stream) { printModule(stream); });
}

// Everything before `native`: the plan, unless an earlier stage was asked for.
Status Compilation::toPlan() {
  if (Status s = checkOptions(); !s)
    return s;
  if (Status s = readInputs(); !s)
    return s;
  for (const Stage &stage : llvm::ArrayRef(stages).drop_back()) {
    if (Status s = runStage(stage); !s)
      return s;
    if (o.compileTo == stage.name)
      return printStage();
  }
  plan = readPlan(*module);
  if (source)
    splitExpertPieces(plan, *source);
  kernels = kernelSpecs(*module);
  return Done{};
}

Status Compilation::toProgram() {
  const Stage &native = std::end(stages)[-1];
  if (Status s = runStage(native); !s)
    return s;
  if (o.compileTo == native.name)
    return printStage();
  return o.emit.empty() ? makeProgram() : writeCode();
}

Status Compilation::run() {
  if (Status s = toPlan(); !s || printed)
    return s;
  if (!o.verify.empty())
    if (Status s = planExact(); !s)
      return s;
  return toProgram();
}

//===-- --verify ----------------------------------------------------------===//

// Plans the exact program, so that lack of disk space shows before anything is
// packed.
Status Compilation::planExact() {
  DriverOptions options = o;
  options.output =
      o.output + ".exact.tmp" + std::to_string(getpid()); // beside -o
  options.quant = "f32";
  options.quantMap = "";
  options.cacheType = "auto";
  options.weights = "embedded";
  options.verify = options.dumpTo = "";
  options.remarks = false;
  exact = std::make_unique<Compilation>(options, true);
  if (Status s = exact->toPlan(); !s)
    return s;
  return checkSpace(o.output, plan.weightBytes(), exact->plan.weightBytes());
}

Result<FidelityFacts> Compilation::verify(const std::string &program) {
  RemovedFile file(exact->o.output);
  if (Status s = exact->toProgram(); !s)
    return s.error();
  Result<FidelityFacts> facts =
      compareWithExact({.program = program,
                        .exact = file.path,
                        .text = o.verify,
                        .window = std::min<int64_t>(model.maxContext, 2048),
                        .threads = o.threads,
                        .quiet = o.quiet});
  if (facts && !o.quiet)
    llvm::errs() << "gemmac: " << describe(*facts) << "\n";
  return facts;
}

Status Compilation::writeCode() {
  Emit emit = o.emit == "llvm"  ? Emit::Llvm
              : o.emit == "asm" ? Emit::Asm
                                : Emit::Obj;
  Result<std::string> code =
      compileNative(*module, kernels, *target, emit, threads, o.dumpTo);
  if (!code)
    return code.error();
  return print(o.output, [&](llvm::raw_ostream &stream) { stream << *code; });
}

// What most bytes are stored as: the format of the embedding.
std::string Compilation::matrixFormat() const {
  for (const PackedWeight &weight : plan.weights)
    if (weight.name == "embed")
      return weight.format;
  return "";
}

ManifestInput Compilation::manifestInput(const ChatTemplate &chat) {
  auto rope = [](const RopeConfig &r) {
    return RopeFacts{r.theta, r.dim, r.pairs};
  };
  ModelFacts facts{
      .type = model.modelType,
      .variant = model.variant,
      .name =
          llvm::sys::path::filename(llvm::StringRef(o.input).rtrim('/')).str(),
      .layers = model.layers,
      .hidden = model.hidden,
      .vocab = model.vocab,
      .window = model.window,
      .maxContext = model.maxContext,
      .pleWidth = model.pleWidth,
      .localRope = rope(model.localRope),
      .globalRope = rope(model.globalRope),
      .chat = int(chat.protocol)};
  SamplingFacts sampling{generation.temperature, generation.topP,
                         generation.topK, generation.stop, generation.suppress};
  return {.model = facts,
          .sampling = sampling,
          .target = *target,
          .plan = plan,
          .source = *source,
          .ignored = binding.ignored,
          .weightFormat = matrixFormat(),
          .cacheFormat = plan.caches.empty() ? "" : plan.caches[0].format,
          .weightsId = weightsId(plan, *source),
          .externalName = "",
          .hashes = {},
          .sections = {},
          .fidelity = {}};
}

Status Compilation::makeProgram() {
  std::vector<std::string> warnings;
  auto tokenizer = gguf ? packGgufTokenizer(gguf->metadata(), gguf->path(),
                                            model.vocab, warnings)
                        : packTokenizer(o.input, model.vocab, warnings);
  if (!tokenizer)
    return tokenizer.error();
  bool small = model.pleWidth > 0;
  Result<ChatTemplate> chat =
      gguf ? readGgufChatTemplate(gguf->metadata(), gguf->path(), small,
                                  warnings)
           : readChatTemplate(o.input, small, warnings);
  if (!chat)
    return chat.error();
  if (!*tokenizer)
    warnings.push_back(
        "'" + o.input +
        (gguf ? "' has no tokenizer.ggml.tokens" : "' has no tokenizer.json") +
        ": the program will take --tokens only");
  warn(warnings);
  Result<std::string> object =
      compileNative(*module, kernels, *target, Emit::Obj, threads, o.dumpTo);
  if (!object)
    return object.error();
  std::string executable = llvm::sys::fs::getMainExecutable(
      nullptr, reinterpret_cast<void *>(&runDriver));
  llvm::StringRef prefix =
      llvm::sys::path::parent_path(llvm::sys::path::parent_path(executable));
  if (!o.verify.empty() && !*tokenizer)
    return Error{ExitCode::Unsupported,
                 "--verify runs the program on a text, but '" + o.input +
                     "' has no tokenizer"};
  Progress progress(second ? "packing for exact math" : "packing", o.quiet);
  ProgramInput input{
      .object = std::move(*object),
      .runtime = (prefix + "/lib/gemmac").str(),
      .output = o.output,
      .external = o.weights == "external",
      .tokenizer = *tokenizer ? std::move(**tokenizer) : std::vector<uint8_t>(),
      .threads = threads,
      .progress = [&](uint64_t done,
                      uint64_t total) { progress.update(done, total); },
      .verify = {},
      .manifest = manifestInput(*chat)};
  if (!o.verify.empty())
    input.verify = [&](const std::string &program) {
      progress.finish();
      return verify(program);
    };
  Result<ProgramSizes> sizes = writeProgram(std::move(input));
  if (!sizes)
    return sizes.error();
  progress.finish();
  if (sizes->roundingError > 0)
    warn({llvm::formatv("quantised tensors are stored as bf16, which changes "
                        "their values by up to {0} ('{1}'); --quant=f32 keeps "
                        "them exactly",
                        llvm::format("%.3g", sizes->roundingError),
                        sizes->roundedTensor)
              .str()});
  QuantNotes notes = quantNotes(sizes->notes);
  warn(notes.warnings);
  remark(notes.remarks);
  if (!o.quiet && !second)
    llvm::errs() << llvm::formatv(
        "gemmac: {0}: {1:F1} MB for {2} (weights {3:F1} MB{4})\n", o.output,
        (sizes->elf + sizes->tokenizer + sizes->manifest +
         (o.weights == "external" ? 0 : sizes->weights)) /
            1e6,
        target->name, sizes->weights / 1e6,
        sizes->reused             ? ", reused"
        : o.weights == "external" ? ", in a file of their own"
                                  : "");
  return Done{};
}

// Diagnostics of passes in gemmac's own form; remarks only when asked for.
static LogicalResult report(Diagnostic &diagnostic, bool remarks) {
  DiagnosticSeverity severity = diagnostic.getSeverity();
  if (severity == DiagnosticSeverity::Remark && !remarks)
    return success();
  const char *kind = severity == DiagnosticSeverity::Error     ? "error"
                     : severity == DiagnosticSeverity::Warning ? "warning"
                     : severity == DiagnosticSeverity::Remark  ? "remark"
                                                               : "note";
  llvm::errs() << "gemmac: " << kind << ": ";
  if (auto name = dyn_cast<NameLoc>(Location(diagnostic.getLocation())))
    llvm::errs() << name.getName().getValue() << ": ";
  llvm::errs() << diagnostic.str() << "\n";
  for (Diagnostic &note : diagnostic.getNotes())
    (void)report(note, remarks);
  return success();
}

ExitCode runDriver(const DriverOptions &options) {
  llvm::InitializeAllTargetInfos();
  llvm::InitializeAllTargets();
  llvm::InitializeAllTargetMCs();
  llvm::InitializeAllAsmPrinters();
  llvm::InitializeAllAsmParsers();
  Compilation compilation(options);
  Status status = compilation.run();
  if (status)
    return ExitCode::Ok;
  llvm::errs() << "gemmac: error: " << status.error().message << "\n";
  return status.error().code;
}

} // namespace gemmac
