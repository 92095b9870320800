// Verifiers of the kernel dialect: every op against the tables of targets/
// (families, layouts). Whether a plan is free of races is not checked here but
// by kernel-verify-plan.
#include "dialects/kernel/Kernel.h"

#include "targets/Layouts.h"

#include "mlir/IR/Builders.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"

#include <cmath>

#define GET_OP_CLASSES
#include "dialects/kernel/KernelOps.cpp.inc"

using namespace mlir;
using namespace mlir::kernel;

//===-- dialect attributes ------------------------------------------------===//

static LogicalResult checkFunctionWord(Operation *op, NamedAttribute attr,
                                       ArrayRef<StringRef> allowed) {
  auto text = dyn_cast<StringAttr>(attr.getValue());
  if (isa<func::FuncOp>(op) && text &&
      llvm::is_contained(allowed, text.getValue()))
    return success();
  return op->emitError() << "expects " << attr.getName().getValue() << " to be "
                         << llvm::join(allowed, " or ")
                         << " on a func.func, got " << attr.getValue();
}

static LogicalResult checkMemory(Operation *op, Attribute value) {
  auto memory = dyn_cast<DictionaryAttr>(value);
  if (!memory || memory.size() != 4)
    return op->emitError("expects kernel.memory = {fixed, worker, row, key}");
  for (StringRef name : {"fixed", "worker", "row", "key"}) {
    auto bytes = memory.getAs<IntegerAttr>(name);
    if (!bytes || !bytes.getType().isSignlessInteger(64) || bytes.getInt() < 0)
      return op->emitError()
             << "expects kernel.memory." << name << " >= 0 as i64";
  }
  return success();
}

LogicalResult KernelDialect::verifyOperationAttribute(Operation *op,
                                                      NamedAttribute attr) {
  StringRef name = attr.getName();
  if (name == segmentAttr) {
    SmallVector<StringRef> names;
    for (const gemmac::SegmentKind &segment : gemmac::segments())
      names.push_back(segment.name);
    return checkFunctionWord(op, attr, names);
  }
  if (name == rowsAttr && isa<func::FuncOp>(op))
    return checkFunctionWord(op, attr, {"few", "many"});
  if (name == memoryAttr)
    return checkMemory(op, attr.getValue());
  return success();
}

static LogicalResult checkIo(Operation *op, NamedAttribute attr, StringRef what,
                             unsigned index) {
  auto text = dyn_cast<StringAttr>(attr.getValue());
  if (attr.getName() != ioAttr || (text && gemmac::findIo(text.getValue())))
    return success();
  return op->emitError() << "expects " << ioAttr << " of " << what << " "
                         << index
                         << " to be the name of an array of gm_ctx, got "
                         << attr.getValue();
}

LogicalResult KernelDialect::verifyRegionArgAttribute(Operation *op, unsigned,
                                                      unsigned index,
                                                      NamedAttribute attr) {
  return checkIo(op, attr, "argument", index);
}

LogicalResult KernelDialect::verifyRegionResultAttribute(Operation *op,
                                                         unsigned,
                                                         unsigned index,
                                                         NamedAttribute attr) {
  return checkIo(op, attr, "result", index);
}

//===-- kernel.def --------------------------------------------------------===//

LogicalResult DefOp::verify() {
  if (getRows() != "few" && getRows() != "many")
    return emitOpError() << "expects rows to be few or many, got \""
                         << getRows() << "\"";
  for (NamedAttribute constant : getConstants()) {
    Attribute value = constant.getValue();
    auto number = dyn_cast<IntegerAttr>(value);
    auto real = dyn_cast<FloatAttr>(value);
    if (!(number && number.getType().isSignlessInteger(64)) &&
        !(real && real.getType().isF64()) && !isa<StringAttr>(value))
      return emitOpError() << "expects constant "
                           << constant.getName().getValue()
                           << " as i64, f64 or string, got " << value;
  }
  gemmac::KernelSpec spec = specOf(*this);
  if (std::string wrong = gemmac::checkSpec(spec); !wrong.empty())
    return emitOpError() << wrong;
  std::string symbol = gemmac::kernelSymbol(spec);
  if (getSymName() != symbol)
    return emitOpError() << "expects the symbol @" << symbol << ", got @"
                         << getSymName();
  return success();
}

