// The families of the towers that work row by row: norms, bounds, tables of
// positions, activations and ways back into the residual. Unit = row; what is
// done in place reads an element only for the same element of the result.
#include "codegen/kernels/common.h"

using namespace Halide;

namespace gemmac {

namespace {

// What a body of rows of `k` columns is made of.
struct Rows {
  Rows(const KernelSpec &spec, const gemmac::Target &target)
      : spec(spec), k(spec.constants.integer("k")), tile(target) {}

  Expr x(const std::string &operand) { return rowOf(tile, operand, k)(j); }
  Expr vector(const std::string &operand) {
    return vectorOf(tile, operand, k)(j);
  }
  Expr number(const std::string &operand) {
    return vectorOf(tile, operand, 1)(0);
  }
  float real(const char *name) const {
    return float(spec.constants.real(name));
  }

  // Bounds may be infinite. Constant `clipped` 0: there are none.
  Expr clip(Expr value, const std::string &lo, const std::string &hi) {
    return min(max(value, number(lo)), number(hi));
  }
  Expr clipIf(Expr value, const std::string &lo = "lo",
              const std::string &hi = "hi") {
    return spec.constants.integer("clipped") ? clip(value, lo, hi) : value;
  }

  TileKernel store(Expr value, const std::string &operand,
                   const std::string &encoding = "f32") {
    Func row("row");
    row(j) = value;
    storeEncoded(tile, row, k, operand, encoding);
    return rowKernel(tile);
  }
  TileKernel storeAct(Expr value) {
    return store(value, "y", spec.constants.text("act"));
  }

  const KernelSpec &spec;
  const int64_t k;
  TileBuilder tile;
  Var j{"j"};
};

Expr sigmoid(Expr x) { return 1.0f / (1.0f + exp(clamp(-x, -80.0f, 80.0f))); }

Expr silu(Expr x) { return x / (1.0f + exp(clamp(-x, -80.0f, 80.0f))); }

} // namespace

TileKernel buildAffine(const KernelSpec &spec, const gemmac::Target &target) {
  Rows rows(spec, target);
  return rows.store(rows.x("x") * rows.real("factor") + rows.real("offset"),
                    "y");
}

TileKernel buildClip(const KernelSpec &spec, const gemmac::Target &target) {
  Rows rows(spec, target);
  return rows.storeAct(rows.clip(rows.x("x"), "lo", "hi"));
}

TileKernel buildBias(const KernelSpec &spec, const gemmac::Target &target) {
  Rows rows(spec, target);
  return rows.store(rows.x("x") + rows.vector("b"), "y");
}

TileKernel buildStandardize(const KernelSpec &spec,
                            const gemmac::Target &target) {
  Rows rows(spec, target);
  return rows.store((rows.x("x") - rows.vector("b")) * rows.vector("s"), "y");
}

TileKernel buildAddPositions(const KernelSpec &spec,
                             const gemmac::Target &target) {
  Rows rows(spec, target);
  const std::string &format = spec.constants.text("format");
  auto entry = [&](int64_t coordinate) {
    return Index::load("position", Index::row() * 2 + coordinate) *
           Index::parameter("apart");
  };
  Expr first = matrixRow(rows.tile, "table", format, rows.k, entry(0), rows.j),
       second = matrixRow(rows.tile, "table", format, rows.k,
                          entry(1) + Index::parameter("second"), rows.j);
  return rows.store(rows.x("x") + (first + second), "out");
}

TileKernel buildLayerNorm(const KernelSpec &spec,
                          const gemmac::Target &target) {
  Rows rows(spec, target);
  ImageParam x = rowOf(rows.tile, "x", rows.k);
  // From the first value on: of nearly equal ones, such as a cell of one colour
  // has, the mean's rounding would be all that is left, and large over eps.
  Func first("first");
  first() = x(0);
  first.compute_root().store_in(MemoryType::Stack);
  // Strictly so: sum(x) - k first would be the same without rounding alone.
  auto shifted = [&](Expr j) { return strict_float(x(j) - first()); };
  Func sum = rowSum(rows.tile, rows.k, shifted);
  Func mean("mean");
  mean() = sum(0) * float(1.0 / double(rows.k));
  mean.compute_root().store_in(MemoryType::Stack);
  Func centered("centered");
  centered(rows.j) = shifted(rows.j) - mean();
  InverseRms rms =
      inverseRms(rows.tile, centered, rows.k, spec.constants.real("eps"));
  Expr value = centered(rows.j) * rms() * rows.vector("w");
  if (spec.constants.integer("biased"))
    value = value + rows.vector("b");
  return rows.storeAct(value);
}

TileKernel buildPlainNorm(const KernelSpec &spec,
                          const gemmac::Target &target) {
  Rows rows(spec, target);
  ImageParam x = rowOf(rows.tile, "x", rows.k);
  InverseRms rms = inverseRms(rows.tile, x, rows.k, spec.constants.real("eps"));
  return rows.storeAct(x(rows.j) * rms());
}

TileKernel buildPool(const KernelSpec &spec, const gemmac::Target &target) {
  Rows rows(spec, target);
  const int64_t n = spec.constants.integer("n");
  ImageParam x = rows.tile.input("x", Float(32),
                                 {{rows.k, 1}, {n, rowStride("f32", rows.k)}},
                                 rowOffset(rows.k, Index::row() * n));
  Expr sum = x(rows.j, 0);
  for (int i = 1; i < int(n); ++i)
    sum = sum + x(rows.j, i);
  return rows.store(sum * float(spec.constants.real("factor") / double(n)),
                    "y");
}

TileKernel buildResidual(const KernelSpec &spec, const gemmac::Target &target) {
  Rows rows(spec, target);
  Func y("clipped");
  y(rows.j) = rows.clipIf(rows.x("y"));
  InverseRms rms = inverseRms(rows.tile, y, rows.k, spec.constants.real("eps"));
  return rows.store(rows.x("h") + y(rows.j) * rms() * rows.vector("w") *
                                      rows.real("factor"),
                    "out");
}

TileKernel buildAdd(const KernelSpec &spec, const gemmac::Target &target) {
  Rows rows(spec, target);
  return rows.store(rows.x("h") + rows.clipIf(rows.x("y")), "out");
}

TileKernel buildSilu(const KernelSpec &spec, const gemmac::Target &target) {
  Rows rows(spec, target);
  return rows.storeAct(
      rows.clipIf(silu(rows.clipIf(rows.x("x"))), "in_lo", "in_hi"));
}

TileKernel buildGeglu(const KernelSpec &spec, const gemmac::Target &target) {
  Rows rows(spec, target);
  Expr g = gelu(rows.clipIf(rows.x("g"), "g_lo", "g_hi")),
       u = rows.clipIf(rows.x("u"), "u_lo", "u_hi");
  return rows.storeAct(rows.clipIf(g * u, "in_lo", "in_hi"));
}

TileKernel buildGlu(const KernelSpec &spec, const gemmac::Target &target) {
  Rows rows(spec, target);
  auto half = [&](int64_t from) {
    return rows.clipIf(rows.tile.input("x", Float(32), {{rows.k, 1}},
                                       rowOffset(2 * rows.k) + from)(rows.j));
  };
  return rows.store(half(0) * sigmoid(half(rows.k * 4)), "y");
}

} // namespace gemmac
