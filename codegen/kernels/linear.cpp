// linear, logits, linear_geglu, linear_ple: matrix products with their
// epilogues. Unit = 16 output columns (geglu and quantised results: 32), all
// rows inside.
#include "codegen/kernels/dots.h"

#include <bit>
#include <functional>

using namespace Halide;

namespace gemmac {

// Rows that every unit reads stay in the second cache, and are enough that
// weights, read once for all of them, need not.
static TileKernel allRowsInside(const KernelSpec &spec) {
  TileKernel kernel = {
      .units = callUnits(), .rows = {0, Index::parameter("rows")}, .tiles = {}};
  constexpr int64_t bytes = 256 << 10, least = 64;
  if (spec.rows == RowClass::Many)
    kernel.rowsAtOnce =
        std::max(least, bytes /
                            rowBytes(spec.constants.text("act"),
                                     spec.constants.integer("k")) /
                            least * least);
  return kernel;
}

// Finishes a tile whose epilogue may be made with `tail`.
using Epilogue = Tile (*)(TileBuilder &tail, const KernelSpec &, Dots &);

// y(o, b, r) of a tile lies at row * stride + unit * 16 elements.
static Index blockOffset(int64_t bytes) {
  return (Index::row() * Index::parameter("stride") +
          Index::unit() * groupRows) *
         bytes;
}

// Results of units of 32 outputs.
static Index wideOffset(const std::string &act) {
  return bytesOf(Index::row() * Index::parameter("stride") + Index::unit() * 32,
                 act);
}

static void storeBlocks(TileBuilder &tile, Func y, int64_t bytes) {
  tile.output(
      y, "y",
      {{groupRows, 1}, {tile.units, groupRows}, {tile.rows, 0, "stride"}},
      blockOffset(bytes));
}

static Tile buildTile(const KernelSpec &spec, const gemmac::Target &target,
                      int64_t rows, int64_t blocks, Epilogue epilogue) {
  const std::string &format = spec.constants.text("format");
  const std::string &act = spec.constants.text("act");
  int64_t k = spec.constants.integer("k");
  const char *low = formatOf(format).low;
  TileBuilder tile(target, rows, blocks), tail(target, rows, blocks);
  Dots dots(tile,
            {.k = k,
             .format = format,
             .act = act,
             .blocks = blocks,
             .x = Index::row() * rowBytes(act, k),
             .w = Index::unit() * groupBytes(format, k),
             .low = Index::unit() * (*low ? groupBytes(low, k) : int64_t(0)),
             .prefetchBytes = target.tuning.weightPrefetch});
  if (epilogue)
    return epilogue(tail, spec, dots);
  Func y("y");
  y(dots.o, dots.b, dots.r) = dots.sum(0);
  dots.schedule(y);
  storeBlocks(tile, y, elementBytes("f32"));
  return tile.finish();
}

// Units are blocks of 16 outputs, several per tile where they fit and `several`
// is set.
static TileKernel buildBlocks(const KernelSpec &spec,
                              const gemmac::Target &target, Epilogue epilogue,
                              bool several = true) {
  TileKernel kernel = allRowsInside(spec);
  for (int64_t rows : rowTiles(target, spec.rows)) {
    int64_t most = several ? blocksOfTile(target, spec.constants.text("format"),
                                          spec.constants.text("act"), rows)
                           : 1;
    for (int64_t blocks :
         most > 1 ? std::vector<int64_t>{most, 1} : std::vector<int64_t>{1})
      kernel.tiles.push_back(buildTile(spec, target, rows, blocks, epilogue));
  }
  return kernel;
}

TileKernel buildLinear(const KernelSpec &spec, const gemmac::Target &target) {
  return buildBlocks(spec, target, nullptr);
}

// In C++ (softcap.body.cpp), so that family top_scan has the same bits.
static Tile softcapEpilogue(int64_t rows, int64_t blocks, float cap) {
  auto number = [](const Index &value, int bits) {
    return TileArgument{.offset = value, .typeBits = bits};
  };
  Tile tail;
  tail.rows = rows;
  tail.units = blocks;
  tail.body = "softcap";
  tail.symbol = "gm_softcap";
  tail.arguments = {
      {.operand = tileSums, .offset = 0},
      {.operand = "y", .offset = blockOffset(elementBytes("f32"))},
      number(rows, 64),
      number(blocks * groupRows, 64),
      number(Index::parameter("stride"), 64),
      number(int64_t(std::bit_cast<int32_t>(cap)), 32)};
  return tail;
}

TileKernel buildLogits(const KernelSpec &spec, const gemmac::Target &target) {
  Epilogue capped = [](TileBuilder &tail, const KernelSpec &spec, Dots &dots) {
    return dots.finish(softcapEpilogue(tail.rows, tail.units,
                                       float(spec.constants.real("cap"))));
  };
  return buildBlocks(spec, target,
                     float(spec.constants.real("cap")) > 0 ? capped : nullptr);
}

// Columns of the per-layer inputs beside `outputs` outputs of a unit.
static ImageParam pleInput(TileBuilder &tail, int64_t outputs, int64_t units) {
  Index column = Index::row() * Index::parameter("ple_stride") +
                 Index::parameter("column") + Index::unit() * outputs;
  return tail.input(
      "ple", Float(32),
      {{outputs, 1}, {units, outputs}, {tail.rows, 0, "ple_stride"}},
      column * 4);
}

// gelu of the first parts times `factor`, rounded to a quantised block. After
// `stored`.
static Tile
finishQuantized(Dots &dots, TileBuilder &tail,
                const std::function<Expr(Var i, Var block, Var r)> &factor,
                const Index &offset, const Dim &rowDim) {
  Var i("i"), block("block"), r("r");
  Func value("value");
  value(i, block, r) =
      gelu(dots.storedAt(i % 16, 0, i / 16, r)) * factor(i, block, r);
  value.bound(i, 0, int(blockValues)).compute_root();
  value.store_in(MemoryType::Stack).vectorize(i, tail.lanes());
  outputQuantized(tail, value, 1, "y", offset, rowDim);
  return dots.finish(tail);
}

// Unit = 32 outputs = two blocks of W, one quantised block of y.
static Tile quantizedPleTile(const KernelSpec &spec,
                             const gemmac::Target &target, int64_t rows) {
  const std::string &format = spec.constants.text("format");
  const std::string &act = spec.constants.text("act");
  int64_t k = spec.constants.integer("k");
  TileBuilder tile(target, rows), tail(target, rows);
  Dots dots(tile, {.k = k,
                   .format = format,
                   .act = act,
                   .blocks = 2,
                   .x = Index::row() * rowBytes(act, k),
                   .w = Index::unit() * (2 * groupBytes(format, k)),
                   .prefetchBytes = target.tuning.weightPrefetch});
  dots.stored(tail, 0);
  ImageParam ple = pleInput(tail, blockValues, 1);
  return finishQuantized(
      dots, tail, [&](Var i, Var block, Var r) { return ple(i, block, r); },
      wideOffset(act), {rows, 0, "stride"});
}

TileKernel buildLinearPle(const KernelSpec &spec,
                          const gemmac::Target &target) {
  if (isQuantized(spec.constants.text("act"))) {
    TileKernel kernel = allRowsInside(spec);
    for (int64_t rows : rowTiles(target, spec.rows))
      kernel.tiles.push_back(quantizedPleTile(spec, target, rows));
    return kernel;
  }
  // Few outputs: more tiles would cost compile time only.
  Epilogue gated = [](TileBuilder &tail, const KernelSpec &spec, Dots &dots) {
    ImageParam ple = pleInput(tail, 16, tail.units);
    const std::string &act = spec.constants.text("act");
    Func y("y");
    y(dots.o, dots.b, dots.r) =
        encode(gelu(dots.stored(tail, 0)) * ple(dots.o, dots.b, dots.r), act);
    dots.scheduleEpilogue(tail, y);
    storeBlocks(tail, y, elementBytes(act));
    return dots.finish(tail);
  };
  return buildBlocks(spec, target, gated, /*several=*/false);
}

// Unit = 32 outputs = two blocks; their gate groups are 4u and 4u + 1 of W, up
// groups 4u + 2 and 4u + 3.
TileKernel buildLinearGeglu(const KernelSpec &spec,
                            const gemmac::Target &target) {
  const std::string &act = spec.constants.text("act");
  int64_t k = spec.constants.integer("k");
  TileKernel kernel = allRowsInside(spec);
  for (int64_t rows : rowTiles(target, spec.rows))
    kernel.tiles.push_back(
        gegluTile(spec, target,
                  {.rows = rows,
                   .x = Index::row() * rowBytes(act, k),
                   .prefetchBytes = target.tuning.weightPrefetch,
                   .y = wideOffset(act),
                   .yRows = {rows, 0, "stride"}}));
  return kernel;
}

Tile gegluTile(const KernelSpec &spec, const gemmac::Target &target,
               const GegluShape &geglu) {
  const std::string &format = spec.constants.text("format");
  const std::string &act = spec.constants.text("act");
  int64_t k = spec.constants.integer("k");
  TileBuilder tile(target, geglu.rows),
      tail(target, geglu.gathered.empty() ? geglu.rows : 1);
  Dots dots(tile,
            {.k = k,
             .format = format,
             .act = act,
             .blocks = 2,
             .parts = 2,
             .partGroups = 2,
             .x = geglu.x,
             .w = geglu.member + Index::unit() * (4 * groupBytes(format, k)),
             .gathered = geglu.gathered,
             .prefetchBytes = geglu.prefetchBytes});
  Func result("y");
  if (isQuantized(act)) {
    dots.stored(tail, 0);
    return finishQuantized(
        dots, tail,
        [&](Var i, Var block, Var r) {
          return dots.storedAt(i % 16, 1, i / 16, r);
        },
        geglu.y, geglu.yRows);
  }
  result(dots.o, dots.b, dots.r) =
      encode(gelu(dots.stored(tail, 0)) * dots.stored(tail, 1), act);
  dots.scheduleEpilogue(tail, result);
  tail.output(result, "y", {{16, 1}, {2, 16}, geglu.yRows}, geglu.y);
  return dots.finish(tail);
}

} // namespace gemmac
