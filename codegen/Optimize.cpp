#include "codegen/Optimize.h"

#include "llvm/Analysis/TargetLibraryInfo.h"
#include "llvm/IR/LegacyPassManager.h"
#include "llvm/IR/Module.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Passes/PassBuilder.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Support/raw_ostream.h"
#include "llvm/Target/TargetMachine.h"
#include "llvm/Target/TargetOptions.h"

#include <mutex>

using namespace llvm;

namespace gemmac {

std::unique_ptr<TargetMachine> createTargetMachine(const Target &target) {
  static std::once_flag once;
  std::call_once(once, [] {
    InitializeAllTargetInfos();
    InitializeAllTargets();
    InitializeAllTargetMCs();
    InitializeAllAsmPrinters();
    InitializeAllAsmParsers();
  });
  std::string error;
  Triple triple(target.triple);
  const auto *backend = TargetRegistry::lookupTarget(triple, error);
  assert(backend && "LLVM lacks the back end of a target");
  TargetOptions options;
  options.FunctionSections = true;
  return std::unique_ptr<TargetMachine>(backend->createTargetMachine(
      triple, target.cpu, llvmFeatures(target), options, Reloc::PIC_,
      std::nullopt, CodeGenOptLevel::Aggressive));
}

void setTarget(Module &module, const Target &target) {
  module.setTargetTriple(Triple(target.triple));
  module.setDataLayout(createTargetMachine(target)->createDataLayout());
}

void optimizeModule(Module &module, const Target &target) {
  std::unique_ptr<TargetMachine> machine = createTargetMachine(target);
  module.setTargetTriple(Triple(target.triple));
  module.setDataLayout(machine->createDataLayout());
  for (Function &function : module)
    function.addFnAttr("tune-cpu", target.tune);

  PipelineTuningOptions tuning;
  tuning.SLPVectorization = true;
  tuning.LoopUnrolling = false;
  LoopAnalysisManager loops;
  FunctionAnalysisManager functions;
  CGSCCAnalysisManager graphs;
  ModuleAnalysisManager modules;
  PassBuilder builder(machine.get(), tuning);
  // Programs have a libc, but no vector math library.
  functions.registerPass([&] {
    return TargetLibraryAnalysis(
        TargetLibraryInfoImpl(module.getTargetTriple()));
  });
  builder.registerModuleAnalyses(modules);
  builder.registerCGSCCAnalyses(graphs);
  builder.registerFunctionAnalyses(functions);
  builder.registerLoopAnalyses(loops);
  builder.crossRegisterProxies(loops, functions, graphs, modules);
  builder.buildPerModuleDefaultPipeline(OptimizationLevel::O3)
      .run(module, modules);
}

static std::string emit(Module &module, const Target &target,
                        CodeGenFileType type) {
  std::unique_ptr<TargetMachine> machine = createTargetMachine(target);
  module.setTargetTriple(Triple(target.triple));
  module.setDataLayout(machine->createDataLayout());
  SmallVector<char, 0> bytes;
  raw_svector_ostream stream(bytes);
  legacy::PassManager passes;
  bool failed = machine->addPassesToEmitFile(passes, stream, nullptr, type);
  assert(!failed && "the back end cannot emit this file type");
  (void)failed;
  passes.run(module);
  return std::string(bytes.begin(), bytes.end());
}

std::string emitObject(Module &module, const Target &target) {
  return emit(module, target, CodeGenFileType::ObjectFile);
}

std::string emitAssembly(Module &module, const Target &target) {
  return emit(module, target, CodeGenFileType::AssemblyFile);
}

} // namespace gemmac
