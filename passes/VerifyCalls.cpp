// The half of kernel-verify-plan that looks at calls one by one: a wrong unit
// count leaves columns uncomputed, a wrong stride or step array reads foreign
// bytes. Compares the IR with the table of families, not with the planner. Must
// not know places and barriers.
#include "passes/VerifyPlan.h"

#include "dialects/Check.h"
#include "targets/Layouts.h"

#include <set>

using namespace mlir;

namespace gemmac {
namespace {

// The arguments and results of a function are arrays of its segment.
struct SignatureCheck : Check {
  explicit SignatureCheck(func::FuncOp func) : Check(func), func(func) {}
  func::FuncOp func;

  bool isSegment() {
    auto name = func->getAttrOfType<StringAttr>(kernel::segmentAttr);
    auto rows = func->getAttrOfType<StringAttr>(kernel::rowsAttr);
    if (!require(name && rows, "expects kernel.segment and kernel.rows"))
      return false;
    std::string symbol = (name.getValue() + "_" + rows.getValue()).str();
    require(func->hasAttr(kernel::memoryAttr), "expects kernel.memory");
    require(!func.isExternal() && llvm::hasSingleElement(func.getBody()),
            "expects a body of one block");
    return require(func.getSymName() == symbol, "expects the name @{0}",
                   symbol);
  }

  void io(const SegmentKind &segment, std::optional<Io> io, Type type,
          bool isOutput, unsigned index, std::set<Io> &seen) {
    StringRef what = isOutput ? "result" : "argument";
    if (!require(!!io, "expects kernel.io of {0} {1}", what, index))
      return;
    const IoArray &array = arrayOf(*io);
    require(isOutput ? segment.writes(*io) : segment.reads(*io),
            "expects {0} {1} to be an io array that segment {2} {3}, got {4}",
            what, index, segment.name, isOutput ? "writes" : "reads",
            array.name);
    auto tensor = dyn_cast<RankedTensorType>(type);
    bool fits =
        tensor && tensor.getRank() == array.rank && tensor.isDynamicDim(0) &&
        llvm::none_of(tensor.getShape().drop_front(), ShapedType::isDynamic);
    if (fits && array.inner)
      fits = tensor.getDimSize(1) == array.inner;
    if (fits && array.rank == 3) // cos, sin
      fits = tensor.getDimSize(2) == 2;
    if (fits && array.element != "any")
      fits = kernel::encodingOf(tensor) == StringRef(array.element);
    require(fits, "expects {0} {1} (io {2}) of rank {3} in {4}, got '{5}'",
            what, index, array.name, array.rank, array.element, type);
    require(seen.insert(*io).second, "expects io {0} once", array.name);
  }

