// The half of kernel-verify-plan that looks at calls one by one: a wrong unit
// count leaves columns uncomputed, a wrong stride or step array reads foreign
// bytes. Must not know places and barriers.
#include "passes/VerifyPlan.h"

#include "targets/Layouts.h"

#include <set>

using namespace mlir;

namespace gemmac {
namespace {

LogicalResult checkIo(func::FuncOp func, const SegmentKind &segment,
                      std::optional<Io> io, Type type, bool isOutput,
                      StringRef what, unsigned index) {
  if (!io)
    return func.emitOpError()
           << "expects kernel.io of " << what << " " << index;
  const IoArray &array = arrayOf(*io);
  if (isOutput ? !segment.writes(*io) : !segment.reads(*io))
    return func.emitOpError()
           << "expects " << what << " " << index
           << " to be an io array that segment " << segment.name
           << (isOutput ? " writes" : " reads") << ", got " << array.name;
  auto tensor = dyn_cast<RankedTensorType>(type);
  bool fits =
      tensor && tensor.getRank() == array.rank && tensor.isDynamicDim(0);
  for (int i = 1; fits && i < array.rank; ++i)
    fits = !tensor.isDynamicDim(i);
  if (fits && array.inner)
    fits = tensor.getDimSize(1) == array.inner;
  if (fits && array.rank == 3) // cos, sin
    fits = tensor.getDimSize(2) == 2;
  if (fits && array.element != "any")
    fits = kernel::encodingOf(tensor) == StringRef(array.element);
  if (fits)
    return success();
  return func.emitOpError() << "expects " << what << " " << index << " (io "
                            << array.name << ") of rank " << array.rank
                            << " in " << array.element << ", got " << type;
}

LogicalResult checkSignature(func::FuncOp func) {
  auto name = func->getAttrOfType<StringAttr>(kernel::segmentAttr);
  auto rows = func->getAttrOfType<StringAttr>(kernel::rowsAttr);
  if (!name || !rows)
    return func.emitOpError("expects kernel.segment and kernel.rows");
  if (!func->hasAttr(kernel::memoryAttr))
    return func.emitOpError("expects kernel.memory");
  if (func.isExternal() || !llvm::hasSingleElement(func.getBody()))
    return func.emitOpError("expects a body of one block");
  std::string symbol = (name.getValue() + "_" + rows.getValue()).str();
  if (func.getSymName() != symbol)
    return func.emitOpError() << "expects the name @" << symbol;
  const SegmentKind &segment = *findSegment(name.getValue());
  std::set<Io> seen;
  auto check = [&](std::optional<Io> io, Type type, bool isOutput,
                   unsigned index) -> LogicalResult {
    StringRef what = isOutput ? "result" : "argument";
    if (failed(checkIo(func, segment, io, type, isOutput, what, index)))
      return failure();
    if (!seen.insert(*io).second)
      return func.emitOpError()
             << "expects io " << arrayOf(*io).name << " once";
    return success();
  };
  for (BlockArgument argument : func.getArguments())
    if (failed(check(kernel::argumentIo(func, argument), argument.getType(),
                     false, argument.getArgNumber())))
      return failure();
  seen.clear();
  for (auto [i, type] : llvm::enumerate(func.getResultTypes()))
    if (failed(check(kernel::resultIo(func, i), type, true, i)))
      return failure();
  return success();
}

//===-- one call ----------------------------------------------------------===//

class CallChecker {
public:
  CallChecker(func::FuncOp func, kernel::CallOp call)
      : func(func), call(call), family(*kernel::familyOf(call)),
        constants(kernel::specOf(kernel::lookupDef(call)).constants) {}

  LogicalResult run() {
    if (failed(checkTables()) || failed(checkColumns()) ||
        failed(checkUnits()) || failed(checkScalars()) ||
        failed(checkWeightRows()))
      return failure();
    return success();
  }

private:
  LogicalResult checkTables();
  LogicalResult checkColumns();
  LogicalResult checkUnits();
  LogicalResult checkScalars();
  LogicalResult checkWeightRows();

  static int64_t columns(Value v) {
    return cast<RankedTensorType>(v.getType()).getShape().back();
  }
  static int64_t stride(Value v) {
    return rowStride(
        kernel::encodingOf(cast<RankedTensorType>(v.getType())).str(),
        columns(v));
  }
  StringRef ioName(Value v) {
    std::optional<Io> io = kernel::argumentIo(func, v);
    return io ? StringRef(arrayOf(*io).name) : StringRef();
  }
  int64_t scalar(StringRef name) {
    for (auto [i, known] : llvm::enumerate(family.scalars))
      if (known == name)
        return (*call.getScalars())[i];
    return -1;
  }
  kernel::WeightOp weight(unsigned i) {
    return kernel::lookupWeight(
        call, cast<FlatSymbolRefAttr>((*call.getWeights())[i]));
  }

