// The stages of gemmac in order: see Driver.h.
#include "compiler/Driver.h"

#include "codegen/Linker.h"
#include "codegen/NativeModule.h"
#include "compiler/Inspect.h"
#include "compiler/Installed.h"
#include "compiler/Library.h"
#include "compiler/MachineCode.h"
#include "compiler/Messages.h"
#include "compiler/ModelInput.h"
#include "compiler/Outputs.h"
#include "compiler/Phases.h"
#include "compiler/ProgramFacts.h"
#include "compiler/Progress.h"
#include "compiler/QuantNotes.h"
#include "compiler/StandardStreams.h"
#include "compiler/ValueNames.h"
#include "compiler/Verify.h"
#include "compiler/importer/Bind.h"
#include "compiler/importer/Gemma4.h"
#include "dialects/gemma/Gemma.h"
#include "dialects/kernel/Kernel.h"
#include "passes/Passes.h"
#include "passes/Pipelines.h"
#include "runtime/gemma.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/IR/AsmState.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"

#include <unistd.h>

using namespace mlir;

namespace gemmac {

namespace {

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
  Compilation(const DriverOptions &options, Phases &phases, bool second = false)
      : o(options), second(second), phases(phases),
        messages{.remarks = o.remarks && !o.inspect,
                 .warnings = !second && !o.inspect} {
    context.printOpOnDiagnostic(false);
    messages.listen(context);
  }
  Status run();
  // Reads and plans, and prints what is known.
  Status inspect();

private:
  Status checkOptions();
  Status toPlan();
  Status toProgram();
  Status printStage();
  Status planExact();
  Result<FidelityFacts> verify(const std::string &program);
  Status readInputs();
  Status readEdited();
  Status runStage(const Stage &stage);
  Status runPasses(const char *stage, llvm::function_ref<void(PassManager &)>);
  Status lookForPtxas();
  Result<std::string> compileCode(Emit emit);
  Status writeCode();
  Status makeProgram();
  void printModule(llvm::raw_ostream &stream);
  bool makesProgram() const { return o.compileTo.empty() && formOf(o.emit); }
  Form form() const { return formOf(o.emit).value_or(Form::Program); }

  const DriverOptions o;
  const bool second;
  Phases &phases;
  const Messages messages;
  Destination output;                   // of -o
  bool discard = false;                 // -o is /dev/null
  std::optional<LibraryFolder> library; // -o is its folder
  const Stage *from = stages;           // what --compile-from has given
  bool printed = false;                 // the stage that was asked for
  std::unique_ptr<Compilation> exact;   // of --verify
  const Target *target = nullptr;
  std::optional<Ptxas> ptxas;
  int threads = 1;
  MLIRContext context{MLIRContext::Threading::DISABLED};
  OwningOpRef<ModuleOp> module;
  ModelInput input;
  Binding binding;
  std::vector<Finding> findings;
  std::vector<std::string> warnings;
  ProgramPlan plan;
  std::vector<KernelSpec> kernels;
};

} // namespace

Status Compilation::readInputs() {
  phases.begin(second ? "read for exact math" : "read");
  // A configuration alone can be compiled to every stage, and to a program
  // without weights.
  InputOptions options{.mmproj = o.mmproj,
                       .media = {!o.noVision, !o.noAudio},
                       .needsTensors =
                           makesProgram() && !o.inspect && o.weights != "none"};
  Status opened = input.open(o.input, options, warnings, findings);
  if (!opened)
    return opened;
  module = importGemma4(context, input.model);
  if (input.tensors) {
    Result<Binding> bound =
        bindCheckpoint(*module, input.model, *input.tensors);
    if (!bound)
      return bound.error();
    binding = std::move(*bound);
    llvm::append_range(warnings, binding.warnings);
    llvm::append_range(findings, binding.findings);
  }
  if (makesProgram()) {
    if (Status s = input.readText(o.chatTemplate, warnings, findings); !s)
      return s;
    if (!o.verify.empty() && input.tokenizer.empty())
      return makeError(
          ExitCode::Unsupported,
          "--verify runs the program on a text, but '{}' has no tokenizer",
          o.input);
  }
  for (const Finding &finding : findings)
    messages.remark({finding.text});
  messages.warn(warnings);
  return Done{};
}

