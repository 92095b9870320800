// What expansions of fused ops and their matrices share. Private to
// FusedOps.cpp and FusedTowerOps.cpp.
#pragma once

#include "dialects/gemma/Gemma.h"

#include "mlir/IR/Builders.h"

namespace mlir::gemma {

// Builds primitives. Intermediate values get a location that says so; the final
// value keeps the fused op's.
struct Primitives {
  OpBuilder &b;
  Operation *op;
  Location loc;
  FloatAttr eps;

  Primitives(OpBuilder &b, Operation *op, FloatAttr eps)
      : b(b), op(op),
        loc(FusedLoc::get(op->getContext(), {op->getLoc()},
                          StringAttr::get(op->getContext(), "expanded"))),
        eps(eps) {}

  Location at(bool final) { return final ? op->getLoc() : loc; }
  RankedTensorType columns(Value like, int64_t count) {
    auto type = cast<RankedTensorType>(like.getType());
    return RankedTensorType::get({type.getDimSize(0), count},
                                 type.getElementType());
  }
  Value norm(Value x, FlatSymbolRefAttr weight, int64_t size = 0) {
    return RmsNormOp::create(b, loc, x.getType(), x, weight, eps,
                             b.getI64IntegerAttr(size ? size : columnsOf(x)));
  }
  Value linear(Value x, FlatSymbolRefAttr weight, DenseI64ArrayAttr rows = {}) {
    int64_t count = rows ? rows[1] - rows[0] : lookupWeight(op, weight).dim(0);
    return LinearOp::create(b, loc, columns(x, count), x, weight, rows);
  }
  // Matrix `index` of those that `bounds` (null: none) has four bounds each of.
  Value clipped(Value x, FlatSymbolRefAttr weight, ArrayAttr bounds,
                unsigned index) {
    auto clamp = [&](Value value, unsigned first) -> Value {
      if (!bounds)
        return value;
      auto bound = [&](unsigned i) {
        return cast<FlatSymbolRefAttr>(bounds[4 * index + i]);
      };
      return ClampOp::create(b, loc, value.getType(), value, bound(first),
                             bound(first + 1));
    };
    return clamp(linear(clamp(x, 0), weight), 2);
  }
  Value silu(Value x) { return SiluOp::create(b, loc, x.getType(), x); }
  Value geglu(Value gate, Value up) {
    return GegluOp::create(b, loc, gate.getType(), gate, up);
  }
  Value add(Value lhs, Value rhs, bool final = false) {
    return AddOp::create(b, at(final), lhs.getType(), lhs, rhs);
  }
  Value scale(Value x, FloatAttr factor, bool final = false) {
    return ScaleOp::create(b, at(final), x.getType(), x, FlatSymbolRefAttr(),
                           factor);
  }
  Value rope(Value x, Value table, int64_t dim, IntegerAttr pairs) {
    return RopeOp::create(b, loc, x.getType(), x, table,
                          b.getI64IntegerAttr(dim), pairs);
  }
  // lhs + rhs and, if there is one, times the layer's scalar.
  SmallVector<Value> finish(Value lhs, Value rhs, FlatSymbolRefAttr scalar) {
    Value sum = add(lhs, rhs, !scalar);
    if (!scalar)
      return {sum};
    return {ScaleOp::create(b, op->getLoc(), sum.getType(), sum, scalar,
                            FloatAttr())};
  }
};

// The key of what is of `op` alone.
inline MatrixKey within(Operation *op) { return {op}; }
// The key of a residual behind a norm, and of the projections of a layer.
inline MatrixKey normed(Value h, FlatSymbolRefAttr norm, FloatAttr eps) {
  return {h.getAsOpaquePointer(), norm.getAsOpaquePointer(),
          eps.getAsOpaquePointer()};
}
inline MatrixKey layer(FlatSymbolRefAttr norm, FlatSymbolRefAttr cache) {
  return {norm.getAsOpaquePointer(), cache.getAsOpaquePointer()};
}

} // namespace mlir::gemma
