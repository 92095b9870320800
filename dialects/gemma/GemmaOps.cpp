// Verifiers and folds of the gemma dialect. Shapes are checked against the
// symbols that an op names; nothing here knows formats, targets or kernels.
#include "targets/Numbers.h"
#include "dialects/gemma/Gemma.h"
#include "targets/Formats.h"

#include "targets/Segments.h"

#include "mlir/IR/Builders.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"

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

//===-- helpers -----------------------------------------------------------===//

static std::string shapeText(ArrayRef<int64_t> shape) {
  std::string text = "[";
  for (auto [i, dim] : llvm::enumerate(shape))
    text += (i ? ", " : "") + (dim < 0 ? "?" : std::to_string(dim));
  return text + "]";
}

static LogicalResult checkColumns(Operation *op, Value value, StringRef what,
                                  int64_t expected) {
  if (columnsOf(value) == expected)
    return success();
  return op->emitOpError() << "expects " << what << " to have " << expected
                           << " columns, got " << columnsOf(value);
}

// All values have one row per row of the step.
static LogicalResult checkRows(Operation *op, ValueRange values) {
  int64_t rows = ShapedType::kDynamic;
  bool first = true;
  for (Value value : values) {
    int64_t dim = cast<RankedTensorType>(value.getType()).getDimSize(0);
    if (!first && dim != rows)
      return op->emitOpError(
          "expects operands and results with the same number of rows");
    rows = dim;
    first = false;
  }
  return success();
}

// [a, b) must lie in [0, size); `size` -1: no upper limit.
static LogicalResult checkRange(Operation *op, ArrayRef<int64_t> range,
                                StringRef name, int64_t size) {
  if (range[0] >= 0 && range[0] < range[1] && (size < 0 || range[1] <= size))
    return success();
  InFlightDiagnostic diag = op->emitOpError()
                            << "expects " << name << " [a, b) with 0 <= a < b";
  if (size >= 0)
    diag << " <= " << size;
  return diag << ", got [" << range[0] << ", " << range[1] << ")";
}

static LogicalResult checkWord(Operation *op, std::optional<StringRef> word,
                               StringRef name, ArrayRef<StringRef> allowed) {
  if (!word || llvm::is_contained(allowed, *word))
    return success();
  return op->emitOpError() << "expects " << name << " to be "
                           << llvm::join(allowed, " or ") << ", got \"" << *word
                           << "\"";
}

// `word`, where it stands, names a format for any of `uses`.
static LogicalResult checkFormat(Operation *op, std::optional<StringRef> word,
                                 StringRef name, unsigned uses) {
  const std::vector<std::string> names = gemmac::formatNames(uses);
  return checkWord(op, word, name, llvm::to_vector_of<StringRef>(names));
}

static LogicalResult checkPairs(Operation *op, int64_t pairs, int64_t dim) {
  if (pairs >= 1 && pairs <= dim / 2)
    return success();
  return op->emitOpError() << "expects pairs in [1, " << dim / 2 << "], got "
                           << pairs;
}

static LogicalResult checkTable(Operation *op, Value table, int64_t pairs) {
  ArrayRef<int64_t> shape = cast<RankedTensorType>(table.getType()).getShape();
  if (shape[1] == pairs && shape[2] == 2)
    return success();
  return op->emitOpError() << "expects a rope table of rows x " << pairs
                           << " x 2, got " << shapeText(shape);
}

namespace {
// Looks up the symbols of one op and checks their shapes.
struct Symbols {
  Operation *op;
  SymbolTableCollection &table;

  // The weight `name`; its shape must be `shape` (-1: any size). Null after an
  // error.
  WeightOp weight(FlatSymbolRefAttr name, StringRef role,
                  ArrayRef<int64_t> shape) {
    WeightOp weight = table.lookupNearestSymbolFrom<WeightOp>(op, name);
    if (!weight) {
      op->emitOpError() << "expects " << role << " to name a gemma.weight, got "
                        << name;
      return {};
    }
    ArrayRef<int64_t> got = weight.getTensorType().getShape();
    bool same = got.size() == shape.size();
    for (size_t i = 0; same && i < got.size(); ++i)
      same = shape[i] < 0 || shape[i] == got[i];
    if (same)
      return weight;
    op->emitOpError() << "expects " << role << " " << name << " of shape "
                      << shapeText(shape) << ", got " << shapeText(got);
    return {};
  }