//===-- kernel.weight -----------------------------------------------------===//

// Rows of all pieces; with interleave each piece is padded to whole blocks.
static LogicalResult checkPieces(kernel::WeightOp op, int64_t &rows,
                                 int64_t &paddedRows) {
  rows = paddedRows = 0;
  for (Attribute attr : op.getPiecesAttr()) {
    auto piece = dyn_cast<DictionaryAttr>(attr);
    auto tensor = piece ? piece.getAs<StringAttr>("tensor") : StringAttr();
    auto rowRange =
        piece ? piece.getAs<DenseI64ArrayAttr>("rows") : DenseI64ArrayAttr();
    auto colRange =
        piece ? piece.getAs<DenseI64ArrayAttr>("cols") : DenseI64ArrayAttr();
    if (!tensor || !rowRange || !colRange || rowRange.size() != 2 ||
        colRange.size() != 2)
      return op.emitOpError()
             << "expects pieces {tensor, rows = [a, b), cols = [a, b)}, got "
             << attr;
    for (DenseI64ArrayAttr range : {rowRange, colRange})
      if (range[0] < 0 || range[1] <= range[0] || range[1] > int64_t(1) << 40)
        return op.emitOpError()
               << "expects ranges [a, b) with 0 <= a < b in piece " << tensor;
    if (colRange[1] - colRange[0] != int64_t(op.getCols()))
      return op.emitOpError()
             << "expects " << int64_t(op.getCols()) << " columns of piece "
             << tensor << ", got " << colRange[1] - colRange[0];
    int64_t count = rowRange[1] - rowRange[0];
    rows += count;
    paddedRows += gemmac::roundUp(count, 32);
    if (rows > int64_t(1) << 40)
      return op.emitOpError("expects fewer rows in its pieces");
  }
  return success();
}

LogicalResult kernel::WeightOp::verify() {
  const gemmac::Layout *layout = gemmac::findLayout(getLayout().str());
  if (!layout || layout->format != getFormat())
    return emitOpError() << "expects a layout of format " << getFormat()
                         << ", got \"" << getLayout() << "\"";
  int64_t rows = getRows(), cols = getCols(), stack = getStack(),
          interleave = getInterleave();
  if (rows < 1 || cols < 1 || stack < 1 ||
      double(rows) * double(cols) * double(stack) > double(int64_t(1) << 50))
    return emitOpError() << "expects 1 to 2^50 elements, got " << rows << " x "
                         << cols << " x " << stack;
  if (interleave != 0 && interleave != 32)
    return emitOpError() << "expects interleave 0 or 32, got " << interleave;
  if (std::optional<uint64_t> offset = getOffset();
      offset && int64_t(*offset) < 0)
    return emitOpError() << "expects offset >= 0, got " << int64_t(*offset);

  int64_t packedRows = rows;
  if (getViewOf()) {
    if (getPieces() || interleave || stack != 1)
      return emitOpError(
          "expects a view to have no pieces, no interleave and stack 1");
    if (!getViewRows() || getViewRows()->size() != 2)
      return emitOpError("expects view_rows [a, b) of a view");
    ArrayRef<int64_t> range = *getViewRows();
    if (range[0] < 0 || range[0] >= range[1] || range[1] > int64_t(1) << 40 ||
        range[1] - range[0] != rows)
      return emitOpError() << "expects view_rows of " << rows << " rows, got ["
                           << range[0] << ", " << range[1] << ")";
    if (range[0] % layout->rowGroup)
      return emitOpError() << "expects view_rows to start at a multiple of "
                           << layout->rowGroup << ", got " << range[0];
  } else {
    if (!getPieces() || getViewRows())
      return emitOpError("expects pieces, or view_of with view_rows");
    int64_t pieceRows, paddedRows;
    if (failed(checkPieces(*this, pieceRows, paddedRows)))
      return failure();
    if (pieceRows != rows)
      return emitOpError() << "expects pieces of " << rows
                           << " rows in all, got " << pieceRows;
    if (interleave && getPieces()->size() != 2)
      return emitOpError() << "expects two pieces to interleave, got "
                           << getPieces()->size();
    if (interleave)
      packedRows = paddedRows;
  }
  int64_t bytes = layout->bytes(packedRows, cols) * stack;
  if (int64_t(getBytes()) != bytes)
    return emitOpError() << "expects " << bytes << " bytes, got "
                         << int64_t(getBytes());
  return success();
}

