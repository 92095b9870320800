// Registration of the gemma dialect and look-up of its symbols.
#include "dialects/gemma/Gemma.h"

#include "targets/Numbers.h"
#include "targets/Segments.h"

#include "mlir/IR/DialectImplementation.h"
#include "llvm/ADT/TypeSwitch.h"

#include "dialects/gemma/GemmaEnums.cpp.inc"
#define GET_ATTRDEF_CLASSES
#include "dialects/gemma/GemmaAttrs.cpp.inc"
#include "dialects/gemma/GemmaInterfaces.cpp.inc"

#include "dialects/gemma/GemmaDialect.cpp.inc"

using namespace mlir;
using namespace mlir::gemma;

void GemmaDialect::initialize() {
  addAttributes<
#define GET_ATTRDEF_LIST
#include "dialects/gemma/GemmaAttrs.cpp.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "dialects/gemma/GemmaOps.cpp.inc"
      >();
}

//===-- #gemma.config -----------------------------------------------------===//

// Without the types that a parser assumes.
static void printEntry(AsmPrinter &printer, NamedAttribute entry) {
  printer.printKeywordOrString(entry.getName().getValue());
  printer << " = ";
  Attribute value = entry.getValue();
  auto number = dyn_cast<TypedAttr>(value);
  if (auto real = dyn_cast<FloatAttr>(value);
      real && real.getType().isF64() && real.getValue().isFinite()) {
    printer << gemmac::assemblyReal(real.getValueAsDouble());
  } else if (number && number.getType().isSignlessInteger(64)) {
    printer.printAttributeWithoutType(value);
  } else if (auto inner = dyn_cast<DictionaryAttr>(value)) {
    printer << "{";
    llvm::interleaveComma(inner, printer.getStream(),
                          [&](NamedAttribute e) { printEntry(printer, e); });
    printer << "}";
  } else {
    printer.printAttribute(value);
  }
}

void ConfigAttr::print(AsmPrinter &printer) const {
  printer << "<{";
  llvm::interleave(
      getEntries(), printer.getStream(),
      [&](NamedAttribute entry) {
        printer << "\n  ";
        printEntry(printer, entry);
      },
      ",");
  printer << "\n}>";
}

Attribute ConfigAttr::parse(AsmParser &parser, Type) {
  DictionaryAttr entries;
  if (parser.parseLess() || parser.parseAttribute(entries) ||
      parser.parseGreater())
    return {};
  return get(parser.getContext(), entries);
}

//===-- symbols -----------------------------------------------------------===//

WeightOp gemma::lookupWeight(Operation *user, FlatSymbolRefAttr name) {
  return SymbolTable::lookupNearestSymbolFrom<WeightOp>(user, name);
}

CacheOp gemma::lookupCache(Operation *user, FlatSymbolRefAttr name) {
  return SymbolTable::lookupNearestSymbolFrom<CacheOp>(user, name);
}

bool gemma::isTower(func::FuncOp function) {
  auto name = function->getAttrOfType<StringAttr>(segmentAttr);
  const gemmac::SegmentKind *segment =
      name ? gemmac::findSegment(name.getValue()) : nullptr;
  return segment && segment->isTower();
}
