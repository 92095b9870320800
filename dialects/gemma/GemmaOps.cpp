// Verifiers and folds of the gemma dialect (of tower ops: GemmaTowerOps.cpp).
// Shapes are checked against the
// symbols that an op names; nothing here knows formats, targets or kernels.
#include "dialects/gemma/GemmaCheck.h"
#include "targets/Numbers.h"
#include "targets/Segments.h"

#include "mlir/IR/Builders.h"

#include <cmath>

using namespace mlir;
using namespace mlir::gemma;

//===-- numbers in assembly -----------------------------------------------===//

static void printReal(OpAsmPrinter &printer, Operation *, FloatAttr value) {
  if (!value.getValue().isFinite())
    return printer.printAttributeWithoutType(value);
  printer << gemmac::assemblyReal(value.getValueAsDouble());
}

static ParseResult parseReal(OpAsmParser &parser, FloatAttr &value) {
  double number;
  if (parser.parseFloat(number))
    return failure();
  value = parser.getBuilder().getF64FloatAttr(number);
  return success();
}

#define GET_OP_CLASSES
#include "dialects/gemma/GemmaOps.cpp.inc"

//===-- dialect attributes ------------------------------------------------===//

LogicalResult GemmaDialect::verifyOperationAttribute(Operation *op,
                                                     NamedAttribute attr) {
  if (attr.getName() != segmentAttr)
    return success();
  auto function = dyn_cast<func::FuncOp>(op);
  auto text = dyn_cast<StringAttr>(attr.getValue());
  if (!function || !text)
    return op->emitError() << "expects " << segmentAttr
                           << " to be a string on a func.func";
  if (!function.getBody().hasOneBlock())
    return emitError(op->getLoc(), "expects a segment to be one block");
  if (text == stepName || gemmac::findSegment(text.getValue()))
    return success();
  InFlightDiagnostic diag = op->emitError() << "expects " << segmentAttr
                                            << " to be " << stepName;
  for (const gemmac::SegmentKind &segment : gemmac::segments())
    diag << (&segment == &gemmac::segments().back() ? " or " : ", ")
         << segment.name;
  return diag << ", got " << text;
}

// Which names there are is the business of whoever fills the arrays.
LogicalResult GemmaDialect::verifyRegionArgAttribute(Operation *op, unsigned,
                                                     unsigned index,
                                                     NamedAttribute attr) {
  auto text = dyn_cast<StringAttr>(attr.getValue());
  if (attr.getName() != argAttr || (text && !text.empty()))
    return success();
  return op->emitError() << "expects " << argAttr << " of argument " << index
                         << " to be the name of a step array, got "
                         << attr.getValue();
}

//===-- symbols -----------------------------------------------------------===//

LogicalResult WeightOp::verify() {
  Check check(*this);
  auto type = dyn_cast<RankedTensorType>(getType());
  bool isTensor = type && type.getElementType().isF32() &&
                  type.hasStaticShape() && type.getRank() >= 1 &&
                  type.getRank() <= 4;
  check.require(isTensor,
                "expects a static tensor of f32 with 1 to 4 dimensions, got "
                "'{0}'",
                getType());
  if (!isTensor)
    return check;
  double elements = 1;
  for (int64_t dim : type.getShape())
    elements *= double(dim);
  // Bytes of every format and layout stay far below 2^63.
  check.require(elements >= 1 && elements <= double(int64_t(1) << 50),
                "expects 1 to 2^50 elements, got '{0}'", getType());
  check.require(!getParts() ||
                    (type.getRank() >= 2 && dim(rank() - 2) % 2 == 0 &&
                     getParts()->size() == 2),
                "expects parts to name two tensors of half the rows of a "
                "matrix, got {0} of '{1}'",
                getPartsAttr(), getType());
  using gemmac::Format;
  check.format(getSource(), "source", Format::Source);
  check.format(getFormat(), "format", Format::Weight);
  check.format(getAct(), "act", Format::Activation);
  return check;
}

LogicalResult CacheOp::verify() {
  Check check(*this);
  check.require(getDim() % 2 == 0, "expects an even dim, got {0}", getDim());
  check.format(getFormat(), "format", gemmac::Format::Cache);
  return check;
}

//===-- primitives --------------------------------------------------------===//

