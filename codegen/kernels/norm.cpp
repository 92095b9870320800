// norm, quant, norms3: rows of f32 to encoded rows. Unit = row.
#include "codegen/kernels/common.h"

using namespace Halide;

namespace gemmac {

// Stores one row of `value`(j) in its encoding.
static void storeAs(TileBuilder &tile, Func value, int64_t k,
                    const std::string &name, const std::string &encoding) {
  const Index offset = Index::row() * rowBytes(encoding, k);
  if (isQuantized(encoding)) {
    Var i("i"), block("block"), r("r");
    // The only memory that Halide does not move to its heap above 16 KB.
    value.compute_root().store_in(MemoryType::Register);
    value.vectorize(value.args()[0], tile.lanes());
    Func blocks(name + "_blocks");
    blocks(i, block, r) = value(block * int(blockValues) + i);
    outputQuantized(tile, blocks, k / blockValues, name, offset,
                    {1, roundUp(k, blockValues)});
    return;
  }
  Var j("j");
  Func y(name);
  y(j) = encode(value(j), encoding);
  storeRow(tile, y, name, k, offset);
}

TileKernel buildNorm(const KernelSpec &spec, const gemmac::Target &target) {
  int64_t k = spec.constants.integer("k");
  TileBuilder tile(target);
  ImageParam x = rowOf(tile, "x", k), w = vectorOf(tile, "w", k);
  InverseRms rms = inverseRms(tile, x, k, spec.constants.real("eps"));
  Var j("j");
  Func value("value");
  value(j) = x(j) * rms() * w(j);
  storeAs(tile, value, k, "y", spec.constants.text("act"));
  return rowKernel(tile);
}

TileKernel buildQuant(const KernelSpec &spec, const gemmac::Target &target) {
  int64_t k = spec.constants.integer("k");
  TileBuilder tile(target);
  ImageParam x = rowOf(tile, "x", k);
  Var j("j");
  Func value("value");
  value(j) = x(j);
  storeAs(tile, value, k, "y", spec.constants.text("act"));
  return rowKernel(tile);
}

TileKernel buildNorms3(const KernelSpec &spec, const gemmac::Target &target) {
  int64_t k = spec.constants.integer("k");
  TileBuilder tile(target);
  ImageParam x = rowOf(tile, "x", k);
  InverseRms rms = inverseRms(tile, x, k, spec.constants.real("eps"));
  Var j("j");
  for (const std::string name : {"dense", "router", "experts"}) {
    const bool router = name == "router";
    ImageParam w = vectorOf(tile, "w_" + name, k);
    Expr value = x(j) * rms() * w(j);
    if (router)
      value = value * float(spec.constants.real("factor"));
    Func row(name + "_row");
    row(j) = value;
    storeAs(tile, row, k, name, router ? "f32" : spec.constants.text("act"));
  }
  return rowKernel(tile);
}

} // namespace gemmac
