// Splits @step at the last write of keys and values into @body, @tail, @top and
// @logits, and @image of a vision tower at its pool into @patches and @image.
// Each is cut out of the step as the ops that its results need.
#include "passes/Match.h"
#include "passes/Passes.h"

#include "mlir/Analysis/SliceAnalysis.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/Remarks.h"

#include <algorithm>

using namespace mlir;
using namespace mlir::gemma;

namespace gemmac {
#define GEN_PASS_DEF_SPLITSEGMENTS
#include "passes/Passes.h.inc"

namespace {
// What the step ends in: hidden -> logits -> softcap?.
struct Ending {
  Value hidden;
  LogitsOp logits;
  SoftcapOp softcap; // null: none
};

// Builds one segment out of ops of the step.
struct Part {
  func::FuncOp function;
  OpBuilder b;
  IRMapping map;

  Part(func::FuncOp step, StringRef name, ArrayRef<Type> inputs,
       ArrayRef<StringRef> names)
      : b(step) {
    function = func::FuncOp::create(b, step.getLoc(), name,
                                    b.getFunctionType(inputs, {}));
    function->setAttr(segmentAttr, b.getStringAttr(name));
    b.setInsertionPointToStart(function.addEntryBlock());
    for (auto [i, arg] : llvm::enumerate(names))
      if (!arg.empty()) {
        function.setArgAttr(i, argAttr, b.getStringAttr(arg));
        function.getArgument(i).setLoc(NameLoc::get(b.getStringAttr(arg)));
      }
  }

  // Clones the ops of `keep`, in their order.
  void clone(ArrayRef<Operation *> keep) {
    for (Operation *op : keep)
      b.clone(*op, map);
  }
  void finish(Location loc, ValueRange results) {
    func::ReturnOp::create(b, loc, results);
    function.setType(
        b.getFunctionType(function.getArgumentTypes(), TypeRange(results)));
  }
};

struct SplitSegments : impl::SplitSegmentsBase<SplitSegments> {
  void runOnOperation() override;

private:
  void splitTower(func::FuncOp image);
  LogicalResult findEnding();
  LogicalResult findCut();
  LogicalResult checkReads(ArrayRef<Operation *> tail);
  void makeBody(ArrayRef<Operation *> ops);
  void makeTail(ArrayRef<Operation *> ops);
  void makeTop();
  void report(ArrayRef<Operation *> body);
  void makeLogits();

