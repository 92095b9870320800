// Folds scalars: a layer's scalar into the block before it, constant factors
// into the eps of the norm after them. Matrices are never touched.
#include "passes/Match.h"
#include "passes/Passes.h"

#include <cmath>

using namespace mlir;
using namespace mlir::gemma;

namespace gemmac {
#define GEN_PASS_DEF_FOLDCONSTANTS
#include "passes/Passes.h.inc"

// A block that takes no scalar yet joins it; the result takes the scalar's
// location: it is the layer's final value.
template <typename Block>
static bool join(ScaleOp scale, Block block) {
  if (!block || block.getScaleAttr())
    return false;
  block.setScaleAttr(scale.getWeightAttr());
  block->setLoc(scale.getLoc());
  scale.replaceAllUsesWith(block.getResult());
  scale.erase();
  return true;
}

static void foldScalar(ScaleOp scale) {
  Match match(scale);
  Operation *def = scale.getX().getDefiningOp();
  if (!isa_and_nonnull<FfnBlockOp, MoeBlockOp, PleBlockOp>(def) ||
      def->getBlock() != scale->getBlock()) {
    match.fail(
        Twine("expects ffn_block, moe_block or ple_block before the scalar, "
              "got ") +
        (def ? def->getName().getStringRef() : StringRef("an argument")));
    return match.decline();
  }
  if (!match.single(scale.getX(), "the block before the scalar"))
    return match.decline();
  if (join(scale, dyn_cast<FfnBlockOp>(def)) ||
      join(scale, dyn_cast<MoeBlockOp>(def)) ||
      join(scale, dyn_cast<PleBlockOp>(def)))
    return;
  match.fail("the block before it has a scalar already");
  match.decline();
}

// eps / factor^2, if that is a number to divide by.
static std::optional<double> scaledEps(double eps, double factor) {
  double result = eps / (factor * factor);
  if (factor > 0 && std::isfinite(result) && result > 0)
    return result;
  return std::nullopt;
}

// rms(c x; eps) = rms(x; eps / c^2) for c > 0.
static void foldIntoEps(RmsNormOp norm) {
  while (auto scale = norm.getX().getDefiningOp<ScaleOp>()) {
    if (!scale.getFactor())
      return;
    std::optional<double> eps = scaledEps(norm.getEps().convertToDouble(),
                                          scale.getFactor()->convertToDouble());
    if (!eps)
      return;
    norm.setEps(APFloat(*eps));
    norm.getXMutable().assign(scale.getX());
    eraseDead(scale);
  }
}

static void foldContextScale(PleInputsOp inputs) {
  double factor = inputs.getContextScale().convertToDouble();
  std::optional<double> eps =
      scaledEps(inputs.getEps().convertToDouble(), factor);
  if (factor == 1.0 || !eps)
    return;
  inputs.setEps(APFloat(*eps));
  inputs.setContextScale(APFloat(1.0));
}

// Constant factors in a row become one; a factor of 1 goes.
static void foldFactors(ScaleOp scale) {
  while (auto inner = scale.getX().getDefiningOp<ScaleOp>()) {
    if (!inner.getFactor())
      break;
    double factor = inner.getFactor()->convertToDouble() *
                    scale.getFactor()->convertToDouble();
    if (!std::isfinite(factor))
      break;
    scale.setFactor(APFloat(factor));
    scale.getXMutable().assign(inner.getX());
    eraseDead(inner);
  }
  if (!scale.getFactor()->isExactlyValue(1.0))
    return;
  scale.replaceAllUsesWith(scale.getX());
  scale.erase();
}

namespace {
struct FoldConstants : impl::FoldConstantsBase<FoldConstants> {
  using Base::Base;
  void runOnOperation() override {
    SmallVector<ScaleOp> scalars;
    SmallVector<RmsNormOp> norms;
    walk([&](Operation *op) {
      if (auto norm = dyn_cast<RmsNormOp>(op))
        norms.push_back(norm);
      if (auto inputs = dyn_cast<PleInputsOp>(op))
        foldContextScale(inputs);
    });
    for (RmsNormOp norm : norms)
      foldIntoEps(norm);
    while (ScaleOp scale = nextFactor())
      foldFactors(scale);
    walk([&](Operation *op) {
      if (auto scale = dyn_cast<ScaleOp>(op); scale && scale.getWeightAttr())
        scalars.push_back(scale);
    });
    for (ScaleOp op : scalars)
      foldScalar(op);
  }

  // Entry blocks only: in a block that is never reached a value may depend on
  // itself, and folding it would not end.
  void walk(llvm::function_ref<void(Operation *)> visit) {
    getOperation().walk([&](Operation *op) {
      if (op->getBlock() && op->getBlock()->isEntryBlock())
        visit(op);
    });
  }

  // A scale by a constant that still folds.
  ScaleOp nextFactor() {
    ScaleOp found;
    walk([&](Operation *op) {
      auto scale = dyn_cast<ScaleOp>(op);
      if (found || !scale || !scale.getFactor())
        return;
      auto inner = scale.getX().getDefiningOp<ScaleOp>();
      bool folds = scale.getFactor()->isExactlyValue(1.0) ||
                   (inner && inner.getFactor() &&
                    std::isfinite(inner.getFactor()->convertToDouble() *
                                  scale.getFactor()->convertToDouble()));
      if (folds)
        found = scale;
    });
    return found;
  }
};
} // namespace
} // namespace gemmac
