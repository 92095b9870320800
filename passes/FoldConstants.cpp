// Folds scalars: a layer's scalar into the block before it, constant factors
// into each other and into the eps of the norm after them. Matrices are never
// touched.
#include "passes/Match.h"
#include "passes/Passes.h"

#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

#include <cmath>

using namespace mlir;
using namespace mlir::gemma;

namespace gemmac {
#define GEN_PASS_DEF_FOLDCONSTANTS
#include "passes/Passes.h.inc"

// eps / factor^2, if that is a number to divide by.
static std::optional<APFloat> scaledEps(APFloat eps, APFloat factor) {
  double c = factor.convertToDouble(), result = eps.convertToDouble() / (c * c);
  if (c > 0 && std::isfinite(result) && result > 0)
    return APFloat(result);
  return std::nullopt;
}

namespace {
// rms(c x; eps) = rms(x; eps / c^2) for c > 0.
struct FoldIntoEps : OpRewritePattern<RmsNormOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(RmsNormOp norm,
                                PatternRewriter &rewriter) const override {
    auto scale = norm.getX().getDefiningOp<ScaleOp>();
    if (!scale || !scale.getFactor())
      return failure();
    std::optional<APFloat> eps = scaledEps(norm.getEps(), *scale.getFactor());
    if (!eps)
      return failure();
    rewriter.modifyOpInPlace(norm, [&] {
      norm.setEps(*eps);
      norm.getXMutable().assign(scale.getX());
    });
    return success();
  }
};

// The same inside ple_inputs.
struct FoldContextScale : OpRewritePattern<PleInputsOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(PleInputsOp inputs,
                                PatternRewriter &rewriter) const override {
    std::optional<APFloat> eps =
        scaledEps(inputs.getEps(), inputs.getContextScale());
    if (!eps || inputs.getContextScale().isExactlyValue(1.0))
      return failure();
    rewriter.modifyOpInPlace(inputs, [&] {
      inputs.setEps(*eps);
      inputs.setContextScale(APFloat(1.0));
    });
    return success();
  }
};

// c mean(x) is what a pool computes.
struct FoldIntoPool : OpRewritePattern<ScaleOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(ScaleOp scale,
                                PatternRewriter &rewriter) const override {
    auto pool = scale.getX().getDefiningOp<PoolOp>();
    if (!pool || !scale.getFactor() || !pool.getResult().hasOneUse())
      return failure();
    const double factor = pool.getFactor().convertToDouble() *
                          scale.getFactor()->convertToDouble();
    if (!std::isfinite(factor))
      return failure();
    rewriter.modifyOpInPlace(pool, [&] {
      pool.setFactor(APFloat(factor));
      pool->setLoc(scale.getLoc());
    });
    rewriter.replaceOp(scale, pool);
    return success();
  }
};

// A block that takes no scalar yet joins it; the result takes the scalar's
// location: it is the layer's final value.
struct JoinScalar : OpRewritePattern<ScaleOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(ScaleOp scale,
                                PatternRewriter &rewriter) const override {
    auto block = scale.getX().getDefiningOp<EndsLayer>();
    if (!scale.getWeightAttr() || !block || block.getScaleAttr() ||
        !scale.getX().hasOneUse())
      return failure();
    rewriter.modifyOpInPlace(block, [&] {
      block.setScaleAttr(scale.getWeightAttr());
      block->setLoc(scale.getLoc());
    });
    rewriter.replaceOp(scale, block);
    return success();
  }
};
} // namespace

// Says why a layer's scalar is left.
static void decline(ScaleOp scale) {
  Match match(scale);
  auto block = scale.getX().getDefiningOp<EndsLayer>();
  Operation *def = scale.getX().getDefiningOp();
  if (!block)
    match.fail(Twine("expects a block that ends a layer before the scalar, "
                     "got ") +
               (def ? def->getName().getStringRef() : "an argument"));
  else if (match.single(scale.getX(), "the block before the scalar"))
    match.fail("the block before it has a scalar already");
  match.decline();
}

namespace {
struct FoldConstants : impl::FoldConstantsBase<FoldConstants> {
  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    patterns.add<FoldIntoEps, FoldContextScale, FoldIntoPool, JoinScalar>(
        &getContext());
    ScaleOp::getCanonicalizationPatterns(patterns, &getContext());
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns))))
      return signalPassFailure();
    getOperation().walk([&](ScaleOp scale) {
      if (!scale.getWeightAttr())
        return;
      decline(scale);
      ++declined;
    });
  }
};
} // namespace
} // namespace gemmac