  func::FuncOp step;
  Ending ending;
  KvBlockOp cut;
  SmallVector<Operation *> writes; // up to the cut
  SmallVector<StringRef> argNames; // of the step
};
} // namespace

LogicalResult SplitSegments::findEnding() {
  auto result = cast<func::ReturnOp>(step.getBody().front().getTerminator());
  if (result.getNumOperands() != 2)
    return emitError(step.getLoc())
           << "expects the step to return hidden and logits, got "
           << result.getNumOperands() << " values";
  ending.hidden = result.getOperand(0);
  Value logits = result.getOperand(1);
  ending.softcap = logits.getDefiningOp<SoftcapOp>();
  if (ending.softcap)
    logits = ending.softcap.getX();
  ending.logits = logits.getDefiningOp<LogitsOp>();
  if (!ending.logits || ending.logits.getHidden() != ending.hidden ||
      !isa_and_nonnull<RmsNormOp>(ending.hidden.getDefiningOp()))
    return emitError(
        step.getLoc(),
        "expects the step to return hidden, a norm, and the logits of hidden");
  return success();
}

LogicalResult SplitSegments::findCut() {
  for (Operation &op : step.getBody().front()) {
    if (isMemoryEffectFree(&op) || hasSingleEffect<MemoryEffects::Read>(&op))
      continue;
    if (!isa<KvBlockOp>(op)) {
      InFlightDiagnostic diag =
          op.emitError("expects keys and values to be written by kv_block");
      if (auto why = op.getAttrOfType<StringAttr>(notFusedAttr))
        diag << "; not fused: " << why.getValue();
      return diag;
    }
    writes.push_back(&op);
  }
  if (writes.empty())
    return emitError(step.getLoc(), "expects a kv_block in the step");
  cut = cast<KvBlockOp>(writes.back());
  if (!cut.getH().getDefiningOp())
    return cut.emitError("expects the residual to be computed in the step");
  return success();
}

// The ops that `roots` need, in order, but for `stop` and what only it needs.
static SmallVector<Operation *> slice(ArrayRef<Operation *> roots,
                                      Operation *stop) {
  llvm::SetVector<Operation *> needed;
  BackwardSliceOptions options([=](Operation *op) { return op != stop; });
  options.inclusive = true;
  for (Operation *root : roots)
    (void)getBackwardSlice(root, &needed, options);
  auto ordered = llvm::to_vector(needed);
  llvm::sort(ordered,
             [](Operation *a, Operation *b) { return a->isBeforeInBlock(b); });
  return ordered;
}

// The cache that `op` reads or writes; null: none.
static SymbolRefAttr cacheOf(Operation *op) {
  SmallVector<MemoryEffects::EffectInstance> effects;
  if (auto memory = dyn_cast<MemoryEffectOpInterface>(op))
    memory.getEffects(effects);
  return effects.empty() ? SymbolRefAttr() : effects.front().getSymbolRef();
}

// The tail reads caches after all writes; each read must have stood after the
// writes of its cache already.
LogicalResult SplitSegments::checkReads(ArrayRef<Operation *> tail) {
  for (Operation *op : tail)
    for (Operation *write : writes)
      if (cacheOf(op) && cacheOf(op) == cacheOf(write) &&
          op->isBeforeInBlock(write))
        return op->emitError()
               << "expects to stand after the kv_block that writes "
               << cacheOf(op);
  return success();
}

// Restricts ple_inputs to the layers whose columns are read.
static void narrowInputs(func::FuncOp function) {
  for (auto op : function.getBody().front().getOps<PleInputsOp>()) {
    int64_t width = op.getWidth(), first = INT64_MAX, last = 0;
    bool slices = true;
    for (Operation *user : op->getUsers()) {
      auto columns = dyn_cast<ColumnsOp>(user);
      slices &= columns && columns.getRange()[0] % width == 0 &&
                columns.getRange()[1] % width == 0;
      if (!slices)
        break;
      first = std::min(first, columns.getRange()[0] / width);
      last = std::max(last, columns.getRange()[1] / width);
    }
    if (!slices || first >= last)
      continue;
    OpBuilder b(op);
    int64_t begin = op.getLayers()[0];
    op.setLayers({begin + first, begin + last});
    auto type = op.getType();
    op.getResult().setType(RankedTensorType::get(
        {type.getDimSize(0), (last - first) * width}, b.getF32Type()));
    for (Operation *user : op->getUsers()) {
      auto columns = cast<ColumnsOp>(user);
      columns.setRange({columns.getRange()[0] - first * width,
                        columns.getRange()[1] - first * width});
    }
  }
}

void SplitSegments::makeBody(ArrayRef<Operation *> ops) {
  Part body(step, "body", step.getArgumentTypes(), argNames);
  for (auto [from, to] :
       llvm::zip(step.getArguments(), body.function.getArguments()))
    body.map.map(from, to);
  body.clone(ops);
  body.finish(cut.getLoc(), body.map.lookup(cut.getH()));
  narrowInputs(body.function);
}

void SplitSegments::makeTail(ArrayRef<Operation *> ops) {
  Value resid = cut.getH();
  SmallVector<Type> types = {resid.getType()};
  OpBuilder b(step);
  types.push_back(
      RankedTensorType::get({ShapedType::kDynamic}, b.getI32Type()));
  llvm::append_range(types, step.getArgumentTypes());
  SmallVector<StringRef> names = {"resid", "want"};
  llvm::append_range(names, argNames);
  Part tail(step, "tail", types, names);
  for (auto [from, to] : llvm::zip(step.getArguments(),
                                   tail.function.getArguments().drop_front(2)))
    tail.map.map(from, to);
  // The wanted rows of the residual; all other arrays hold these rows already.
  auto taken = TakeOp::create(tail.b, resid.getLoc(), resid.getType(),
                              tail.function.getArgument(0),
                              tail.function.getArgument(1));
  tail.map.map(resid, taken.getResult());
  tail.clone(ops);
  tail.finish(ending.hidden.getLoc(), tail.map.lookup(ending.hidden));
  narrowInputs(tail.function);
}

void SplitSegments::makeTop() {
  OpBuilder b(step);
  int64_t vocab = columnsOf(ending.logits.getResult());
  auto rows = [&](int64_t columns, Type element) {
    return RankedTensorType::get({ShapedType::kDynamic, columns}, element);
  };
  Part top(step, "top",
           {ending.hidden.getType(), rows((vocab + 31) / 32, b.getI32Type())},
           {"hidden", "mask"});
  auto best =
      TopOp::create(top.b, ending.logits.getLoc(),
                    TypeRange{rows(int64_t(GM_TOP), b.getI32Type()),
                              rows(int64_t(GM_TOP), b.getF32Type())},
                    top.function.getArgument(0), top.function.getArgument(1),
                    ending.logits.getWeightAttr(),
                    ending.softcap ? ending.softcap.getCapAttr() : FloatAttr(),
                    b.getI64IntegerAttr(int64_t(GM_TOP)));
  top.finish(ending.logits.getLoc(), best.getResults());
}

void SplitSegments::makeLogits() {
  Part logits(step, "logits", {ending.hidden.getType()}, {"hidden"});
  logits.map.map(ending.hidden, logits.function.getArgument(0));
  Operation *last = ending.logits;
  logits.b.clone(*last, logits.map);
  if (ending.softcap)
    logits.b.clone(*(last = ending.softcap), logits.map);
  logits.finish(last->getLoc(), logits.map.lookup(last->getResult(0)));
}

// "2 of 2 layers: kv_block, attention_block, ffn_block; body = ..."
void SplitSegments::report(ArrayRef<Operation *> body) {
  int64_t layers = 0, loose = 0, before = 0;
  SmallVector<StringRef> kinds;
  for (Operation &op : step.getBody().front()) {
    layers += isa<AttentionBlockOp>(op);
    loose += isa<AttentionOp>(op);
    if (isa<FusedOp>(op) &&
        !llvm::is_contained(kinds, op.getName().stripDialect()))
      kinds.push_back(op.getName().stripDialect());
  }
  for (Operation *op : body)
    before += isa<AttentionBlockOp>(op);
  std::string text = (Twine(layers) + " of " + Twine(layers + loose) +
                      " layers: " + llvm::join(kinds, ", ") + "; body = ")
                         .str();
  if (before > 0)
    text += ("layers 0 to " + Twine(before - 1) + " and ").str();
  text += ("keys and values of layer " + Twine(before) + ", tail = layers " +
           Twine(before) + " to " + Twine(layers + loose - 1))
              .str();
  remark::passed(step.getLoc(),
                 remark::RemarkOpts::name("split").category("segments"))
      << text;
}

// A vision tower ends where patches become cells: what is in front has other
// rows than what follows.
void SplitSegments::splitTower(func::FuncOp image) {
  Block &block = image.getBody().front();
  auto pools = block.getOps<PoolOp>();
  if (pools.empty())
    return;
  PoolOp pool = *pools.begin();
  Value encoded = pool.getX();
  if (!encoded.getDefiningOp()) // split already
    return;
  SmallVector<StringRef> names;
  for (unsigned i = 0; i < image.getNumArguments(); ++i) {
    auto name = image.getArgAttrOfType<StringAttr>(i, argAttr);
    names.push_back(name ? name.getValue() : StringRef());
  }
  Part patches(image, "patches", image.getArgumentTypes(), names);
  for (auto [from, to] :
       llvm::zip(image.getArguments(), patches.function.getArguments()))
    patches.map.map(from, to);
  patches.clone(slice({encoded.getDefiningOp()}, nullptr));
  patches.finish(encoded.getLoc(), patches.map.lookup(encoded));
  auto returned = cast<func::ReturnOp>(block.getTerminator());
  SmallVector<Operation *> after =
      slice({returned.getOperand(0).getDefiningOp()}, encoded.getDefiningOp());
  image.setSymName("whole");
  Part cells(image, "image", {encoded.getType()}, {"encoded"});
  cells.map.map(encoded, cells.function.getArgument(0));
  cells.clone(after);
  cells.finish(returned.getLoc(), cells.map.lookup(returned.getOperand(0)));
  image.erase();
}

void SplitSegments::runOnOperation() {
  for (auto function :
       llvm::make_early_inc_range(getOperation().getOps<func::FuncOp>()))
    if (isTower(function))
      splitTower(function);
  step = {};
  writes.clear();
  for (auto function : getOperation().getOps<func::FuncOp>()) {
    auto segment = function->getAttrOfType<StringAttr>(segmentAttr);
    if (!segment || segment != stepName)
      continue;
    if (step) {
      emitError(function.getLoc(),
                "expects one function with gemma.segment \"step\"");
      return signalPassFailure();
    }
    step = function;
  }
  if (!step) // split already
    return;
  for (const SegmentKind &segment : segments())
    if (!segment.isTower() &&
        getOperation().lookupSymbol(StringRef(segment.name))) {
      emitError(step.getLoc()) << "expects no other symbol @" << segment.name;
      return signalPassFailure();
    }
  argNames.clear();
  for (unsigned i = 0; i < step.getNumArguments(); ++i) {
    auto name = step.getArgAttrOfType<StringAttr>(i, argAttr);
    argNames.push_back(name ? name.getValue() : StringRef());
  }
  if (failed(findEnding()) || failed(findCut()))
    return signalPassFailure();

  Operation *residual = cut.getH().getDefiningOp();
  SmallVector<Operation *> roots(writes);
  roots.push_back(residual);
  SmallVector<Operation *> body = slice(roots, nullptr);
  SmallVector<Operation *> tail =
      slice({ending.hidden.getDefiningOp()}, residual);
  if (failed(checkReads(tail)))
    return signalPassFailure();
  report(body);
  opsInBody = body.size();
  opsInTail = tail.size();
  makeBody(body);
  makeTail(tail);
  makeTop();
  makeLogits();
  step.erase();
}
} // namespace gemmac
