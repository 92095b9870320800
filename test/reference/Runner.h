// Runs steps of a whole model in the evaluator, whatever its form: the one
// function @step of the import stage, or the segments body, tail, logits of
// optimize. Builds the step arrays that a runtime would. Must not know goldens.
#pragma once

#include "test/reference/Evaluator.h"

namespace gemmac::reference {

// The rows of one step. `want` lists the rows whose output is asked for.
struct Step {
  std::vector<int64_t> ids, slots, positions, want;
  int64_t ropeOffset = 0;    // added to the positions of the rope tables only
  Tensor soft;               // row j is that of id -1-j
  std::vector<int64_t> ends; // of the rows' blocks; empty: there are none
};

struct Output {
  Tensor hidden, logits; // one row per wanted row
};

class Runner {
public:
  Runner(mlir::ModuleOp module, WeightSource weights)
      : evaluator(module, std::move(weights)), module(module) {}

  mlir::FailureOr<Output> step(const Step &step);
  // The segment @top on hidden rows: ids and values. Nothing masked.
  mlir::FailureOr<std::vector<Tensor>> top(const Tensor &hidden);
  bool has(llvm::StringRef segment) { return bool(find(segment)); }
  int64_t hidden(); // columns of the residual, 0 if gemma.config does not say

  Evaluator evaluator;
  // Rope tables in double instead of rounded once to f32.
  bool exactRope = false;

private:
  using Arguments = std::map<std::string, Tensor>;
  mlir::func::FuncOp find(llvm::StringRef segment);
  mlir::FailureOr<Tensor> ropeTable(llvm::StringRef name, const Step &step);
  mlir::FailureOr<Arguments> arguments(const Step &step);

  mlir::ModuleOp module;
};

// `ends` of rows at positions first, first + 1, ...: one past the last row of
// the run of equal `types` that a row stands in, 0 where `types` says 0 or 3
// (text and sound, which are causal).
std::vector<int64_t> blockEnds(const std::vector<int64_t> &types,
                               int64_t first = 0);

// A step of `ids` at positions first, first + 1, ... of one slot that wants
// every row.
Step sequence(std::vector<int64_t> ids, int64_t first = 0, int64_t slot = 0);

} // namespace gemmac::reference
