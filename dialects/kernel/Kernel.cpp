// Registration of the kernel dialect and the bridge to targets/.
#include "dialects/kernel/Kernel.h"

#include "targets/Layouts.h"

#include "mlir/IR/Builders.h"
#include "llvm/ADT/StringExtras.h"

#include "dialects/kernel/KernelDialect.cpp.inc"

using namespace mlir;
using namespace mlir::kernel;

void KernelDialect::initialize() {
  addOperations<
#define GET_OP_LIST
#include "dialects/kernel/KernelOps.cpp.inc"
      >();
}

std::optional<Place> kernel::parsePlace(StringRef text) {
  Place place;
  if (text.consume_front("io ")) {
    place.place = Place::Class::Io;
    std::optional<gemmac::Io> io = gemmac::findIo(text);
    place.io = io.value_or(gemmac::Io{});
    return io ? std::optional<Place>(place) : std::nullopt;
  }
  auto [name, number] = text.split('+');
  if (name == "fixed")
    place.place = Place::Class::Fixed;
  else if (name == "worker")
    place.place = Place::Class::Worker;
  else if (name == "row")
    place.place = Place::Class::Row;
  else if (name == "key")
    place.place = Place::Class::Key;
  else
    return std::nullopt;
  if (number.getAsInteger(10, place.offset) || place.offset < 0)
    return std::nullopt;
  return place;
}

std::string kernel::formatPlace(const Place &place) {
  switch (place.place) {
  case Place::Class::Io:
    return "io " + std::string(gemmac::arrayOf(place.io).name);
  case Place::Class::Fixed:
    return "fixed+" + std::to_string(place.offset);
  case Place::Class::Worker:
    return "worker+" + std::to_string(place.offset);
  case Place::Class::Row:
    return "row+" + std::to_string(place.offset);
  case Place::Class::Key:
    return "key+" + std::to_string(place.offset);
  }
  llvm_unreachable("all classes handled");
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

DefOp kernel::lookupDef(CallOp call) {
  return SymbolTable::lookupNearestSymbolFrom<DefOp>(call,
                                                     call.getCalleeAttr());
}

const gemmac::Family *kernel::familyOf(CallOp call) {
  DefOp def = lookupDef(call);
  return def ? gemmac::findFamily(def.getFamily().str()) : nullptr;
}

WeightOp kernel::lookupWeight(Operation *user, FlatSymbolRefAttr name) {
  return SymbolTable::lookupNearestSymbolFrom<WeightOp>(user, name);
}

CacheOp kernel::lookupCache(Operation *user, FlatSymbolRefAttr name) {
  return SymbolTable::lookupNearestSymbolFrom<CacheOp>(user, name);
}

gemmac::KernelSpec kernel::specOf(DefOp def) {
  return specOf(def.getFamily(), def.getRows(), def.getConstants());
}

gemmac::KernelSpec kernel::specOf(StringRef family, StringRef rows,
                                  DictionaryAttr constants) {
  gemmac::KernelSpec spec;
  spec.family = family.str();
  spec.rows = rows == "few" ? gemmac::RowClass::Few : gemmac::RowClass::Many;
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
