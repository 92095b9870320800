#include "passes/Passes.h"

using namespace mlir;

namespace gemmac {
#define GEN_PASS_DEF_EXPAND
#include "passes/Passes.h.inc"
namespace {
struct Expand : impl::ExpandBase<Expand> {
  using Base::Base;
  void runOnOperation() override {}
};
} // namespace
} // namespace gemmac
