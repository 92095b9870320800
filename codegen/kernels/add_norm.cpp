// add_norm, add_norm3: the residual stream takes a normalised result. `out` may
// be the memory of `h`: an element of h is read only for the same element of
// out, and no element of out is computed twice.
#include "codegen/kernels/common.h"

using namespace Halide;

namespace gemmac {

static TileKernel finishAdd(TileBuilder &tile, const KernelSpec &spec,
                            Expr addend, Var j) {
  int64_t k = spec.constants.integer("k");
  Index offset = Index::row() * rowBytes("f32", k);
  ImageParam h = tile.input("h", Float(32), {{k, 1}}, offset);
  Expr value = h(j) + addend;
  if (spec.constants.integer("scaled"))
    value = value * tile.input("scale", Float(32), {{1, 1}}, 0)(0);
  Func out("out");
  out(j) = value;
  vectorizeRow(tile, out, k);
  tile.output(out, "out", {{k, 1}}, offset);
  return {.rows = {Index::parameter("begin"), Index::parameter("end")},
          .tiles = {tile.finish()}};
}

TileKernel buildAddNorm(const KernelSpec &spec, const gemmac::Target &target) {
  int64_t k = spec.constants.integer("k");
  TileBuilder tile(target);
  ImageParam y =
      tile.input("y", Float(32), {{k, 1}}, Index::row() * rowBytes("f32", k));
  ImageParam w = tile.input("w", Float(32), {{k, 1}}, 0);
  InverseRms rms = inverseRms(tile, y, k, spec.constants.real("eps"));
  Var j("j");
  return finishAdd(tile, spec, y(j) * rms() * w(j), j);
}

TileKernel buildAddNorm3(const KernelSpec &spec, const gemmac::Target &target) {
  int64_t k = spec.constants.integer("k");
  double eps = spec.constants.real("eps");
  TileBuilder tile(target);
  Var j("j");
  Func sum("sum3");
  Expr total;
  for (std::string name : {"dense", "experts"}) {
    ImageParam y = tile.input(name, Float(32), {{k, 1}},
                              Index::row() * rowBytes("f32", k));
    ImageParam w = tile.input("w_" + name, Float(32), {{k, 1}}, 0);
    Expr part = y(j) * inverseRms(tile, y, k, eps)() * w(j);
    total = total.defined() ? total + part : part;
  }
  sum(j) = total;
  ImageParam w = tile.input("w", Float(32), {{k, 1}}, 0);
  InverseRms rms = inverseRms(tile, sum, k, eps);
  return finishAdd(tile, spec, sum(j) * rms() * w(j), j);
}

} // namespace gemmac
