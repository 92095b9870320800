#include "codegen/Optimize.h"

#include "runtime/abi.h"

#include "llvm/Analysis/TargetLibraryInfo.h"
#include "llvm/IR/DiagnosticInfo.h"
#include "llvm/IR/IRBuilder.h"
#include "llvm/IR/InlineAsm.h"
#include "llvm/IR/InstIterator.h"
#include "llvm/IR/Instructions.h"
#include "llvm/IR/IntrinsicInst.h"
#include "llvm/IR/IntrinsicsX86.h"
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

static void run(Module &module, const char *pipeline,
                std::unique_ptr<TargetMachine> machine = nullptr) {
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
  ModulePassManager passes;
  cantFail(builder.parsePassPipeline(passes, pipeline));
  passes.run(module, modules);
}

// Prefetches that stand side by side, as Halide makes them, fill the queue of
// lines that the first cache waits for, and the loads behind them wait for a
// place: a block that computes for long has them in between, evenly. No order
// of prefetches survives the scheduler, only what an operand needs: each is a
// step of assembly between a dot product and the next of the same sum.
static void spreadPrefetches(BasicBlock &block) {
  std::vector<IntrinsicInst *> prefetches, sums;
  for (Instruction &instruction : block) {
    auto *call = dyn_cast<IntrinsicInst>(&instruction);
    if (!call)
      continue;
    if (call->getIntrinsicID() == Intrinsic::prefetch)
      prefetches.push_back(call);
    else if (call->getIntrinsicID() == Intrinsic::x86_avx512_vpdpbusd_512 &&
             !prefetches.empty() && call->hasOneUse() &&
             call->user_back()->getParent() == &block &&
             isa<IntrinsicInst>(call->user_back()))
      sums.push_back(call);
  }
  if (sums.size() < 2 * prefetches.size())
    return;
  const DataLayout &layout = block.getDataLayout();
  for (size_t i = 0; i < prefetches.size(); ++i) {
    IntrinsicInst *sum = sums[i * sums.size() / prefetches.size()];
    // One address for all lines of a step: loop strength reduction does not
    // look into assembly, and would count each of them up in its own register.
    APInt offset(64, 0);
    Value *line =
        prefetches[i]->getArgOperand(0)->stripAndAccumulateConstantOffsets(
            layout, offset, /*AllowNonInbounds=*/true);
    // Halide makes addresses in front of all products; another may not be used
    // before it is there.
    if (auto *made = dyn_cast<Instruction>(line);
        made && made->getParent() == &block && !made->comesBefore(sum))
      continue;
    auto *step = InlineAsm::get(
        FunctionType::get(sum->getType(), {line->getType(), sum->getType()},
                          false),
        "prefetcht0 " + std::to_string(offset.getSExtValue()) + "($1)",
        "=v,r,0", /*hasSideEffects=*/false);
    CallInst *call =
        IRBuilder<>(sum->getNextNode()).CreateCall(step, {line, sum});
    sum->replaceUsesWithIf(call,
                           [&](Use &use) { return use.getUser() != call; });
    prefetches[i]->eraseFromParent();
  }
}

void optimizeModule(Module &module, const Target &target) {
  setTarget(module, target);
  for (Function &function : module)
    if (!target.tune.empty())
      function.addFnAttr("tune-cpu", target.tune);
  run(module, "default<O3>", createTargetMachine(target));
  for (Function &function : module)
    for (BasicBlock &block : function)
      spreadPrefetches(block);
}

void dropDeadCode(Module &module, bool throughCalls) {
  // Cheap passes first: half of the functions are gone before instcombine, the
  // dearest of these, looks at any.
  if (throughCalls)
    run(module, "globaldce,function(instsimplify,simplifycfg),globaldce,"
                "function(mem2reg),ipsccp");
  run(module, "globaldce,function(instcombine<no-verify-fixpoint>,simplifycfg),"
              "globaldce");
}

// Frames are as large as a model's constants make them. Calls below a kernel,
// and its callers, share what is left.
constexpr uint64_t mostFrame = GM_STACK_BYTES / 4 * 3;

namespace {
// Remembers the first function whose frame is larger than `mostFrame`.
class FrameReport : public DiagnosticHandler {
public:
  explicit FrameReport(std::string &problem) : problem(problem) {}
  bool handleDiagnostics(const DiagnosticInfo &info) override {
    auto *frame = dyn_cast<DiagnosticInfoStackSize>(&info);
    if (frame && problem.empty())
      problem = "'" + frame->getFunction().getName().str() + "' takes " +
                std::to_string(frame->getStackSize()) +
                " bytes of stack, of which workers have " +
                std::to_string(mostFrame) + " for a kernel";
    return frame;
  }

private:
  std::string &problem;
};
} // namespace

// Bytes that a function takes besides its frame; nothing if they are not known.
static std::optional<uint64_t> bytesBesideFrame(const Function &function) {
  const DataLayout &layout = function.getParent()->getDataLayout();
  uint64_t sum = 0;
  for (const Instruction &instruction : instructions(function))
    if (auto *memory = dyn_cast<AllocaInst>(&instruction);
        memory && !memory->isStaticAlloca()) {
      std::optional<TypeSize> size = memory->getAllocationSize(layout);
      if (!size)
        return std::nullopt;
      sum += size->getFixedValue();
    }
  return sum;
}

static Result<std::string> emit(Module &module, const Target &target,
                                CodeGenFileType type) {
  std::unique_ptr<TargetMachine> machine = createTargetMachine(target);
  setTarget(module, target);
  std::string problem;
  for (Function &function : module) {
    const uint64_t other = bytesBesideFrame(function).value_or(mostFrame + 1);
    if (other > mostFrame)
      problem = "'" + function.getName().str() +
                "' takes too many or an unknown number of bytes of stack";
    else
      function.addFnAttr("warn-stack-size", std::to_string(mostFrame - other));
  }
  LLVMContext &context = module.getContext();
  std::unique_ptr<DiagnosticHandler> before = context.getDiagnosticHandler();
  context.setDiagnosticHandler(std::make_unique<FrameReport>(problem));
  SmallVector<char, 0> bytes;
  raw_svector_ostream stream(bytes);
  legacy::PassManager passes;
  bool failed = machine->addPassesToEmitFile(passes, stream, nullptr, type);
  assert(!failed && "the back end cannot emit this file type");
  (void)failed;
  passes.run(module);
  context.setDiagnosticHandler(std::move(before));
  if (!problem.empty())
    return Error{ExitCode::Unsupported, "kernel " + problem};
  return std::string(bytes.begin(), bytes.end());
}

Result<std::string> emitObject(Module &module, const Target &target) {
  return emit(module, target, CodeGenFileType::ObjectFile);
}

Result<std::string> emitAssembly(Module &module, const Target &target) {
  return emit(module, target, CodeGenFileType::AssemblyFile);
}

} // namespace gemmac