  LogicalResult vector(FlatSymbolRefAttr name, StringRef role, int64_t size) {
    return success(!!weight(name, role, {size}));
  }
  LogicalResult optionalScalar(FlatSymbolRefAttr name, StringRef role) {
    return success(!name || weight(name, role, {1}));
  }

  CacheOp cache(FlatSymbolRefAttr name) {
    CacheOp cache = table.lookupNearestSymbolFrom<CacheOp>(op, name);
    if (!cache)
      op->emitOpError() << "expects cache to name a gemma.cache, got " << name;
    return cache;
  }

  // `columns` must be query heads for the cache's key/value heads.
  LogicalResult queryHeads(CacheOp cache, int64_t columns, StringRef what) {
    int64_t group = cache.getHeads() * cache.getDim();
    if (columns % group == 0)
      return success();
    return op->emitOpError()
           << "expects " << what << " to be a multiple of " << group << " ("
           << cache.getHeads() << " heads of " << cache.getDim()
           << " in the cache), got " << columns;
  }
};
} // namespace

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
  auto type = dyn_cast<RankedTensorType>(getType());
  if (!type || !type.getElementType().isF32() || !type.hasStaticShape() ||
      type.getRank() < 1 || type.getRank() > 3)
    return emitOpError()
           << "expects a static tensor of f32 with 1 to 3 dimensions, got "
           << getType();
  double elements = 1;
  for (int64_t dim : type.getShape())
    elements *= double(dim);
  // Bytes of every format and layout stay far below 2^63.
  if (elements < 1 || elements > double(int64_t(1) << 50))
    return emitOpError() << "expects 1 to 2^50 elements, got " << getType();
  if (getParts() &&
      (type.getRank() < 2 || dim(rank() - 2) % 2 || getParts()->size() != 2))
    return emitOpError() << "expects parts to name two tensors of half the "
                            "rows of a matrix, got "
                         << *getParts() << " of " << getType();
  using gemmac::Format;
  if (failed(checkFormat(*this, getSource(), "source", Format::Source)) ||
      failed(checkFormat(*this, getFormat(), "format", Format::Weight)))
    return failure();
  return checkFormat(*this, getAct(), "act", Format::Activation);
}

LogicalResult CacheOp::verify() {
  if (getDim() % 2)
    return emitOpError() << "expects an even dim, got " << getDim();
  return checkFormat(*this, getFormat(), "format", gemmac::Format::Cache);
}

//===-- primitives --------------------------------------------------------===//

LogicalResult EmbedOp::verifySymbolUses(SymbolTableCollection &table) {
  Symbols symbols{*this, table};
  WeightOp weight = symbols.weight(getTableAttr(), "table", {-1, -1});
  if (!weight || failed(checkRows(*this, {getIds(), getResult()})))
    return failure();
  int64_t columns = weight.dim(1);
  if (std::optional<ArrayRef<int64_t>> range = getColumns()) {
    if (failed(checkRange(*this, *range, "columns", columns)))
      return failure();
    columns = (*range)[1] - (*range)[0];
  }
  if (failed(checkColumns(*this, getResult(), "result", columns)))
    return failure();
  bool rows = getSoftMode() == SoftMode::Row;
  if (rows != !!getSoft())
    return emitOpError("expects rows exactly with soft row");
  return rows ? checkColumns(*this, getSoft(), "soft", columns) : success();
}

LogicalResult RmsNormOp::verify() {
  if (columnsOf(getX()) % getSize() == 0)
    return success();
  return emitOpError() << "expects size to divide " << columnsOf(getX())
                       << " columns, got " << getSize();
}

