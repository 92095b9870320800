// The oracle of the IR: runs functions of the gemma dialect in double with
// plain loops, weights by call-back, caches as exact maps from position to keys
// and values. Must not know kernels, layouts or how passes work. Fused ops are
// run by expanding them first (gemma-expand).
#pragma once

#include "dialects/gemma/Gemma.h"

#include <functional>
#include <map>
#include <string>
#include <vector>

namespace gemmac::reference {

// Row-major. Activations [rows, cols]; index vectors [n, 1] (whole numbers);
// rope tables [n, pairs * 2]; a weight of rank 3 [E, a, b] is [E * a, b], one
// of rank 1 is [1, n].
struct Tensor {
  int64_t rows = 0, cols = 0;
  std::vector<double> data;

  Tensor() = default;
  Tensor(int64_t rows, int64_t cols)
      : rows(rows), cols(cols), data(size_t(rows * cols)) {}
  double *row(int64_t r) { return data.data() + r * cols; }
  const double *row(int64_t r) const { return data.data() + r * cols; }
};

// The values of a weight, or null after an error was reported.
using WeightSource = std::function<const Tensor *(mlir::gemma::WeightOp)>;
// Gets every value under the name of its location.
using Observer = std::function<void(llvm::StringRef, const Tensor &)>;

double roundToF32(double value);
double roundToBf16(double value);

class Evaluator {
public:
  Evaluator(mlir::ModuleOp module, WeightSource weights)
      : module(module), weights(std::move(weights)) {}

  // Runs `function`; arguments in order, or by the name in gemma.arg.
  mlir::FailureOr<std::vector<Tensor>> run(mlir::func::FuncOp function,
                                           std::vector<Tensor> arguments);
  mlir::FailureOr<std::vector<Tensor>>
  run(mlir::func::FuncOp function,
      const std::map<std::string, Tensor> &arguments);

  // Observed besides the values themselves: ".k" and ".v" beside ".attn_out"
  // (what the layer reads at the step's positions), ".seen" there, too (first
  // and end of the keys that each row sees, and the window), ".router_logits"
  // and
  // ".topk_index" beside ".router", ".topk_weight" (times the per-expert scale)
  // beside ".experts_out".
  Observer observer;
  // Round what is appended to caches to their `format` (if they have one).
  bool roundCaches = false;

private:
  // Keys and values of one sequence; [position][heads * dim].
  struct Slot {
    std::vector<double> k, v;
    std::vector<char> written;
  };
  using Cache = std::map<int64_t, Slot>;

  mlir::LogicalResult runOp(mlir::Operation *op);
  const Tensor &value(mlir::Value v) { return values.find(v)->second; }
  const Tensor *weight(mlir::Operation *user, mlir::FlatSymbolRefAttr name);
  void define(mlir::Value v, Tensor tensor);
  void observe(mlir::Operation *op, llvm::StringRef suffix,
               llvm::StringRef name, const Tensor &tensor);

  mlir::LogicalResult run(mlir::gemma::EmbedOp op);
  mlir::LogicalResult run(mlir::gemma::RmsNormOp op);
  mlir::LogicalResult run(mlir::gemma::LinearOp op);
  mlir::LogicalResult run(mlir::gemma::RopeOp op);
  mlir::LogicalResult run(mlir::gemma::AppendOp op);
  mlir::LogicalResult run(mlir::gemma::AttentionOp op);
  mlir::LogicalResult run(mlir::gemma::GegluOp op);
  mlir::LogicalResult run(mlir::gemma::AddOp op);
  mlir::LogicalResult run(mlir::gemma::ScaleOp op);
  mlir::LogicalResult run(mlir::gemma::ColumnsOp op);
  mlir::LogicalResult run(mlir::gemma::TakeOp op);
  mlir::LogicalResult run(mlir::gemma::RouterOp op);
  mlir::LogicalResult run(mlir::gemma::ExpertsOp op);
  mlir::LogicalResult run(mlir::gemma::LogitsOp op);
  mlir::LogicalResult run(mlir::gemma::SoftcapOp op);
  mlir::LogicalResult run(mlir::gemma::TopOp op);
  // TowerOps.cpp.
  mlir::LogicalResult run(mlir::gemma::AffineOp op);
  mlir::LogicalResult run(mlir::gemma::ClampOp op);
  mlir::LogicalResult run(mlir::gemma::BiasOp op);
  mlir::LogicalResult run(mlir::gemma::StandardizeOp op);
  mlir::LogicalResult run(mlir::gemma::AddPositionsOp op);
  mlir::LogicalResult run(mlir::gemma::Rope2dOp op);
  mlir::LogicalResult run(mlir::gemma::SelfAttentionOp op);
  mlir::LogicalResult run(mlir::gemma::PoolOp op);
  mlir::LogicalResult run(mlir::gemma::LayerNormOp op);
  mlir::LogicalResult run(mlir::gemma::Conv2dOp op);
  mlir::LogicalResult run(mlir::gemma::ReluOp op);
  mlir::LogicalResult run(mlir::gemma::SiluOp op);
  mlir::LogicalResult run(mlir::gemma::GluOp op);
  mlir::LogicalResult run(mlir::gemma::DepthwiseConvOp op);
  mlir::LogicalResult run(mlir::gemma::RelAttentionOp op);

  mlir::ModuleOp module;
  WeightSource weights;
  std::map<std::string, Cache> caches;
  llvm::DenseMap<mlir::Value, Tensor> values;
};

} // namespace gemmac::reference
