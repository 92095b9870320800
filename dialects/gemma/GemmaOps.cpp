// Verifiers and folds of the gemma dialect. Shapes are checked against the
// symbols that an op names; nothing here knows formats, targets or kernels.
#include "dialects/Check.h"
#include "dialects/gemma/Gemma.h"
#include "targets/Formats.h"
#include "targets/Numbers.h"

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

namespace {
// What is wrong with one op, its values and the symbols that it names.
// Attributes and values that the op does not have are right.
class Check : public gemmac::Check {
public:
  explicit Check(Operation *op) : gemmac::Check(op) {}
  Check(Operation *op, SymbolTableCollection &table)
      : gemmac::Check(op), table(&table) {}

  void columns(Value value, StringRef what, int64_t expected) {
    int64_t got = value ? columnsOf(value) : expected;
    require(got == expected, "expects {0} to have {1} columns, got {2}", what,
            expected, got);
  }
  // All values have one row per row of the step.
  void rows(ValueRange values) {
    auto rowsOf = [](Value value) {
      return cast<RankedTensorType>(value.getType()).getDimSize(0);
    };
    require(llvm::all_equal(llvm::map_range(values, rowsOf)),
            "expects operands and results with the same number of rows");
  }
  // [a, b) lies in [0, size); gives b - a.
  int64_t range(ArrayRef<int64_t> range, StringRef name, int64_t size) {
    require(range[0] >= 0 && range[0] < range[1] && range[1] <= size,
            "expects {0} [a, b) with 0 <= a < b <= {1}, got [{2}, {3})", name,
            size, range[0], range[1]);
    return range[1] - range[0];
  }
  // `pairs` of heads of `dim` columns, and the table that rotates them.
  void rope(Value table, int64_t pairs, int64_t dim) {
    require(pairs >= 1 && pairs <= dim / 2,
            "expects pairs in [1, {0}], got {1}", dim / 2, pairs);
    ArrayRef<int64_t> shape =
        cast<RankedTensorType>(table.getType()).getShape();
    require(shape[1] == pairs && shape[2] == 2,
            "expects a rope table of rows x {0} x 2, got {1}", pairs,
            shapeText(shape));
  }
  // `word`, where it stands, names a format for any of `uses`.
  void format(std::optional<StringRef> word, StringRef name, unsigned uses) {
    const std::vector<std::string> names = gemmac::formatNames(uses);
    require(!word || llvm::is_contained(names, *word),
            "expects {0} to be {1}, got \"{2}\"", name,
            llvm::join(names, " or "), word.value_or(""));
  }

  // The shape of the weight that the attribute `role` names, which must be
  // `shape` (-1: any size).
  SmallVector<int64_t> weight(StringRef role, ArrayRef<int64_t> shape) {
    SmallVector<int64_t> any(shape.size(), 1);
    auto name = op->getAttrOfType<FlatSymbolRefAttr>(role);
    if (!name || !isGood)
      return any;
    auto weight = table->lookupNearestSymbolFrom<WeightOp>(op, name);
    require(!!weight, "expects {0} to name a gemma.weight, got {1}", role,
            name);
    if (!weight)
      return any;
    ArrayRef<int64_t> got = weight.getTensorType().getShape();
    require(llvm::equal(shape, got,
                        [](int64_t want, int64_t size) {
                          return want < 0 || want == size;
                        }),
            "expects {0} {1} of shape {2}, got {3}", role, name,
            shapeText(shape), shapeText(got));
    return isGood ? llvm::to_vector(got) : any;
  }
  void vectors(ArrayRef<StringRef> roles, int64_t size) {
    for (StringRef role : roles)
      weight(role, {size});
  }
  // The matrices of a gated MLP: two of [F, in] and one of [in, F].
  void gated(int64_t in) {
    int64_t width = weight("gate", {-1, in})[0];
    weight("up", {width, in});
    weight("down", {in, width});
  }
  // Stacks [E, 2F, in] and [E, in, F] of experts (-1: any number of them).
  void experts(StringRef down, int64_t count, int64_t in) {
    SmallVector<int64_t> up = weight("gate_up", {count, -1, in});
    require(up[1] % 2 == 0,
            "expects gate_up with an even number of rows, got {0}", up[1]);
    weight(down, {up[0], in, up[1] / 2});
    weight("per_expert", {up[0]});
  }
  void top(int64_t count, int64_t experts) {
    require(count <= experts, "expects top in [1, {0}], got {1}", experts,
            count);
  }

  struct Heads {
    int64_t count = 1, dim = 1;
    int64_t columns() const { return count * dim; }
  };
  // Those of keys and of values in the cache that the op names.
  Heads cache() {
    auto name = op->getAttrOfType<FlatSymbolRefAttr>("cache");
    if (!isGood)
      return {};
    auto cache = table->lookupNearestSymbolFrom<CacheOp>(op, name);
    require(!!cache, "expects cache to name a gemma.cache, got {0}", name);
    return cache ? Heads{cache.getHeads(), cache.getDim()} : Heads();
  }
  // `columns` are query heads for those of the cache.
  void queries(Heads heads, int64_t columns, StringRef what) {
    require(columns % heads.columns() == 0,
            "expects {0} to be a multiple of {1} ({2} heads of {3} in the "
            "cache), got {4}",
            what, heads.columns(), heads.count, heads.dim, columns);
  }

private:
  SymbolTableCollection *table = nullptr;
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
  Check check(*this);
  auto type = dyn_cast<RankedTensorType>(getType());
  bool isTensor = type && type.getElementType().isF32() &&
                  type.hasStaticShape() && type.getRank() >= 1 &&
                  type.getRank() <= 3;
  check.require(isTensor,
                "expects a static tensor of f32 with 1 to 3 dimensions, got "
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