// Values are printed under the names that the importer gave them.
void Compilation::printModule(llvm::raw_ostream &stream) {
  module->print(stream, OpPrintingFlags().printNameLocAsPrefix(true));
  stream << "\n";
}

Status Compilation::runPasses(const char *stage,
                              llvm::function_ref<void(PassManager &)> add) {
  // What is wrong with a line of the map of formats is that file's fault.
  std::optional<Error> inMap;
  ScopedDiagnosticHandler handler(&context, [&](Diagnostic &d) {
    auto file = dyn_cast<FileLineColLoc>(d.getLocation());
    if (d.getSeverity() != DiagnosticSeverity::Error || !file ||
        file.getFilename() != o.quantMap)
      return messages.report(d);
    inMap = Error{ExitCode::BadInput, Messages::text(d)};
    return success();
  });
  PassManager pm(&context);
  add(pm);
  if (succeeded(pm.run(*module)))
    return Done{};
  return inMap.value_or(
      makeError(ExitCode::Unsupported,
                "stage '{}' does not support this model (see above)", stage));
}

Status Compilation::runStage(const Stage &stage) {
  if (stage.build) {
    phases.begin(std::string("stage ") + stage.name);
    PipelineOptions options;
    options.quant = o.quant;
    options.quantMap = o.quantMap;
    options.requantize = o.requantize;
    options.cacheType = o.cacheType;
    options.target = target->name;
    if (Status s = runPasses(
            stage.name, [&](PassManager &pm) { stage.build(pm, options); });
        !s)
      return s;
  }
  if (o.dumpTo.empty())
    return Done{};
  return writeText(o.dumpTo + "/" + stage.name + ".mlir",
                   [&](llvm::raw_ostream &stream) { printModule(stream); });
}

//===-- --compile-from ----------------------------------------------------===//

// The stage whose result `module` is.
static const Stage *stageOf(ModuleOp module) {
  auto functions = module.getOps<func::FuncOp>();
  bool isKernel = !module.getOps<kernel::DefOp>().empty();
  const char *name = "import";
  if (!module.getOps<LLVM::LLVMFuncOp>().empty())
    name = "native";
  else if (isKernel)
    name = llvm::any_of(functions,
                        [](auto f) { return f->hasAttr(kernel::memoryAttr); })
               ? "plan"
               : "select";
  else if (llvm::any_of(functions, [](auto f) {
             auto segment =
                 f->template getAttrOfType<StringAttr>(gemma::segmentAttr);
             return segment && segment.getValue() != "step" &&
                    !gemma::isTower(f); // which import makes, too
           }))
    name = "optimize";
  return llvm::find_if(stages,
                       [&](auto &s) { return StringRef(s.name) == name; });
}

