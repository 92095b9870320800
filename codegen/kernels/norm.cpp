// norm, quant, norms3: rows of f32 to encoded rows. Unit = row.
#include "codegen/kernels/common.h"

using namespace Halide;

namespace gemmac {

static const LoopRange rowRange = {Index::parameter("begin"),
                                   Index::parameter("end")};

static Index rowOffset(const std::string &encoding, int64_t k) {
  return Index::row() * rowBytes(encoding, k);
}

// Stores one row of `value`(j) in its encoding.
static void storeRow(TileBuilder &tile, Func value, int64_t k,
                     const std::string &name, const std::string &encoding) {
  if (isQuantized(encoding)) {
    Var i("i"), block("block"), r("r");
    // The only memory that Halide does not move to its heap above 16 KB.
    value.compute_root().store_in(MemoryType::Register);
    value.vectorize(value.args()[0], tile.lanes());
    Func blocks(name + "_blocks");
    blocks(i, block, r) = value(block * int(blockValues) + i);
    outputQuantized(tile, blocks, k / blockValues, name, rowOffset(encoding, k),
                    {1, roundUp(k, blockValues)});
    return;
  }
  Var j("j");
  Func y(name);
  y(j) = encode(value(j), encoding);
  vectorizeRow(tile, y, k);
  tile.output(y, name, {{k, 1}}, rowOffset(encoding, k));
}

TileKernel buildNorm(const KernelSpec &spec, const gemmac::Target &target) {
  int64_t k = spec.constants.integer("k");
  const std::string &act = spec.constants.text("act");
  TileBuilder tile(target);
  ImageParam x = tile.input("x", Float(32), {{k, 1}}, rowOffset("f32", k));
  ImageParam w = tile.input("w", Float(32), {{k, 1}}, 0);
  InverseRms rms = inverseRms(tile, x, k, spec.constants.real("eps"));
  Var j("j");
  Func value("value");
  value(j) = x(j) * rms() * w(j);
  storeRow(tile, value, k, "y", act);
  return {.rows = rowRange, .tiles = {tile.finish()}};
}

TileKernel buildQuant(const KernelSpec &spec, const gemmac::Target &target) {
  int64_t k = spec.constants.integer("k");
  const std::string &act = spec.constants.text("act");
  TileBuilder tile(target);
  ImageParam x = tile.input("x", Float(32), {{k, 1}}, rowOffset("f32", k));
  Var j("j");
  Func value("value");
  value(j) = x(j);
  storeRow(tile, value, k, "y", act);
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
    Func row(std::string(name) + "_row");
    row(j) = value;
    storeRow(tile, row, k, name, encoding);
  }
  return {.rows = rowRange, .tiles = {tile.finish()}};
}

} // namespace gemmac
