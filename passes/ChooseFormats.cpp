#include "passes/Passes.h"

using namespace mlir;

namespace gemmac {
#define GEN_PASS_DEF_CHOOSEFORMATS
#include "passes/Passes.h.inc"
namespace {
struct ChooseFormats : impl::ChooseFormatsBase<ChooseFormats> {
  using Base::Base;
  void runOnOperation() override {}
};
} // namespace
} // namespace gemmac
