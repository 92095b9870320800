// The stages of gemmac in order: see Driver.h.
#include "compiler/Driver.h"

#include "codegen/Linker.h"
#include "codegen/NativeModule.h"
#include "compiler/Messages.h"
#include "compiler/ModelInput.h"
#include "compiler/Progress.h"
#include "compiler/QuantNotes.h"
#include "compiler/Verify.h"
#include "compiler/importer/Bind.h"
#include "compiler/importer/Checkpoint.h"
#include "compiler/importer/Gemma4.h"
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
      : o(options), second(second),
        messages{.remarks = o.remarks, .warnings = !second} {
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

  const DriverOptions o;
  const bool second;
  const Messages messages;
  bool printed = false;               // the stage that was asked for
  std::unique_ptr<Compilation> exact; // of --verify
  const Target *target = nullptr;
  int threads = 1;
  MLIRContext context{MLIRContext::Threading::DISABLED};
  OwningOpRef<ModuleOp> module;
  ModelInput input;
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

Status Compilation::readInputs() {
  std::vector<std::string> warnings;
  // A configuration alone can be compiled to every stage but a program.
  bool needsTensors = o.compileTo.empty() && o.emit.empty();
  Result<ModelInput> opened = ModelInput::open(o.input, needsTensors, warnings);
  if (!opened)
    return opened.error();
  input = std::move(*opened);
  module = importGemma4(context, input.model);
  if (input.tensors) {
    Result<Binding> bound =
        bindCheckpoint(*module, input.model, *input.tensors);
    if (!bound)
      return bound.error();
    binding = std::move(*bound);
    warnings.insert(warnings.end(), binding.warnings.begin(),
                    binding.warnings.end());
    messages.remark(binding.remarks);
  }
  messages.warn(warnings);
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
        &context, [&](Diagnostic &d) { return messages.report(d); });
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
  if (input.tensors)
    splitExpertPieces(plan, *input.tensors);
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
  Result<FidelityFacts> facts = compareWithExact(
      {.program = program,
       .exact = file.path,
       .text = o.verify,
       .window = std::min<int64_t>(input.model.maxContext, 2048),
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
  const ModelConfig &model = input.model;
  const GenerationConfig &generation = input.generation;
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
          .source = *input.tensors,
          .ignored = binding.ignored,
          .weightFormat = matrixFormat(),
          .cacheFormat = plan.caches.empty() ? "" : plan.caches[0].format,
          .weightsId = weightsId(plan, *input.tensors),
          .externalName = "",
          .hashes = {},
          .sections = {},
          .fidelity = {}};
}

Status Compilation::makeProgram() {
  std::vector<std::string> warnings;
  auto tokenizer = input.packTokenizer(warnings);
  if (!tokenizer)
    return tokenizer.error();
  Result<ChatTemplate> chat = input.readChatTemplate(warnings);
  if (!chat)
    return chat.error();
  messages.warn(warnings);
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
  ProgramInput program{
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
    program.verify = [&](const std::string &path) {
      progress.finish();
      return verify(path);
    };
  Result<ProgramSizes> sizes = writeProgram(std::move(program));
  if (!sizes)
    return sizes.error();
  progress.finish();
  if (sizes->roundingError > 0)
    messages.warn(
        {llvm::formatv("quantised tensors are stored as bf16, which changes "
                       "their values by up to {0} ('{1}'); --quant=f32 keeps "
                       "them exactly",
                       llvm::format("%.3g", sizes->roundingError),
                       sizes->roundedTensor)
             .str()});
  QuantNotes notes = quantNotes(sizes->notes);
  messages.warn(notes.warnings);
  messages.remark(notes.remarks);
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
