// Registration of the gemma dialect and look-up of its symbols.
#include "dialects/gemma/Gemma.h"

#include "dialects/gemma/GemmaDialect.cpp.inc"

using namespace mlir;
using namespace mlir::gemma;

void GemmaDialect::initialize() {
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
