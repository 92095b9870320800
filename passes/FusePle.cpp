// Forms ple_inputs and ple_block: per-layer embeddings (E2B, E4B).
#include "passes/Match.h"
#include "passes/Passes.h"

using namespace mlir;
using namespace mlir::gemma;

namespace gemmac {
#define GEN_PASS_DEF_FUSEPLE
#include "passes/Passes.h.inc"

// The constant factor of `value` if a scale with one made it; steps over it.
static double stripFactor(Match &match, Value &value) {
  auto scale = value.getDefiningOp<ScaleOp>();
  if (!scale || !scale.getFactor() ||
      !match.single(value, "the scaled context"))
    return 1.0;
  value = scale.getX();
  return scale.getFactor()->convertToDouble();
}

// Layers [a, b) whose slices of `width` are the columns or rows of `range`
// (absent: all of `size`).
static std::optional<std::pair<int64_t, int64_t>>
layersOf(Match &match, std::optional<ArrayRef<int64_t>> range, int64_t size,
         int64_t width, StringRef what) {
  int64_t first = range ? (*range)[0] : 0, last = range ? (*range)[1] : size;
  if (first % width || last % width || size % width)
    return match.fail(what + " [" + Twine(first) + ", " + Twine(last) +
                      ") are not slices of " + Twine(width)),
           std::nullopt;
  return std::pair(first / width, last / width);
}

// Nothing if the sum cannot be one: it is none of a look-up and a norm.
static std::optional<bool> fuseInputs(AddOp add) {
  auto token = add.getLhs().getDefiningOp<EmbedOp>();
  auto norm = add.getRhs().getDefiningOp<RmsNormOp>();
  if (!token || !norm) {
    token = add.getRhs().getDefiningOp<EmbedOp>();
    norm = add.getLhs().getDefiningOp<RmsNormOp>();
  }
  if (!token || !norm)
    return std::nullopt;
  Match match(add);
  int64_t width = norm.getSize();
  if (!match.norm(norm, "the context norm", width) ||
      !match.single(norm.getResult(), "the context norm") ||
      !match.single(token.getResult(), "the token part"))
    return match.decline();
  if (token.getSoftMode() == SoftMode::Row)
    return match.decline("expects soft zero of the token part, got soft row");
  Value context = norm.getX();
  double contextScale = stripFactor(match, context);
  auto proj = match.producer<LinearOp>(context, "the context");
  if (!proj || !match.single(context, "the context"))
    return match.decline();
  if (!(contextScale > 0))
    return match.decline("expects a positive factor of the context, got " +
                         shortest(contextScale));
  int64_t rows = lookupWeight(proj, proj.getWeightAttr()).dim(0);
  int64_t columns = lookupWeight(token, token.getTableAttr()).dim(1);
  auto layers =
      layersOf(match, proj.getRows(), rows, width, "rows of the projection");
  auto slices = layersOf(match, token.getColumns(), columns, width,
                         "columns of the table");
  if (!layers || !slices)
    return match.decline();
  if (*layers != *slices || rows != columns)
    return match.decline("expects table and projection of the same layers");

  Operation *last = add;
  double factor = 1.0;
  if (add.getResult().hasOneUse())
    if (auto scale = dyn_cast<ScaleOp>(*add.getResult().user_begin());
        scale && scale.getFactor()) {
      factor = scale.getFactor()->convertToDouble();
      last = scale;
    }
  OpBuilder b(last);
  auto inputs = PleInputsOp::create(
      b, last->getLoc(), last->getResult(0).getType(), token.getIds(), Value(),
      proj.getX(), token.getTableAttr(), proj.getWeightAttr(),
      norm.getWeightAttr(),
      b.getDenseI64ArrayAttr({layers->first, layers->second}),
      b.getI64IntegerAttr(width), norm.getEpsAttr(), token.getScaleAttr(),
      b.getF64FloatAttr(contextScale), b.getF64FloatAttr(factor));
  last->replaceAllUsesWith(inputs);
  eraseDead(last);
  return true;
}

static bool fuseBlock(GegluOp geglu) {
  Match match(geglu);
  // The gate is the linear operand and goes through gelu.
  LinearOp gate = match.linear(geglu.getG(), "the per-layer gate");
  match.single(geglu.getG(), "the per-layer gate");
  LinearOp proj = match.linearUser(geglu.getResult(), "the gated input");
  auto post = match.norm(
      match.user<RmsNormOp>(resultOf(proj), "the per-layer projection"),
      "the post-norm");
  AddOp add =
      match.sum(post, "the post-norm", inputOf(gate), "the input of the gate");
  if (!match.fits())
    return match.decline();

  OpBuilder b(add);
  auto block = PleBlockOp::create(
      b, add.getLoc(), add.getType(), gate.getX(), geglu.getU(),
      gate.getWeightAttr(), proj.getWeightAttr(), post.getWeightAttr(),
      FlatSymbolRefAttr(), b.getF64FloatAttr(*match.eps));
  add.replaceAllUsesWith(block.getResult());
  eraseDead(add);
  return true;
}

namespace {
struct FusePle : impl::FusePleBase<FusePle> {
  void runOnOperation() override {
    forEach<AddOp>(getOperation(), [&](AddOp op) {
      if (std::optional<bool> done = fuseInputs(op))
        ++(*done ? fused : declined);
    });
    forEach<GegluOp>(getOperation(), [&](GegluOp op) {
      if (isPerLayer(op))
        ++(fuseBlock(op) ? fused : declined);
    });
  }
};
} // namespace
} // namespace gemmac
