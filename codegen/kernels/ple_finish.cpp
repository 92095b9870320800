// ple_finish: per-layer embeddings, one (row, layer) slice at a time. few: the
// unit is a layer, all rows inside; many: the unit is a row, all layers inside.
#include "codegen/kernels/common.h"

using namespace Halide;

namespace gemmac {

// Value j = 32 block + i of a gathered slice: a block is a scale and its codes.
static Expr decodeBlock(TileBuilder &tile, const std::string &format,
                        const Index &slice, int64_t p, Var i, Var block) {
  const Layout &layout = rowsLayout(format);
  const int64_t bytes = layout.blockBytes, blocks = p / blockValues;
  const bool nibbles = layout.hasNibbles();
  ImageParam scales =
      tile.input("token", scaleType(format), {{blocks, bytes / 2}},
                 slice + layout.scalesAt);
  ImageParam codes = tile.input("token", nibbles ? UInt(8) : Int(8),
                                {{bytes - layout.codesAt, 1}, {blocks, bytes}},
                                slice + layout.codesAt);
  Expr scale = scaleValue(scales(block), format);
  Expr code = cast<int32_t>(codes(nibbles ? i % halfBlock : Expr(i), block));
  if (nibbles)
    code = select(i < halfBlock, code & 15, code >> 4) - 8;
  return cast<float>(code) * scale;
}

TileKernel buildPleFinish(const KernelSpec &spec,
                          const gemmac::Target &target) {
  int64_t p = spec.constants.integer("p");
  const std::string &format = spec.constants.text("format");
  const bool blocks = isQuantized(format);
  if (p % formatOf(format).block)
    throw CompileError("slices of " + std::to_string(p) + " columns in " +
                       format);
  bool few = spec.rows == RowClass::Few;
  Index layers = Index::parameter("layers");
  Index padded = (layers * p + (blockValues - 1)) / blockValues *
                 blockValues; // rowStride("f32", layers * p)
  Index slice = Index::row() * padded * 4 + Index::unit() * (p * 4);
  Index token =
      (Index::row() * layers + Index::unit()) * rowsLayout(format).bytes(1, p);

  TileBuilder tile(target);
  ImageParam x = tile.input("context", Float(32), {{p, 1}}, slice);
  ImageParam w = vectorOf(tile, "w", p);
  InverseRms rms = inverseRms(tile, x, p, spec.constants.real("eps"));
  auto finish = [&](Expr j, Expr value) {
    return (x(j) * rms() * w(j) +
            value * float(spec.constants.real("token_scale"))) *
           float(spec.constants.real("scale"));
  };
  Func y("y");
  if (blocks) {
    Var i("i"), block("block");
    y(i, block) = finish(block * int(blockValues) + i,
                         decodeBlock(tile, format, token, p, i, block));
    y.bound(i, 0, int(blockValues)).vectorize(i, tile.lanes()).unroll(i);
    tile.output(y, "y", {{blockValues, 1}, {p / blockValues, blockValues}},
                slice);
  } else {
    ImageParam t = tile.input("token", bufferType(format), {{p, 1}}, token);
    Var j("j");
    y(j) = finish(j, decode(t(j), format));
    storeRow(tile, y, "y", p, slice);
  }
  if (!few)
    return {
        .units = {0, layers}, .rows = callUnits(), .tiles = {tile.finish()}};
  return {.units = callUnits(),
          .rows = {0, Index::parameter("rows")},
          .tiles = {tile.finish()}};
}

} // namespace gemmac
