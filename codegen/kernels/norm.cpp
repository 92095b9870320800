// norm, quant, norms3: rows of f32 to encoded rows; add_norm, add_norm3: their
// way back into the residual. Unit = row.
#include "codegen/kernels/common.h"

using namespace Halide;

namespace gemmac {

TileKernel buildNorm(const KernelSpec &spec, const gemmac::Target &target) {
  int64_t k = spec.constants.integer("k");
  TileBuilder tile(target);
  ImageParam x = rowOf(tile, "x", k), w = vectorOf(tile, "w", k);
  InverseRms rms = inverseRms(tile, x, k, spec.constants.real("eps"));
  Var j("j");
  Func value("value");
  value(j) = x(j) * rms() * w(j);
  storeEncoded(tile, value, k, "y", spec.constants.text("act"));
  return rowKernel(tile);
}

TileKernel buildQuant(const KernelSpec &spec, const gemmac::Target &target) {
  int64_t k = spec.constants.integer("k");
  TileBuilder tile(target);
  ImageParam x = rowOf(tile, "x", k);
  Var j("j");
  Func value("value");
  value(j) = x(j);
  storeEncoded(tile, value, k, "y", spec.constants.text("act"));
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
    storeEncoded(tile, row, k, name,
                 router ? "f32" : spec.constants.text("act"));
  }
  return rowKernel(tile);
}

// The residual stream takes a normalised result. `out` may be the memory of
// `h`: an element of h is read only for the same element of out, and no element
// of out is computed twice.
static TileKernel finishAdd(TileBuilder &tile, const KernelSpec &spec,
                            Expr addend, Var j) {
  int64_t k = spec.constants.integer("k");
  Expr value = rowOf(tile, "h", k)(j) + addend;
  if (spec.constants.integer("scaled"))
    value = value * vectorOf(tile, "scale", 1)(0);
  Func out("out");
  out(j) = value;
  storeRow(tile, out, "out", k, rowOffset(k));
  return rowKernel(tile);
}

TileKernel buildAddNorm(const KernelSpec &spec, const gemmac::Target &target) {
  int64_t k = spec.constants.integer("k");
  TileBuilder tile(target);
  ImageParam y = rowOf(tile, "y", k), w = vectorOf(tile, "w", k);
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
    ImageParam y = rowOf(tile, name, k), w = vectorOf(tile, "w_" + name, k);
    Expr part = y(j) * inverseRms(tile, y, k, eps)() * w(j);
    total = total.defined() ? total + part : part;
  }
  sum(j) = total;
  ImageParam w = vectorOf(tile, "w", k);
  InverseRms rms = inverseRms(tile, sum, k, eps);
  return finishAdd(tile, spec, sum(j) * rms() * w(j), j);
}

} // namespace gemmac
