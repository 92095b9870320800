// copy and take: rows of f32, moved. Unit = row.
#include "codegen/kernels/common.h"

using namespace Halide;

namespace gemmac {

static TileKernel moveRows(const KernelSpec &spec, const gemmac::Target &target,
                           const Index &from) {
  int64_t k = spec.constants.integer("k");
  TileBuilder tile(target);
  ImageParam x = rowOf(tile, "x", k, from);
  Var j("j");
  Func y("y");
  y(j) = x(j);
  storeRow(tile, y, "y", k, rowOffset(k));
  return rowKernel(tile);
}

TileKernel buildCopy(const KernelSpec &spec, const gemmac::Target &target) {
  return moveRows(spec, target, Index::row());
}

TileKernel buildTake(const KernelSpec &spec, const gemmac::Target &target) {
  return moveRows(spec, target, Index::load("index", Index::row()));
}

} // namespace gemmac
