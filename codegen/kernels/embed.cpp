// embed: rows of a matrix in its packed layout, looked up by id. The table may
// pass 2^31 elements; its offset is 64 bits. Unit = row.
#include "codegen/kernels/common.h"

using namespace Halide;

namespace gemmac {

// A row's codes of every block: u8(within a step, step, block).
static ImageParam rowCodes(TileBuilder &tile, const std::string &operand,
                           const Layout &layout, const Index &id, int64_t k) {
  std::vector<Dim> dims = codeDims(layout, 1);
  dims.push_back({k / blockValues, layout.blockBytes});
  return tile.input(operand, UInt(8), dims,
                    id / groupRows * layout.bytes(groupRows, k) +
                        id % groupRows * stepValues);
}

// A row of a quantised matrix.
static TileKernel buildEmbedQuantized(const KernelSpec &spec,
                                      TileBuilder &tile) {
  int64_t k = spec.constants.integer("k");
  const std::string &format = spec.constants.text("format");
  const Layout &layout = matrixLayout(format, tile.target.dot);
  int64_t bytes = layout.blockBytes, blocks = k / blockValues;
  const bool isSplit = layout.bits == Layout::FirstFive,
             nibbles = layout.hasNibbles();
  Index id = Index::load("ids", Index::row());
  ImageParam table = rowCodes(tile, "table", layout, id, k);
  ImageParam scales =
      tile.input("table", scaleType(format), {{blocks, bytes / 2}},
                 id / groupRows * layout.bytes(groupRows, k) +
                     id % groupRows * 2 + layout.scalesAt);
  Var i("i"), block("block");
  Func y("y");
  Expr column = nibbles ? i % halfBlock : i;
  Expr byte = table(column % stepValues, column / stepValues, block);
  Expr code = cast<int32_t>(byte);
  auto nibble = [&](Expr e) { return select(i < halfBlock, e & 15, e >> 4); };
  if (isSplit) { // the lower nibbles lie in another matrix
    ImageParam low =
        rowCodes(tile, "low", matrixLayout(formatOf(format).low), id, k);
    code = nibble(code) * 16 +
           nibble(cast<int32_t>(
               low(column % stepValues, column / stepValues, block))) -
           128;
  } else if (nibbles)
    code = nibble(code) - 8;
  else if (layout.signedCodes)
    code = cast<int32_t>(reinterpret<int8_t>(byte));
  else
    code = code - 128;
  Expr scale = scaleValue(scales(block), format);
  y(i, block) = cast<float>(code) * scale * float(spec.constants.real("scale"));
  tile.output(y, "y", {{blockValues, 1}, {blocks, blockValues}}, rowOffset(k));
  return rowKernel(tile);
}

Expr matrixRow(TileBuilder &tile, const std::string &operand,
               const std::string &format, int64_t k, const Index &row, Expr j) {
  const Layout &layout = matrixLayout(format);
  int64_t group = layout.rowGroup, pair = layout.colGroup;
  Index offset = row / group * layout.bytes(group, k) +
                 row % group * layout.address(1, 0, k);
  ImageParam table = tile.input(
      operand, bufferType(format),
      {{pair, 1}, {layout.paddedCols(k) / pair, group * pair}}, offset);
  return decode(pair == 1 ? table(0, j) : table(j % int(pair), j / int(pair)),
                format);
}

TileKernel buildEmbed(const KernelSpec &spec, const gemmac::Target &target) {
  int64_t k = spec.constants.integer("k");
  const std::string &format = spec.constants.text("format");
  TileBuilder tile(target);
  if (isQuantized(format))
    return buildEmbedQuantized(spec, tile);
  Var j("j");
  Func y("y");
  y(j) =
      matrixRow(tile, "table", format, k, Index::load("ids", Index::row()), j) *
      float(spec.constants.real("scale"));
  storeRow(tile, y, "y", k, rowOffset(k));
  return rowKernel(tile);
}

} // namespace gemmac