// Puts the module of --compile-from, checked, in the place of the imported one.
Status Compilation::readEdited() {
  const std::string &path = o.compileFrom;
  phases.begin("read " + path);
  auto bad = [&](ExitCode code, const std::string &what) {
    return makeError(code, "--compile-from: '{}' {}", path, what);
  };
  auto text = llvm::MemoryBuffer::getFileOrSTDIN(path, /*IsText=*/true);
  if (!text)
    return bad(ExitCode::BadInput,
               "cannot be read: " + text.getError().message());
  DialectRegistry registry;
  registry.insert<gemma::GemmaDialect, kernel::KernelDialect, func::FuncDialect,
                  LLVM::LLVMDialect>();
  context.appendDialectRegistry(registry);
  ScopedDiagnosticHandler handler(
      &context, [&](Diagnostic &d) { return messages.report(d); });
  OwningOpRef<ModuleOp> edited = parseSourceString<ModuleOp>(
      (*text)->getBuffer(), ParserConfig(&context), path);
  if (!edited)
    return bad(ExitCode::BadInput, "is no valid text of a stage (see above)");
  if ((*edited)->getAttr("gemma.config") != (*module)->getAttr("gemma.config"))
    return bad(ExitCode::BadInput,
               fmt::format("is of another model than '{}': gemma.config "
                           "differs",
                           o.input));
  if (auto made = (*edited)->getAttrOfType<StringAttr>(kernel::targetAttr);
      made && made.getValue() != target->name)
    return bad(ExitCode::Usage,
               fmt::format("is for target '{}', but --target is '{}'",
                           made.str(), target->name));
  from = stageOf(*edited);
  if (from == &std::end(stages)[-1])
    return bad(ExitCode::Usage,
               "is of the stage native, which says nothing of weights and "
               "memory any more; expects import, optimize, select or plan");
  for (const Stage &stage : llvm::ArrayRef(stages, from))
    if (o.compileTo == stage.name)
      return bad(ExitCode::Usage,
                 fmt::format("is of the stage {}, which comes after "
                             "--compile-to={}",
                             from->name, stage.name));
  nameValues(*edited, valueNames((*text)->getBuffer(), registry));
  module = std::move(edited);
  // What the stage promises; the others are checked by those that follow.
  StringRef name = from->name;
  Status promise = runPasses(from->name, [&](PassManager &pm) {
    if (name == "optimize")
      pm.addPass(createCheckOptimized());
    if (name == "plan")
      pm.addPass(createVerifyPlan());
  });
  return promise
             ? promise
             : bad(ExitCode::BadInput,
                   fmt::format("breaks what the stage {} promises (see above)",
                               from->name));
}

Status Compilation::checkOptions() {
  target = findTarget(o.target);
  if (!target) {
    std::string names;
    for (const Target &t : targets())
      names += " " + t.name;
    if (o.target == "host")
      return makeError(
          ExitCode::Machine,
          "this machine is none of the targets; name one with --target=:{}",
          names);
    return makeError(ExitCode::Usage,
                     "--target expects one of:{} host, got '{}'", names,
                     o.target);
  }
  threads = o.threads ? o.threads : std::max(1, int(gm::usable_cpus()));
  if (o.inspect)
    return Done{};
  if (makesProgram() && form() != Form::Program) {
    Result<LibraryFolder> folder = LibraryFolder::of(o.output, form());
    if (!folder)
      return folder.error();
    library = *folder;
  }
  output = Destination::of(library ? library->library() : o.output);
  discard = output.kind == Destination::Kind::Null;
  if (discard && makesProgram()) {
    llvm::SmallString<128> path;
    llvm::sys::path::system_temp_directory(true, path);
    llvm::sys::path::append(path, "gemmac-discarded-%%%%%%%%");
    llvm::sys::fs::createUniquePath(path, path, false);
    output.path = path.str();
  }
  if (Status s = checkOutputs(o, output); !s)
    return s;
  if (!o.dumpTo.empty())
    if (std::error_code error = llvm::sys::fs::create_directories(o.dumpTo))
      return makeError(ExitCode::Resources,
                       "cannot create the folder '{}' of --dump-to: {}",
                       o.dumpTo, error.message());
  if (makesProgram())
    if (Status s = checkRuntime(runtimeFolder(), *target, form()); !s)
      return s;
  if (Status s = lookForPtxas(); !s)
    return s;
  return o.verify.empty() ? Status(Done{}) : checkVerify(o.verify, *target);
}

Status Compilation::printStage() {
  printed = true;
  return writeText(o.output,
                   [&](llvm::raw_ostream &stream) { printModule(stream); });
}

