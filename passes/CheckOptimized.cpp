// The contract at the end of the stage optimize (docs/design.md#2.1).
#include "passes/Match.h"
#include "passes/Passes.h"

using namespace mlir;
using namespace mlir::gemma;

namespace gemmac {
#define GEN_PASS_DEF_CHECKOPTIMIZED
#include "passes/Passes.h.inc"

// Errors for the roots of groups that were not fused, with the reason; for
// other leftovers only where no root explains them.
static bool checkFunction(func::FuncOp function) {
  SmallVector<Operation *> roots, others;
  function.getBody().walk([&](Operation *op) {
    if (op->hasTrait<OnlyFused>())
      (op->hasAttr(notFusedAttr) ? roots : others).push_back(op);
  });
  for (Operation *op : roots)
    op->emitOpError() << "is not part of a fused op: "
                      << cast<StringAttr>(op->getAttr(notFusedAttr)).getValue();
  if (roots.empty())
    for (Operation *op : others)
      op->emitOpError("is not part of a fused op");
  return roots.empty() && others.empty();
}

namespace {
struct CheckOptimized : impl::CheckOptimizedBase<CheckOptimized> {
  void runOnOperation() override {
    bool good = true;
    for (auto function : getOperation().getOps<func::FuncOp>()) {
      auto segment = function->getAttrOfType<StringAttr>(segmentAttr);
      good &= checkFunction(function);
      if (!segment || segment == stepName) {
        emitError(function.getLoc())
            << "expects " << segmentAttr << " body, tail, top or logits, got "
            << (segment ? segment.getValue() : "none");
        good = false;
      }
    }
    for (auto weight : getOperation().getOps<WeightOp>())
      if (!weight.getFormat() || !weight.getAct()) {
        weight.emitOpError("expects format and act");
        good = false;
      }
    for (auto cache : getOperation().getOps<CacheOp>())
      if (!cache.getFormat()) {
        cache.emitOpError("expects a format");
        good = false;
      }
    if (!good)
      signalPassFailure();
    markAllAnalysesPreserved();
  }
};
} // namespace
} // namespace gemmac