  // Columns of the per-layer embeddings are those of the rows that it gets.
  void ple() {
    auto ple = func->getAttrOfType<DenseI64ArrayAttr>(kernel::pleAttr);
    int64_t columns = 0, got = ple ? ple[1] - ple[0] : 0;
    for (BlockArgument argument : func.getArguments())
      if (kernel::argumentIo(func, argument) == Io::ple)
        columns = kernel::columnsOf(argument.getType());
    require(got == columns, "expects {0} of {1} columns, got {2}",
            kernel::pleAttr, columns, got);
  }
};

LogicalResult checkSignature(func::FuncOp func) {
  SignatureCheck check(func);
  if (!check.isSegment())
    return check;
  const SegmentKind &segment = *findSegment(
      func->getAttrOfType<StringAttr>(kernel::segmentAttr).getValue());
  check.ple();
  std::set<Io> inputs, outputs;
  for (BlockArgument argument : func.getArguments())
    check.io(segment, kernel::argumentIo(func, argument), argument.getType(),
             false, argument.getArgNumber(), inputs);
  for (auto [i, type] : llvm::enumerate(func.getResultTypes()))
    check.io(segment, kernel::resultIo(func, i), type, true, i, outputs);
  return check;
}

//===-- one call ----------------------------------------------------------===//

// Compares a call with what its family says of the shapes in the IR.
class CallChecker : public Check {
public:
  CallChecker(func::FuncOp func, kernel::CallOp call,
              const kernel::Symbols &symbols);
  LogicalResult run() {
    checkTables();
    checkMatrix();
    checkColumns();
    checkScalars();
    // Every column of the result, every head, every part is some unit's.
    int64_t units = isGood ? unitsOf(shape) : 0;
    require(call.getUnits() == units, "expects {0} units of {1}, got {2}",
            units, stringifyAxis(call.getAxis()), call.getUnits());
    return *this;
  }

private:
  void checkTables();
  void checkMatrix();
  void checkColumns();
  void checkScalars();

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
    : Check(call), func(func), call(call), symbols(symbols),
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

// Whether an array holds rows of numbers: values as any others, whoever has
// written them.
static bool holdsRows(Io io) {
  const Format *format = findFormat(arrayOf(io).element);
  return format && format->code == Format::Code::F32 && arrayOf(io).rank == 2;
}

// Step arrays are the ones that the family means, of the cache that the call,
// or the call whose result it reads, is about.
void CallChecker::checkTables() {
  kernel::CacheOp cache = cacheOf(call);
  if (!cache && !call.getInputs().empty())
    cache = cacheOf(call.getInputs()[0].getDefiningOp<kernel::CallOp>());
  bool isLocal = !cache || cache.isLocal(),
       isGlobal = !cache || !cache.isLocal();
  for (auto [operand, value] :
       llvm::zip(shape.family.inputs, call.getInputs())) {
    std::optional<Io> got = kernel::argumentIo(func, value);
    StringRef name = got ? arrayOf(*got).name : "a value";
    if (!operand.local) {
      require(!got || holdsRows(*got),
              "expects input {0} to be a value, got io {1}", operand.name,
              name);
      continue;
    }
    require(got && ((isLocal && got == operand.local) ||
                    (isGlobal && got == operand.global)),
            "expects input {0} from io {1}, got {2}", operand.name,
            arrayOf(*(isLocal ? operand.local : operand.global)).name, name);
  }
}

// A matrix that is multiplied has a row per output.
void CallChecker::checkMatrix() {
  if (shape.family.matrix == MatrixUse::None)
    return;
  for (auto [operand, weight] : llvm::zip(kernelWeights(spec), weights)) {
    if (operand.isVector)
      continue;
    StringRef name = weight.getSymName();
    const bool isInterleaved = shape.family.interleaved && !operand.isPlain,
               isStack = shape.family.stack && !operand.isPlain;
    int64_t stack = isStack ? spec.constants.integer("experts") : 1;
    int64_t rows = shape.family.matrix == MatrixUse::Product
                       ? matrixRowsOf(shape, operand)
                       : shape.weights[0];
    require(isInterleaved == (weight.getInterleave() != 0),
            "expects a weight {0} interleaved rows, got @{1}",
            isInterleaved ? "with" : "without", name);
    require(weight.getRows() == rows && weight.getStack() == stack,
            "expects a weight of {0} rows, {1} times, got @{2} with {3} rows, "
            "{4} times",
            rows, stack, name, weight.getRows(), weight.getStack());
  }
}

void CallChecker::checkColumns() {
  auto check = [&](StringRef name, Rule rule, int64_t got) {
    int64_t expected = rule && isGood ? rule(shape) : got;
    require(got == expected, "expects {0} columns of {1}, got {2}", expected,
            name, got);
  };
  for (auto [operand, got] : llvm::zip(shape.family.inputs, shape.inputs))
    check(operand.name, operand.columns, got);
  for (auto [result, got] : llvm::zip(shape.family.results, shape.results))
    check(result.name, result.columns, got);
}

void CallChecker::checkScalars() {
  for (auto [scalar, got] : llvm::zip(shape.family.scalars, shape.scalars)) {
    if (!isGood)
      return;
    int64_t expected = scalar.value ? scalar.value(shape) : got;
    require(got == expected, "expects scalar {0} = {1}, got {2}", scalar.name,
            expected, got);
    if (!scalar.width)
      continue;
    int64_t end = got + scalar.width(shape), columns = shape.inputs[scalar.of];
    require(end <= columns, "expects columns [{0}, {1}) within {2}", got, end,
            columns);
  }
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