  func::FuncOp func;
  kernel::CallOp call;
  const Family &family;
  Constants constants;
};

// Step arrays are the ones that the family means, of the cache's table.
LogicalResult CallChecker::checkTables() {
  std::string kind;
  if (call.getCacheAttr())
    kind = kernel::lookupCache(call, call.getCacheAttr()).getTable().str();
  if (family.name == "merge")
    if (auto attend = call.getInputs()[0].getDefiningOp<kernel::CallOp>();
        attend && attend.getCacheAttr())
      kind = kernel::lookupCache(call, attend.getCacheAttr()).getTable().str();
  for (auto [i, value] : llvm::enumerate(call.getInputs())) {
    const Operand &operand = family.inputs[i];
    StringRef got = ioName(value);
    if (!operand.table) {
      if (got.empty() || got == "resid" || got == "hidden")
        continue;
      return call.emitOpError() << "expects input " << operand.name
                                << " to be a value, got io " << got;
    }
    std::string expected = operand.name;
    if (expected == "index")
      expected = "want";
    if (expected == "token")
      expected = "ple";
    if (expected == "pieces")
      expected = "split";
    if (expected == "split" || expected == "parts" || expected == "rope") {
      if (!kind.empty())
        expected += "_" + kind;
      if (kind.empty() &&
          (got == expected + "_local" || got == expected + "_global"))
        continue;
    }
    if (got != expected)
      return call.emitOpError()
             << "expects input " << operand.name << " from io " << expected
             << ", got " << (got.empty() ? StringRef("a value") : got);
  }
  return success();
}

// Inner sizes of inputs against the constants.
LogicalResult CallChecker::checkColumns() {
  auto expect = [&](Value value, StringRef name,
                    int64_t expected) -> LogicalResult {
    if (columns(value) == expected)
      return success();
    return call.emitOpError() << "expects " << expected << " columns of "
                              << name << ", got " << columns(value);
  };
  const std::string &name = family.name;
  if (name == "experts_down") {
    int64_t slices = constants.integer("top") *
                     rowStride(constants.text("act"), constants.integer("k"));
    if (failed(expect(call.getInputs()[0], "x", slices)))
      return failure();
  } else if (constants.has("k") && name != "embed") {
    for (auto [i, value] : llvm::enumerate(call.getInputs())) {
      const std::string &operand = family.inputs[i].name;
      if ((operand == "x" || operand == "h" || operand == "y" ||
           operand == "dense" || operand == "experts") &&
          failed(expect(value, operand, constants.integer("k"))))
        return failure();
    }
  }
  static constexpr StringLiteral rowOps[] = {"embed",  "take",     "copy",
                                             "norm",   "quant",    "add_norm",
                                             "norms3", "add_norm3"};
  if (llvm::is_contained(rowOps, name))
    for (auto [i, value] : llvm::enumerate(call.getResults()))
      if (failed(expect(value, family.results[i].name, constants.integer("k"))))
        return failure();
  if (name == "experts_up")
    return expect(call.getResults()[0], "y",
                  constants.integer("top") *
                      rowStride(constants.text("act"), constants.integer("f")));
  if (name == "top_experts" && failed(expect(call.getInputs()[0], "logits",
                                             constants.integer("experts"))))
    return failure();
  if (name == "top_experts" || name == "moe_sort")
    for (auto [i, value] : llvm::enumerate(call.getResults()))
      if (failed(
              expect(value, family.results[i].name, constants.integer("top"))))
        return failure();
  if (name == "rope_q" || name == "append") {
    auto table = cast<RankedTensorType>(call.getInputs()[1].getType());
    if (table.getDimSize(1) != constants.integer("pairs"))
      return call.emitOpError()
             << "expects a rope table of " << constants.integer("pairs")
             << " pairs, got " << table.getDimSize(1);
  }
  int64_t heads = constants.has("heads") ? constants.integer("heads") : 0;
  int64_t hd = constants.has("hd") ? constants.integer("hd") : 0;
  if (name == "attend" && failed(expect(call.getInputs()[0], "q", heads * hd)))
    return failure();
  if ((name == "attend" && call.getAxis() == "splits") || name == "merge") {
    Value partials =
        name == "merge" ? call.getInputs()[0] : call.getResults()[0];
    if (failed(expect(partials, "partials", heads * (hd + 2))))
      return failure();
  }
  if ((name == "attend" && call.getAxis() == "tiles") || name == "merge" ||
      name == "rope_q")
    return expect(call.getResults()[0], family.results[0].name, heads * hd);
  return success();
}

// Every column of the result, every head, every part is some unit's.
LogicalResult CallChecker::checkUnits() {
  auto blocks = [](int64_t n, int64_t size) { return roundUp(n, size) / size; };
  const std::string &name = family.name;
  int64_t expected = 1;
  if (call.getAxis() == "blocks") {
    if (name == "ple_finish")
      expected = scalar("layers");
    else if (name == "top" || name == "top_scan")
      expected = scalar("parts");
    else if (name == "experts_up")
      expected = blocks(constants.integer("f"), 32);
    else
      expected = blocks(
          columns(call.getResults()[0]),
          name == "linear_geglu" || name == "merge" ||
                  (name == "linear_ple" && isQuantized(constants.text("act")))
              ? 32
              : 16);
  } else if (name == "attend") {
    expected = constants.integer("heads") / constants.integer("group");
  }
  if (int64_t(call.getUnits()) == expected)
    return success();
  return call.emitOpError() << "expects " << expected << " units of "
                            << call.getAxis() << ", got " << call.getUnits();
}

LogicalResult CallChecker::checkScalars() {
  auto expect = [&](StringRef name, int64_t expected) -> LogicalResult {
    if (scalar(name) == expected)
      return success();
    return call.emitOpError() << "expects scalar " << name << " = " << expected
                              << ", got " << scalar(name);
  };
  auto within = [&](StringRef name, int64_t width,
                    Value value) -> LogicalResult {
    if (scalar(name) + width <= columns(value))
      return success();
    return call.emitOpError()
           << "expects columns [" << scalar(name) << ", "
           << scalar(name) + width << ") within " << columns(value);
  };
  const std::string &name = family.name;
  if (name == "rope_q" || name == "append") {
    Value x = call.getInputs()[0];
    int64_t width = constants.integer("heads") * constants.integer("hd");
    if (failed(expect("stride", stride(x))))
      return failure();
    if (name == "rope_q")
      return within("column", width, x);
    return success(succeeded(within("k_column", width, x)) &&
                   succeeded(within("v_column", width, x)));
  }
  if (name == "top") {
    Value logits = call.getInputs()[0];
    return success(succeeded(expect("stride", stride(logits))) &&
                   succeeded(expect("vocab", columns(logits))) &&
                   scalar("parts") * 64 == columns(call.getResults()[0]));
  }
  if (name == "top_scan")
    return success(succeeded(expect("vocab", int64_t(weight(0).getRows()))) &&
                   succeeded(expect("vocab", int64_t(weight(1).getRows()))) &&
                   scalar("parts") * 64 == columns(call.getResults()[0]));
  if (name == "top_merge")
    return expect("parts", columns(call.getInputs()[0]) / 64);
  if (name == "ple_finish")
    return expect("layers",
                  columns(call.getResults()[0]) / constants.integer("p"));
  if (name == "linear_ple" &&
      (failed(expect("ple_stride", stride(call.getInputs()[1]))) ||
       failed(within("column", columns(call.getResults()[0]),
                     call.getInputs()[1]))))
    return failure();
  if (llvm::is_contained(family.scalars, "stride"))
    return expect("stride", stride(call.getResults()[0]));
  return success();
}

// A matrix has a row per column of the result.
LogicalResult CallChecker::checkWeightRows() {
  int64_t expected = 0;
  const std::string &name = family.name;
  if (name == "linear" || name == "logits" || name == "linear_ple" ||
      name == "experts_down")
    expected = columns(call.getResults()[0]);
  else if (name == "linear_geglu")
    expected = 2 * columns(call.getResults()[0]);
  else if (name == "experts_up")
    expected = 2 * constants.integer("f");
  else
    return success();
  for (unsigned i = 1; name == "logits" && i < call.getWeights()->size(); ++i)
    if (int64_t(weight(i).getRows()) != expected)
      return call.emitOpError()
             << "expects a weight of " << expected << " rows, got @"
             << weight(i).getSymName() << " with " << weight(i).getRows();
  kernel::WeightOp w = weight(0);
  bool isPairs = name == "linear_geglu" || name == "experts_up";
  if (isPairs != (w.getInterleave() == 32))
    return call.emitOpError()
           << "expects a weight " << (isPairs ? "with" : "without")
           << " interleaved rows, got @" << w.getSymName();
  bool isStack = name == "experts_up" || name == "experts_down";
  int64_t stack = isStack ? constants.integer("experts") : 1;
  if (int64_t(w.getRows()) != expected || int64_t(w.getStack()) != stack)
    return call.emitOpError()
           << "expects a weight of " << expected << " rows, " << stack
           << " times, got @" << w.getSymName() << " with " << w.getRows()
           << " rows, " << w.getStack() << " times";
  return success();
}

} // namespace

LogicalResult verifyPlannedCalls(func::FuncOp func) {
  if (failed(checkSignature(func)))
    return failure();
  for (auto call : func.front().getOps<kernel::CallOp>())
    if (failed(CallChecker(func, call).run()))
      return failure();
  return success();
}

} // namespace gemmac
