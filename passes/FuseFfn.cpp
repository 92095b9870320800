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
  LinearOp gate, up, down;
  RmsNormOp post;
};
} // namespace

static std::optional<Dense> matchDense(Match &match, GegluOp geglu) {
  Dense d;
  d.gate = match.linear(geglu.getG(), "the gate");
  d.up = d.gate ? match.linear(geglu.getU(), "the up projection") : LinearOp();
  if (!d.up || !match.single(geglu.getG(), "the gate") ||
      !match.single(geglu.getU(), "the up projection") ||
      !match.same(d.up.getX(), d.gate.getX(), "the input of up",
                  "the input of gate") ||
      !match.single(d.gate.getX(), "the pre-norm", 2))
    return std::nullopt;
  d.pre = match.producer<RmsNormOp>(d.gate.getX(), "the input of gate");
  d.pre =
      match.norm(d.pre, "the pre-norm", d.pre ? columnsOf(d.pre.getX()) : 0);
  d.down = d.pre ? match.linearUser(geglu.getResult(), "the gated product")
                 : LinearOp();
  d.post =
      d.down ? match.user<RmsNormOp>(d.down.getResult(), "the down projection")
             : RmsNormOp();
  d.post = match.norm(d.post, "the post-norm",
                      d.post ? columnsOf(d.post.getX()) : 0);
  if (!d.post)
    return std::nullopt;
  return d;
}

// The sum that uses `norm` and its other operand; null and a reason otherwise.
static AddOp matchSum(Match &match, RmsNormOp norm, StringRef what,
                      Value &other) {
  auto add = match.user<AddOp>(norm.getResult(), what);
  if (add)
    other = add.getLhs() == norm.getResult() ? add.getRhs() : add.getLhs();
  return add;
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
    for (Value operand : add->getOperands())
      if (auto norm = operand.getDefiningOp<RmsNormOp>())
        if (norm.getX().getDefiningOp<ExpertsOp>())
          return true;
  return false;
}

static bool fuseFfn(GegluOp geglu) {
  Match match(geglu);
  std::optional<Dense> d = matchDense(match, geglu);
  Value residual;
  AddOp add = d ? matchSum(match, d->post, "the post-norm", residual) : AddOp();
  if (!add || !match.same(residual, d->pre.getX(), "the residual",
                          "the input of the pre-norm"))
    return match.decline();

  OpBuilder b(add);
  auto block = FfnBlockOp::create(
      b, add.getLoc(), add.getType(), residual, d->pre.getWeightAttr(),
      d->gate.getWeightAttr(), d->up.getWeightAttr(), d->down.getWeightAttr(),
      d->post.getWeightAttr(), FlatSymbolRefAttr(),
      b.getF64FloatAttr(*match.eps));
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

static std::optional<Sparse> matchSparse(Match &match, ExpertsOp experts) {
  Sparse s;
  s.router = match.producer<RouterOp>(experts.getWeights(),
                                      "the weights of the experts");
  if (!s.router ||
      !match.same(experts.getIds(), s.router.getIds(), "the ids of the experts",
                  "the router's") ||
      !match.same(experts.getWeights(), s.router.getWeights(),
                  "the weights of the experts", "the router's") ||
      !match.single(s.router.getIds(), "the router's ids") ||
      !match.single(s.router.getWeights(), "the router's weights") ||
      !match.single(experts.getX(), "the experts' input"))
    return std::nullopt;
  int64_t hidden = columnsOf(experts.getX());
  s.pre = match.norm(
      match.producer<RmsNormOp>(experts.getX(), "the experts' input"),
      "the experts' pre-norm", hidden);
  if (!s.pre ||
      !match.sameEps(s.router.getEps().convertToDouble(), "the router") ||
      !match.same(s.router.getX(), s.pre.getX(), "the router's input",
                  "the input of the experts' pre-norm"))
    return std::nullopt;
  s.post = match.norm(match.user<RmsNormOp>(experts.getResult(), "the experts"),
                      "the experts' post-norm", hidden);
  if (!s.post)
    return std::nullopt;
  return s;
}

static bool fuseMoe(ExpertsOp experts) {
  Match match(experts);
  std::optional<Sparse> s = matchSparse(match, experts);
  Value dense;
  AddOp sum =
      s ? matchSum(match, s->post, "the experts' post-norm", dense) : AddOp();
  auto postDense =
      sum ? match.producer<RmsNormOp>(dense, "the sum with the experts")
          : RmsNormOp();
  auto down = postDense ? match.linear(postDense.getX(), "the dense branch")
                        : LinearOp();
  auto geglu = down ? match.producer<GegluOp>(down.getX(), "the dense branch")
                    : GegluOp();
  std::optional<Dense> d = geglu ? matchDense(match, geglu) : std::nullopt;
  if (!d || !match.single(d->post.getResult(), "the dense post-norm") ||
      !match.same(d->pre.getX(), s->pre.getX(), "the input of the dense branch",
                  "the input of the experts' pre-norm"))
    return match.decline();
  auto post =
      match.user<RmsNormOp>(sum.getResult(), "the sum of both branches");
  post = match.norm(post, "the post-norm", columnsOf(experts.getX()));
  Value residual;
  AddOp add = post ? matchSum(match, post, "the post-norm", residual) : AddOp();
  if (!add || !match.same(residual, s->pre.getX(), "the residual",
                          "the input of the norms"))
    return match.decline();

  OpBuilder b(add);
  auto block = MoeBlockOp::create(
      b, add.getLoc(), add.getType(), residual, d->pre.getWeightAttr(),
      d->gate.getWeightAttr(), d->up.getWeightAttr(), d->down.getWeightAttr(),
      d->post.getWeightAttr(), s->router.getProjAttr(),
      s->router.getScaleAttr(), s->pre.getWeightAttr(), experts.getGateUpAttr(),
      experts.getDownAttr(), experts.getPerExpertAttr(),
      s->post.getWeightAttr(), post.getWeightAttr(), FlatSymbolRefAttr(),
      b.getF64FloatAttr(*match.eps), s->router.getFactorAttr(),
      s->router.getTopAttr());
  add.replaceAllUsesWith(block.getResult());
  eraseDead(add);
  return true;
}

namespace {
struct FuseFfn : impl::FuseFfnBase<FuseFfn> {
  using Base::Base;
  void runOnOperation() override {
    SmallVector<ExpertsOp> experts;
    getOperation().walk([&](ExpertsOp op) { experts.push_back(op); });
    for (ExpertsOp op : experts)
      ++(fuseMoe(op) ? fused : declined);
    SmallVector<GegluOp> geglus;
    getOperation().walk([&](GegluOp op) {
      // One linear operand: a per-layer branch, which gemma-fuse-ple forms.
      bool ple = !!op.getG().getDefiningOp<LinearOp>() !=
                 !!op.getU().getDefiningOp<LinearOp>();
      if (!ple)
        geglus.push_back(op);
    });
    for (GegluOp op : geglus) {
      if (!meetsExperts(op)) {
        ++(fuseFfn(op) ? fused : declined);
        continue;
      }
      Match match(op);
      match.fail("the experts beside it are not fused");
      match.decline();
      ++declined;
    }
  }
};
} // namespace
} // namespace gemmac
