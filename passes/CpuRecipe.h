// The recipe for CPUs as a class: what its parts (CpuRecipes.cpp,
// CpuAttention.cpp, CpuFeedForward.cpp, CpuTowers.cpp) share, and what the
// recipe for CUDA changes (CudaRecipes.cpp). Private to them.
#pragma once

#include "passes/Recipes.h"

namespace gemmac::cpu {

using namespace mlir;

// One call. What the table of families says of the shapes (results, units, most
// scalars, the axis) is left away.
struct Call {
  const char *family;
  // What the results are, in the layer of the op: "attn_out". Empty: they are
  // the result of the op.
  StringRef name = "";
  Constants constants;
  SmallVector<Value> inputs;
  SmallVector<WeightRef> weights = {};
  std::vector<int64_t> chosen = {}; // scalars that no shape says
  FlatSymbolRefAttr cache = {};
  bool shared = false; // the same call is made once
};

// The constants of a product with `w`.
inline Constants productOf(const WeightRef &w) {
  return Constants{{"k", w.cols}, {"format", w.format}, {"act", w.act}};
}

// The weights of a mixture of experts and the dense product beside it.
struct Mixture {
  WeightRef pre, routerScale, preExperts, perExpert, gateUp, down, router, up,
      expertsDown;
};

class CpuRecipe {
public:
  CpuRecipe(RecipeContext &c, Operation *op)
      : c(c), op(op), loc(op->getLoc()) {}

  virtual ~CpuRecipe() = default;
  LogicalResult lower() { return failure(failed(dispatch()) || isRefused); }
  Value valueOf(Value gemmaValue) { return at(gemmaValue); }
  Value copyOut(Location where, Value value);

protected:
  LogicalResult dispatch();
  LogicalResult lower(gemma::EmbedOp op);
  LogicalResult lower(gemma::TakeOp op);
  LogicalResult lower(gemma::RmsNormOp op);
  LogicalResult lower(gemma::PleInputsOp op);
  LogicalResult lower(gemma::KvBlockOp op);
  LogicalResult lower(gemma::AttentionBlockOp op);
  LogicalResult lower(gemma::FfnBlockOp op);
  LogicalResult lower(gemma::MoeBlockOp op);
  LogicalResult lower(gemma::PleBlockOp op);
  LogicalResult lower(gemma::TopOp op);
  LogicalResult lower(gemma::LogitsOp op);

  // Towers (CpuTowers.cpp).
  LogicalResult lower(gemma::AffineOp op);
  LogicalResult lower(gemma::StandardizeOp op);
  LogicalResult lower(gemma::AddPositionsOp op);
  LogicalResult lower(gemma::PoolOp op);
  LogicalResult lower(gemma::LayerNormOp op);
  LogicalResult lower(gemma::ProjectOp op);
  LogicalResult lower(gemma::VisionAttentionBlockOp op);
  LogicalResult lower(gemma::SubsampleOp op);
  LogicalResult lower(gemma::ConformerFfnBlockOp op);
  LogicalResult lower(gemma::ConformerAttentionBlockOp op);
  LogicalResult lower(gemma::ConformerConvBlockOp op);
  LogicalResult clippedFfn(gemma::FfnBlockOp op);

  // The first axis of the family unless said.
  ValueRange call(const Call &what, std::optional<Axis> axis = {});
  Value norm(Value x, const WeightRef &w, double eps, StringRef act,
             StringRef name, std::optional<Axis> axis = {});
  Value quant(Value x, StringRef act, StringRef name);
  Value linear(Value x, const WeightRef &w, StringRef name);
  // The product of `w` with a norm of a residual, a value of gemma.
  virtual Value normedLinear(Value h, FlatSymbolRefAttr norm, double eps,
                             const WeightRef &w, StringRef name);
  virtual Value normedGeglu(Value h, FlatSymbolRefAttr pre, double eps,
                            const WeightRef &gateUp);
  // The gated product with a residual and per-layer inputs from `column` on.
  virtual Value pleProduct(Value h, const WeightRef &gate, Value ple,
                           int64_t column);
  // With as many outputs as the matrix `down` has columns.
  WeightRef gateAndUp(FlatSymbolRefAttr gate, FlatSymbolRefAttr down,
                      StringRef name);
  Value geglu(Value x, const WeightRef &w);
  // What the experts of a mixture read: the router's logits, the gated dense
  // product and the normed rows.
  struct Routed {
    Value logits, gated, rows;
  };
  virtual Routed routed(gemma::MoeBlockOp op, const Mixture &m);
  // The dense product and the sum of the experts.
  struct Mixed {
    Value dense, experts;
  };
  virtual Mixed mixed(gemma::MoeBlockOp op, const Mixture &m);
  // The constants of a product of a mixture with `w`.
  Constants ofExperts(gemma::MoeBlockOp op, const Mixture &m,
                      const WeightRef &w);
  // The residual `result` after a block, a value of gemma.
  virtual void endBlock(const PendingAdd &add, Value result);
  Value makeAdd(const PendingAdd &add);
  FailureOr<Projection> project(Value h, FlatSymbolRefAttr norm, double eps,
                                ArrayRef<FlatSymbolRefAttr> own,
                                StringRef name);
  virtual void append(gemma::KvBlockOp op, kernel::CacheOp cache,
                      const Projection &kv);
  // The product of attention's result with `o`.
  virtual Value attentionProduct(gemma::AttentionBlockOp op,
                                 kernel::CacheOp cache, const Projection &q,
                                 const WeightRef &o);
  Value attend(Value q, kernel::CacheOp cache, Value end, int64_t heads,
               StringRef act);
  Value capped(Value hidden, const WeightRef &w, double cap, StringRef name);
  // Whether the best logits of a head are looked for with part of its bits.
  virtual bool scans(const WeightRef &head) { return head.low && c.few(); }

  // Parts of the towers: the constant `clipped` and bounds of a block by index
  // (four of each matrix); the input of matrix `matrix`, clipped to its bounds
  // and rounded; what reads `value` multiplies, else f32; h + factor * norm of
  // matrix `matrix`'s clipped output.
  void bound(Call &what, ArrayAttr bounds, std::initializer_list<int> indices);
  Value clip(Value x, ArrayAttr bounds, int matrix, StringRef act,
             StringRef name);
  SmallVector<Value> projections(Value h, FlatSymbolRefAttr norm, double eps,
                                 ArrayRef<FlatSymbolRefAttr> matrices,
                                 ArrayAttr bounds);
  Value plainNorm(Value x, double eps, StringRef act, StringRef name);
  StringRef actOf(Value value);
  void residual(Value h, Value y, FlatSymbolRefAttr post, double eps,
                double factor, ArrayAttr bounds, int matrix, Value result);

  // Types.
  RankedTensorType rowsOf(StringRef encoding, int64_t columns);
  int64_t columns(Value v) { return kernel::columnsOf(v.getType()); }
  Value at(Value gemmaValue);
  Value ioArg(Io io);
  FlatSymbolRefAttr symbol(StringRef name) {
    return FlatSymbolRefAttr::get(c.builder.getContext(), name);
  }

  RecipeContext &c;
  Operation *op;
  FlatSymbolRefAttr layer = {}; // a weight of the op's layer, if it has one
  Location loc;
  bool isRefused = false; // a call has no kernel, or no step array
};

} // namespace gemmac::cpu
