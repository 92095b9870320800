// Verifiers of the kernel dialect: every op against the tables of targets/
// (families, layouts). Whether a plan is free of races is not checked here but
// by kernel-verify-plan.
#include "dialects/Check.h"
#include "dialects/kernel/Kernel.h"
#include "targets/Layouts.h"
#include "targets/Numbers.h"

#include "mlir/IR/Builders.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"

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
      p << gemmac::assemblyReal(real.getValueAsDouble());
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
  gemmac::Check check(*this);
  for (NamedAttribute constant : getConstants()) {
    Attribute value = constant.getValue();
    auto number = dyn_cast<IntegerAttr>(value);
    auto real = dyn_cast<FloatAttr>(value);
    check.require((number && number.getType().isSignlessInteger(64)) ||
                      (real && real.getType().isF64()) ||
                      isa<StringAttr>(value),
                  "expects constant {0} as i64, f64 or string, got {1}",
                  constant.getName().getValue(), value);
  }
  if (failed(check))
    return failure();
  gemmac::KernelSpec spec = specOf(*this);
  if (std::string wrong = gemmac::checkSpec(spec); !wrong.empty())
    return emitOpError() << wrong;
  std::string symbol = gemmac::kernelSymbol(spec);
  check.require(getSymName() == symbol, "expects the symbol @{0}, got @{1}",
                symbol, getSymName());
  return check;
}

//===-- kernel.weight -----------------------------------------------------===//

constexpr int64_t mostRows = int64_t(1) << 40;

// Rows of all pieces, each padded to whole blocks if they are interleaved.
static int64_t checkPieces(gemmac::Check &check, kernel::WeightOp op) {
  const int64_t block = gemmac::formatOf(op.getFormat().str()).block;
  int64_t rows = 0, padded = 0;
  for (PieceAttr piece : op.getPiecesAttr().getAsRange<PieceAttr>()) {
    int64_t columns = piece.getCol1() - piece.getCol0(),
            count = piece.getRow1() - piece.getRow0();
    check.require(gemmac::roundUp(columns, block) == op.getCols(),
                  "expects {0} columns of piece \"{1}\", got {2}", op.getCols(),
                  piece.getTensor(), columns);
    rows += count;
    padded += gemmac::roundUp(count, 32);
    if (!check.require(rows <= mostRows, "expects fewer rows in its pieces"))
      return 0;
  }
  const int64_t wanted = op.getRows();
  if (!op.getInterleave())
    padded = block > 1 ? gemmac::roundUp(rows, block) : rows;
  // Rows of zeros fill a block, as columns do.
  check.require(rows == wanted || (block > 1 && wanted == padded),
                "expects pieces of {0} rows in all, got {1}", wanted, rows);
  check.require(!op.getInterleave() || op.getPiecesAttr().size() == 2,
                "expects two pieces to interleave, got {0}",
                op.getPiecesAttr().size());
  return op.getInterleave() ? padded : wanted;
}

LogicalResult kernel::WeightOp::verify() {
  gemmac::Check check(*this);
  const gemmac::Layout *layout = gemmac::findLayout(getLayout().str());
  if (!check.require(layout && layout->format == getFormat(),
                     "expects a layout of format {0}, got \"{1}\"", getFormat(),
                     getLayout()))
    return check;
  check.require(double(getRows()) * double(getCols()) * double(getStack()) <=
                    double(int64_t(1) << 50),
                "expects 1 to 2^50 elements, got {0} x {1} x {2}", getRows(),
                getCols(), getStack());
  check.require(getInterleave() == 0 || getInterleave() == 32,
                "expects interleave 0 or 32, got {0}", getInterleave());
  int64_t packedRows = getRows();
  if (getViewOf()) {
    check.require(
        !getPieces() && !getInterleave() && getStack() == 1,
        "expects a view to have no pieces, no interleave and stack 1");
    int64_t row = getViewRow().value_or(mostRows + 1);
    check.require(row <= mostRows, "expects view_row of a view below 2^40");
    check.require(row % layout->rowGroup == 0,
                  "expects a view from a multiple of {0}, got {1}",
                  layout->rowGroup, row);
  } else if (check.require(getPieces() && !getViewRow(),
                           "expects pieces, or view_of with view_row")) {
    packedRows = checkPieces(check, *this);
  }
  if (failed(check))
    return check;
  int64_t bytes = layout->bytes(packedRows, getCols()) * getStack();
  check.require(getBytes() == bytes, "expects {0} bytes, got {1}", bytes,
                getBytes());
  return check;
}

