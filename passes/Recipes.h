// How one function of the gemma dialect becomes calls of kernels, per kind of
// device. GemmaToKernel.cpp makes the functions and asks a recipe for every op.
#pragma once

#include "passes/KernelSymbols.h"

#include "mlir/IR/IRMapping.h"

#include <map>

namespace gemmac {

// What a recipe works on: one segment in one row class.
struct RecipeContext {
  RecipeContext(KernelSymbols &symbols, RowClass rows, mlir::OpBuilder builder,
                mlir::func::FuncOp source)
      : symbols(symbols), rows(rows), builder(builder), source(source) {}

  KernelSymbols &symbols;
  RowClass rows;
  mlir::OpBuilder builder; // inserts into the new function
  mlir::func::FuncOp source;
  mlir::IRMapping values; // gemma value -> kernel value
  // q|k|v products that a kv_block made for the attention_block of its layer.
  llvm::DenseMap<mlir::Operation *, mlir::Value> products;
  // Normed rows, and their encoding, that a kv_block made where the queries are
  // a product of their own.
  llvm::DenseMap<mlir::Operation *, std::pair<mlir::Value, std::string>> norms;
  mlir::Value scores;           // all logits, where the segment computes them
  std::map<Io, mlir::Value> io; // arrays as arguments of the new function
  // Columns of the per-layer-embedding table that the function reads.
  std::optional<std::pair<int64_t, int64_t>> pleColumns;

  bool few() const { return rows == RowClass::Few; }
};

struct Recipe {
  // Lowers `op` (any gemma op that may remain after `optimize`); its results
  // get kernel values in `values`.
  llvm::LogicalResult (*lower)(RecipeContext &context, mlir::Operation *op);
  // A copy of `value` (a residual) into a shared buffer: what a segment
  // returns.
  mlir::Value (*copyOut)(RecipeContext &context, mlir::Location loc,
                         mlir::Value value);
};
const Recipe &recipeOf(Device device);

} // namespace gemmac
