// The half of kernel-verify-plan that looks at calls one by one: a wrong unit
// count leaves columns uncomputed, a wrong stride or step array reads foreign
// bytes. Compares the IR with the table of families, not with the planner. Must
// not know places and barriers.
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
  // Columns of the per-layer embeddings are those of the rows that it gets.
  auto ple = func->getAttrOfType<DenseI64ArrayAttr>(kernel::pleAttr);
  int64_t columns = 0;
  for (BlockArgument argument : func.getArguments())
    if (kernel::argumentIo(func, argument) == Io::ple)
      columns = kernel::columnsOf(argument.getType());
  if (int64_t got = ple ? ple[1] - ple[0] : 0; got != columns)
    return func.emitOpError() << "expects " << kernel::pleAttr << " of "
                              << columns << " columns, got " << got;
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

// Compares a call with what its family says of the shapes in the IR.
class CallChecker {
public:
  CallChecker(func::FuncOp func, kernel::CallOp call,
              const kernel::Symbols &symbols);
  LogicalResult run() {
    if (failed(checkTables()) || failed(checkMatrix()) ||
        failed(checkColumns()) || failed(checkScalars()))
      return failure();
    return checkUnits();
  }

private:
  LogicalResult checkTables();
  LogicalResult checkMatrix();
  LogicalResult checkColumns();
  LogicalResult checkScalars();
  LogicalResult checkUnits();

  kernel::CacheOp cacheOf(kernel::CallOp of) {
    return of ? symbols.cache(of) : kernel::CacheOp();
  }

  func::FuncOp func;
  kernel::CallOp call;
  const kernel::Symbols &symbols;
  KernelSpec spec;
  CallShape shape;
  SmallVector<kernel::WeightOp> weights;
};

CallChecker::CallChecker(func::FuncOp func, kernel::CallOp call,
                         const kernel::Symbols &symbols)
    : func(func), call(call), symbols(symbols),
      spec(kernel::specOf(symbols.def(call))),
      shape{*findFamily(spec.family), spec.constants} {
  shape.axis = call.getAxis();
  for (Value input : call.getInputs())
    shape.inputs.push_back(kernel::columnsOf(input.getType()));
  for (Type result : call.getResultTypes())
    shape.results.push_back(kernel::columnsOf(result));
  for (Attribute name :
       call.getWeights().value_or(ArrayAttr::get(call.getContext(), {}))) {
    weights.push_back(symbols.weight(name));
    shape.weights.push_back(weights.back().getRows());
  }
  llvm::append_range(shape.scalars, kernel::scalarsOf(call, shape.family));
}

// Step arrays are the ones that the family means, of the cache that the call,
// or the call whose result it reads, is about.
LogicalResult CallChecker::checkTables() {
  kernel::CacheOp cache = cacheOf(call);
  if (!cache && !call.getInputs().empty())
    cache = cacheOf(call.getInputs()[0].getDefiningOp<kernel::CallOp>());
  bool isLocal = !cache || cache.isLocal(),
       isGlobal = !cache || !cache.isLocal();
  for (auto [operand, value] :
       llvm::zip(shape.family.inputs, call.getInputs())) {
    std::optional<Io> got = kernel::argumentIo(func, value);
    if (!operand.local) {
      // What another segment has written is a value as any other.
      if (!got || arrayOf(*got).writers)
        continue;
      return call.emitOpError()
             << "expects input " << operand.name << " to be a value, got io "
             << arrayOf(*got).name;
    }
    if (got && ((isLocal && got == operand.local) ||
                (isGlobal && got == operand.global)))
      continue;
    return call.emitOpError()
           << "expects input " << operand.name << " from io "
           << arrayOf(*(isLocal ? operand.local : operand.global)).name
           << ", got " << (got ? arrayOf(*got).name : "a value");
  }
  return success();
}

// A matrix that is multiplied has a row per output.
LogicalResult CallChecker::checkMatrix() {
  if (shape.family.matrix == MatrixUse::None)
    return success();
  int64_t stack = shape.family.stack ? spec.constants.integer("experts") : 1;
  int64_t rows = shape.family.matrix == MatrixUse::Product ? matrixRowsOf(shape)
                                                           : shape.weights[0];
  for (kernel::WeightOp weight : weights) {
    if (shape.family.interleaved != (weight.getInterleave() != 0))
      return call.emitOpError()
             << "expects a weight "
             << (shape.family.interleaved ? "with" : "without")
             << " interleaved rows, got @" << weight.getSymName();
    if (weight.getRows() != rows || weight.getStack() != stack)
      return call.emitOpError()
             << "expects a weight of " << rows << " rows, " << stack
             << " times, got @" << weight.getSymName() << " with "
             << weight.getRows() << " rows, " << weight.getStack() << " times";
  }
  return success();
}

LogicalResult CallChecker::checkColumns() {
  auto check = [&](StringRef name, Rule rule, int64_t got) -> LogicalResult {
    int64_t expected = rule ? rule(shape) : got;
    if (got == expected)
      return success();
    return call.emitOpError() << "expects " << expected << " columns of "
                              << name << ", got " << got;
  };
  for (auto [operand, got] : llvm::zip(shape.family.inputs, shape.inputs))
    if (failed(check(operand.name, operand.columns, got)))
      return failure();
  for (auto [result, got] : llvm::zip(shape.family.results, shape.results))
    if (failed(check(result.name, result.columns, got)))
      return failure();
  return success();
}

LogicalResult CallChecker::checkScalars() {
  for (auto [scalar, got] : llvm::zip(shape.family.scalars, shape.scalars)) {
    if (scalar.value && got != scalar.value(shape))
      return call.emitOpError() << "expects scalar " << scalar.name << " = "
                                << scalar.value(shape) << ", got " << got;
    if (!scalar.width)
      continue;
    int64_t end = got + scalar.width(shape), columns = shape.inputs[scalar.of];
    if (end > columns)
      return call.emitOpError() << "expects columns [" << got << ", " << end
                                << ") within " << columns;
  }
  return success();
}

// Every column of the result, every head, every part is some unit's.
LogicalResult CallChecker::checkUnits() {
  int64_t expected = unitsOf(shape);
  if (call.getUnits() == expected)
    return success();
  return call.emitOpError()
         << "expects " << expected << " units of "
         << stringifyAxis(call.getAxis()) << ", got " << call.getUnits();
}

} // namespace

LogicalResult verifyPlannedCalls(func::FuncOp func,
                                 const kernel::Symbols &symbols) {
  if (failed(checkSignature(func)))
    return failure();
  for (auto call : func.front().getOps<kernel::CallOp>())
    if (failed(CallChecker(func, call, symbols).run()))
      return failure();
  return success();
}

} // namespace gemmac
