// experts_up, experts_down: the products of a mixture of experts. A "row" of
// the loops is a position of `order`, which is sorted by expert: the positions
// of one expert are a group, so that a part of its matrix is read once for all
// rows that chose it, and their activations are gathered.
#include "codegen/kernels/dots.h"

using namespace Halide;

namespace gemmac {

// The (row, expert) pair of position `row + i`.
static Index pairNumber(int64_t i = 0) {
  return Index::load("order", Index::row() + i);
}
static Index expert() { return Index::load("ids", pairNumber()); }

static TileKernel groupLoops(const KernelSpec &spec) {
  return {.units = callUnits(),
          .rows = {0, Index::parameter("rows") * spec.constants.integer("top")},
          .tiles = {},
          .group = expert()};
}

// The first rows of an expert read its weights from memory.
static int64_t prefetchBytes(const KernelSpec &spec,
                             const gemmac::Target &target, int64_t rows) {
  bool largest = rows == target.tuning.rows.back();
  if (spec.rows == RowClass::Few)
    return target.tuning.weightPrefetch;
  return largest ? target.tuning.expertPrefetch : 0;
}

// Unit = 32 outputs; row q of y is slice q % top of row q / top. A worker reads
// its units of an expert one after the other: one stream.
TileKernel buildExpertsUp(const KernelSpec &spec,
                          const gemmac::Target &target) {
  const std::string &format = spec.constants.text("format"),
                    &act = spec.constants.text("act");
  int64_t k = spec.constants.integer("k"), f = spec.constants.integer("f");
  int64_t top = spec.constants.integer("top");
  int64_t member = matrixLayout(format).bytes(2 * roundUp(f, 32), k);
  TileKernel kernel = groupLoops(spec);
  kernel.unitStep = allUnits;
  for (int64_t rows : target.tuning.rows) {
    GegluShape shape{.rows = rows, .x = 0, .member = expert() * member};
    shape.prefetchBytes = prefetchBytes(spec, target, rows);
    for (int64_t i = 0; i < rows; ++i)
      shape.gathered.push_back(pairNumber(i) / top * rowBytes(act, k));
    shape.y = bytesOf(pairNumber() * roundUp(f, 32) + Index::unit() * 32, act);
    shape.yRows = {1, 32};
    kernel.tiles.push_back(gegluTile(spec, target, shape));
  }
  return kernel;
}

// Unit = 16 outputs. ids ascend within a row and `order` is sorted by them, so
// the pairs of a row come in ascending j: each adds its part to y, the first
// one replaces what is there. Few units at a time, so that their part of y
// stays in the cache while all experts add to it.
TileKernel buildExpertsDown(const KernelSpec &spec,
                            const gemmac::Target &target) {
  const std::string &format = spec.constants.text("format"),
                    &act = spec.constants.text("act");
  int64_t k = spec.constants.integer("k"), top = spec.constants.integer("top");
  int64_t member = matrixLayout(format).bytes(spec.constants.integer("n"), k);
  TileKernel kernel = groupLoops(spec);
  kernel.unitStep =
      spec.rows == RowClass::Few ? allUnits : target.tuning.expertUnits;
  const Index w = expert() * member + Index::unit() * groupBytes(format, k);
  const Index y =
      (pairNumber() / top * Index::parameter("stride") + Index::unit() * 16) *
      4;
  for (int64_t rows : target.tuning.rows) {
    TileBuilder tile(target, rows), tail(target);
    DotShape shape{.k = k, .format = format, .act = act, .x = 0, .w = w};
    shape.prefetchBytes = prefetchBytes(spec, target, rows);
    for (int64_t i = 0; i < rows; ++i)
      shape.gathered.push_back(pairNumber(i) * rowBytes(act, k));
    Dots dots(tile, shape);
    ImageParam weight = tail.input("weights", Float(32), {{1, 1}},
                                   pairNumber() / top * rowBytes("f32", top) +
                                       pairNumber() % top * 4);
    ImageParam before = tail.input("y", Float(32), {{16, 1}}, y);
    Param<int32_t> j = tail.scalar<int32_t>(pairNumber() % top);
    Func sum("y");
    sum(dots.o, dots.b, dots.r) =
        select(j == 0, 0.0f, before(dots.o)) + weight(0) * dots.stored(tail, 0);
    dots.scheduleEpilogue(tail, sum);
    tail.output(sum, "y", {{16, 1}, {1, 16}, {1, 16}}, y);
    kernel.tiles.push_back(dots.finish(tail));
    kernel.tiles.back().inlined = true;
  }
  return kernel;
}

} // namespace gemmac
