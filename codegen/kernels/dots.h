// The inner loops of every matrix product: 16 outputs side by side, k in order.
// One sum per (row, output) in one fixed order, whatever the tile: results do
// not depend on how many rows or units are computed together.
#pragma once

#include "codegen/kernels/common.h"

namespace gemmac {

// Sums of a tile: sums(o, part, block, row), o < 16.
struct DotShape {
  int64_t k;
  std::string format, act;
  int64_t blocks = 1; // of 16 outputs
  int64_t parts = 1;  // 2: gate and up of the same output
  int64_t blockGroups = 1,
          partGroups = 0; // 16-row groups of W from one to the next
  Index x, w;             // byte offsets of the tile's rows and first group
};

class Dots {
public:
  // Throws if there is no body for format and act.
  Dots(TileBuilder &tile, const DotShape &shape);

  Halide::Var o, b, r;
  Halide::Expr sum(int part) const { return totals(o, part, b, r); }

  // Schedules y(o, b, r), which uses sums, and the sums inside it, so that the
  // sums of one step stay in registers. With a long epilogue they then pass
  // through the stack to a loop, instead of the epilogue being unrolled.
  void schedule(Halide::Func y, bool longEpilogue);

private:
  void definePairs(Halide::ImageParam x, Halide::ImageParam w);
  void scheduleUpdate(int stage);

  TileBuilder &tile;
  DotShape shape;
  Halide::Var p;
  Halide::Func sums, totals;
  std::vector<Halide::RVar> pairs, steps; // of each update; pairs may be empty
};

// Bytes from one 16-row group of W to the next.
int64_t groupBytes(const std::string &format, int64_t k);

// Blocks of 16 outputs that a tile of `rows` rows computes in registers: at
// most 4, so that few streams of weights are read at once.
int64_t blocksInRegisters(const Target &target, int64_t rows);

// The row tiles of a class: all of the target for few, the largest for many.
std::vector<int64_t> rowTiles(const Target &target, RowClass rows);

} // namespace gemmac