LogicalResult RmsNormOp::verifySymbolUses(SymbolTableCollection &table) {
  Symbols symbols{*this, table};
  return success(
      !getWeightAttr() ||
      succeeded(symbols.vector(getWeightAttr(), "weight", getSize())));
}

LogicalResult LinearOp::verifySymbolUses(SymbolTableCollection &table) {
  Symbols symbols{*this, table};
  WeightOp weight =
      symbols.weight(getWeightAttr(), "weight", {-1, columnsOf(getX())});
  if (!weight || failed(checkRows(*this, {getX(), getResult()})))
    return failure();
  int64_t outputs = weight.dim(0);
  if (std::optional<ArrayRef<int64_t>> range = getRows()) {
    if (failed(checkRange(*this, *range, "rows", outputs)))
      return failure();
    outputs = (*range)[1] - (*range)[0];
  }
  return checkColumns(*this, getResult(), "result", outputs);
}

LogicalResult RopeOp::verify() {
  int64_t dim = getDim();
  if (dim < 2 || dim % 2 || columnsOf(getX()) % dim)
    return emitOpError() << "expects an even dim that divides "
                         << columnsOf(getX()) << " columns, got " << dim;
  if (failed(checkPairs(*this, getPairs(), dim)) ||
      failed(checkTable(*this, getTable(), getPairs())))
    return failure();
  return checkRows(*this, {getX(), getTable()});
}

LogicalResult AppendOp::verifySymbolUses(SymbolTableCollection &table) {
  Symbols symbols{*this, table};
  CacheOp cache = symbols.cache(getCacheAttr());
  if (!cache || failed(checkRows(*this, getOperands())))
    return failure();
  int64_t columns = cache.getHeads() * cache.getDim();
  if (failed(checkColumns(*this, getK(), "k", columns)))
    return failure();
  return checkColumns(*this, getV(), "v", columns);
}

LogicalResult AttentionOp::verifySymbolUses(SymbolTableCollection &table) {
  Symbols symbols{*this, table};
  CacheOp cache = symbols.cache(getCacheAttr());
  if (!cache || failed(checkRows(*this, getOperands())))
    return failure();
  return symbols.queryHeads(cache, columnsOf(getQ()), "columns of q");
}

LogicalResult ScaleOp::verify() {
  if (!!getWeightAttr() == !!getFactorAttr())
    return emitOpError("expects exactly one of weight and factor");
  return success();
}

LogicalResult ScaleOp::verifySymbolUses(SymbolTableCollection &table) {
  return Symbols{*this, table}.optionalScalar(getWeightAttr(), "weight");
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
  if (failed(checkRange(*this, getRange(), "range", columnsOf(getX()))) ||
      failed(checkRows(*this, {getX(), getResult()})))
    return failure();
  return checkColumns(*this, getResult(), "result",
                      getRange()[1] - getRange()[0]);
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
  if (failed(checkRows(*this, {getIndex(), getResult()})))
    return failure();
  return checkColumns(*this, getResult(), "result", columnsOf(getX()));
}

LogicalResult RouterOp::verifySymbolUses(SymbolTableCollection &table) {
  Symbols symbols{*this, table};
  int64_t hidden = columnsOf(getX());
  WeightOp proj = symbols.weight(getProjAttr(), "proj", {-1, hidden});
  if (!proj || failed(symbols.vector(getScaleAttr(), "scale", hidden)) ||
      failed(checkRows(*this, {getX(), getWeights(), getIds()})))
    return failure();
  if (getTop() > proj.dim(0))
    return emitOpError() << "expects top in [1, " << proj.dim(0) << "], got "
                         << getTop();
  if (failed(checkColumns(*this, getWeights(), "weights", getTop())))
    return failure();
  return checkColumns(*this, getIds(), "ids", getTop());
}

