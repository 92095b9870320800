#include "passes/Passes.h"

using namespace mlir;

namespace gemmac {
#define GEN_PASS_DEF_CHECKOPTIMIZED
#include "passes/Passes.h.inc"
namespace {
struct CheckOptimized : impl::CheckOptimizedBase<CheckOptimized> {
  using Base::Base;
  void runOnOperation() override {}
};
} // namespace
} // namespace gemmac
