// How one function of the gemma dialect becomes calls of kernels, per kind of
// device. GemmaToKernel.cpp makes the functions and asks a recipe for every op.
#pragma once

#include "passes/KernelSymbols.h"
#include "passes/Packing.h"

#include "mlir/IR/IRMapping.h"

#include <map>

namespace gemmac {

struct Recipe;

// The end of a block, add_norm(h, y) or, with `experts`, add_norm3(h, y,
// experts), that may not have been made yet: of devices, whose next product
// makes it.
struct PendingAdd {
  mlir::Value h, y;
  mlir::FlatSymbolRefAttr post;
  std::optional<llvm::StringRef> scale;
  double eps;
  mlir::Value experts = {};
  mlir::FlatSymbolRefAttr postDense = {}, postExperts = {}; // with `experts`
};

// A product with a normed residual, and where in it the columns of each matrix
// begin.
struct Projection {
  mlir::Value product;
  std::vector<int64_t> columns;
};

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
  // Of devices, by results of gemma ops, and products with norms of them by
  // the matrix; keys and values that attention appends, by the cache.
  llvm::DenseMap<mlir::Value, PendingAdd> pendingAdds{};
  llvm::DenseMap<std::pair<mlir::Value, mlir::Attribute>, mlir::Value>
      normedProducts{};
  llvm::DenseMap<mlir::Attribute, Projection> pendingAppends{};
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
  // The kernel value of a gemma value, made where it has not been needed yet;
  // null if no kernel computes it.
  mlir::Value (*value)(RecipeContext &context, mlir::Value value);
  // A copy of `value` (a residual) into a shared buffer: what a segment
  // returns.
  mlir::Value (*copyOut)(RecipeContext &context, mlir::Location loc,
                         mlir::Value value);
};
extern const Recipe cpuRecipe, cudaRecipe;

} // namespace gemmac