LogicalResult ExpertsOp::verifySymbolUses(SymbolTableCollection &table) {
  Symbols symbols{*this, table};
  int64_t hidden = columnsOf(getX());
  WeightOp up = symbols.weight(getGateUpAttr(), "gate_up", {-1, -1, hidden});
  if (!up)
    return failure();
  if (up.dim(1) % 2)
    return emitOpError() << "expects gate_up with an even number of rows, got "
                         << up.dim(1);
  if (!symbols.weight(getDownAttr(), "down",
                      {up.dim(0), hidden, up.dim(1) / 2}) ||
      failed(symbols.vector(getPerExpertAttr(), "per_expert", up.dim(0))) ||
      failed(checkRows(*this, getOperands())))
    return failure();
  return checkColumns(*this, getIds(), "ids", columnsOf(getWeights()));
}

LogicalResult LogitsOp::verifySymbolUses(SymbolTableCollection &table) {
  Symbols symbols{*this, table};
  WeightOp weight =
      symbols.weight(getWeightAttr(), "weight", {-1, columnsOf(getHidden())});
  if (!weight || failed(checkRows(*this, {getHidden(), getResult()})))
    return failure();
  return checkColumns(*this, getResult(), "result", weight.dim(0));
}

LogicalResult TopOp::verifySymbolUses(SymbolTableCollection &table) {
  Symbols symbols{*this, table};
  WeightOp weight =
      symbols.weight(getWeightAttr(), "weight", {-1, columnsOf(getHidden())});
  if (!weight ||
      failed(checkRows(*this, {getHidden(), getIds(), getValues()})) ||
      failed(checkColumns(*this, getIds(), "ids", getCount())) ||
      failed(checkColumns(*this, getValues(), "values", getCount())))
    return failure();
  if (!getMask())
    return success();
  if (failed(checkRows(*this, {getHidden(), getMask()})))
    return failure();
  return checkColumns(*this, getMask(), "mask", (weight.dim(0) + 31) / 32);
}

//===-- fused ops ---------------------------------------------------------===//

LogicalResult PleInputsOp::verifySymbolUses(SymbolTableCollection &table) {
  Symbols symbols{*this, table};
  int64_t width = getWidth(), hidden = columnsOf(getH0());
  WeightOp proj = symbols.weight(getProjAttr(), "proj", {-1, hidden});
  if (!proj)
    return failure();
  if (proj.dim(0) % width)
    return emitOpError() << "expects width to divide " << proj.dim(0)
                         << " rows of proj, got " << width;
  if (!symbols.weight(getTableAttr(), "table", {-1, proj.dim(0)}) ||
      failed(symbols.vector(getNormAttr(), "norm", width)) ||
      failed(checkRange(*this, getLayers(), "layers", proj.dim(0) / width)) ||
      failed(checkRows(*this, {getIds(), getH0(), getResult()})))
    return failure();
  if (getSoft() && failed(checkColumns(*this, getSoft(), "soft", hidden)))
    return failure();
  return checkColumns(*this, getResult(), "result",
                      (getLayers()[1] - getLayers()[0]) * width);
}

LogicalResult KvBlockOp::verifySymbolUses(SymbolTableCollection &table) {
  Symbols symbols{*this, table};
  int64_t hidden = columnsOf(getH());
  CacheOp cache = symbols.cache(getCacheAttr());
  if (!cache)
    return failure();
  int64_t columns = cache.getHeads() * cache.getDim();
  if (failed(symbols.vector(getNormAttr(), "norm", hidden)) ||
      !symbols.weight(getKAttr(), "k", {columns, hidden}) ||
      (getVAttr() && !symbols.weight(getVAttr(), "v", {columns, hidden})) ||
      failed(symbols.vector(getKNormAttr(), "k_norm", cache.getDim())) ||
      failed(checkPairs(*this, getPairs(), cache.getDim())) ||
      failed(checkTable(*this, getTable(), getPairs())))
    return failure();
  return checkRows(*this, getOperands());
}

