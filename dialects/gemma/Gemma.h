// The gemma dialect's C++ interface: ops, symbol look-up. Must not know targets
// or kernels.
#pragma once

#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpDefinition.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/IR/PatternMatch.h"
#include "mlir/IR/SymbolTable.h"
#include "mlir/Interfaces/InferTypeOpInterface.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

#include "dialects/gemma/GemmaDialect.h.inc"
#define GET_OP_CLASSES
#include "dialects/gemma/GemmaOps.h.inc"

namespace mlir::gemma {

// Attribute of a func.func: stepName after import, the name of a segment
// (targets/Segments.h) after optimize.
inline constexpr llvm::StringLiteral segmentAttr = "gemma.segment";
inline constexpr llvm::StringLiteral stepName = "step";

// Attribute of an argument of such a function: the step array that it is.
inline constexpr llvm::StringLiteral argAttr = "gemma.arg";

// The weight or cache that `name` refers to; null if it does not exist or is
// another kind of op.
WeightOp lookupWeight(Operation *user, FlatSymbolRefAttr name);
CacheOp lookupCache(Operation *user, FlatSymbolRefAttr name);

} // namespace mlir::gemma
