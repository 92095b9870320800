#include "passes/Passes.h"

using namespace mlir;

namespace gemmac {
#define GEN_PASS_DEF_FUSEFFN
#include "passes/Passes.h.inc"
namespace {
struct FuseFfn : impl::FuseFfnBase<FuseFfn> {
  using Base::Base;
  void runOnOperation() override {}
};
} // namespace
} // namespace gemmac
