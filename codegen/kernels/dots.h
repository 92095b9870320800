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
  Index low{0};           // format splitFormat: of the lower nibbles
  // Rows that do not follow each other: the byte offset of each, instead of x.
  std::vector<Index> gathered{};
  // Quantised: how far ahead weights are fetched that come from memory but are
  // used too slowly for the hardware to fetch across pages. 0: not.
  int64_t prefetchBytes = 0;
};

// The rows of x as one buffer whose last dimension is the row, or as a buffer
// each, chosen by a row that is constant once the loops over rows are unrolled.
class RowBuffers {
public:
  RowBuffers(TileBuilder &tile, const DotShape &shape, Halide::Type type,
             std::vector<Dim> dims, int64_t rowStride, int64_t offset = 0);
  // The last argument is the row.
  template <class... Args>
  Halide::Expr operator()(Args... args) const {
    return at({Halide::Expr(args)...});
  }

private:
  Halide::Expr at(std::vector<Halide::Expr> args) const;
  std::vector<Halide::ImageParam> buffers;
  bool gathered;
};

class Dots {
public:
  // Throws if there is no body for format and act.
  Dots(TileBuilder &tile, const DotShape &shape);

  Halide::Var o, b, r;
  Halide::Expr sum(int part);

  // Schedules y(o, b, r), a short function of the sums, and the sums inside it,
  // so that the sums of one step stay in registers.
  void schedule(Halide::Func y);

  // For a long epilogue: the tile stores its sums; y(o, b, r) is computed from
  // `stored` by a tile of its own, which `finish` attaches.
  Halide::Expr stored(TileBuilder &epilogue, int part);
  // The same for any output and row; `stored` must have been called.
  Halide::Expr storedAt(Halide::Expr output, int part, Halide::Expr block,
                        Halide::Expr row) {
    return storedSums(output, part, block, row);
  }
  void scheduleEpilogue(TileBuilder &epilogue, Halide::Func y);
  // An epilogue of one row is called for every row of the tile.
  Tile finish(TileBuilder &epilogue) {
    return finish(epilogue.finish("_epilogue_of_" + std::to_string(tile.rows)));
  }
  Tile finish(Tile epilogue);

private:
  // A product in C++ (dots_body.cpp) has run: `sums` reads its results.
  void readProduct();
  void definePairs(const RowBuffers &x, Halide::ImageParam w);
  void defineQuantized();
  void scheduleQuantized(Halide::Func y);
  void scheduleUpdate(int stage);
  std::vector<Dim> sumDims(int64_t rows) const;
  int64_t sumBytes() const {
    return 16 * shape.parts * shape.blocks * tile.rows * 4;
  }

  TileBuilder &tile;
  DotShape shape;
  Halide::Var p;
  Halide::Func sums;
  Halide::ImageParam storedSums;
  std::shared_ptr<Tile> body;             // the product, if it is one in C++
  std::vector<Halide::RVar> pairs, steps; // of each update; pairs may be empty
  // Quantised: int32 sums of one block of 32 k; byte within a group of 4,
  // group.
  Halide::Func blockSums;
  Halide::RDom inBlock;
  Halide::RVar block;
  Halide::ImageParam codes; // the weights, if quantised
};

// Whether products of `act` rows with `format` are C++ bodies on a target; the
// tile that computes the sums of `shape` there, in [row][block][part][16].
bool hasBodyProduct(const Target &target, const std::string &format,
                    const std::string &act);
Tile bodyProduct(int64_t rows, const DotShape &shape);

// A tile of 32 outputs of gelu(gate) * up: W interleaves gate and up 32:32.
struct GegluShape {
  int64_t rows;
  Index x;                       // as in DotShape
  std::vector<Index> gathered{}; // if not empty, the epilogue is of one row
  int64_t prefetchBytes = 0;     // as in DotShape
  Index member{0};               // byte offset of the matrix in W
  Index y;                       // byte offset of the results
  Dim yRows;
};
Tile gegluTile(const KernelSpec &spec, const Target &target,
               const GegluShape &geglu);

// Bytes from one 16-row group of W to the next.
int64_t groupBytes(const std::string &format, int64_t k);

// Blocks of 16 outputs that a tile of `rows` rows computes beside each other.
int64_t blocksOfTile(const Target &target, const std::string &format,
                     const std::string &act, int64_t rows);

// The row tiles of a class: all of the target for few, the largest for many.
std::vector<int64_t> rowTiles(const Target &target, RowClass rows);

} // namespace gemmac
