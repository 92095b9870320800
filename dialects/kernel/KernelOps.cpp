// Verifiers of the kernel dialect: every op against the tables of targets/
// (families, layouts). Whether a plan is free of races is not checked here but
// by kernel-verify-plan.
#include "dialects/kernel/Kernel.h"

#include "targets/Layouts.h"

#include "mlir/IR/Builders.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"

#include <cmath>

#include <charconv>

using namespace mlir;
using namespace mlir::kernel;

//===-- assembly ----------------------------------------------------------===//

// A string as a keyword where it is one.
static ParseResult parseWord(OpAsmParser &p, StringAttr &word) {
  std::string text;
  if (p.parseKeywordOrString(&text))
    return failure();
  word = p.getBuilder().getStringAttr(text);
  return success();
}
static void printWord(OpAsmPrinter &p, Operation *, StringAttr word) {
  p.printKeywordOrString(word.getValue());
}

// {act = bf16, eps = 1.0e-06, k = 48}: words, f64 in the shortest form that
// reads back, i64.
static ParseResult parseConstants(OpAsmParser &p, DictionaryAttr &constants) {
  NamedAttrList list;
  auto parseOne = [&]() -> ParseResult {
    std::string name;
    StringRef word;
    Attribute value;
    llvm::SMLoc loc = p.getCurrentLocation();
    if (p.parseKeywordOrString(&name) || p.parseEqual())
      return failure();
    if (succeeded(p.parseOptionalKeyword(&word)))
      value = p.getBuilder().getStringAttr(word);
    else if (p.parseAttribute(value))
      return failure();
    if (list.get(name))
      return p.emitError(loc, "expects each name once, got ") << name;
    list.append(name, value);
    return success();
  };
  if (p.parseCommaSeparatedList(AsmParser::Delimiter::Braces, parseOne))
    return failure();
  constants = list.getDictionary(p.getContext());
  return success();
}

static std::string shortest(double value) {
  char buffer[32];
  std::string text(buffer, std::to_chars(buffer, std::end(buffer), value).ptr);
  size_t digits = text.find_first_of(".e"); // MLIR wants a point
  if (digits == std::string::npos)
    return text + ".0";
  return text[digits] == '.' ? text : text.insert(digits, ".0");
}

static void printConstants(OpAsmPrinter &p, Operation *,
                           DictionaryAttr constants) {
  p << '{';
  llvm::interleaveComma(constants, p, [&](NamedAttribute constant) {
    p.printKeywordOrString(constant.getName());
    p << " = ";
    Attribute value = constant.getValue();
    auto number = dyn_cast<IntegerAttr>(value);
    auto real = dyn_cast<FloatAttr>(value);
    if (auto word = dyn_cast<StringAttr>(value))
      p.printKeywordOrString(word.getValue());
    else if (number && number.getType().isSignlessInteger(64))
      p << number.getInt();
    else if (real && real.getType().isF64() && real.getValue().isFinite())
      p << shortest(real.getValueAsDouble());
    else
      p << value;
  });
  p << '}';
}

static ParseResult parsePlaces(OpAsmParser &p, ArrayAttr &places) {
  SmallVector<Attribute> list;
  auto parseOne = [&]() -> ParseResult {
    list.push_back(parsePlace(p));
    return success(!!list.back());
  };
  if (p.parseCommaSeparatedList(AsmParser::Delimiter::Square, parseOne))
    return failure();
  places = p.getBuilder().getArrayAttr(list);
  return success();
}
static void printPlaces(OpAsmPrinter &p, Operation *, ArrayAttr places) {
  p << '[';
  llvm::interleaveComma(places.getAsRange<PlaceAttr>(), p,
                        [&](PlaceAttr place) { p << textOf(place); });
  p << ']';
}

#define GET_OP_CLASSES
#include "dialects/kernel/KernelOps.cpp.inc"

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

