// gemma-to-kernel: makes one function per segment and row class and asks the
// recipe of its device to fill it with calls of kernels. Here the target is
// asked for the first time. Must not know how an op becomes calls.
#include "passes/Passes.h"
#include "passes/Recipes.h"
#include "targets/Target.h"

#include "mlir/IR/TypeUtilities.h"

using namespace mlir;

namespace gemmac {
#define GEN_PASS_DEF_GEMMATOKERNEL
#include "passes/Passes.h.inc"

namespace {

struct GemmaToKernel : impl::GemmaToKernelBase<GemmaToKernel> {
  using GemmaToKernelBase::GemmaToKernelBase;
  void runOnOperation() override;

private:
  LogicalResult lowerFunction(func::FuncOp source, const SegmentKind &segment,
                              RowClass rows, const Recipe &recipe,
                              const Packing &packing, KernelSymbols &symbols);
  LogicalResult finish(RecipeContext &context, func::FuncOp target,
                       const SegmentKind &segment);
};

StringRef argName(func::FuncOp func, unsigned index) {
  auto name = func.getArgAttrOfType<StringAttr>(index, gemma::argAttr);
  return name ? name.getValue() : StringRef();
}

// Slots and positions of rows reach kernels in tiles; ends of blocks do not.
bool isInTiles(OpOperand &use) {
  Operation *user = use.getOwner();
  if (auto attention = dyn_cast<gemma::AttentionBlockOp>(user))
    if (attention.getEnd() && &attention.getEndMutable()[0] == &use)
      return false;
  return isa<gemma::KvBlockOp, gemma::AttentionBlockOp>(user) &&
         getElementTypeOrSelf(use.get()).isInteger(32);
}

const Recipe &recipeFor(const Target &target) {
  switch (target.device) {
  case Device::Cpu:
    return cpuRecipe;
  case Device::Cuda:
    return cudaRecipe;
  }
  llvm_unreachable("all devices handled");
}

// The type of an array that the source has no argument for; null if only that
// would say it.
Type ioType(Io io, func::FuncOp source) {
  Builder b(source.getContext());
  const IoArray &array = arrayOf(io);
  SmallVector<int64_t> shape(array.rank, array.inner);
  shape[0] = ShapedType::kDynamic;
  if (io == Io::ple) // the recipe knows columns and format
    return RankedTensorType::get({shape[0], 1}, b.getF32Type());
  if (io == Io::mask)
    source.walk([&](gemma::TopOp top) {
      if (auto weight = gemma::lookupWeight(top, top.getWeightAttr()))
        shape[1] = roundUp(weight.dim(0), 32) / 32;
    });
  if (formatOf(array.element).code != Format::Code::I32 ||
      llvm::is_contained(shape, 0))
    return {};
  return RankedTensorType::get(shape, b.getI32Type());
}

// Arguments of the new function: those of the source, then those that the
// runtime adds. Unused ones are erased afterwards.
void addArguments(RecipeContext &context, Block *entry,
                  const SegmentKind &segment) {
  func::FuncOp source = context.source;
  for (Io io : segment.inputs) {
    StringRef name = arrayOf(io).name;
    BlockArgument from;
    for (BlockArgument argument : source.getArguments())
      if (argName(source, argument.getArgNumber()) == name)
        from = argument;
    Type type = ioType(io, source);
    if (!type && from)
      type = from.getType();
    if (!type)
      continue;
    Value value = entry->addArgument(
        type, NameLoc::get(StringAttr::get(source.getContext(), name)));
    context.io[io] = value;
    if (from)
      context.values.map(from, value);
  }
}

} // namespace

// Shared by all workers, so a value of a private slot is copied out.
static FailureOr<SmallVector<Value>>
outputs(RecipeContext &context, func::ReturnOp source, ArrayRef<Io> arrays) {
  SmallVector<Value> results;
  bool isResidual = llvm::is_contained(arrays, Io::resid);
  for (Value operand : source.getOperands()) {
    Value value = context.recipe.value(context, operand);
    if (!value)
      return source.emitError("returns a value that no kernel computes");
    auto call = value.getDefiningOp<kernel::CallOp>();
    bool isShared = call && call.getAxis() != Axis::All;
    // The residual lives on in the arena, where body may overwrite it.
    if (!isShared || isResidual)
      value = context.recipe.copyOut(
          context,
          NameLoc::get(
              StringAttr::get(source.getContext(),
                              results.size() < arrays.size()
                                  ? arrayOf(arrays[results.size()]).name
                                  : ""),
              source.getLoc()),
          value);
    results.push_back(value);
  }
  if (llvm::is_contained(arrays, Io::logits) &&
      !llvm::is_contained(results, context.scores))
    results.push_back(context.scores);
  return results;
}

LogicalResult GemmaToKernel::finish(RecipeContext &context, func::FuncOp target,
                                    const SegmentKind &segment) {
  Builder b(&getContext());
  SmallVector<Io> arrays(ArrayRef<Io>(segment.outputs));
  if (!context.scores) // nobody computes them
    llvm::erase(arrays, Io::logits);
  Block &entry = target.front();
  FailureOr<SmallVector<Value>> results = outputs(
      context, cast<func::ReturnOp>(context.source.front().getTerminator()),
      arrays);
  if (failed(results))
    return failure();
  if (results->size() != arrays.size())
    return context.source.emitError("expects ")
           << arrays.size() << " results of segment " << segment.name
           << ", got " << results->size();
  func::ReturnOp::create(context.builder, context.source.getLoc(), *results);
  SmallVector<Type> argTypes(entry.getArgumentTypes());
  target.setFunctionType(FunctionType::get(&getContext(), argTypes,
                                           ValueRange(*results).getTypes()));
  for (auto [index, io] : llvm::enumerate(arrays))
    target.setResultAttr(index, kernel::ioAttr,
                         b.getStringAttr(arrayOf(io).name));
  llvm::BitVector unused(entry.getNumArguments());
  for (BlockArgument argument : entry.getArguments())
    if (argument.use_empty())
      unused.set(argument.getArgNumber());
  if (failed(target.eraseArguments(unused)))
    return failure();
  target->setAttr(kernel::segmentAttr, b.getStringAttr(segment.name));
  target->setAttr(kernel::rowsAttr,
                  b.getStringAttr(rowClassName(context.rows)));
  if (context.pleColumns)
    target->setAttr(kernel::pleAttr,
                    b.getDenseI64ArrayAttr({context.pleColumns->first,
                                            context.pleColumns->second}));
  return success();
}

LogicalResult GemmaToKernel::lowerFunction(func::FuncOp source,
                                           const SegmentKind &segment,
                                           RowClass rows, const Recipe &recipe,
                                           const Packing &packing,
                                           KernelSymbols &symbols) {
  OpBuilder b(source);
  std::string name = (source.getSymName() + "_" + rowClassName(rows)).str();
  auto target =
      func::FuncOp::create(b, source.getLoc(), name, b.getFunctionType({}, {}));
  Block *entry = target.addEntryBlock();
  RecipeContext context = {
      recipe, packing, symbols, rows, OpBuilder::atBlockEnd(entry), source};
  addArguments(context, entry, segment);
  target.setFunctionType(b.getFunctionType(entry->getArgumentTypes(), {}));
  for (auto [io, value] : context.io)
    target.setArgAttr(cast<BlockArgument>(value).getArgNumber(), kernel::ioAttr,
                      b.getStringAttr(arrayOf(io).name));
  for (BlockArgument argument : source.getArguments())
    if (!context.values.contains(argument) &&
        !llvm::all_of(argument.getUses(), isInTiles))
      return source.emitError("argument ")
             << argument.getArgNumber() << " ('"
             << argName(source, argument.getArgNumber())
             << "') is no step array that kernels know";
  for (Operation &op : source.front().without_terminator())
    if (failed(context.recipe.lower(context, &op)))
      return failure();
  return finish(context, target, segment);
}

void GemmaToKernel::runOnOperation() {
  ModuleOp module = getOperation();
  const Target *chosen = findTarget(target);
  if (!chosen) {
    module.emitError()
        << "unknown target '" << target
        << "' (gemmac --list-targets shows those that there are)";
    return signalPassFailure();
  }
  const Recipe &recipe = recipeFor(*chosen);
  Packing packing(module);
  if (failed(packing.check()))
    return signalPassFailure();
  KernelSymbols symbols(module, *chosen);
  for (auto source :
       llvm::make_early_inc_range(module.getOps<func::FuncOp>())) {
    auto name = source->getAttrOfType<StringAttr>(gemma::segmentAttr);
    const SegmentKind *segment = name ? findSegment(name.getValue()) : nullptr;
    if (!segment) {
      emitError(source.getLoc(), "expects a function of a segment (run the "
                                 "stage optimize first), got ")
          << (name ? name.getValue() : "none");
      return signalPassFailure();
    }
    for (RowClass rows : {RowClass::Few, RowClass::Many})
      if (!(segment->isTower() && rows == RowClass::Few) &&
          failed(
              lowerFunction(source, *segment, rows, recipe, packing, symbols)))
        return signalPassFailure();
  }
  for (Operation &op : llvm::make_early_inc_range(*module.getBody()))
    if (isa<gemma::WeightOp, gemma::CacheOp>(op) ||
        op.hasAttr(gemma::segmentAttr))
      op.erase();
  // For readers: bodies, caches, weights, functions.
  auto kindOf = [](Operation &op) {
    return isa<kernel::DefOp>(op)      ? 0
           : isa<kernel::CacheOp>(op)  ? 1
           : isa<kernel::WeightOp>(op) ? 2
                                       : 3;
  };
  module.getBody()->getOperations().sort(
      [&](Operation &a, Operation &b) { return kindOf(a) < kindOf(b); });
  module->setAttr(kernel::targetAttr,
                  StringAttr::get(&getContext(), chosen->name));
}

} // namespace gemmac
