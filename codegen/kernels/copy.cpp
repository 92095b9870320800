// copy and take: rows of f32, moved. Unit = row.
#include "codegen/kernels/common.h"

using namespace Halide;

namespace gemmac {

static TileKernel moveRows(const KernelSpec &spec, const gemmac::Target &target,
                           const Index &from) {
  int64_t k = spec.constants.integer("k");
  TileBuilder tile(target);
  ImageParam x =
      tile.input("x", Float(32), {{k, 1}}, from * rowBytes("f32", k));
  Var j("j");
  Func y("y");
  y(j) = x(j);
  vectorizeRow(tile, y, k);
  tile.output(y, "y", {{k, 1}}, Index::row() * rowBytes("f32", k));
  return {.rows = {Index::parameter("begin"), Index::parameter("end")},
          .tiles = {tile.finish()}};
}

TileKernel buildCopy(const KernelSpec &spec, const gemmac::Target &target) {
  return moveRows(spec, target, Index::row());
}

TileKernel buildTake(const KernelSpec &spec, const gemmac::Target &target) {
  return moveRows(spec, target, Index::load("index", Index::row()));
}

} // namespace gemmac
