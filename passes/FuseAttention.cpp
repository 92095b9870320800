#include "passes/Passes.h"

using namespace mlir;

namespace gemmac {
#define GEN_PASS_DEF_FUSEATTENTION
#include "passes/Passes.h.inc"
namespace {
struct FuseAttention : impl::FuseAttentionBase<FuseAttention> {
  using Base::Base;
  void runOnOperation() override {}
};
} // namespace
} // namespace gemmac
