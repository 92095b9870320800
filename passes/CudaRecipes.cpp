// Recipes for CUDA: those for CPUs, but that in class `few` what stands in
// front of a product is in its kernel (targets/DeviceKernels.cpp). A residual
// is added by the product that reads its norm, so add_norm waits for that
// (pendingAdds); whoever else wants the residual makes it first. Must not know
// barriers or places.
#include "passes/CpuRecipe.h"

namespace gemmac {

namespace {

using namespace cpu;

class CudaRecipe : public CpuRecipe {
public:
  using CpuRecipe::CpuRecipe;

protected:
  Value normedLinear(Value h, FlatSymbolRefAttr norm, double eps,
                     const WeightRef &w, StringRef name) override;
  Value normedGeglu(Value h, FlatSymbolRefAttr pre, double eps,
                    const WeightRef &gateUp) override;
  Value pleProduct(Value h, const WeightRef &gate, Value ple,
                   int64_t column) override;
  void endBlock(const PendingAdd &add, Value result) override;
  Routed routed(gemma::MoeBlockOp op, const Mixture &m) override;
  Mixed mixed(gemma::MoeBlockOp op, const Mixture &m) override;
  void append(gemma::KvBlockOp op, kernel::CacheOp cache,
              const Projection &kv) override;
  Value attentionProduct(gemma::AttentionBlockOp op, kernel::CacheOp cache,
                         const Projection &q, const WeightRef &o) override;
  // A card computes all logits: the head is split as weight files are shared.
  bool scans(const WeightRef &) override { return false; }

private:
  bool fits(const WeightRef &w) {
    return c.few() && fitsPrologue(w.act, w.cols);
  }
  // The addition that `h` waits for, to be made by a product with `w`; nothing
  // if it waits for none, or for one that such a product cannot make: its norm
  // has `eps` too, and the family is one for the end of a mixture (`of3`).
  std::optional<PendingAdd> take(Value h, const WeightRef &w, double eps,
                                 bool of3 = false);
  ValueRange behindAdd(Value h, const PendingAdd &add, Call what,
                       ArrayRef<WeightRef> norms);
};

std::optional<PendingAdd> CudaRecipe::take(Value h, const WeightRef &w,
                                           double eps, bool of3) {
  auto found = c.pendingAdds.find(h);
  if (found == c.pendingAdds.end() || !fits(w) || found->second.eps != eps ||
      (found->second.experts && !of3))
    return std::nullopt;
  const PendingAdd add = found->second;
  c.pendingAdds.erase(found);
  return add;
}

// `what` without the operands of the addition; its other inputs come behind
// them. The new residual is the last result.
ValueRange CudaRecipe::behindAdd(Value h, const PendingAdd &add, Call what,
                                 ArrayRef<WeightRef> norms) {
  what.constants.set("eps", add.eps)
      .set("scaled", int64_t(add.scale.has_value()));
  SmallVector<Value> inputs = {add.h, add.y};
  if (add.experts) {
    inputs.push_back(add.experts);
    what.weights.push_back(c.symbols.vector(add.postDense));
    what.weights.push_back(c.symbols.vector(add.postExperts));
  }
  what.inputs.insert(what.inputs.begin(), inputs.begin(), inputs.end());
  what.weights.push_back(c.symbols.vector(add.post));
  llvm::append_range(what.weights, norms);
  if (add.scale)
    what.weights.push_back(c.symbols.vector(symbol(*add.scale)));
  ValueRange made = call(what);
  c.values.map(h, made.back());
  return made;
}

Value CudaRecipe::normedLinear(Value h, FlatSymbolRefAttr norm, double eps,
                               const WeightRef &w, StringRef name) {
  if (!fits(w))
    return CpuRecipe::normedLinear(h, norm, eps, w, name);
  Value &product = c.normedProducts[{h, w.name}];
  if (product)
    return product;
  WeightRef normW = c.symbols.vector(norm);
  Call what = {.family = "norm_linear",
               .name = name,
               .constants = productOf(w),
               .weights = {w}};
  Value made;
  if (std::optional<PendingAdd> add = take(h, w, eps, /*of3=*/true)) {
    what.family = add->experts ? "add_norm3_linear" : "add_norm_linear";
    made = behindAdd(h, *add, what, normW)[0];
  } else {
    what.constants.set("eps", eps);
    what.inputs = {at(h)};
    what.weights.push_back(normW);
    made = call(what)[0];
  }
  return c.normedProducts[{h, w.name}] = made;
}

Value CudaRecipe::normedGeglu(Value h, FlatSymbolRefAttr pre, double eps,
                              const WeightRef &gateUp) {
  std::optional<PendingAdd> add = take(h, gateUp, eps);
  if (!add)
    return CpuRecipe::normedGeglu(h, pre, eps, gateUp);
  return behindAdd(h, *add,
                   {.family = "add_norm_geglu",
                    .name = "mlp_act",
                    .constants = productOf(gateUp),
                    .weights = {gateUp}},
                   c.symbols.vector(pre))[0];
}

Value CudaRecipe::pleProduct(Value h, const WeightRef &gate, Value ple,
                             int64_t column) {
  // No norm follows the addition: any eps.
  auto found = c.pendingAdds.find(h);
  std::optional<PendingAdd> add;
  if (found != c.pendingAdds.end())
    add = take(h, gate, found->second.eps);
  if (!add)
    return CpuRecipe::pleProduct(h, gate, ple, column);
  return behindAdd(h, *add,
                   {.family = "add_linear_ple",
                    .name = "ple_act",
                    .constants = productOf(gate),
                    .inputs = {at(ple)},
                    .weights = {gate},
                    .chosen = {column}},
                   {})[0];
}

void CudaRecipe::endBlock(const PendingAdd &add, Value result) {
  if (!c.few())
    return CpuRecipe::endBlock(add, result);
  c.pendingAdds[result] = add;
  // Their places in the file are those that they have on CPUs.
  c.symbols.vector(add.post);
  if (add.scale)
    c.symbols.vector(symbol(*add.scale));
}

CudaRecipe::Routed CudaRecipe::routed(gemma::MoeBlockOp op, const Mixture &m) {
  std::optional<PendingAdd> add =
      take(op.getH(), m.gateUp, op.getEps().convertToDouble());
  if (!add)
    return CpuRecipe::routed(op, m);
  ValueRange made = behindAdd(
      op.getH(), *add,
      {.family = "add_norms3_geglu",
       .name = "mlp_act",
       .constants = productOf(m.gateUp)
                        .set("factor", op.getFactor().convertToDouble())
                        .set("experts", m.router.rows),
       .weights = {m.gateUp, m.router}},
      {m.pre, m.routerScale, m.preExperts});
  return {made[1], made[0], made[2]};
}

// Few pairs need no order, as every block has one of them or all of a row.
CudaRecipe::Mixed CudaRecipe::mixed(gemma::MoeBlockOp op, const Mixture &m) {
  if (!c.few())
    return CpuRecipe::mixed(op, m);
  const Routed from = routed(op, m);
  ValueRange up =
      call({.family = "top_experts_up",
            .name = "experts_act",
            .constants = ofExperts(op, m, m.up).set("f", m.up.rows / 2),
            .inputs = {from.rows, from.logits},
            .weights = {m.up, m.perExpert}});
  ValueRange down = call({.family = "experts_down_linear",
                          .name = "experts_out",
                          .constants = ofExperts(op, m, m.expertsDown)
                                           .set("n", m.expertsDown.rows)
                                           .set("dense_k", m.down.cols)
                                           .set("dense_format", m.down.format),
                          .inputs = {up[0], up[2], up[1], from.gated},
                          .weights = {m.expertsDown, m.down}});
  return {down[1], down[0]};
}

// Left to the attention behind it, where that reads the same product: it may
// not be cut from it by the end of the segment.
void CudaRecipe::append(gemma::KvBlockOp op, kernel::CacheOp cache,
                        const Projection &kv) {
  auto next = dyn_cast_if_present<gemma::AttentionBlockOp>(op->getNextNode());
  const bool joins = c.few() && next && next.getH() == op.getH() &&
                     next.getCacheAttr() == op.getCacheAttr() &&
                     !next.getEnd() && next.getTable() == op.getTable();
  if (!joins)
    return CpuRecipe::append(op, cache, kv);
  c.symbols.vector(op.getKNormAttr());
  c.pendingAppends[op.getCacheAttr()] = kv;
}

Value CudaRecipe::attentionProduct(gemma::AttentionBlockOp op,
                                   kernel::CacheOp cache, const Projection &q,
                                   const WeightRef &o) {
  Projection kv;
  if (auto found = c.pendingAppends.find(op.getCacheAttr());
      found != c.pendingAppends.end()) {
    kv = found->second;
    c.pendingAppends.erase(found);
    if (kv.product != q.product) { // products of their own
      CpuRecipe::append(cast<gemma::KvBlockOp>(op->getPrevNode()), cache, kv);
      kv = {};
    }
  }
  if (!c.few() || op.getEnd())
    return CpuRecipe::attentionProduct(op, cache, q, o);
  const bool isLocal = cache.isLocal();
  int64_t hd = cache.getDim(), heads = o.cols / hd;
  Call what = {.family = kv.product ? "append_attend" : "rope_attend",
               .name = "attn_parts",
               .constants = {{"heads", heads},
                             {"hd", hd},
                             {"group", heads / int64_t(cache.getHeads())},
                             {"window", int64_t(cache.getWindow())},
                             {"cache", cache.getFormat().str()},
                             {"pairs", int64_t(op.getPairs())},
                             {"eps", op.getEps().convertToDouble()}},
               .inputs = {q.product, at(op.getTable()), ioArg(Io::tile),
                          ioArg(isLocal ? Io::split_local : Io::split_global)},
               .weights = {c.symbols.vector(op.getQNormAttr())},
               .chosen = q.columns,
               .cache = op.getCacheAttr()};
  if (kv.product) {
    auto block = cast<gemma::KvBlockOp>(op->getPrevNode());
    what.weights.push_back(c.symbols.vector(block.getKNormAttr()));
    what.chosen.push_back(kv.columns.front());
    what.chosen.push_back(kv.columns.back());
  }
  Value parts = call(what)[0];
  Value counts = ioArg(isLocal ? Io::parts_local : Io::parts_global);
  if (fits(o))
    return call({.family = "merge_linear",
                 .name = "attn_proj",
                 .constants = productOf(o).set("hd", hd),
                 .inputs = {parts, counts},
                 .weights = {o}})[0];
  Value merged =
      call({.family = "merge",
            .name = "attn_out",
            .constants = {{"heads", heads}, {"hd", hd}, {"act", o.act}},
            .inputs = {parts, counts}})[0];
  return linear(merged, o, "attn_proj");
}

} // namespace

const Recipe cudaRecipe = {
    [](RecipeContext &context, mlir::Operation *op) {
      return CudaRecipe(context, op).lower();
    },
    [](RecipeContext &context, mlir::Value value) {
      return CudaRecipe(context, context.source).valueOf(value);
    },
    [](RecipeContext &context, mlir::Location loc, mlir::Value value) {
      return CudaRecipe(context, context.source).copyOut(loc, value);
    }};

} // namespace gemmac
