// Registration of the kernel dialect and the bridge to targets/.
#include "dialects/kernel/Kernel.h"

#include "targets/Layouts.h"

#include "mlir/IR/Builders.h"
#include "llvm/ADT/StringExtras.h"

#include "mlir/IR/DialectImplementation.h"
#include "llvm/ADT/StringSwitch.h"
#include "llvm/ADT/TypeSwitch.h"

#include "dialects/kernel/KernelDialect.cpp.inc"
#include "dialects/kernel/KernelEnums.cpp.inc"
#define GET_ATTRDEF_CLASSES
#include "dialects/kernel/KernelAttrs.cpp.inc"

using namespace mlir;
using namespace mlir::kernel;

void KernelDialect::initialize() {
  addAttributes<
#define GET_ATTRDEF_LIST
#include "dialects/kernel/KernelAttrs.cpp.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "dialects/kernel/KernelOps.cpp.inc"
      >();
}

//===-- attributes --------------------------------------------------------===//

StringRef kernel::wordOf(Space space) {
  constexpr StringLiteral words[] = {"worker", "row", "key", "io"};
  return words[int(space)];
}

std::string kernel::textOf(PlaceAttr place) {
  std::string word = wordOf(place.getSpace()).str();
  if (place.getSpace() == Space::Io)
    return word + ' ' + std::string(gemmac::arrayOf(place.getIo()).name);
  return word + " + " + std::to_string(place.getOffset());
}

PlaceAttr kernel::parsePlace(AsmParser &p) {
  llvm::SMLoc loc = p.getCurrentLocation();
  StringRef word, array;
  int64_t offset;
  if (p.parseKeyword(&word))
    return {};
  if (word == wordOf(Space::Io)) {
    if (p.parseKeyword(&array))
      return {};
    if (std::optional<gemmac::Io> io = gemmac::findIo(array))
      return PlaceAttr::at(p.getContext(), *io);
    return p.emitError(loc, "expects an array of gm_ctx, got ") << array,
           PlaceAttr();
  }
  for (Space space : {Space::Worker, Space::Row, Space::Key}) {
    if (word != wordOf(space))
      continue;
    // `+ 64` is two tokens.
    if (p.parsePlus() || p.parseInteger(offset))
      return {};
    if (offset < 0)
      return p.emitError(loc, "expects an offset >= 0"), PlaceAttr();
    return PlaceAttr::at(p.getContext(), space, offset);
  }
  return p.emitError(loc, "expects worker, row, key or io, got ") << word,
         PlaceAttr();
}

void PlaceAttr::print(AsmPrinter &p) const { p << '<' << textOf(*this) << '>'; }

Attribute PlaceAttr::parse(AsmParser &p, Type) {
  PlaceAttr place;
  if (p.parseLess() || !(place = parsePlace(p)) || p.parseGreater())
    return {};
  return place;
}

LogicalResult PieceAttr::verify(function_ref<InFlightDiagnostic()> emitError,
                                StringRef tensor, int64_t row0, int64_t row1,
                                int64_t col0, int64_t col1) {
  for (auto [begin, end] : {std::pair(row0, row1), std::pair(col0, col1)})
    if (begin < 0 || end <= begin || end > int64_t(1) << 40)
      return emitError() << "expects ranges a to b with 0 <= a < b of piece \""
                         << tensor << "\"";
  return success();
}

LogicalResult MemoryAttr::verify(function_ref<InFlightDiagnostic()> emitError,
                                 int64_t worker, int64_t row, int64_t key) {
  if (worker >= 0 && row >= 0 && key >= 0)
    return success();
  return emitError() << "expects sizes >= 0, got " << worker << ", " << row
                     << " and " << key;
}

PlaceAttr kernel::placeOf(OpResult result) {
  ArrayAttr places = cast<CallOp>(result.getOwner()).getAtAttr();
  return cast<PlaceAttr>(places[result.getResultNumber()]);
}

