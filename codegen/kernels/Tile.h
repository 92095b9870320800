// A tile: the part of a kernel that Halide makes, for a fixed number of rows
// and units, and how to find its operands. A kernel is a nest of two loops
// (units outside, rows inside) around tiles; every address in it is an integer
// expression. Plain data: must not know Halide, LLVM or MLIR.
#pragma once

#include "support/Result.h"
#include "targets/Kernels.h"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace gemmac {

// A 64-bit integer expression over the loop variables and the integer
// parameters of a kernel.
struct Index {
  enum Op { Constant, Row, Unit, Parameter, Load, Add, Mul, Div, Mod };

  Index(int64_t value = 0) : value(value) {}
  // First row and first unit of the tile.
  static Index row() { return {Row}; }
  static Index unit() { return {Unit}; }
  // "rows", "begin", "end" or a scalar of the family.
  static Index parameter(const std::string &name) {
    return {Parameter, {}, name};
  }
  // Element `i` of an i32 operand.
  static Index load(const std::string &table, const Index &i) {
    return {Load, {i}, table};
  }
  // Operands of / and % are never negative.
  friend Index operator+(const Index &a, const Index &b) {
    return {Add, {a, b}};
  }
  friend Index operator*(const Index &a, const Index &b) {
    return {Mul, {a, b}};
  }
  friend Index operator/(const Index &a, const Index &b) {
    return {Div, {a, b}};
  }
  friend Index operator%(const Index &a, const Index &b) {
    return {Mod, {a, b}};
  }

  Op op = Constant;
  int64_t value = 0;     // Constant
  std::string name;      // Parameter; Load: the table
  std::vector<Index> of; // operands

private:
  Index(Op op, std::vector<Index> of = {}, const std::string &name = "")
      : op(op), name(name), of(std::move(of)) {}
};

// A dimension of a buffer of a tile, in elements; starts at 0.
struct Dim {
  int64_t extent;
  int64_t stride;                   // unless `parameter` is set
  std::string parameter{};          // the integer parameter that is the stride
  int64_t multiply = 1, divide = 1; // stride = parameter * multiply / divide
};

// An argument of the tile's function: a buffer at operand + offset bytes, or
// (operand empty) the value of `offset` as an integer of the type.
struct TileArgument {
  std::string operand;
  Index offset;
  std::vector<Dim> dims;
  int typeCode = 0, typeBits = 0; // as in halide_type_t
};

struct Tile {
  int64_t rows = 1; // rows and units it computes
  int64_t units = 1;
  std::string symbol; // of its function, which takes the arguments in order
  std::string bitcode;
  // Instead of bitcode: the C++ body (<body>.body.cpp) that defines the symbol
  // and takes operands as bare pointers.
  std::string body;
  std::vector<TileArgument> arguments;
  // Called before the tile: leaves its results in the operand `tileSums`.
  std::shared_ptr<const Tile> product;
  // Called after the tile, never inlined: constants of a long epilogue, hoisted
  // out of the loops, would push the sums of the tile out of the registers. It
  // takes them from the operand `tileSums`, `sumBytes` on the stack. One of
  // fewer rows is called for the tile's rows in turn. `inlined`: it is short
  // and takes the sums from the registers.
  std::shared_ptr<const Tile> epilogue;
  bool inlined = false;
  int64_t sumBytes = 0;
};

inline const char *const tileSums = "#sums";

// From begin, a tile's rows or units at a time, below end.
struct LoopRange {
  Index begin, end;
};

inline constexpr int64_t allUnits = int64_t(1) << 32; // more than there are

struct TileKernel {
  LoopRange units{0, 1}, rows{0, 1};
  // Units are taken `units` of a tile at a time, the largest that fit. Rows:
  // the tile with the fewest rows that hold all of them, computed with one tile
  // (rows of padding included), or a loop over the tile with the most rows.
  std::vector<Tile> tiles;
  // If not 0: all units take so many rows, a multiple of the largest tile's,
  // before the next.
  int64_t rowsAtOnce = 0;
  // If set: neighbouring rows whose `group` (over Index::row) is equal are a
  // group, and no tile holds rows of two. `unitStep` units at a time, group by
  // group, units inside, then rows, in the largest tiles that fit: together
  // they are exactly the rows of the group (a tile of one row must exist).
  std::optional<Index> group{};
  int64_t unitStep = 1;
};

// Whether kernels/ has a Halide family of that name.
bool hasTileKernel(const std::string &family);
// Lowers the tiles of a kernel. Thread safe.
Result<TileKernel> makeTileKernel(const KernelSpec &spec, const Target &target);

} // namespace gemmac
