// What the Halide families share: the builder of tiles, the arithmetic helpers
// and the registry. Must not know MLIR or LLVM.
#pragma once

#include "codegen/kernels/Tile.h"
#include "targets/Layouts.h"

#include <Halide.h>

#include <functional>

namespace gemmac {

//---- building tiles

// Collects the arguments of one tile and lowers its pipeline to bitcode.
class TileBuilder {
public:
  TileBuilder(const Target &target, int64_t rows = 1, int64_t units = 1);

  // A buffer read at `operand` + `offset` bytes. Bounds and constant strides
  // become facts that Halide may use.
  Halide::ImageParam input(const std::string &operand, Halide::Type type,
                           const std::vector<Dim> &dims, const Index &offset);
  // A number whose value is known when the tile is called, at the earliest.
  template <typename T>
  Halide::Param<T> scalar(const Index &value) {
    const Halide::Type type = Halide::type_of<T>();
    Halide::Param<T> param("scalar" + std::to_string(inputArguments.size()));
    inputs.push_back(param);
    inputArguments.push_back({.offset = value,
                              .typeCode = int(type.code()),
                              .typeBits = type.bits()});
    return param;
  }
  // The buffer that `func` is written to. Order of outputs = order of calls.
  void output(Halide::Func func, const std::string &operand,
              const std::vector<Dim> &dims, const Index &offset);

  // What runs first and leaves its results in `tileSums` (Tile.h).
  void runFirst(Tile product) {
    first = std::make_shared<const Tile>(std::move(product));
  }

  Tile finish(const std::string &suffix = "");

  const Target &target;
  const int64_t rows, units;
  // f32 elements of a vector register.
  int lanes() const { return int(target.vectorBytes / 4); }

private:
  std::vector<Halide::Argument> inputs;
  std::vector<Halide::Func> outputs;
  std::vector<TileArgument> inputArguments, outputArguments;
  std::shared_ptr<const Tile> first;
};

//---- types and rounding

// The type of a buffer of encoding "f32", "bf16" (as its 16 bits) or "i32".
Halide::Type bufferType(const std::string &encoding);
// f32 value of an element of `encoding`, and back (nearest even).
Halide::Expr decode(Halide::Expr e, const std::string &encoding);
Halide::Expr encode(Halide::Expr e, const std::string &encoding);

// Codes of `rows` rows of a block of a packed matrix as u8(within a step, row,
// step), and the type and f32 value of its scales.
std::vector<Dim> codeDims(const Layout &layout, int64_t rows = groupRows);
Halide::Type scaleType(const std::string &format);
Halide::Expr scaleValue(Halide::Expr bits, const std::string &format);

// Bytes of `elements` (a multiple of a block where quantised) of an activation
// row.
Index bytesOf(const Index &elements, const std::string &encoding);

// Rows of an encoding that is written in blocks: stores
// `value`(i, block, row), i < blockValues, of `blocks` blocks and `rows` rows
// at `offset` of `operand`; `rowDim` strides in elements. Schedules everything;
// `value` must be cheap or computed already.
void outputQuantized(TileBuilder &tile, Halide::Func value, int64_t blocks,
                     const std::string &operand, const Index &offset,
                     const Dim &rowDim);

//---- arithmetic: f32, no infinities

// gelu with tanh, 0.5 x (1 + tanh(u)), written x / (1 + exp(-2u)).
Halide::Expr gelu(Halide::Expr x);

// Its element 0: the sum of term(j) over j < k in one fixed order.
Halide::Func rowSum(TileBuilder &tile, int64_t k,
                    const std::function<Halide::Expr(Halide::Expr)> &term);

// (sum of f(j)^2 / k + eps)^(-1/2) over j < k in one fixed order, computed
// before its consumers.
struct InverseRms {
  Halide::Func value;
  Halide::Expr operator()() const { return value(); }
};
InverseRms inverseRms(TileBuilder &tile, Halide::Func f, int64_t k, double eps);

// Rows of f32: one of `k` columns of an operand, the one of the loop unless
// said, and a vector of them that all rows share.
inline Index rowOffset(int64_t k, const Index &row = Index::row()) {
  return row * rowBytes("f32", k);
}
inline Halide::ImageParam rowOf(TileBuilder &tile, const std::string &operand,
                                int64_t k, const Index &row = Index::row()) {
  return tile.input(operand, Halide::Float(32), {{k, 1}}, rowOffset(k, row));
}
inline Halide::ImageParam vectorOf(TileBuilder &tile,
                                   const std::string &operand, int64_t k) {
  return tile.input(operand, Halide::Float(32), {{k, 1}}, 0);
}
// Stores y(j), j < k, at `offset` of an operand and vectorises it.
void storeRow(TileBuilder &tile, Halide::Func y, const std::string &operand,
              int64_t k, const Index &offset);
// Stores one row of value(j), j < k, of an operand in its encoding.
void storeEncoded(TileBuilder &tile, Halide::Func value, int64_t k,
                  const std::string &operand, const std::string &encoding);

// Column `j` of row `row` of a matrix of `k` columns of format f32 or bf16. A
// matrix may pass 2^31 elements; the offset is 64 bits.
Halide::Expr matrixRow(TileBuilder &tile, const std::string &operand,
                       const std::string &format, int64_t k, const Index &row,
                       Halide::Expr j);

// The units [begin, end) of a call, and a kernel of one tile over those rows.
inline LoopRange callUnits() {
  return {Index::parameter("begin"), Index::parameter("end")};
}
inline TileKernel rowKernel(TileBuilder &tile) {
  return {.rows = callUnits(), .tiles = {tile.finish()}};
}

//---- families

// One builder per family, defined in the family's file and registered in
// TileKernel.cpp; throws Halide::Error.
using BuildTiles = TileKernel (*)(const KernelSpec &, const Target &);

} // namespace gemmac
