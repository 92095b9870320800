// kernel-to-llvm: the module of a planned model in the LLVM dialect: bodies are
// declared, segments become functions (SegmentLowering.h), and gm_model names
// them (ModelTable.h).
#include "passes/ModelTable.h"
#include "passes/Passes.h"
#include "passes/SegmentLowering.h"
#include "passes/VerifyPlan.h"

using namespace mlir;

namespace gemmac {
#define GEN_PASS_DEF_KERNELTOLLVM
#include "passes/Passes.h.inc"

namespace {

struct KernelToLLVM : impl::KernelToLLVMBase<KernelToLLVM> {
  void runOnOperation() override;
};

// The C signature of a body (targets/Kernels.h).
LLVM::LLVMFunctionType signatureOf(const KernelSpec &spec,
                                   MLIRContext *context) {
  Type ptr = LLVM::LLVMPointerType::get(context);
  Type i32 = IntegerType::get(context, 32);
  SmallVector<Type> types;
  for (const Parameter &parameter : kernelParameters(spec))
    types.push_back(parameter.pointer ? ptr : i32);
  return LLVM::LLVMFunctionType::get(LLVM::LLVMVoidType::get(context), types);
}

DeclaredBody declare(OpBuilder &b, kernel::DefOp def) {
  KernelSpec spec = kernel::specOf(def);
  auto func = LLVM::LLVMFuncOp::create(b, def.getLoc(), def.getSymName(),
                                       signatureOf(spec, b.getContext()));
  return {func, findFamily(spec.family), spec};
}

// Launched by its number.
DeclaredBody launched(kernel::DefOp def, int32_t number) {
  KernelSpec spec = kernel::specOf(def);
  return {{}, findFamily(spec.family), spec, number};
}

bool isForDevice(ModuleOp module) {
  auto name = module->getAttrOfType<StringAttr>(kernel::targetAttr);
  const Target *target = name ? findTarget(name.str()) : nullptr;
  return target && target->device != Device::Cpu;
}

} // namespace

// The lowering trusts the plan, so it must be one.
static LogicalResult checkPlan(ModuleOp module) {
  for (auto func : module.getOps<func::FuncOp>())
    if (!func->hasAttr(kernel::segmentAttr) ||
        !func->hasAttr(kernel::rowsAttr) || !func->hasAttr(kernel::memoryAttr))
      return func.emitOpError(
          "expects a planned segment (run the stage plan first)");
  return verifyPlan(module);
}

void KernelToLLVM::runOnOperation() {
  ModuleOp module = getOperation();
  if (failed(checkPlan(module)))
    return signalPassFailure();
  // Before declarations take the names of their kernels.
  kernel::Symbols symbols(module);
  OpBuilder b = OpBuilder::atBlockBegin(module.getBody());
  llvm::StringMap<DeclaredBody> kernels;
  const bool isDevice = isForDevice(module);
  int32_t number = 0;
  for (auto def : llvm::to_vector(module.getOps<kernel::DefOp>()))
    kernels[def.getSymName()] =
        isDevice ? launched(def, number++) : declare(b, def);
  SmallVector<SegmentEntry> entries;
  CallTable table(symbols);
  for (auto func : llvm::to_vector(module.getOps<func::FuncOp>())) {
    auto segment = func->getAttrOfType<StringAttr>(kernel::segmentAttr);
    auto rows = func->getAttrOfType<StringAttr>(kernel::rowsAttr);
    int32_t first = table.size();
    LLVM::LLVMFuncOp lowered = lowerSegment(func, symbols, kernels, table);
    SegmentEntry *entry = llvm::find_if(
        entries, [&](SegmentEntry &e) { return e.segment == segment; });
    if (entry == entries.end())
      entry = &entries.emplace_back(
          SegmentEntry{segment.getValue(), "", "", GM_FEW_ROWS, {}});
    bool isFew = rows == "few";
    for (auto call : func.getOps<kernel::CallOp>())
      if (isFew)
        entry->fewRows = std::min(
            entry->fewRows, kernels.lookup(call.getCallee()).family->fewRows);
    (isFew ? entry->few : entry->many) = lowered.getSymName();
    entry->calls[isFew ? 0 : 1][0] = first;
    entry->calls[isFew ? 0 : 1][1] = table.size();
  }
  for (SegmentEntry &entry : entries)
    if (entry.few.empty()) // a tower
      entry.fewRows = 0;
  makeModelTable(module, entries, table, isDevice ? number : 0);
  for (Operation &op : llvm::make_early_inc_range(*module.getBody()))
    if (isa<func::FuncOp, kernel::DefOp, kernel::WeightOp, kernel::CacheOp>(op))
      op.erase();
}

} // namespace gemmac
