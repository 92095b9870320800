// norm, quant, norms3: rows of f32 to encoded rows. Unit = row.
#include "codegen/kernels/common.h"

using namespace Halide;

namespace gemmac {

static const LoopRange rowRange = {Index::parameter("begin"),
                                   Index::parameter("end")};

static Index rowOffset(const std::string &encoding, int64_t k) {
  return Index::row() * rowBytes(encoding, k);
}

TileKernel buildNorm(const KernelSpec &spec, const gemmac::Target &target) {
  int64_t k = spec.constants.integer("k");
  const std::string &act = spec.constants.text("act");
  TileBuilder tile(target);
  ImageParam x = tile.input("x", Float(32), {{k, 1}}, rowOffset("f32", k));
  ImageParam w = tile.input("w", Float(32), {{k, 1}}, 0);
  InverseRms rms = inverseRms(tile, x, k, spec.constants.real("eps"));
  Var j("j");
  Func y("y");
  y(j) = encode(x(j) * rms() * w(j), act);
  vectorizeRow(tile, y, k);
  tile.output(y, "y", {{k, 1}}, rowOffset(act, k));
  return {.rows = rowRange, .tiles = {tile.finish()}};
}

TileKernel buildQuant(const KernelSpec &spec, const gemmac::Target &target) {
  int64_t k = spec.constants.integer("k");
  const std::string &act = spec.constants.text("act");
  TileBuilder tile(target);
  ImageParam x = tile.input("x", Float(32), {{k, 1}}, rowOffset("f32", k));
  Var j("j");
  Func y("y");
  y(j) = encode(x(j), act);
  vectorizeRow(tile, y, k);
  tile.output(y, "y", {{k, 1}}, rowOffset(act, k));
  return {.rows = rowRange, .tiles = {tile.finish()}};
}

TileKernel buildNorms3(const KernelSpec &spec, const gemmac::Target &target) {
  int64_t k = spec.constants.integer("k");
  const std::string &act = spec.constants.text("act");
  TileBuilder tile(target);
  ImageParam x = tile.input("x", Float(32), {{k, 1}}, rowOffset("f32", k));
  InverseRms rms = inverseRms(tile, x, k, spec.constants.real("eps"));
  Var j("j");
  for (const char *name : {"dense", "router", "experts"}) {
    bool router = std::string(name) == "router";
    std::string encoding = router ? "f32" : act;
    ImageParam w = tile.input("w_" + std::string(name), Float(32), {{k, 1}}, 0);
    Expr value = x(j) * rms() * w(j);
    if (router)
      value = value * float(spec.constants.real("factor"));
    Func y(name);
    y(j) = encode(value, encoding);
    vectorizeRow(tile, y, k);
    tile.output(y, name, {{k, 1}}, rowOffset(encoding, k));
  }
  return {.rows = rowRange, .tiles = {tile.finish()}};
}

} // namespace gemmac
