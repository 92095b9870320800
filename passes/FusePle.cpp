#include "passes/Passes.h"

using namespace mlir;

namespace gemmac {
#define GEN_PASS_DEF_FUSEPLE
#include "passes/Passes.h.inc"
namespace {
struct FusePle : impl::FusePleBase<FusePle> {
  using Base::Base;
  void runOnOperation() override {}
};
} // namespace
} // namespace gemmac
