// ple_finish: per-layer embeddings, one (row, layer) slice at a time. few: the
// unit is a layer, all rows inside; many: the unit is a row, all layers inside.
#include "codegen/kernels/common.h"

using namespace Halide;

namespace gemmac {

TileKernel buildPleFinish(const KernelSpec &spec,
                          const gemmac::Target &target) {
  int64_t p = spec.constants.integer("p");
  const std::string &format = spec.constants.text("format");
  bool few = spec.rows == RowClass::Few;
  Index begin = Index::parameter("begin"), end = Index::parameter("end");
  Index layers = Index::parameter("layers");
  Index padded = (layers * p + 31) / 32 * 32; // rowStride("f32", layers * p)
  Index slice = Index::row() * padded * 4 + Index::unit() * (p * 4);
  Index token =
      (Index::row() * layers + Index::unit()) * (p * elementBytes(format));

  TileBuilder tile(target);
  ImageParam x = tile.input("context", Float(32), {{p, 1}}, slice);
  ImageParam t = tile.input("token", bufferType(format), {{p, 1}}, token);
  ImageParam w = tile.input("w", Float(32), {{p, 1}}, 0);
  InverseRms rms = inverseRms(tile, x, p, spec.constants.real("eps"));
  Var j("j");
  Func y("y");
  y(j) = (x(j) * rms() * w(j) +
          decode(t(j), format) * float(spec.constants.real("token_scale"))) *
         float(spec.constants.real("scale"));
  vectorizeRow(tile, y, p);
  tile.output(y, "y", {{p, 1}}, slice);
  LoopRange units = few ? LoopRange{begin, end} : LoopRange{0, layers};
  LoopRange rows =
      few ? LoopRange{0, Index::parameter("rows")} : LoopRange{begin, end};
  return {.units = units, .rows = rows, .tiles = {tile.finish()}};
}

} // namespace gemmac
