// gemma-opt: reads IR of any stage, runs passes by flag, prints it. MLIR's tool
// with three habits of its own: values keep the names that they have in the
// file, remarks are printed, and --help lists what has to do with IR.
#include "compiler/Version.h"
#include "dialects/gemma/Gemma.h"
#include "dialects/kernel/Kernel.h"
#include "passes/Pipelines.h"

#include "mlir/AsmParser/AsmParser.h"
#include "mlir/AsmParser/AsmParserState.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Support/FileUtilities.h"
#include "mlir/Tools/mlir-opt/MlirOptMain.h"
#include "mlir/Transforms/Passes.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/InitLLVM.h"
#include "llvm/Support/SourceMgr.h"
#include "llvm/Support/ToolOutputFile.h"

using namespace mlir;

namespace {

//===-- names of a file's values ------------------------------------------===//

// Calls `visit` for every op below `root` and every argument of its blocks,
// always in the same order.
void walkNamed(Operation *root,
               llvm::function_ref<void(Operation *, BlockArgument)> visit) {
  for (Region &region : root->getRegions())
    for (Block &block : region) {
      for (BlockArgument argument : block.getArguments())
        visit(nullptr, argument);
      for (Operation &op : block) {
        visit(&op, {});
        walkNamed(&op, visit);
      }
    }
}

// The names in `text`, in the order of walkNamed; "" where a value has only a
// number and where an op has no result. Nothing if the text cannot be parsed:
// MLIR's own parse will say why.
std::vector<std::string> namesIn(StringRef text, DialectRegistry &registry) {
  MLIRContext context(registry, MLIRContext::Threading::DISABLED);
  ScopedDiagnosticHandler silent(&context, [](Diagnostic &) {});
  llvm::SourceMgr sources;
  sources.AddNewSourceBuffer(
      llvm::MemoryBuffer::getMemBuffer(text, "", /*RequiresNullTerminator=*/
                                       false),
      llvm::SMLoc());
  OwningOpRef<ModuleOp> module = ModuleOp::create(UnknownLoc::get(&context));
  ParserConfig config(&context, /*verifyAfterParse=*/false);
  AsmParserState state;
  if (failed(parseAsmSourceFile(sources, module->getBody(), config, &state)))
    return {};
  std::vector<std::string> names;
  auto add = [&](llvm::SMRange place) {
    StringRef name(place.Start.getPointer(),
                   place.End.getPointer() - place.Start.getPointer());
    name.consume_front("%");
    names.push_back(llvm::all_of(name, llvm::isDigit) ? "" : name.str());
  };
  // A module in the file is the module; anything else stands in one.
  Operation *root = *module;
  if (llvm::hasSingleElement(*module->getBody()) &&
      isa<ModuleOp>(module->getBody()->front()))
    root = &module->getBody()->front();
  walkNamed(root, [&](Operation *op, BlockArgument argument) {
    if (op) {
      const auto *def = state.getOpDef(op);
      if (def && !def->resultGroups.empty())
        return add(def->resultGroups.front().definition.loc);
      return names.push_back("");
    }
    const auto *def = state.getBlockDef(argument.getOwner());
    if (def && argument.getArgNumber() < def->arguments.size())
      return add(def->arguments[argument.getArgNumber()].loc);
    names.push_back("");
  });
  return names;
}

// The first pass: gives the values the names that they have in the file.
struct NameValues : PassWrapper<NameValues, OperationPass<ModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(NameValues)
  NameValues() = default;
  explicit NameValues(std::vector<std::string> names)
      : names(std::move(names)) {}
  StringRef getArgument() const override { return "name-values"; }
  StringRef getDescription() const override {
    return "Keep the names of the file (gemma-opt adds this pass)";
  }
  void runOnOperation() override {
    size_t next = 0;
    auto named = [&](Location loc) -> Location {
      std::string name = next < names.size() ? names[next] : "";
      ++next;
      if (name.empty() || isa<NameLoc>(loc))
        return loc;
      return NameLoc::get(StringAttr::get(&getContext(), name), loc);
    };
    walkNamed(getOperation(), [&](Operation *op, BlockArgument argument) {
      if (op)
        op->setLoc(named(op->getLoc()));
      else
        argument.setLoc(named(argument.getLoc()));
    });
  }
  std::vector<std::string> names;
};

//===-- the command line --------------------------------------------------===//

// The options that are registered before ours belong to LLVM's back ends.
void hideRegisteredOptions() {
  for (auto [name, option] : llvm::cl::getRegisteredOptions())
    if (!name.contains("help") && name != "version")
      option->setHiddenFlag(llvm::cl::Hidden);
}

// `arguments` with our defaults where the user says nothing else.
std::vector<const char *> withDefaults(ArrayRef<char *> arguments) {
  std::vector<const char *> result(arguments.begin(), arguments.end());
  auto given = [&](StringRef part) {
    return llvm::any_of(arguments,
                        [&](StringRef a) { return a.contains(part); });
  };
  if (!given("-remark"))
    result.insert(result.begin() + 1,
                  {"--remarks-filter=.*", "--remark-format=emitRemark"});
  if (!given("-mlir-use-nameloc-as-prefix"))
    result.insert(result.begin() + 1, "--mlir-use-nameloc-as-prefix");
  return result;
}

LogicalResult run(int argc, char **argv) {
  hideRegisteredOptions();
  llvm::cl::SetVersionPrinter([](llvm::raw_ostream &stream) {
    stream << gemmac::versionText("gemma-opt") << "\n";
  });
  DialectRegistry registry;
  registry.insert<gemma::GemmaDialect, kernel::KernelDialect, func::FuncDialect,
                  LLVM::LLVMDialect>();
  gemmac::registerGemmacPasses();
  registerTransformsPasses(); // canonicalize, cse, symbol-dce, ...
  PassRegistration<NameValues>();
  std::vector<const char *> arguments = withDefaults({argv, size_t(argc)});
  auto [input, output] = registerAndParseCLIOptions(
      int(arguments.size()), const_cast<char **>(arguments.data()),
      "gemmac: IR to IR, pass by pass\n", registry);
  MlirOptMainConfig config = MlirOptMainConfig::createFromCLOptions();
  if (config.shouldListPasses() || config.shouldShowDialects())
    return MlirOptMain(argc, argv, input, output, registry);
  std::string problem;
  std::unique_ptr<llvm::MemoryBuffer> file = openInputFile(input, &problem);
  std::unique_ptr<llvm::ToolOutputFile> out =
      file ? openOutputFile(output, &problem) : nullptr;
  if (!out) {
    llvm::errs() << problem << "\n";
    return failure();
  }
  MlirOptMainConfig named = config;
  if (config.inputSplitMarker().empty())
    named.setPassPipelineSetupFn(
        [&, names = namesIn(file->getBuffer(), registry)](PassManager &pm) {
          pm.addPass(std::make_unique<NameValues>(names));
          return config.setupPassPipeline(pm);
        });
  if (failed(MlirOptMain(out->os(), std::move(file), registry, named)))
    return failure();
  out->keep();
  return success();
}

} // namespace

int main(int argc, char **argv) {
  llvm::InitLLVM init(argc, argv);
  return asMainReturnCode(run(argc, argv));
}
