// gemma-opt: reads IR of any stage, runs passes by flag, prints it. MLIR's tool
// with four habits of its own: values keep the names that they have in the
// file, remarks are printed, errors do not print what they are about once more,
// and --help lists what has to do with IR.
#include "compiler/StandardStreams.h"
#include "compiler/ValueNames.h"
#include "compiler/Version.h"
#include "dialects/gemma/Gemma.h"
#include "dialects/kernel/Kernel.h"
#include "passes/Pipelines.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Support/FileUtilities.h"
#include "mlir/Tools/mlir-opt/MlirOptMain.h"
#include "mlir/Transforms/Passes.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/InitLLVM.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/ToolOutputFile.h"

using namespace mlir;

namespace {

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
  void runOnOperation() override { gemmac::nameValues(getOperation(), names); }
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
  // A diagnostic shows its line; of a module it would print all of it.
  if (!given("-mlir-print-op-on-diagnostic"))
    result.insert(result.begin() + 1, "--mlir-print-op-on-diagnostic=false");
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
        [&, names = gemmac::valueNames(file->getBuffer(), registry)](
            PassManager &pm) {
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
  gemmac::prepareStandardStreams("gemma-opt");
  llvm::InitLLVM init(argc, argv);
  return asMainReturnCode(run(argc, argv));
}
