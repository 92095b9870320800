// How one function of the gemma dialect becomes calls of kernels, per kind of
// device. GemmaToKernel.cpp makes the functions and asks a recipe for every op.
#pragma once

#include "passes/KernelSymbols.h"
#include "passes/Packing.h"

#include "mlir/IR/IRMapping.h"

#include <map>

namespace gemmac {

struct Recipe;

// What a recipe works on: one segment in one row class.
struct RecipeContext {
  const Recipe &recipe;
  const Packing &packing;
  KernelSymbols &symbols;
  RowClass rows;
  mlir::OpBuilder builder; // inserts into the new function
  mlir::func::FuncOp source;
  mlir::IRMapping values = {}; // gemma value -> kernel value
  // Calls that several ops may need, by callee, weights and input: who comes
  // first makes them.
  llvm::DenseMap<std::tuple<mlir::Attribute, mlir::Attribute, mlir::Value>,
                 mlir::kernel::CallOp>
      shared{};
  mlir::Value scores = {}; // all logits, where the segment computes them
  std::map<Io, mlir::Value> io = {}; // arrays as arguments of the new function
  // Columns of the per-layer-embedding table that the function reads.
  std::optional<std::pair<int64_t, int64_t>> pleColumns = {};

  bool few() const { return rows == RowClass::Few; }
};

// The recipe of a kind of device.
struct Recipe {
  // Lowers `op` (any gemma op that may remain after `optimize`); its results
  // get kernel values in `values`.
  llvm::LogicalResult (*lower)(RecipeContext &context, mlir::Operation *op);
  // A copy of `value` (a residual) into a shared buffer: what a segment
  // returns.
  mlir::Value (*copyOut)(RecipeContext &context, mlir::Location loc,
                         mlir::Value value);
};
extern const Recipe cpuRecipe;

} // namespace gemmac
