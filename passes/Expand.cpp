// Replaces fused ops by the primitives that define them (FusedOps.cpp).
#include "passes/Passes.h"

using namespace mlir;

namespace gemmac {
#define GEN_PASS_DEF_EXPAND
#include "passes/Passes.h.inc"

namespace {
struct Expand : impl::ExpandBase<Expand> {
  void runOnOperation() override {
    getOperation().walk([&](gemma::FusedOp op) {
      ++expanded;
      OpBuilder b(op);
      op->replaceAllUsesWith(op.expand(b));
      op->erase();
    });
  }
};
} // namespace
} // namespace gemmac
