// Replaces fused ops by the primitives that define them (GemmaOps.td).
#include "passes/Match.h"
#include "passes/Passes.h"

using namespace mlir;
using namespace mlir::gemma;

namespace gemmac {
#define GEN_PASS_DEF_EXPAND
#include "passes/Passes.h.inc"

namespace {
// Builds primitives in front of a fused op. Intermediate values get a location
// that says so; the final value keeps the fused op's.
struct Primitives {
  OpBuilder b;
  Location loc, last;
  FloatAttr eps;

  Primitives(Operation *op, FloatAttr eps)
      : b(op),
        loc(FusedLoc::get(op->getContext(), {op->getLoc()},
                          StringAttr::get(op->getContext(), "expanded"))),
        last(op->getLoc()), eps(eps) {}

  RankedTensorType columns(Value like, int64_t count) {
    auto type = cast<RankedTensorType>(like.getType());
    return RankedTensorType::get({type.getDimSize(0), count},
                                 type.getElementType());
  }
  Value norm(Value x, FlatSymbolRefAttr weight, int64_t size = 0) {
    return RmsNormOp::create(b, loc, x.getType(), x, weight, eps,
                             b.getI64IntegerAttr(size ? size : columnsOf(x)));
  }
  Value linear(Value x, FlatSymbolRefAttr weight, DenseI64ArrayAttr rows = {}) {
    WeightOp symbol =
        lookupWeight(b.getInsertionPoint()->getParentOp(), weight);
    int64_t count = rows ? rows[1] - rows[0] : symbol.dim(0);
    return LinearOp::create(b, loc, columns(x, count), x, weight, rows);
  }
  Value geglu(Value gate, Value up) {
    return GegluOp::create(b, loc, gate.getType(), gate, up);
  }
  Value add(Value lhs, Value rhs, bool final = false) {
    return AddOp::create(b, final ? last : loc, lhs.getType(), lhs, rhs);
  }
  // lhs + rhs and, if there is one, times the layer's scalar.
  Value finish(Value lhs, Value rhs, FlatSymbolRefAttr scalar) {
    Value sum = add(lhs, rhs, !scalar);
    if (!scalar)
      return sum;
    return ScaleOp::create(b, last, sum.getType(), sum, scalar, FloatAttr());
  }
  Value scale(Value x, FloatAttr factor, bool final = false) {
    return ScaleOp::create(b, final ? last : loc, x.getType(), x,
                           FlatSymbolRefAttr(), factor);
  }
  Value rope(Value x, Value table, int64_t dim, IntegerAttr pairs) {
    return RopeOp::create(b, loc, x.getType(), x, table,
                          b.getI64IntegerAttr(dim), pairs);
  }
};
} // namespace

static void expand(PleInputsOp op) {
  Primitives p(op, op.getEpsAttr());
  int64_t width = op.getWidth();
  DenseI64ArrayAttr range = p.b.getDenseI64ArrayAttr(
      {op.getLayers()[0] * width, op.getLayers()[1] * width});
  Value token = EmbedOp::create(p.b, p.loc, op.getType(), op.getIds(), Value(),
                                op.getTableAttr(), op.getTokenScaleAttr(),
                                range, p.b.getStringAttr("zero"));
  Value context = p.scale(p.linear(op.getH0(), op.getProjAttr(), range),
                          op.getContextScaleAttr());
  context = p.norm(context, op.getNormAttr(), width);
  op.replaceAllUsesWith(
      p.scale(p.add(context, token), op.getScaleAttr(), true));
  op.erase();
}

static void expand(KvBlockOp op) {
  Primitives p(op, op.getEpsAttr());
  int64_t dim = lookupCache(op, op.getCacheAttr()).getDim();
  Value x = p.norm(op.getH(), op.getNormAttr());
  Value k0 = p.linear(x, op.getKAttr());
  Value v0 = op.getVAttr() ? p.linear(x, op.getVAttr()) : k0;
  Value k = p.rope(p.norm(k0, op.getKNormAttr(), dim), op.getTable(), dim,
                   op.getPairsAttr());
  Value v = p.norm(v0, FlatSymbolRefAttr(), dim);
  AppendOp::create(p.b, p.last, k, v, op.getSlot(), op.getPos(),
                   op.getCacheAttr());
  op.erase();
}

static void expand(AttentionBlockOp op) {
  Primitives p(op, op.getEpsAttr());
  int64_t dim = lookupCache(op, op.getCacheAttr()).getDim();
  Value x = p.norm(op.getH(), op.getNormAttr());
  Value q = p.norm(p.linear(x, op.getQAttr()), op.getQNormAttr(), dim);
  q = p.rope(q, op.getTable(), dim, op.getPairsAttr());
  Value a = AttentionOp::create(p.b, p.loc, q.getType(), q, op.getSlot(),
                                op.getPos(), op.getEnd(), op.getCacheAttr());
  Value o = p.norm(p.linear(a, op.getOAttr()), op.getPostAttr());
  op.replaceAllUsesWith(p.add(op.getH(), o, true));
  op.erase();
}

template <typename Block>
static Value expandDense(Primitives &p, Block op, FlatSymbolRefAttr post) {
  Value x = p.norm(op.getH(), op.getPreAttr());
  Value gate = p.linear(x, op.getGateAttr());
  Value a = p.geglu(gate, p.linear(x, op.getUpAttr()));
  return p.norm(p.linear(a, op.getDownAttr()), post);
}

static void expand(FfnBlockOp op) {
  Primitives p(op, op.getEpsAttr());
  Value y = expandDense(p, op, op.getPostAttr());
  op.replaceAllUsesWith(p.finish(op.getH(), y, op.getScaleAttr()));
  op.erase();
}

static void expand(MoeBlockOp op) {
  Primitives p(op, op.getEpsAttr());
  Value y1 = expandDense(p, op, op.getPostDenseAttr());
  int64_t top = op.getTop();
  RankedTensorType weights = p.columns(op.getH(), top);
  auto ids = RankedTensorType::get(weights.getShape(), p.b.getI32Type());
  auto router =
      RouterOp::create(p.b, p.loc, TypeRange{weights, ids}, op.getH(),
                       op.getRouterAttr(), op.getRouterScaleAttr(),
                       op.getEpsAttr(), op.getFactorAttr(), op.getTopAttr());
  Value x3 = p.norm(op.getH(), op.getPreExpertsAttr());
  Value y2 = ExpertsOp::create(
      p.b, p.loc, x3.getType(), x3, router.getWeights(), router.getIds(),
      op.getGateUpAttr(), op.getExpertsDownAttr(), op.getPerExpertAttr());
  y2 = p.norm(y2, op.getPostExpertsAttr());
  Value y = p.norm(p.add(y1, y2), op.getPostAttr());
  op.replaceAllUsesWith(p.finish(op.getH(), y, op.getScaleAttr()));
  op.erase();
}

static void expand(PleBlockOp op) {
  Primitives p(op, op.getEpsAttr());
  Value g = p.geglu(p.linear(op.getH(), op.getGateAttr()), op.getPle());
  Value y = p.norm(p.linear(g, op.getProjAttr()), op.getPostAttr());
  op.replaceAllUsesWith(p.finish(op.getH(), y, op.getScaleAttr()));
  op.erase();
}

namespace {
struct Expand : impl::ExpandBase<Expand> {
  using Base::Base;
  void runOnOperation() override {
    getOperation().walk([](Operation *op) {
      TypeSwitch<Operation *>(op)
          .Case<PleInputsOp, KvBlockOp, AttentionBlockOp, FfnBlockOp,
                MoeBlockOp, PleBlockOp>([](auto fused) { expand(fused); });
    });
  }
};
} // namespace
} // namespace gemmac