LogicalResult EmbedOp::verifySymbolUses(SymbolTableCollection &table) {
  Check check(*this, table);
  int64_t columns = check.weight("table", {-1, -1})[1];
  check.rows({getIds(), getResult()});
  if (std::optional<ArrayRef<int64_t>> range = getColumns())
    columns = check.range(*range, "columns", columns);
  check.columns(getResult(), "result", columns);
  check.require((getSoftMode() == SoftMode::Row) == !!getSoft(),
                "expects rows exactly with soft row");
  check.columns(getSoft(), "soft", columns);
  return check;
}

LogicalResult RmsNormOp::verifySymbolUses(SymbolTableCollection &table) {
  Check check(*this, table);
  check.require(columnsOf(getX()) % getSize() == 0,
                "expects size to divide {0} columns, got {1}",
                columnsOf(getX()), getSize());
  check.weight("weight", {getSize()});
  return check;
}

LogicalResult LinearOp::verifySymbolUses(SymbolTableCollection &table) {
  Check check(*this, table);
  int64_t outputs = check.weight("weight", {-1, columnsOf(getX())})[0];
  check.rows({getX(), getResult()});
  if (std::optional<ArrayRef<int64_t>> range = getRows())
    outputs = check.range(*range, "rows", outputs);
  check.columns(getResult(), "result", outputs);
  return check;
}

LogicalResult RopeOp::verify() {
  Check check(*this);
  int64_t dim = getDim();
  check.require(dim >= 2 && dim % 2 == 0 && columnsOf(getX()) % dim == 0,
                "expects an even dim that divides {0} columns, got {1}",
                columnsOf(getX()), dim);
  check.rope(getTable(), getPairs(), dim);
  check.rows({getX(), getTable()});
  return check;
}

LogicalResult AppendOp::verifySymbolUses(SymbolTableCollection &table) {
  Check check(*this, table);
  int64_t columns = check.cache().columns();
  check.rows(getOperands());
  check.columns(getK(), "k", columns);
  check.columns(getV(), "v", columns);
  return check;
}

LogicalResult AttentionOp::verifySymbolUses(SymbolTableCollection &table) {
  Check check(*this, table);
  Check::Heads heads = check.cache();
  check.rows(getOperands());
  check.queries(heads, columnsOf(getQ()), "columns of q");
  return check;
}

LogicalResult ScaleOp::verifySymbolUses(SymbolTableCollection &table) {
  Check check(*this, table);
  check.require(!getWeightAttr() != !getFactorAttr(),
                "expects exactly one of weight and factor");
  check.weight("weight", {1});
  return check;
}

OpFoldResult ScaleOp::fold(FoldAdaptor) {
  if (getFactor() && getFactor()->isExactlyValue(1.0))
    return getX();
  return {};
}

LogicalResult ScaleOp::canonicalize(ScaleOp op, PatternRewriter &rewriter) {
  auto inner = op.getX().getDefiningOp<ScaleOp>();
  if (!inner || !inner.getFactor() || !op.getFactor())
    return failure();
  double factor =
      inner.getFactor()->convertToDouble() * op.getFactor()->convertToDouble();
  if (!std::isfinite(factor))
    return failure();
  rewriter.replaceOpWithNewOp<ScaleOp>(op, op.getType(), inner.getX(),
                                       FlatSymbolRefAttr(),
                                       rewriter.getF64FloatAttr(factor));
  return success();
}

LogicalResult ColumnsOp::verify() {
  Check check(*this);
  int64_t count = check.range(getRange(), "range", columnsOf(getX()));
  check.rows({getX(), getResult()});
  check.columns(getResult(), "result", count);
  return check;
}

OpFoldResult ColumnsOp::fold(FoldAdaptor) {
  return getX().getType() == getType() ? OpFoldResult(getX()) : OpFoldResult();
}

LogicalResult ColumnsOp::canonicalize(ColumnsOp op, PatternRewriter &rewriter) {
  auto inner = op.getX().getDefiningOp<ColumnsOp>();
  if (!inner)
    return failure();
  int64_t first = inner.getRange()[0];
  rewriter.replaceOpWithNewOp<ColumnsOp>(
      op, op.getType(), inner.getX(),
      rewriter.getDenseI64ArrayAttr(
          {first + op.getRange()[0], first + op.getRange()[1]}));
  return success();
}

LogicalResult TakeOp::verify() {
  Check check(*this);
  check.rows({getIndex(), getResult()});
  check.columns(getResult(), "result", columnsOf(getX()));
  return check;
}