// Columns [a, b) of the per-layer-embedding table.
static LogicalResult checkPle(Operation *op, Attribute value) {
  auto range = dyn_cast<DenseI64ArrayAttr>(value);
  if (isa<func::FuncOp>(op) && range && range.size() == 2 && range[0] >= 0 &&
      range[0] < range[1])
    return success();
  return op->emitError() << "expects " << pleAttr
                         << " to be [a, b) with 0 <= a < b on a func.func, got "
                         << value;
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
  auto text = dyn_cast<StringAttr>(attr.getValue());
  if (name == targetAttr &&
      !(isa<ModuleOp>(op) && text && gemmac::findTarget(text.getValue().str())))
    return op->emitError() << "expects " << targetAttr
                           << " to be a target on a module, got "
                           << attr.getValue();
  if (name == pleAttr)
    return checkPle(op, attr.getValue());
  if (name == memoryAttr && !isa<MemoryAttr>(attr.getValue()))
    return op->emitError() << "expects " << memoryAttr
                           << " to be a #kernel.memory, got "
                           << attr.getValue();
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
static LogicalResult checkPieces(kernel::WeightOp op, int64_t &paddedRows) {
  int64_t rows = 0;
  paddedRows = 0;
  for (PieceAttr piece : op.getPiecesAttr().getAsRange<PieceAttr>()) {
    if (piece.getCol1() - piece.getCol0() != op.getCols())
      return op.emitOpError()
             << "expects " << op.getCols() << " columns of piece \""
             << piece.getTensor() << "\", got "
             << piece.getCol1() - piece.getCol0();
    int64_t count = piece.getRow1() - piece.getRow0();
    rows += count;
    paddedRows += gemmac::roundUp(count, 32);
    if (rows > int64_t(1) << 40)
      return op.emitOpError("expects fewer rows in its pieces");
  }
  if (rows != op.getRows())
    return op.emitOpError() << "expects pieces of " << op.getRows()
                            << " rows in all, got " << rows;
  if (op.getInterleave() && op.getPiecesAttr().size() != 2)
    return op.emitOpError() << "expects two pieces to interleave, got "
                            << op.getPiecesAttr().size();
  return success();
}

LogicalResult kernel::WeightOp::verify() {
  const gemmac::Layout *layout = gemmac::findLayout(getLayout().str());
  if (!layout || layout->format != getFormat())
    return emitOpError() << "expects a layout of format " << getFormat()
                         << ", got \"" << getLayout() << "\"";
  if (double(getRows()) * double(getCols()) * double(getStack()) >
      double(int64_t(1) << 50))
    return emitOpError() << "expects 1 to 2^50 elements, got " << getRows()
                         << " x " << getCols() << " x " << getStack();
  if (getInterleave() != 0 && getInterleave() != 32)
    return emitOpError() << "expects interleave 0 or 32, got "
                         << getInterleave();
  int64_t packedRows = getRows();
  if (getViewOf()) {
    if (getPieces() || getInterleave() || getStack() != 1)
      return emitOpError(
          "expects a view to have no pieces, no interleave and stack 1");
    if (!getViewRow() || *getViewRow() > int64_t(1) << 40)
      return emitOpError("expects view_row of a view below 2^40");
    if (*getViewRow() % layout->rowGroup)
      return emitOpError() << "expects a view from a multiple of "
                           << layout->rowGroup << ", got " << *getViewRow();
  } else {
    if (!getPieces() || getViewRow())
      return emitOpError("expects pieces, or view_of with view_row");
    int64_t paddedRows;
    if (failed(checkPieces(*this, paddedRows)))
      return failure();
    if (getInterleave())
      packedRows = paddedRows;
  }
  int64_t bytes = layout->bytes(packedRows, getCols()) * getStack();
  if (getBytes() != bytes)
    return emitOpError() << "expects " << bytes << " bytes, got " << getBytes();
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
  int64_t begin = *getViewRow(), end = begin + getRows();
  if (end > base.getRows())
    return emitOpError() << "expects a view of rows in [0, " << base.getRows()
                         << "), got [" << begin << ", " << end << ")";
  // The last row group may not reach into rows that are not the view's, or a
  // kernel would compute them as padding.
  const gemmac::Layout *layout = gemmac::findLayout(getLayout().str());
  if (end != base.getRows() && end % layout->rowGroup)
    return emitOpError() << "expects a view to a multiple of "
                         << layout->rowGroup << ", got " << end;
  if (!getOffset() || !base.getOffset())
    return success();
  int64_t offset = *base.getOffset() + layout->address(begin, 0, getCols());
  if (*getOffset() != offset)
    return emitOpError() << "expects offset " << offset << ", got "
                         << *getOffset();
  return success();
}

//===-- kernel.cache ------------------------------------------------------===//

LogicalResult kernel::CacheOp::verify() {
  constexpr int64_t limit = 1 << 20;
  if (getHeads() > limit || getDim() > limit)
    return emitOpError() << "expects heads and dim in [1, " << limit
                         << "], got " << getHeads() << " and " << getDim();
  const gemmac::Format *known = gemmac::findFormat(getFormat());
  if (!known || !known->may(gemmac::Format::Cache))
    return emitOpError() << "expects format f32, bf16 or q8, got \""
                         << getFormat() << "\"";
  int64_t lanes = known->bits == 32 ? 16 : 32; // of a V page (targets/blocks.h)
  if (getDim() % lanes)
    return emitOpError() << "expects dim to be a multiple of " << lanes
                         << ", got " << getDim();
  std::string format = getFormat().str();
  int64_t k = gemmac::keyPageBytes(format, getHeads(), getDim()),
          v = gemmac::valuePageBytes(format, getHeads(), getDim());
  if (getKPage() != k || getVPage() != v)
    return emitOpError() << "expects k_page and v_page of " << k << " and " << v
                         << " bytes, got " << getKPage() << " and "
                         << getVPage();
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
  DictionaryAttr scalars =
      op.getScalars().value_or(DictionaryAttr::get(op.getContext()));
  if (scalars.size() != family.scalars.size())
    return op.emitOpError()
           << "expects " << family.scalars.size() << " scalars of "
           << family.name << ", got " << scalars.size();
  for (const gemmac::Scalar &scalar : family.scalars) {
    auto value = scalars.getAs<IntegerAttr>(scalar.name);
    if (!value)
      return op.emitOpError() << "expects scalar " << scalar.name;
    if (!value.getType().isSignlessInteger(64) || value.getInt() < 0 ||
        value.getInt() > INT32_MAX)
      return op.emitOpError() << "expects scalar " << scalar.name
                              << " in [0, 2^31), got " << value;
  }
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

// The dot product of the module's target, without which no plan is complete.
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
  if (weight.getCols() != columns)
    return op.emitOpError()
           << "expects weight @" << weight.getSymName() << " with " << columns
           << " columns, got " << weight.getCols();
  if (family.matrix == gemmac::MatrixUse::None && weight.getRows() != 1)
    return op.emitOpError() << "expects the vector @" << weight.getSymName()
                            << ", got " << weight.getRows() << " rows";
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
  if (cache.getDim() != *constant("hd") ||
      double(cache.getHeads()) * double(group) != double(heads))
    return op.emitOpError()
           << "expects a cache for " << heads << " heads of " << *constant("hd")
           << " in groups of " << group << ", got " << cache.getHeads()
           << " of " << cache.getDim();
  if (std::optional<int64_t> window = constant("window");
      window && *window != cache.getWindow())
    return op.emitOpError() << "expects a cache of window " << *window
                            << ", got " << cache.getWindow();
  return success();
}

LogicalResult Call::axis() {
  const std::vector<gemmac::Axis> &allowed = family.axesOf(spec.rows);
  if (!llvm::is_contained(allowed, op.getAxis())) {
    InFlightDiagnostic diag = op.emitOpError() << "expects axis ";
    llvm::interleave(
        allowed, [&](gemmac::Axis a) { diag << gemmac::stringifyAxis(a); },
        [&] { diag << " or "; });
    return diag << " of " << family.name << ", got "
                << gemmac::stringifyAxis(op.getAxis());
  }
  if (op.getUnits() > INT32_MAX)
    return op.emitOpError()
           << "expects units in [1, 2^31), got " << op.getUnits();
  auto function = op->getParentOfType<func::FuncOp>();
  auto rows =
      function ? function->getAttrOfType<StringAttr>(rowsAttr) : StringAttr();
  if (rows && rows.getValue() != gemmac::rowClassName(spec.rows))
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