// Everything before `native`: the plan, unless an earlier stage was asked for.
Status Compilation::toPlan() {
  if (Status s = checkOptions(); !s)
    return s;
  if (Status s = readInputs(); !s)
    return s;
  if (!o.compileFrom.empty())
    if (Status s = readEdited(); !s)
      return s;
  for (const Stage &stage : llvm::ArrayRef(from, std::end(stages) - 1)) {
    if (&stage != from || o.compileFrom.empty())
      if (Status s = runStage(stage); !s)
        return s;
    if (o.compileTo == stage.name)
      return printStage();
  }
  plan = readPlan(*module);
  if (input.tensors)
    if (Status s = checkPieces(plan, *input.tensors); !s)
      return s;
  kernels = kernelSpecs(*module);
  return Done{};
}

Status Compilation::toProgram() {
  const Stage &native = std::end(stages)[-1];
  if (Status s = runStage(native); !s)
    return s;
  if (o.compileTo == native.name)
    return printStage();
  return makesProgram() ? makeProgram() : writeCode();
}

Status Compilation::run() {
  if (Status s = toPlan(); !s || printed)
    return s;
  if (!o.verify.empty())
    if (Status s = planExact(); !s)
      return s;
  return toProgram();
}

Status Compilation::inspect() {
  Status done = toPlan();
  if (!target)
    return done;
  Inspection found{.path = o.input,
                   .input = input,
                   .findings = findings,
                   .ignored = binding.ignored,
                   .warnings = warnings,
                   .plan = plan,
                   .target = target,
                   .cannot = {}};
  if (!done)
    found.cannot = done.error();
  Status written = writeText("-", [&](llvm::raw_ostream &stream) {
    stream << (o.json ? inspectionJson(found) : inspectionText(found));
  });
  return written ? done : written;
}

//===-- --verify ----------------------------------------------------------===//

// Plans the exact program, so that lack of disk space shows before anything is
// packed.
Status Compilation::planExact() {
  DriverOptions options = o;
  options.output = temporaryName(output.path + ".exact"); // beside -o
  options.quant = "f32";
  options.quantMap = "";
  options.cacheType = "auto";
  options.weights = "embedded";
  options.verify = options.dumpTo = "";
  options.remarks = false;
  exact = std::make_unique<Compilation>(options, phases, true);
  if (Status s = exact->toPlan(); !s)
    return s;
  return checkSpace(output.path, plan.weightBytes(), exact->plan.weightBytes());
}

Result<FidelityFacts> Compilation::verify(const std::string &program) {
  RemovedFile file(exact->o.output);
  if (Status s = exact->toProgram(); !s)
    return s.error();
  phases.begin("compare with exact math");
  Result<FidelityFacts> facts = compareWithExact(
      {.program = program,
       .exact = file.path,
       .text = o.verify,
       .window = std::min<int64_t>(input.model.maxContext, 2048),
       .threads = o.threads,
       .quiet = o.quiet});
  if (facts && !o.quiet)
    say("gemmac: " + describe(*facts) + "\n");
  return facts;
}

Status Compilation::lookForPtxas() {
  Result<std::optional<Ptxas>> found =
      ptxasFor(*target, o.ptxas, makesProgram(), messages);
  if (!found)
    return found.error();
  ptxas = *found;
  return Done{};
}

Result<std::string> Compilation::compileCode(Emit emit) {
  phases.begin(second ? "kernels for exact math" : "kernels");
  Progress progress("compiling kernels", o.quiet);
  MakeImages images;
  if (ptxas)
    images = [&](const std::string &ptx) {
      phases.begin("machine code");
      auto made = makeMachineCode(*ptxas, *target, ptx, threads, messages);
      phases.begin("segments");
      return made;
    };
  Result<std::string> code = compileNative(
      *module, kernels, *target, emit, threads, o.dumpTo,
      [&](size_t done, size_t total) {
        progress.count(done, total);
        if (done < total)
          return;
        progress.finish();
        if (!ptxas) // else behind machine code
          phases.begin("segments");
      },
      images);
  if (!code)
    progress.finish();
  return code;
}

