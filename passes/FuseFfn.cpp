// Forms ffn_block and moe_block: the gated MLP with its norms and residual,
// alone or in parallel with a mixture of experts.
#include "passes/Match.h"
#include "passes/Passes.h"

using namespace mlir;
using namespace mlir::gemma;

namespace gemmac {
#define GEN_PASS_DEF_FUSEFFN
#include "passes/Passes.h.inc"

namespace {
// norm(h) -> gate and up -> geglu -> down -> norm: the dense branch up to the
// norm that follows it.
struct Dense {
  RmsNormOp pre;
  Match::Clipped gate, up, down;
  ArrayAttr bounds; // null: none
  RmsNormOp post;
};
} // namespace

static Dense matchDense(Match &match, GegluOp geglu) {
  Dense d;
  d.gate = match.clipped(geglu.getG(), "the gate");
  d.up = match.clipped(geglu.getU(), "the up projection");
  match.single(geglu.getG(), "the gate");
  match.single(geglu.getU(), "the up projection");
  match.same(d.up.x, d.gate.x, "the input of up", "the input of gate");
  match.single(d.gate.x, "the pre-norm", 2);
  d.pre = match.norm(match.producer<RmsNormOp>(d.gate.x, "the input of gate"),
                     "the pre-norm");
  d.down = match.clippedUser(geglu.getResult(), "the gated product");
  d.bounds = match.boundsOf({&d.gate, &d.up, &d.down});
  d.post = match.norm(match.user<RmsNormOp>(d.down.y, "the down projection"),
                      "the post-norm");
  return d;
}

// Whether the branch of `geglu` meets experts: then the experts are the root.
static bool meetsExperts(GegluOp geglu) {
  Operation *op = geglu;
  for (int i = 0; i < 3; ++i) { // down, norm, add
    if (!op->getResult(0).hasOneUse())
      return false;
    op = *op->getResult(0).user_begin();
    if (op->getNumResults() != 1)
      return false;
  }
  if (auto add = dyn_cast<AddOp>(op))
    for (Value operand : add.getOperands())
      if (auto norm = operand.getDefiningOp<RmsNormOp>())
        if (norm.getX().getDefiningOp<ExpertsOp>())
          return true;
  return false;
}

static bool fuseFfn(GegluOp geglu) {
  Match match(geglu);
  Dense d = matchDense(match, geglu);
  AddOp add = match.sum(d.post, "the post-norm", inputOf(d.pre),
                        "the input of the pre-norm");
  if (!match.fits())
    return match.decline();

  OpBuilder b(add);
  auto block = FfnBlockOp::create(
      b, add.getLoc(), add.getType(), d.pre.getX(), d.pre.getWeightAttr(),
      d.gate.linear.getWeightAttr(), d.up.linear.getWeightAttr(),
      d.down.linear.getWeightAttr(), d.post.getWeightAttr(),
      FlatSymbolRefAttr(), d.bounds, b.getF64FloatAttr(*match.eps));
  add.replaceAllUsesWith(block.getResult());
  eraseDead(add);
  return true;
}

namespace {
// The expert branch up to its norm.
struct Sparse {
  RmsNormOp pre;
  RouterOp router;
  RmsNormOp post;
};
} // namespace

static Sparse matchSparse(Match &match, ExpertsOp experts) {
  Sparse s;
  s.router = match.producer<RouterOp>(experts.getWeights(),
                                      "the weights of the experts");
  if (!s.router)
    return s;
  match.same(experts.getIds(), s.router.getIds(), "the ids of the experts",
             "the router's");
  match.same(experts.getWeights(), s.router.getWeights(),
             "the weights of the experts", "the router's");
  match.single(s.router.getIds(), "the router's ids");
  match.single(s.router.getWeights(), "the router's weights");
  match.single(experts.getX(), "the experts' input");
  s.pre = match.norm(
      match.producer<RmsNormOp>(experts.getX(), "the experts' input"),
      "the experts' pre-norm");
  match.sameEps(s.router.getEps().convertToDouble(), "the router");
  match.same(s.router.getX(), inputOf(s.pre), "the router's input",
             "the input of the experts' pre-norm");
  s.post = match.norm(match.user<RmsNormOp>(experts.getResult(), "the experts"),
                      "the experts' post-norm");
  return s;
}

static bool fuseMoe(ExpertsOp experts) {
  Match match(experts);
  Sparse s = matchSparse(match, experts);
  auto sum = match.user<AddOp>(resultOf(s.post), "the experts' post-norm");
  auto postDense = match.producer<RmsNormOp>(
      sum ? Match::otherOf(sum, s.post.getResult()) : Value(),
      "the sum with the experts");
  auto down = match.linear(inputOf(postDense), "the dense branch");
  auto geglu = match.producer<GegluOp>(inputOf(down), "the dense branch");
  if (!geglu || !match.fits())
    return match.decline();
  Dense d = matchDense(match, geglu);
  if (d.bounds)
    return match.decline("expects no bounds of the dense branch");
  match.single(resultOf(d.post), "the dense post-norm");
  match.same(inputOf(d.pre), inputOf(s.pre), "the input of the dense branch",
             "the input of the experts' pre-norm");
  auto post = match.norm(
      match.user<RmsNormOp>(sum.getResult(), "the sum of both branches"),
      "the post-norm");
  AddOp add = match.sum(post, "the post-norm", inputOf(s.pre),
                        "the input of the norms");
  if (!match.fits())
    return match.decline();

  OpBuilder b(add);
  auto block = MoeBlockOp::create(
      b, add.getLoc(), add.getType(), s.pre.getX(), d.pre.getWeightAttr(),
      d.gate.linear.getWeightAttr(), d.up.linear.getWeightAttr(),
      d.down.linear.getWeightAttr(), d.post.getWeightAttr(),
      s.router.getProjAttr(), s.router.getScaleAttr(), s.pre.getWeightAttr(),
      experts.getGateUpAttr(), experts.getDownAttr(),
      experts.getPerExpertAttr(), s.post.getWeightAttr(), post.getWeightAttr(),
      FlatSymbolRefAttr(), b.getF64FloatAttr(*match.eps),
      s.router.getFactorAttr(), s.router.getTopAttr());
  add.replaceAllUsesWith(block.getResult());
  eraseDead(add);
  return true;
}

namespace {
struct FuseFfn : impl::FuseFfnBase<FuseFfn> {
  void runOnOperation() override {
    forEach<ExpertsOp>(getOperation(), [&](ExpertsOp op) {
      ++(fuseMoe(op) ? fused : declined);
    });
    forEach<GegluOp>(getOperation(), [&](GegluOp op) {
      if (isPerLayer(op))
        return;
      bool isFused = meetsExperts(op) ? Match(op).decline("the experts beside "
                                                          "it are not fused")
                                      : fuseFfn(op);
      ++(isFused ? fused : declined);
    });
  }
};
} // namespace
} // namespace gemmac
