// The recipe for CPUs as a class: what its parts (CpuRecipes.cpp,
// CpuAttention.cpp, CpuFeedForward.cpp) share. Private to them.
#pragma once

#include "passes/Recipes.h"

namespace gemmac::cpu {

using namespace mlir;

// The constants, operands and results of one call.
struct Call {
  const char *family;
  Constants constants;
  SmallVector<Value> inputs;
  SmallVector<FlatSymbolRefAttr> weights = {};
  SmallVector<int64_t> scalars = {};
  SmallVector<Type> results = {};
  FlatSymbolRefAttr cache = {};
};

class CpuRecipe {
public:
  CpuRecipe(RecipeContext &c, Operation *op)
      : c(c), op(op), loc(op->getLoc()) {}

  LogicalResult lower();
  Value copyOut(Location where, Value value);

private:
  LogicalResult embed(gemma::EmbedOp op);
  LogicalResult take(gemma::TakeOp op);
  LogicalResult rmsNorm(gemma::RmsNormOp op);
  LogicalResult pleInputs(gemma::PleInputsOp op);
  LogicalResult kvBlock(gemma::KvBlockOp op);
  LogicalResult attentionBlock(gemma::AttentionBlockOp op);
  LogicalResult ffnBlock(gemma::FfnBlockOp op);
  LogicalResult moeBlock(gemma::MoeBlockOp op);
  LogicalResult pleBlock(gemma::PleBlockOp op);
  LogicalResult top(gemma::TopOp op);
  LogicalResult logits(gemma::LogitsOp op);

  // Calls. `rowOp` runs over rows, or on all workers in `few`.
  ValueRange call(const Call &what, Axis axis, int64_t units = 1);
  ValueRange rowOp(const Call &what) {
    return call(what, c.few() ? Axis::All : Axis::Rows);
  }
  Value norm(Value x, FlatSymbolRefAttr w, double eps, StringRef act,
             std::optional<Axis> axis = {});
  Value quant(Value x, StringRef act);
  Value linear(Value x, const WeightRef &w);
  Value geglu(Value x, const WeightRef &w, StringRef act);
  LogicalResult addNorm(Value h, Value y, FlatSymbolRefAttr post,
                        std::optional<StringRef> scale, double eps,
                        Value result);
  Value attend(Value q, kernel::CacheOp cache, int64_t heads, StringRef act);
  FailureOr<WeightRef> head(FlatSymbolRefAttr weight);
  FailureOr<Value> capped(Value hidden, FlatSymbolRefAttr weight, double cap);

  // Types.
  RankedTensorType rowsOf(StringRef encoding, int64_t columns);
  int64_t columns(Value v) {
    return cast<RankedTensorType>(v.getType()).getDimSize(1);
  }
  int64_t stride(Value v) {
    return rowStride(
        kernel::encodingOf(cast<RankedTensorType>(v.getType())).str(),
        columns(v));
  }
  Value at(Value gemmaValue) { return c.values.lookup(gemmaValue); }
  FailureOr<Value> ioArg(Io io);
  FlatSymbolRefAttr symbol(StringRef name) {
    return FlatSymbolRefAttr::get(c.builder.getContext(), name);
  }

  RecipeContext &c;
  Operation *op;
  Location loc;
};

} // namespace gemmac::cpu