LogicalResult kernel::WeightOp::verifySymbolUses(SymbolTableCollection &table) {
  if (!getViewOf())
    return success();
  WeightOp base =
      table.lookupNearestSymbolFrom<WeightOp>(*this, getViewOfAttr());
  if (!base || base.getViewOf())
    return emitOpError()
           << "expects view_of to name a kernel.weight with pieces, got "
           << getViewOfAttr();
  if (base.getLayout() != getLayout() || base.getCols() != getCols() ||
      base.getStack() != 1 || base.getInterleave())
    return emitOpError() << "expects the layout and columns of "
                         << getViewOfAttr() << ", without stack and interleave";
  ArrayRef<int64_t> range = *getViewRows();
  if (range[1] > int64_t(base.getRows()))
    return emitOpError() << "expects view_rows in [0, "
                         << int64_t(base.getRows()) << "), got [" << range[0]
                         << ", " << range[1] << ")";
  // The last row group may not reach into rows that are not the view's, or a
  // kernel would compute them as padding.
  const gemmac::Layout *layout = gemmac::findLayout(getLayout().str());
  if (range[1] != int64_t(base.getRows()) && range[1] % layout->rowGroup)
    return emitOpError() << "expects view_rows to end at a multiple of "
                         << layout->rowGroup << ", got " << range[1];
  if (!getOffset() || !base.getOffset())
    return success();
  int64_t offset = int64_t(*base.getOffset()) +
                   layout->address(range[0], 0, int64_t(getCols()));
  if (int64_t(*getOffset()) != offset)
    return emitOpError() << "expects offset " << offset << ", got "
                         << int64_t(*getOffset());
  return success();
}

//===-- kernel.cache ------------------------------------------------------===//

LogicalResult kernel::CacheOp::verify() {
  constexpr int64_t limit = 1 << 20;
  int64_t window = getWindow(), heads = getHeads(), dim = getDim();
  if (getTable() != (window > 0 ? "local" : "global"))
    return emitOpError()
           << "expects table local for a window and global for window 0, got \""
           << getTable() << "\" with window " << window;
  if (window < 0 || heads < 1 || heads > limit || dim < 1 || dim > limit)
    return emitOpError() << "expects window >= 0 and heads and dim in [1, "
                         << limit << "], got " << window << ", " << heads
                         << ", " << dim;
  const gemmac::Format *known = gemmac::findFormat(getFormat());
  if (!known || !known->may(gemmac::Format::Cache))
    return emitOpError() << "expects format f32, bf16 or q8, got \""
                         << getFormat() << "\"";
  int64_t lanes = known->bits == 32 ? 16 : 32; // of a V page (targets/blocks.h)
  if (dim % lanes)
    return emitOpError() << "expects dim to be a multiple of " << lanes
                         << ", got " << dim;
  std::string format = getFormat().str();
  int64_t k = gemmac::keyPageBytes(format, heads, dim),
          v = gemmac::valuePageBytes(format, heads, dim);
  if (int64_t(getKPage()) != k || int64_t(getVPage()) != v)
    return emitOpError() << "expects k_page and v_page of " << k << " and " << v
                         << " bytes, got " << int64_t(getKPage()) << " and "
                         << int64_t(getVPage());
  if (std::optional<uint64_t> offset = getOffset();
      offset && int64_t(*offset) < 0)
    return emitOpError() << "expects offset >= 0, got " << int64_t(*offset);
  return success();
}

//===-- kernel.call -------------------------------------------------------===//

namespace {
// One call with its family and constants.
struct Call {
  CallOp op;
  const gemmac::Family &family;
  gemmac::KernelSpec spec;

  // The constant `name`; nothing if the family has none of that name.
  std::optional<int64_t> constant(StringRef name) const {
    if (!spec.constants.has(name.str()))
      return std::nullopt;
    return spec.constants.integer(name.str());
  }