LogicalResult kernel::WeightOp::verifySymbolUses(SymbolTableCollection &table) {
  if (!getViewOf())
    return success();
  gemmac::Check check(*this);
  auto base = table.lookupNearestSymbolFrom<WeightOp>(*this, getViewOfAttr());
  if (!check.require(base && !base.getViewOf(),
                     "expects view_of to name a kernel.weight with pieces, got "
                     "{0}",
                     getViewOfAttr()))
    return check;
  check.require(base.getLayout() == getLayout() &&
                    base.getCols() == getCols() && base.getStack() == 1 &&
                    !base.getInterleave(),
                "expects the layout and columns of {0}, without stack and "
                "interleave",
                getViewOfAttr());
  int64_t begin = *getViewRow(), end = begin + getRows();
  check.require(end <= base.getRows(),
                "expects a view of rows in [0, {0}), got [{1}, {2})",
                base.getRows(), begin, end);
  // The last row group may not reach into rows that are not the view's, or a
  // kernel would compute them as padding.
  const gemmac::Layout *layout = gemmac::findLayout(getLayout().str());
  check.require(end == base.getRows() || end % layout->rowGroup == 0,
                "expects a view to a multiple of {0}, got {1}",
                layout->rowGroup, end);
  if (failed(check) || !getOffset() || !base.getOffset())
    return check;
  int64_t offset = *base.getOffset() + layout->address(begin, 0, getCols());
  check.require(*getOffset() == offset, "expects offset {0}, got {1}", offset,
                *getOffset());
  return check;
}

//===-- kernel.cache ------------------------------------------------------===//

LogicalResult kernel::CacheOp::verify() {
  gemmac::Check check(*this);
  constexpr int64_t limit = 1 << 20;
  check.require(getHeads() <= limit && getDim() <= limit,
                "expects heads and dim in [1, {0}], got {1} and {2}", limit,
                getHeads(), getDim());
  const gemmac::Format *known = gemmac::findFormat(getFormat());
  if (!check.require(
          known && known->may(gemmac::Format::Cache),
          "expects format {0}, got \"{1}\"",
          llvm::join(gemmac::formatNames(gemmac::Format::Cache), " or "),
          getFormat()))
    return check;
  int64_t lanes = gemmac::cacheShapeOf(known->name).group; // of a V page
  check.require(getDim() % lanes == 0,
                "expects dim to be a multiple of {0}, got {1}", lanes,
                getDim());
  std::string format = getFormat().str();
  int64_t k = gemmac::keyPageBytes(format, getHeads(), getDim()),
          v = gemmac::valuePageBytes(format, getHeads(), getDim());
  check.require(
      getKPage() == k && getVPage() == v,
      "expects k_page and v_page of {0} and {1} bytes, got {2} and {3}", k, v,
      getKPage(), getVPage());
  return check;
}

//===-- kernel.call -------------------------------------------------------===//

namespace {
// One call with its family and constants.
struct CallCheck : gemmac::Check {
  CallOp op;
  const gemmac::Family &family;
  gemmac::KernelSpec spec;

  CallCheck(CallOp op, DefOp def)
      : Check(op), op(op), family(*gemmac::findFamily(def.getFamily().str())),
        spec(specOf(def)) {}

  // The constant `name`; nothing if the family has none of that name.
  std::optional<int64_t> constant(StringRef name) const {
    if (!spec.constants.has(name.str()))
      return std::nullopt;
    return spec.constants.integer(name.str());
  }

  void counts();
  void value(Type type, StringRef name, const std::string &encoding);
  void weights(SymbolTableCollection &table);
  void cache(SymbolTableCollection &table);
  void axis();
};
} // namespace

void CallCheck::counts() {
  auto last = llvm::find_if(llvm::reverse(family.inputs),
                            [](auto &input) { return !input.optional; });
  size_t most = family.inputs.size(), inputs = op.getInputs().size(),
         least = size_t(family.inputs.rend() - last);
  require(inputs >= least && inputs <= most,
          "expects {0}{1} inputs of {2}, got {3}", least,
          most > least ? " or more" : "", family.name, inputs);
  require(op.getResults().size() == family.results.size(),
          "expects {0} results of {1}, got {2}", family.results.size(),
          family.name, op.getResults().size());
  DictionaryAttr scalars =
      op.getScalars().value_or(DictionaryAttr::get(op.getContext()));
  require(scalars.size() == family.scalars.size(),
          "expects {0} scalars of {1}, got {2}", family.scalars.size(),
          family.name, scalars.size());
  for (const gemmac::Scalar &scalar : family.scalars) {
    auto value = scalars.getAs<IntegerAttr>(scalar.name);
    if (require(!!value, "expects scalar {0}", scalar.name))
      require(value.getType().isSignlessInteger(64) && value.getInt() >= 0 &&
                  value.getInt() <= INT32_MAX,
              "expects scalar {0} in [0, 2^31), got {1}", scalar.name, value);
  }
}

