#include "passes/Passes.h"

using namespace mlir;

namespace gemmac {
#define GEN_PASS_DEF_SPLITSEGMENTS
#include "passes/Passes.h.inc"
namespace {
struct SplitSegments : impl::SplitSegmentsBase<SplitSegments> {
  using Base::Base;
  void runOnOperation() override {}
};
} // namespace
} // namespace gemmac
