// Registration of the gemma dialect and look-up of its symbols.
#include "dialects/gemma/Gemma.h"

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

WeightOp gemma::lookupWeight(Operation *user, FlatSymbolRefAttr name) {
  return SymbolTable::lookupNearestSymbolFrom<WeightOp>(user, name);
}

CacheOp gemma::lookupCache(Operation *user, FlatSymbolRefAttr name) {
  return SymbolTable::lookupNearestSymbolFrom<CacheOp>(user, name);
}