void CallCheck::value(Type type, StringRef name, const std::string &encoding) {
  auto tensor = cast<RankedTensorType>(type);
  Type element = tensor.getElementType();
  bool known = element.isF32() || element.isBF16() ||
               element.isSignlessInteger(32) ||
               isa_and_nonnull<StringAttr>(tensor.getEncoding());
  const std::string &expected =
      gemmac::operandEncoding(encoding, spec.constants);
  require(known && encodingOf(tensor) == expected,
          "expects {0} in {1}, got '{2}'", name, expected, type);
  require(
      llvm::all_of(tensor.getShape().drop_front(tensor.getRank() > 0),
                   [](int64_t dim) { return dim >= 1 && dim <= INT32_MAX; }),
      "expects static dimensions after the rows of {0}, got '{1}'", name, type);
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

void CallCheck::weights(SymbolTableCollection &table) {
  const std::vector<gemmac::WeightOperand> operands =
      gemmac::kernelWeights(spec);
  ArrayRef<Attribute> names;
  if (op.getWeightsAttr())
    names = op.getWeightsAttr().getValue();
  require(names.size() == operands.size(),
          "expects {0} weights of {1}, got {2}", operands.size(), family.name,
          names.size());
  for (auto [attribute, operand] : llvm::zip(names, operands)) {
    auto name = dyn_cast<FlatSymbolRefAttr>(attribute);
    auto weight =
        name ? table.lookupNearestSymbolFrom<kernel::WeightOp>(op, name)
             : kernel::WeightOp();
    if (!require(!!weight, "expects weights to name a kernel.weight, got {0}",
                 attribute))
      return;
    StringRef symbol = weight.getSymName();
    const std::string &layout =
        gemmac::weightLayout(spec, operand, dotKind(op)).name;
    require(weight.getLayout() == layout,
            "expects weight @{0} in layout {1}, got {2}", symbol, layout,
            weight.getLayout());
    int64_t columns = operand.columns({family, spec.constants});
    require(weight.getCols() == columns,
            "expects weight @{0} with {1} columns, got {2}", symbol, columns,
            weight.getCols());
    const bool isMatrix =
        family.matrix != gemmac::MatrixUse::None && !operand.isVector;
    require(isMatrix || weight.getRows() == 1,
            "expects the vector @{0}, got {1} rows", symbol, weight.getRows());
  }
}

void CallCheck::cache(SymbolTableCollection &table) {
  if (!require(family.cache == !!op.getCacheAttr(), "expects {0} cache for {1}",
               family.cache ? "a" : "no", family.name) ||
      !family.cache)
    return;
  auto cache =
      table.lookupNearestSymbolFrom<kernel::CacheOp>(op, op.getCacheAttr());
  if (!require(!!cache, "expects cache to name a kernel.cache, got {0}",
               op.getCacheAttr()))
    return;
  const std::string &format = spec.constants.text("cache");
  require(cache.getFormat() == format, "expects a cache of format {0}, got {1}",
          format, cache.getFormat());
  int64_t heads = *constant("heads"), group = constant("group").value_or(1),
          dim = *constant("hd");
  require(cache.getDim() == dim &&
              double(cache.getHeads()) * double(group) == double(heads),
          "expects a cache for {0} heads of {1} in groups of {2}, got {3} of "
          "{4}",
          heads, dim, group, cache.getHeads(), cache.getDim());
  int64_t window = constant("window").value_or(cache.getWindow());
  require(cache.getWindow() == window, "expects a cache of window {0}, got {1}",
          window, cache.getWindow());
}

void CallCheck::axis() {
  const std::vector<gemmac::Axis> &allowed = family.axesOf(spec.rows);
  auto words = llvm::map_range(allowed, gemmac::stringifyAxis);
  require(llvm::is_contained(allowed, op.getAxis()),
          "expects axis {0} of {1}, got {2}", llvm::join(words, " or "),
          family.name, gemmac::stringifyAxis(op.getAxis()));
  require(op.getUnits() <= INT32_MAX, "expects units in [1, 2^31), got {0}",
          op.getUnits());
  auto function = op->getParentOfType<func::FuncOp>();
  auto rows =
      function ? function->getAttrOfType<StringAttr>(rowsAttr) : StringAttr();
  require(
      !rows || rows.getValue() == gemmac::rowClassName(spec.rows),
      "expects a kernel for the row class \"{0}\" of the function, got @{1}",
      rows, op.getCallee());
}

LogicalResult CallOp::verifySymbolUses(SymbolTableCollection &table) {
  DefOp def = table.lookupNearestSymbolFrom<DefOp>(*this, getCalleeAttr());
  if (!def)
    return emitOpError() << "expects callee to name a kernel.def, got "
                         << getCalleeAttr();
  CallCheck check(*this, def);
  check.counts();
  for (auto [value, input] : llvm::zip(getInputs(), check.family.inputs))
    check.value(value.getType(), input.name, input.encoding);
  for (auto [value, result] : llvm::zip(getResults(), check.family.results))
    check.value(value.getType(), result.name, result.encoding);
  check.require(!getAt() || getAt()->size() == getResults().size(),
                "expects a place per result in at, got {0}",
                getAt() ? getAt()->size() : 0);
  check.weights(table);
  check.cache(table);
  check.axis();
  return check;
}
