// gemma-to-kernel: makes one function per segment and row class and asks the
// target's recipe to fill it with calls of kernels. Here the target is asked
// for the first time. Must not know how an op becomes calls.
#include "passes/Passes.h"
#include "passes/Recipes.h"
#include "targets/Target.h"

using namespace mlir;

namespace gemmac {
#define GEN_PASS_DEF_GEMMATOKERNEL
#include "passes/Passes.h.inc"

namespace {

// Every step array and io buffer that a segment may read, in argument order.
constexpr llvm::StringLiteral ioNames[] = {
    "ids",          "slot",        "pos",          "rope_local",
    "rope_global",  "ple",         "tile",         "split_local",
    "split_global", "parts_local", "parts_global", "want",
    "resid",        "hidden",      "mask",         "best"};

struct GemmaToKernel : impl::GemmaToKernelBase<GemmaToKernel> {
  using GemmaToKernelBase::GemmaToKernelBase;
  void runOnOperation() override;

private:
  LogicalResult lowerFunction(func::FuncOp source, RowClass rows,
                              KernelSymbols &symbols);
  LogicalResult finish(RecipeContext &context, func::FuncOp target);
};

StringRef argName(func::FuncOp func, unsigned index) {
  auto name = func.getArgAttrOfType<StringAttr>(index, "gemma.arg");
  return name ? name.getValue() : StringRef();
}

// The type of io array `name` where the source has no argument of that name.
Type ioType(StringRef name, func::FuncOp source) {
  Builder b(source.getContext());
  constexpr int64_t any = ShapedType::kDynamic;
  if (name == "tile" || name.starts_with("split_"))
    return RankedTensorType::get({any, 4}, b.getI32Type());
  if (name.starts_with("parts_") || name == "best")
    return RankedTensorType::get({any}, b.getI32Type());
  if (name == "ple") // the recipe knows the format
    return RankedTensorType::get({any, 1}, b.getF32Type());
  if (name != "mask")
    return {};
  Type type;
  source.walk([&](gemma::TopOp top) {
    if (auto values = top.getWeightAttr(); gemma::lookupWeight(top, values)) {
      int64_t vocab = gemma::lookupWeight(top, values).dim(0);
      type =
          RankedTensorType::get({any, roundUp(vocab, 32) / 32}, b.getI32Type());
    }
  });
  return type;
}

// Arguments of the new function: those of the source, then those that the
// runtime adds. Unused ones are erased afterwards.
void addArguments(RecipeContext &context, Block *entry,
                  SmallVector<StringRef> &names) {
  func::FuncOp source = context.source;
  for (StringRef name : ioNames) {
    BlockArgument from;
    for (BlockArgument argument : source.getArguments())
      if (argName(source, argument.getArgNumber()) == name)
        from = argument;
    Type type = ioType(name, source);
    if (!type && from)
      type = from.getType();
    if (!type)
      continue;
    Value value = entry->addArgument(
        type, NameLoc::get(StringAttr::get(source.getContext(), name)));
    names.push_back(name);
    context.io[name] = value;
    if (from)
      context.values.map(from, value);
  }
}

// The io buffers that a segment's results go to.
SmallVector<StringRef> resultNames(StringRef segment) {
  if (segment == "body")
    return {"resid"};
  if (segment == "tail")
    return {"hidden"};
  if (segment == "logits")
    return {"logits"};
  return {"top_ids", "top_values", "logits"};
}

} // namespace

// Shared by all workers, so a value of a private slot is copied out.
static FailureOr<SmallVector<Value>> outputs(RecipeContext &context,
                                             func::ReturnOp source) {
  SmallVector<Value> results;
  auto segment = context.source->getAttrOfType<StringAttr>(gemma::segmentAttr);
  bool isResidual = segment == "body";
  for (Value operand : source.getOperands()) {
    Value value = context.values.lookupOrNull(operand);
    if (!value)
      return source.emitError("returns a value that no kernel computes");
    auto call = value.getDefiningOp<kernel::CallOp>();
    bool isShared = call && call.getAxis() != "all";
    // The residual lives on in the arena, where body may overwrite it.
    if (!isShared || isResidual)
      value = copyOutForCpu(context, source.getLoc(), value);
    results.push_back(value);
  }
  if (context.scores && !llvm::is_contained(results, context.scores))
    results.push_back(context.scores);
  return results;
}

LogicalResult GemmaToKernel::finish(RecipeContext &context,
                                    func::FuncOp target) {
  Builder b(&getContext());
  StringRef segment =
      context.source->getAttrOfType<StringAttr>(gemma::segmentAttr).getValue();
  Block &entry = target.front();
  FailureOr<SmallVector<Value>> results = outputs(
      context, cast<func::ReturnOp>(context.source.front().getTerminator()));
  if (failed(results))
    return failure();
  SmallVector<StringRef> names = resultNames(segment);
  if (segment == "top" && !context.scores) // nobody computed them
    names.pop_back();
  if (results->size() != names.size())
    return context.source.emitError("expects ")
           << names.size() << " results of segment " << segment << ", got "
           << results->size();
  func::ReturnOp::create(context.builder, context.source.getLoc(), *results);
  SmallVector<Type> argTypes(entry.getArgumentTypes());
  target.setFunctionType(FunctionType::get(&getContext(), argTypes,
                                           ValueRange(*results).getTypes()));
  for (auto [index, name] : llvm::enumerate(names))
    target.setResultAttr(index, kernel::ioAttr, b.getStringAttr(name));
  llvm::BitVector unused(entry.getNumArguments());
  for (BlockArgument argument : entry.getArguments())
    if (argument.use_empty())
      unused.set(argument.getArgNumber());
  if (failed(target.eraseArguments(unused)))
    return failure();
  target->setAttr(kernel::segmentAttr, b.getStringAttr(segment));
  target->setAttr(kernel::rowsAttr,
                  b.getStringAttr(context.few() ? "few" : "many"));
  if (context.pleColumns)
    target->setAttr(kernel::pleAttr,
                    b.getDenseI64ArrayAttr({context.pleColumns->first,
                                            context.pleColumns->second}));
  return success();
}

LogicalResult GemmaToKernel::lowerFunction(func::FuncOp source, RowClass rows,
                                           KernelSymbols &symbols) {
  OpBuilder b(source);
  std::string name =
      (source.getSymName() + (rows == RowClass::Few ? "_few" : "_many")).str();
  auto target =
      func::FuncOp::create(b, source.getLoc(), name, b.getFunctionType({}, {}));
  Block *entry = target.addEntryBlock();
  RecipeContext context(symbols, rows, OpBuilder::atBlockEnd(entry), source);
  SmallVector<StringRef> names;
  addArguments(context, entry, names);
  target.setFunctionType(b.getFunctionType(entry->getArgumentTypes(), {}));
  for (auto [index, io] : llvm::enumerate(names))
    target.setArgAttr(index, kernel::ioAttr, b.getStringAttr(io));
  for (BlockArgument argument : source.getArguments())
    if (!context.values.contains(argument) && !argument.use_empty())
      return source.emitError("argument ")
             << argument.getArgNumber() << " ('"
             << argName(source, argument.getArgNumber())
             << "') is no step array that kernels know";
  for (Operation &op : source.front().without_terminator())
    if (failed(lowerForCpu(context, &op)))
      return failure();
  return finish(context, target);
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
  KernelSymbols symbols(module, *chosen);
  for (auto source :
       llvm::make_early_inc_range(module.getOps<func::FuncOp>())) {
    auto segment = source->getAttrOfType<StringAttr>(gemma::segmentAttr);
    if (!segment ||
        !llvm::is_contained({"body", "tail", "top", "logits"},
                            segment.getValue()) ||
        source.isExternal() || !llvm::hasSingleElement(source.getBody())) {
      source.emitError(
          "expects a function of segment body, tail, top or logits (run "
          "the stage optimize first)");
      return signalPassFailure();
    }
    bool isOutput = segment == "top" || segment == "logits";
    if (failed(lowerFunction(source, RowClass::Few, symbols)) ||
        (!isOutput && failed(lowerFunction(source, RowClass::Many, symbols))))
      return signalPassFailure();
  }
  for (Operation &op : llvm::make_early_inc_range(*module.getBody()))
    if (isa<gemma::WeightOp, gemma::CacheOp>(op) ||
        op.hasAttr(gemma::segmentAttr))
      op.erase();
  // Bodies, caches, weights, functions: what is looked up most stands first,
  // since a look-up walks the module.
  Operation *end = nullptr;
  for (Operation &op : *module.getBody())
    if (isa<func::FuncOp>(op) && !end)
      end = &op;
  SmallVector<Operation *> order[3];
  for (Operation &op : *module.getBody())
    if (!isa<func::FuncOp>(op))
      order[isa<kernel::DefOp>(op)     ? 0
            : isa<kernel::CacheOp>(op) ? 1
                                       : 2]
          .push_back(&op);
  if (end)
    for (ArrayRef<Operation *> group : order)
      for (Operation *op : group)
        op->moveBefore(end);
  module->setAttr(kernel::targetAttr,
                  StringAttr::get(&getContext(), chosen->name));
}

} // namespace gemmac