  LogicalResult counts();
  LogicalResult values();
  LogicalResult weights(SymbolTableCollection &table);
  LogicalResult weight(kernel::WeightOp weight,
                       const gemmac::WeightOperand &operand);
  LogicalResult cache(SymbolTableCollection &table);
  LogicalResult axis();
};
} // namespace

LogicalResult Call::counts() {
  size_t most = family.inputs.size(), least = most;
  for (const gemmac::Operand &input : llvm::reverse(family.inputs)) {
    if (!input.optional)
      break;
    --least;
  }
  size_t inputs = op.getInputs().size();
  if (inputs < least || inputs > most)
    return op.emitOpError()
           << "expects " << least << (most > least ? " or more" : "")
           << " inputs of " << family.name << ", got " << inputs;
  if (op.getResults().size() != family.results.size())
    return op.emitOpError()
           << "expects " << family.results.size() << " results of "
           << family.name << ", got " << op.getResults().size();
  size_t scalars = op.getScalars() ? op.getScalars()->size() : 0;
  if (scalars != family.scalars.size())
    return op.emitOpError()
           << "expects " << family.scalars.size() << " scalars of "
           << family.name << ", got " << scalars;
  for (int64_t scalar : op.getScalars().value_or(ArrayRef<int64_t>()))
    if (scalar < 0 || scalar > INT32_MAX)
      return op.emitOpError() << "expects scalars in [0, 2^31), got " << scalar;
  return success();
}

static LogicalResult checkValue(CallOp op, Type type, StringRef name,
                                StringRef expected) {
  auto tensor = cast<RankedTensorType>(type);
  Type element = tensor.getElementType();
  bool known = element.isF32() || element.isBF16() ||
               element.isSignlessInteger(32) ||
               isa_and_nonnull<StringAttr>(tensor.getEncoding());
  if (!known || encodingOf(tensor) != expected)
    return op.emitOpError()
           << "expects " << name << " in " << expected << ", got " << type;
  for (auto [i, dim] : llvm::enumerate(tensor.getShape()))
    if (i > 0 && (dim < 1 || dim > INT32_MAX))
      return op.emitOpError() << "expects static dimensions after the rows of "
                              << name << ", got " << type;
  return success();
}

LogicalResult Call::values() {
  for (auto [value, input] : llvm::zip(op.getInputs(), family.inputs))
    if (failed(checkValue(
            op, value.getType(), input.name,
            gemmac::operandEncoding(input.encoding, spec.constants))))
      return failure();
  for (auto [value, result] : llvm::zip(op.getResults(), family.results))
    if (failed(checkValue(
            op, value.getType(), result.name,
            gemmac::operandEncoding(result.encoding, spec.constants))))
      return failure();
  if (!op.getAt())
    return success();
  if (op.getAt()->size() != op.getResults().size())
    return op.emitOpError()
           << "expects a place per result in at, got " << op.getAt()->size();
  for (Attribute place : op.getAtAttr())
    if (!parsePlace(cast<StringAttr>(place).getValue()))
      return op.emitOpError()
             << "expects a place like \"row+64\" or \"io resid\", got "
             << place;
  return success();
}

LogicalResult Call::weights(SymbolTableCollection &table) {
  const std::vector<gemmac::WeightOperand> operands =
      gemmac::kernelWeights(spec);
  const size_t expected = operands.size();
  size_t got = op.getWeights() ? op.getWeights()->size() : 0;
  if (got != expected)
    return op.emitOpError() << "expects " << expected << " weights of "
                            << family.name << ", got " << got;
  for (size_t i = 0; i < got; ++i) {
    auto name = dyn_cast<FlatSymbolRefAttr>((*op.getWeights())[i]);
    auto symbol =
        name ? table.lookupNearestSymbolFrom<kernel::WeightOp>(op, name)
             : kernel::WeightOp();
    if (!symbol)
      return op.emitOpError() << "expects weights to name a kernel.weight, got "
                              << (*op.getWeights())[i];
    if (failed(weight(symbol, operands[i])))
      return failure();
  }
  return success();
}

// The dot product of the module's target; tests may leave the target away.
static gemmac::DotKind dotKind(Operation *op) {
  auto module = op->getParentOfType<ModuleOp>();
  auto name =
      module ? module->getAttrOfType<StringAttr>(targetAttr) : StringAttr();
  const gemmac::Target *target =
      name ? gemmac::findTarget(name.str()) : nullptr;
  return target ? target->dot : gemmac::DotKind::U8S8;
}