LogicalResult RouterOp::verifySymbolUses(SymbolTableCollection &table) {
  Check check(*this, table);
  int64_t hidden = columnsOf(getX());
  int64_t experts = check.weight("proj", {-1, hidden})[0];
  check.weight("scale", {hidden});
  check.rows({getX(), getWeights(), getIds()});
  check.top(getTop(), experts);
  check.columns(getWeights(), "weights", getTop());
  check.columns(getIds(), "ids", getTop());
  return check;
}

LogicalResult ExpertsOp::verifySymbolUses(SymbolTableCollection &table) {
  Check check(*this, table);
  check.experts("down", -1, columnsOf(getX()));
  check.rows(getOperands());
  check.columns(getIds(), "ids", columnsOf(getWeights()));
  return check;
}

LogicalResult LogitsOp::verifySymbolUses(SymbolTableCollection &table) {
  Check check(*this, table);
  int64_t vocab = check.weight("weight", {-1, columnsOf(getHidden())})[0];
  check.rows({getHidden(), getResult()});
  check.columns(getResult(), "result", vocab);
  return check;
}

LogicalResult TopOp::verifySymbolUses(SymbolTableCollection &table) {
  Check check(*this, table);
  int64_t vocab = check.weight("weight", {-1, columnsOf(getHidden())})[0];
  check.rows(llvm::to_vector(
      llvm::concat<Value>(getOperands(), ValueRange(getResults()))));
  check.columns(getIds(), "ids", getCount());
  check.columns(getValues(), "values", getCount());
  check.columns(getMask(), "mask", (vocab + 31) / 32);
  return check;
}

//===-- fused ops ---------------------------------------------------------===//

LogicalResult PleInputsOp::verifySymbolUses(SymbolTableCollection &table) {
  Check check(*this, table);
  int64_t width = getWidth(), hidden = columnsOf(getH0());
  int64_t all = check.weight("proj", {-1, hidden})[0];
  check.require(all % width == 0,
                "expects width to divide {0} rows of proj, got {1}", all,
                width);
  check.weight("table", {-1, all});
  check.weight("norm", {width});
  int64_t layers = check.range(getLayers(), "layers", all / width);
  check.rows({getIds(), getH0(), getResult()});
  check.columns(getSoft(), "soft", hidden);
  check.columns(getResult(), "result", layers * width);
  return check;
}

LogicalResult KvBlockOp::verifySymbolUses(SymbolTableCollection &table) {
  Check check(*this, table);
  int64_t hidden = columnsOf(getH());
  Check::Heads heads = check.cache();
  check.weight("norm", {hidden});
  check.weight("k", {heads.columns(), hidden});
  check.weight("v", {heads.columns(), hidden});
  check.weight("k_norm", {heads.dim});
  check.rope(getTable(), getPairs(), heads.dim);
  check.rows(getOperands());
  return check;
}

LogicalResult AttentionBlockOp::verifySymbolUses(SymbolTableCollection &table) {
  Check check(*this, table);
  int64_t hidden = columnsOf(getH());
  Check::Heads heads = check.cache();
  int64_t queries = check.weight("q", {-1, hidden})[0];
  check.queries(heads, queries, "rows of q");
  check.vectors({"norm", "post"}, hidden);
  check.weight("q_norm", {heads.dim});
  check.weight("o", {hidden, queries});
  check.rope(getTable(), getPairs(), heads.dim);
  check.rows(getOperands());
  return check;
}

LogicalResult FfnBlockOp::verifySymbolUses(SymbolTableCollection &table) {
  Check check(*this, table);
  check.gated(columnsOf(getH()));
  check.vectors({"pre", "post"}, columnsOf(getH()));
  check.weight("scale", {1});
  check.bounds(3);
  return check;
}

LogicalResult MoeBlockOp::verifySymbolUses(SymbolTableCollection &table) {
  Check check(*this, table);
  int64_t hidden = columnsOf(getH());
  check.gated(hidden);
  int64_t experts = check.weight("router", {-1, hidden})[0];
  check.experts("experts_down", experts, hidden);
  check.vectors({"pre", "post_dense", "router_scale", "pre_experts",
                 "post_experts", "post"},
                hidden);
  check.weight("scale", {1});
  check.top(getTop(), experts);
  return check;
}

LogicalResult PleBlockOp::verifySymbolUses(SymbolTableCollection &table) {
  Check check(*this, table);
  int64_t hidden = columnsOf(getH()), width = columnsOf(getPle());
  check.weight("gate", {width, hidden});
  check.weight("proj", {hidden, width});
  check.weight("post", {hidden});
  check.weight("scale", {1});
  check.rows({getH(), getPle()});
  return check;
}