Status Compilation::writeCode() {
  Emit emit = o.emit == "llvm"  ? Emit::Llvm
              : o.emit == "asm" ? Emit::Asm
                                : Emit::Obj;
  Result<std::string> code = compileCode(emit);
  if (!code)
    return code.error();
  return writeText(o.output,
                   [&](llvm::raw_ostream &stream) { stream << *code; });
}

Status Compilation::makeProgram() {
  Result<std::string> object = compileCode(Emit::Obj);
  if (!object)
    return object.error();
  phases.begin(second ? "link and pack for exact math" : "link and pack");
  Progress progress(second ? "packing for exact math" : "packing", o.quiet);
  if (library)
    if (Status s = library->makeFolders(); !s)
      return s;
  ProgramInput program{
      .form = form(),
      .soname = library ? library->soname() : "",
      .object = std::move(*object),
      .runtime = runtimeFolder(),
      .output = output.path,
      .external = o.weights == "external",
      .rehash = o.rehash,
      .discard = discard,
      .symbols = o.symbols,
      .tokenizer = std::move(input.tokenizer),
      .threads = threads,
      .progress = [&](uint64_t done,
                      uint64_t total) { progress.update(done, total); },
      .verify = {},
      .manifest =
          programFacts(input, o.name.empty() ? input.name : o.name, *target,
                       plan, binding.ignored, o.weights != "none")};
  if (!o.verify.empty())
    program.verify = [&](const std::string &path) {
      progress.finish();
      return verify(path);
    };
  Result<ProgramSizes> sizes = writeProgram(std::move(program));
  if (!sizes) {
    if (library)
      library->removeFolders();
    return sizes.error();
  }
  progress.finish();
  if (library)
    if (Status s =
            library->complete(runtimeOf(runtimeFolder(), *target, form()));
        !s)
      return s;
  if (sizes->roundingError > 0)
    messages.warn({fmt::format(
        "quantised tensors are stored as bf16, which changes their values by "
        "up to {:.3g} ('{}'); --quant=f32 keeps them exactly",
        sizes->roundingError, sizes->roundedTensor)});
  QuantNotes notes = quantNotes(sizes->notes);
  messages.warn(notes.warnings);
  messages.remark(notes.remarks);
  const bool external =
                 o.weights == "external" || form() == Form::StaticLibrary,
             none = o.weights == "none";
  const uint64_t bytes = sizes->elf + sizes->tokenizer + sizes->manifest +
                         (external || none ? 0 : sizes->weights);
  if (!o.quiet && !second)
    say(fmt::format("gemmac: {}: {:.1f} MB for {} (weights {:.1f} MB{})\n",
                    o.output, double(bytes) / 1e6, target->name,
                    double(sizes->weights) / 1e6,
                    sizes->reused ? ", reused"
                    : external    ? ", in a file of their own"
                    : none        ? ", none: for bench --synthetic alone"
                                  : ""));
  return Done{};
}

ExitCode runDriver(const DriverOptions &options) {
  DriverOptions o = options;
  // "-o" left away: the model's name here, or standard output for a stage.
  if (o.output.empty() && o.compileTo.empty() && !o.inspect)
    o.output =
        (formOf(o.emit).value_or(Form::Program) == Form::Program ? "" : "lib") +
        checkpointName(o.input) +
        (o.emit == "llvm"  ? ".ll"
         : o.emit == "asm" ? ".s"
         : o.emit == "obj" ? ".o"
                           : "");
  Phases phases(o.verbose);
  Compilation compilation(o, phases);
  Status status = o.inspect ? compilation.inspect() : compilation.run();
  if (o.timeReport)
    say(phases.report());
  if (status)
    return ExitCode::Ok;
  say("gemmac: error: " + status.error().message + "\n");
  return status.error().code;
}

} // namespace gemmac