LogicalResult Call::weight(kernel::WeightOp weight,
                           const gemmac::WeightOperand &operand) {
  const gemmac::Layout &layout =
      gemmac::weightLayout(spec, operand, dotKind(op));
  if (weight.getLayout() != layout.name)
    return op.emitOpError()
           << "expects weight @" << weight.getSymName() << " in layout "
           << layout.name << ", got " << weight.getLayout();
  int64_t columns = operand.columns({family, spec.constants});
  if (int64_t(weight.getCols()) != columns)
    return op.emitOpError()
           << "expects weight @" << weight.getSymName() << " with " << columns
           << " columns, got " << int64_t(weight.getCols());
  if (family.matrix == gemmac::MatrixUse::None && weight.getRows() != 1)
    return op.emitOpError() << "expects the vector @" << weight.getSymName()
                            << ", got " << int64_t(weight.getRows()) << " rows";
  return success();
}

LogicalResult Call::cache(SymbolTableCollection &table) {
  if (family.cache != !!op.getCacheAttr())
    return op.emitOpError() << "expects " << (family.cache ? "a" : "no")
                            << " cache for " << family.name;
  if (!family.cache)
    return success();
  auto cache =
      table.lookupNearestSymbolFrom<kernel::CacheOp>(op, op.getCacheAttr());
  if (!cache)
    return op.emitOpError()
           << "expects cache to name a kernel.cache, got " << op.getCacheAttr();
  if (cache.getFormat() != spec.constants.text("cache"))
    return op.emitOpError()
           << "expects a cache of format " << spec.constants.text("cache")
           << ", got " << cache.getFormat();
  int64_t heads = *constant("heads"), group = constant("group").value_or(1);
  if (int64_t(cache.getDim()) != *constant("hd") ||
      double(cache.getHeads()) * double(group) != double(heads))
    return op.emitOpError()
           << "expects a cache for " << heads << " heads of " << *constant("hd")
           << " in groups of " << group << ", got " << int64_t(cache.getHeads())
           << " of " << int64_t(cache.getDim());
  if (std::optional<int64_t> window = constant("window");
      window && *window != int64_t(cache.getWindow()))
    return op.emitOpError() << "expects a cache of window " << *window
                            << ", got " << int64_t(cache.getWindow());
  return success();
}

LogicalResult Call::axis() {
  bool few = spec.rows == gemmac::RowClass::Few;
  gemmac::Axis axis;
  const std::vector<gemmac::Axis> &allowed = family.axes(spec.rows);
  if (!gemmac::parseAxis(op.getAxis().str(), axis) ||
      !llvm::is_contained(allowed, axis)) {
    InFlightDiagnostic diag = op.emitOpError() << "expects axis ";
    llvm::interleave(
        allowed, [&](gemmac::Axis a) { diag << gemmac::axisName(a); },
        [&] { diag << " or "; });
    return diag << " of " << family.name << ", got \"" << op.getAxis() << "\"";
  }
  if (int64_t(op.getUnits()) < 1 || int64_t(op.getUnits()) > INT32_MAX)
    return op.emitOpError()
           << "expects units in [1, 2^31), got " << int64_t(op.getUnits());
  auto function = op->getParentOfType<func::FuncOp>();
  auto rows =
      function ? function->getAttrOfType<StringAttr>(rowsAttr) : StringAttr();
  if (rows && rows.getValue() != (few ? "few" : "many"))
    return op.emitOpError() << "expects a kernel for the row class " << rows
                            << " of the function, got @" << op.getCallee();
  return success();
}

LogicalResult CallOp::verifySymbolUses(SymbolTableCollection &table) {
  DefOp def = table.lookupNearestSymbolFrom<DefOp>(*this, getCalleeAttr());
  if (!def)
    return emitOpError() << "expects callee to name a kernel.def, got "
                         << getCalleeAttr();
  const gemmac::Family *family = gemmac::findFamily(def.getFamily().str());
  Call call{*this, *family, specOf(def)};
  if (failed(call.counts()) || failed(call.values()) ||
      failed(call.weights(table)) || failed(call.cache(table)))
    return failure();
  return call.axis();
}
