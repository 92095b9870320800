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

#include <array>

#include "dialects/gemma/GemmaDialect.h.inc"
#include "dialects/gemma/GemmaEnums.h.inc"
#define GET_ATTRDEF_CLASSES
#include "dialects/gemma/GemmaAttrs.h.inc"

namespace mlir::gemma {

// What a matrix is to an op that reads it: it decides how exact it must be.
enum class MatrixRole {
  Plain,
  Keys,       // projects to keys or values
  Vocabulary, // one row per vocabulary entry: embedding, head
  Head,       // the scores of the vocabulary are computed from it
  PerLayer,   // multiplies per-layer embeddings
  LayerTable, // rows of per-layer embeddings, `count` columns per layer
  Router,
  Positions, // rows are positions, or multiplies what stands for them

  Experts // a stack of which a token reads `count` matrices
};

// Equal keys mean that something is shared; all null: with nobody.
using MatrixKey = std::array<const void *, 3>;

struct MatrixRead {
  FlatSymbolRefAttr weight; // null: this op has no such matrix
  MatrixRole role = MatrixRole::Plain;
  int64_t count = 0;
  // Reads with the same key multiply one rounded activation.
  MatrixKey activation = {};
  // Reads with the same key are stored as one matrix. One that `joins` lies in
  // front of the others if it has their format, and else alone.
  MatrixKey pack = {};
  bool joins = false;
  // Multiplies what the same op computes, which may have more columns: zeros.
  bool pads = false;
};

template <typename Op>
struct OnlyFused : OpTrait::TraitBase<Op, OnlyFused> {};

} // namespace mlir::gemma

#include "dialects/gemma/GemmaInterfaces.h.inc"
#define GET_OP_CLASSES
#include "dialects/gemma/GemmaOps.h.inc"

namespace mlir::gemma {

// Attribute of a func.func: stepName after import, the name of a segment
// (targets/Segments.h) after optimize.
inline constexpr llvm::StringLiteral segmentAttr = "gemma.segment";
inline constexpr llvm::StringLiteral stepName = "step";

// Attribute of the module, a ConfigAttr: what the reference evaluator needs to
// know of the model and no op says.
inline constexpr llvm::StringLiteral configAttr = "gemma.config";

// Attribute of an argument of such a function: the step array that it is.
inline constexpr llvm::StringLiteral argAttr = "gemma.arg";

// Whether a function makes soft rows (a tower), and is no part of a step.
bool isTower(func::FuncOp function);

// Number of columns of a value of rows.
inline int64_t columnsOf(Value value) {
  return llvm::cast<RankedTensorType>(value.getType()).getDimSize(1);
}

// The weight or cache that `name` refers to; null if it does not exist or is
// another kind of op.
WeightOp lookupWeight(Operation *user, FlatSymbolRefAttr name);
CacheOp lookupCache(Operation *user, FlatSymbolRefAttr name);

} // namespace mlir::gemma