LogicalResult AttentionBlockOp::verifySymbolUses(SymbolTableCollection &table) {
  Symbols symbols{*this, table};
  int64_t hidden = columnsOf(getH());
  CacheOp cache = symbols.cache(getCacheAttr());
  WeightOp q = symbols.weight(getQAttr(), "q", {-1, hidden});
  if (!cache || !q ||
      failed(symbols.queryHeads(cache, q.dim(0), "rows of q")) ||
      failed(symbols.vector(getNormAttr(), "norm", hidden)) ||
      failed(symbols.vector(getQNormAttr(), "q_norm", cache.getDim())) ||
      !symbols.weight(getOAttr(), "o", {hidden, q.dim(0)}) ||
      failed(symbols.vector(getPostAttr(), "post", hidden)) ||
      failed(checkPairs(*this, getPairs(), cache.getDim())) ||
      failed(checkTable(*this, getTable(), getPairs())))
    return failure();
  return checkRows(*this, getOperands());
}

LogicalResult FfnBlockOp::verifySymbolUses(SymbolTableCollection &table) {
  Symbols symbols{*this, table};
  int64_t hidden = columnsOf(getH());
  WeightOp gate = symbols.weight(getGateAttr(), "gate", {-1, hidden});
  if (!gate || !symbols.weight(getUpAttr(), "up", {gate.dim(0), hidden}) ||
      !symbols.weight(getDownAttr(), "down", {hidden, gate.dim(0)}) ||
      failed(symbols.vector(getPreAttr(), "pre", hidden)) ||
      failed(symbols.vector(getPostAttr(), "post", hidden)) ||
      failed(symbols.optionalScalar(getScaleAttr(), "scale")))
    return failure();
  return success();
}

LogicalResult MoeBlockOp::verifySymbolUses(SymbolTableCollection &table) {
  Symbols symbols{*this, table};
  int64_t hidden = columnsOf(getH());
  WeightOp gate = symbols.weight(getGateAttr(), "gate", {-1, hidden});
  WeightOp router = symbols.weight(getRouterAttr(), "router", {-1, hidden});
  if (!gate || !router)
    return failure();
  int64_t experts = router.dim(0);
  WeightOp up =
      symbols.weight(getGateUpAttr(), "gate_up", {experts, -1, hidden});
  if (!up)
    return failure();
  if (up.dim(1) % 2)
    return emitOpError() << "expects gate_up with an even number of rows, got "
                         << up.dim(1);
  if (!symbols.weight(getExpertsDownAttr(), "experts_down",
                      {experts, hidden, up.dim(1) / 2}) ||
      !symbols.weight(getUpAttr(), "up", {gate.dim(0), hidden}) ||
      !symbols.weight(getDownAttr(), "down", {hidden, gate.dim(0)}) ||
      failed(symbols.vector(getPerExpertAttr(), "per_expert", experts)) ||
      failed(symbols.optionalScalar(getScaleAttr(), "scale")))
    return failure();
  std::pair<FlatSymbolRefAttr, StringRef> vectors[] = {
      {getPreAttr(), "pre"},
      {getPostDenseAttr(), "post_dense"},
      {getRouterScaleAttr(), "router_scale"},
      {getPreExpertsAttr(), "pre_experts"},
      {getPostExpertsAttr(), "post_experts"},
      {getPostAttr(), "post"}};
  for (auto [name, role] : vectors)
    if (failed(symbols.vector(name, role, hidden)))
      return failure();
  if (getTop() > experts)
    return emitOpError() << "expects top in [1, " << experts << "], got "
                         << getTop();
  return success();
}

LogicalResult PleBlockOp::verifySymbolUses(SymbolTableCollection &table) {
  Symbols symbols{*this, table};
  int64_t hidden = columnsOf(getH()), width = columnsOf(getPle());
  if (!symbols.weight(getGateAttr(), "gate", {width, hidden}) ||
      !symbols.weight(getProjAttr(), "proj", {hidden, width}) ||
      failed(symbols.vector(getPostAttr(), "post", hidden)) ||
      failed(symbols.optionalScalar(getScaleAttr(), "scale")))
    return failure();
  return checkRows(*this, {getH(), getPle()});
}
