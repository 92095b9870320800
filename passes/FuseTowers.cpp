// Forms the blocks of towers: attention of patches, subsampling, the three
// kinds of a conformer, and products that stand alone. The gated MLP of a
// vision tower is FuseFfn's. Matches by data flow.
#include "passes/Match.h"
#include "passes/Passes.h"
#include "targets/Segments.h"

using namespace mlir;
using namespace mlir::gemma;

namespace gemmac {
#define GEN_PASS_DEF_FUSETOWERS
#include "passes/Passes.h.inc"

namespace {
using Clipped = Match::Clipped;

// A head norm of a projection, turned or not.
struct Head {
  Rope2dOp rope;
  RmsNormOp norm;
  Clipped linear;
};
} // namespace

static Head matchHead(Match &match, Value value, StringRef what, int64_t dim,
                      bool turned) {
  Head head;
  match.single(value, what);
  if (turned) {
    head.rope = match.producer<Rope2dOp>(value, what);
    if (head.rope && int64_t(head.rope.getDim()) != dim)
      match.fail(what + " is turned in heads of " + Twine(head.rope.getDim()) +
                 ", expects " + Twine(dim));
    value = inputOf(head.rope);
    match.single(value, what);
  }
  head.norm =
      match.norm(match.producer<RmsNormOp>(value, what), what, dim, turned);
  match.single(inputOf(head.norm), what);
  head.linear = match.clipped(inputOf(head.norm), what);
  return head;
}

// The norm of the residual that `uses` projections share.
static RmsNormOp matchPre(Match &match, ArrayRef<const Clipped *> readers) {
  for (const Clipped *reader : readers)
    match.same(reader->x, readers.front()->x, "the input of a projection",
               "that of the first");
  match.single(readers.front()->x, "the pre-norm", readers.size());
  return match.norm(match.producer<RmsNormOp>(readers.front()->x,
                                              "the input of the projections"),
                    "the pre-norm");
}

static bool fuseVisionAttention(SelfAttentionOp attention) {
  Match match(attention);
  const int64_t dim = attention.getDim();
  Head q = matchHead(match, attention.getQ(), "the query", dim, true),
       k = matchHead(match, attention.getK(), "the key", dim, true),
       v = matchHead(match, attention.getV(), "the value", dim, false);
  if (!match.fits())
    return match.decline();
  match.same(k.rope.getTable(), q.rope.getTable(), "the table of the key",
             "that of the query");
  RmsNormOp pre = matchPre(match, {&q.linear, &k.linear, &v.linear});
  Clipped o = match.clippedUser(attention.getResult(), "the attention");
  ArrayAttr bounds = match.boundsOf({&q.linear, &k.linear, &v.linear, &o});
  auto post = match.norm(match.user<RmsNormOp>(o.y, "the output projection"),
                         "the post-norm");
  AddOp add = match.sum(post, "the post-norm", inputOf(pre),
                        "the input of the pre-norm");
  if (!match.fits())
    return match.decline();
  OpBuilder b(add);
  auto block = VisionAttentionBlockOp::create(
      b, add.getLoc(), add.getType(), pre.getX(), q.rope.getTable(),
      pre.getWeightAttr(), q.linear.linear.getWeightAttr(),
      k.linear.linear.getWeightAttr(), v.linear.linear.getWeightAttr(),
      q.norm.getWeightAttr(), k.norm.getWeightAttr(), o.linear.getWeightAttr(),
      post.getWeightAttr(), bounds, attention.getDimAttr(),
      b.getF64FloatAttr(*match.eps));
  add.replaceAllUsesWith(block.getResult());
  eraseDead(add);
  return true;
}

static bool fuseSubsample(Conv2dOp conv) {
  Match match(conv);
  auto norm = match.user<LayerNormOp>(conv.getResult(), "the convolution");
  auto relu = match.user<ReluOp>(resultOf(norm), "the norm");
  const int64_t channels =
      columnsOf(conv.getResult()) / (int64_t(conv.getBins()) / 2);
  if (norm && int64_t(norm.getSize()) != channels)
    match.fail("the norm is of groups of " + Twine(norm.getSize()) +
               ", expects " + Twine(channels) + " channels");
  if (norm && norm.getBiasAttr())
    match.fail("expects a norm without bias");
  if (!match.fits())
    return match.decline();
  OpBuilder b(relu);
  auto block = SubsampleOp::create(
      b, relu.getLoc(), relu.getType(), conv.getX(), conv.getWeightAttr(),
      norm.getWeightAttr(), conv.getBinsAttr(), norm.getEpsAttr());
  relu.replaceAllUsesWith(block.getResult());
  eraseDead(relu);
  return true;
}

// norm -> up -> silu -> down -> norm -> factor -> sum; or, where a depthwise
// convolution is in front of the silu, norm -> start -> glu -> convolution ->
// norm -> silu -> end -> sum.
static bool fuseConformerFfn(SiluOp silu) {
  Match match(silu);
  Clipped up = match.clipped(silu.getX(), "the up projection");
  match.single(silu.getX(), "the up projection");
  if (!match.fits())
    return match.decline();
  RmsNormOp pre = matchPre(match, {&up});
  Clipped down = match.clippedUser(silu.getResult(), "the activation");
  ArrayAttr bounds = match.boundsOf({&up, &down});
  auto post = match.norm(match.user<RmsNormOp>(down.y, "the down projection"),
                         "the post-norm");
  auto scale = match.user<ScaleOp>(resultOf(post), "the post-norm");
  auto add = match.user<AddOp>(resultOf(scale), "the scaled branch");
  if (scale && !scale.getFactor())
    match.fail("expects a constant factor of the branch");
  if (add)
    match.same(Match::otherOf(add, scale.getResult()), inputOf(pre),
               "the residual", "the input of the pre-norm");
  if (!match.fits())
    return match.decline();
  OpBuilder b(add);
  auto block = ConformerFfnBlockOp::create(
      b, add.getLoc(), add.getType(), pre.getX(), pre.getWeightAttr(),
      up.linear.getWeightAttr(), down.linear.getWeightAttr(),
      post.getWeightAttr(), bounds, scale.getFactorAttr(),
      b.getF64FloatAttr(*match.eps));
  add.replaceAllUsesWith(block.getResult());
  eraseDead(add);
  return true;
}

static bool fuseConformerConv(DepthwiseConvOp conv) {
  Match match(conv);
  auto glu = match.producer<GluOp>(conv.getX(), "the convolution's input");
  match.single(conv.getX(), "the convolution's input");
  match.single(inputOf(glu), "the gate's input");
  Clipped start = match.clipped(inputOf(glu), "the gate's input");
  auto norm =
      match.norm(match.user<RmsNormOp>(conv.getResult(), "the convolution"),
                 "the convolution's norm");
  auto silu = match.user<SiluOp>(resultOf(norm), "the convolution's norm");
  if (!match.fits())
    return match.decline();
  RmsNormOp pre = matchPre(match, {&start});
  Clipped end = match.clippedUser(silu.getResult(), "the activation");
  ArrayAttr bounds = match.boundsOf({&start, &end});
  auto add = match.user<AddOp>(end.y, "the end projection");
  if (add)
    match.same(Match::otherOf(add, end.y), inputOf(pre), "the residual",
               "the input of the pre-norm");
  if (!match.fits())
    return match.decline();
  OpBuilder b(add);
  auto block = ConformerConvBlockOp::create(
      b, add.getLoc(), add.getType(), pre.getX(), pre.getWeightAttr(),
      start.linear.getWeightAttr(), conv.getWeightAttr(), norm.getWeightAttr(),
      end.linear.getWeightAttr(), bounds, b.getF64FloatAttr(*match.eps));
  add.replaceAllUsesWith(block.getResult());
  eraseDead(add);
  return true;
}

static bool fuseConformerAttention(RelAttentionOp attention) {
  Match match(attention);
  Clipped q = match.clipped(attention.getQ(), "the query"),
          k = match.clipped(attention.getK(), "the key"),
          v = match.clipped(attention.getV(), "the value");
  for (Value value : {attention.getQ(), attention.getK(), attention.getV()})
    match.single(value, "a projection");
  if (!match.fits())
    return match.decline();
  RmsNormOp pre = matchPre(match, {&q, &k, &v});
  Clipped o = match.clippedUser(attention.getResult(), "the attention");
  ArrayAttr bounds = match.boundsOf({&q, &k, &v, &o});
  auto post = match.norm(match.user<RmsNormOp>(o.y, "the output projection"),
                         "the post-norm");
  AddOp add = match.sum(post, "the post-norm", inputOf(pre),
                        "the input of the pre-norm");
  if (!match.fits())
    return match.decline();
  OpBuilder b(add);
  auto block = ConformerAttentionBlockOp::create(
      b, add.getLoc(), add.getType(), pre.getX(), pre.getWeightAttr(),
      q.linear.getWeightAttr(), k.linear.getWeightAttr(),
      v.linear.getWeightAttr(), attention.getRelAttr(),
      attention.getScaleAttr(), o.linear.getWeightAttr(), post.getWeightAttr(),
      bounds, attention.getDimAttr(), attention.getWindowAttr(),
      attention.getCapAttr(), b.getF64FloatAttr(*match.eps));
  add.replaceAllUsesWith(block.getResult());
  eraseDead(add);
  return true;
}

// Products of towers that no block has taken.
static void fuseProject(LinearOp linear) {
  auto bias = linear.getResult().hasOneUse()
                  ? dyn_cast<BiasOp>(*linear.getResult().user_begin())
                  : BiasOp();
  Operation *last = bias ? bias.getOperation() : linear.getOperation();
  OpBuilder b(last);
  auto project =
      ProjectOp::create(b, last->getLoc(), last->getResult(0).getType(),
                        linear.getX(), linear.getWeightAttr(),
                        bias ? bias.getWeightAttr() : FlatSymbolRefAttr());
  last->getResult(0).replaceAllUsesWith(project.getResult());
  eraseDead(last);
}

namespace {
struct FuseTowers : impl::FuseTowersBase<FuseTowers> {
  template <typename Op>
  void each(bool (*fuse)(Op)) {
    forEach<Op>(getOperation(),
                [&](Op op) { ++(fuse(op) ? fused : declined); });
  }
  void runOnOperation() override {
    each(fuseVisionAttention);
    each(fuseSubsample);
    each(fuseConformerConv);
    each(fuseConformerFfn);
    each(fuseConformerAttention);
    for (auto function : getOperation().getOps<func::FuncOp>())
      if (isTower(function))
        forEach<LinearOp>(function, [&](LinearOp op) {
          if (!op.getRows() &&
              !isa_and_nonnull<ClampOp>(op.getX().getDefiningOp())) {
            fuseProject(op);
            ++fused;
          }
        });
  }
};
} // namespace
} // namespace gemmac