static std::optional<gemmac::Io> ioOf(Attribute attr) {
  auto name = dyn_cast_or_null<StringAttr>(attr);
  return name ? gemmac::findIo(name.getValue()) : std::nullopt;
}

std::optional<gemmac::Io> kernel::argumentIo(func::FuncOp func, Value value) {
  auto argument = dyn_cast<BlockArgument>(value);
  return argument ? ioOf(func.getArgAttr(argument.getArgNumber(), ioAttr))
                  : std::nullopt;
}

std::optional<gemmac::Io> kernel::resultIo(func::FuncOp func, unsigned result) {
  return ioOf(func.getResultAttr(result, ioAttr));
}

gemmac::KernelSpec kernel::specOf(DefOp def) {
  return specOf(def.getFamily(), def.getRows(), def.getConstants());
}

gemmac::KernelSpec kernel::specOf(StringRef family, gemmac::RowClass rows,
                                  DictionaryAttr constants) {
  gemmac::KernelSpec spec;
  spec.family = family.str();
  spec.rows = rows;
  for (NamedAttribute attr : constants) {
    std::string name = attr.getName().str();
    if (auto number = dyn_cast<IntegerAttr>(attr.getValue()))
      spec.constants.set(name, number.getInt());
    else if (auto real = dyn_cast<FloatAttr>(attr.getValue()))
      spec.constants.set(name, real.getValueAsDouble());
    else if (auto text = dyn_cast<StringAttr>(attr.getValue()))
      spec.constants.set(name, text.str());
  }
  return spec;
}

DictionaryAttr kernel::constantsAttr(MLIRContext *context,
                                     const gemmac::Constants &constants) {
  Builder b(context);
  SmallVector<NamedAttribute> attrs;
  for (const auto &[name, value] : constants.all()) {
    Attribute attr;
    if (auto *number = std::get_if<int64_t>(&value))
      attr = b.getI64IntegerAttr(*number);
    else if (auto *real = std::get_if<double>(&value))
      attr = b.getF64FloatAttr(*real);
    else
      attr = b.getStringAttr(std::get<std::string>(value));
    attrs.push_back(b.getNamedAttr(name, attr));
  }
  return b.getDictionaryAttr(attrs);
}

SmallVector<int64_t> kernel::scalarsOf(CallOp call,
                                       const gemmac::Family &family) {
  SmallVector<int64_t> scalars;
  for (const gemmac::Scalar &scalar : family.scalars)
    scalars.push_back(
        call.getScalarsAttr().getAs<IntegerAttr>(scalar.name).getInt());
  return scalars;
}

DictionaryAttr kernel::scalarsAttr(MLIRContext *context,
                                   const gemmac::Family &family,
                                   ArrayRef<int64_t> scalars) {
  Builder b(context);
  SmallVector<NamedAttribute> attrs;
  for (auto [scalar, value] : llvm::zip(family.scalars, scalars))
    attrs.push_back(b.getNamedAttr(scalar.name, b.getI64IntegerAttr(value)));
  return attrs.empty() ? DictionaryAttr() : b.getDictionaryAttr(attrs);
}

StringRef kernel::encodingOf(RankedTensorType type) {
  if (auto text = dyn_cast_or_null<StringAttr>(type.getEncoding()))
    return text.getValue();
  Type element = type.getElementType();
  if (element.isF32())
    return "f32";
  if (element.isBF16())
    return "bf16";
  return "i32";
}

int64_t kernel::columnsOf(Type type) {
  auto tensor = cast<RankedTensorType>(type);
  return tensor.getRank() > 1 ? tensor.getDimSize(1) : 1;
}

int64_t kernel::bytesPerRow(RankedTensorType type) {
  int64_t columns = 1;
  for (int64_t dim : type.getShape())
    if (!ShapedType::isDynamic(dim))
      columns *= dim;
  return gemmac::rowBytes(encodingOf(type).str(), columns);
}
