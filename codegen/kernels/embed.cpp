// embed: rows of a matrix in its packed layout, looked up by id. The table may
// pass 2^31 elements; its offset is 64 bits. Unit = row.
#include "codegen/kernels/common.h"

using namespace Halide;

namespace gemmac {

// The lower nibbles of a row in format splitFormat, as `table` in
// buildEmbedQuantized has the upper ones.
static ImageParam lowNibbles(TileBuilder &tile, const Index &id, int64_t k) {
  const Layout &layout = matrixLayout(lowFormat);
  return tile.input("low", UInt(8),
                    {{4, 1}, {4, 64}, {k / quantBlock, layout.blockBytes}},
                    id / 16 * layout.bytes(16, k) + id % 16 * 4);
}

// A row of a quantised matrix: 4 codes of every 64 bytes of a block.
static TileKernel buildEmbedQuantized(const KernelSpec &spec,
                                      TileBuilder &tile) {
  int64_t k = spec.constants.integer("k");
  const std::string &format = spec.constants.text("format");
  const Layout &layout = matrixLayout(format, tile.target.dot);
  int64_t bytes = layout.blockBytes, blocks = k / quantBlock;
  const bool isSplit = format == splitFormat, nibbles = format != "q8_0";
  Index id = Index::load("ids", Index::row());
  Index group = id / 16 * layout.bytes(16, k);
  ImageParam table = tile.input(
      "table", UInt(8),
      {{4, 1}, {nibbles ? 4 : (bytes - 32) / 64, 64}, {blocks, bytes}},
      group + id % 16 * 4);
  ImageParam scales =
      tile.input("table", format == "q4_bf" ? UInt(16) : Type(Float(16)),
                 {{blocks, bytes / 2}}, group + id % 16 * 2 + (bytes - 32));
  Var i("i"), block("block");
  Func y("y");
  Expr column = nibbles ? i % 16 : i;
  Expr byte = table(column % 4, column / 4, block);
  Expr code = cast<int32_t>(byte);
  auto nibble = [&](Expr e) { return select(i < 16, e & 15, e >> 4); };
  if (isSplit)
    code = nibble(code) * 16 +
           nibble(cast<int32_t>(
               lowNibbles(tile, id, k)(column % 4, column / 4, block))) -
           128;
  else if (nibbles)
    code = nibble(code) - 8;
  else if (layout.signedCodes)
    code = cast<int32_t>(reinterpret<int8_t>(byte));
  else
    code = code - 128;
  Expr scale = format == "q4_bf" ? decode(scales(block), "bf16")
                                 : cast<float>(scales(block));
  y(i, block) = cast<float>(code) * scale * float(spec.constants.real("scale"));
  tile.output(y, "y", {{quantBlock, 1}, {blocks, quantBlock}},
              Index::row() * rowBytes("f32", k));
  return {.rows = {Index::parameter("begin"), Index::parameter("end")},
          .tiles = {tile.finish()}};
}

TileKernel buildEmbed(const KernelSpec &spec, const gemmac::Target &target) {
  int64_t k = spec.constants.integer("k");
  const std::string &format = spec.constants.text("format");
  const Layout &layout = matrixLayout(format);
  int64_t group = layout.rowGroup, pair = layout.colGroup;

  TileBuilder tile(target);
  if (isQuantized(format))
    return buildEmbedQuantized(spec, tile);
  Index id = Index::load("ids", Index::row());
  Index offset = id / group * layout.bytes(group, k) +
                 id % group * layout.address(1, 0, k);
  ImageParam table = tile.input(
      "table", bufferType(format),
      {{pair, 1}, {layout.paddedCols(k) / pair, group * pair}}, offset);
  Var j("j");
  Func y("y");
  Expr value = pair == 1 ? table(0, j) : table(j % int(pair), j / int(pair));
  y(j) = decode(value, format) * float(spec.constants.real("scale"));
  vectorizeRow(tile, y, k);
  tile.output(y, "y", {{k, 1}}, Index::row() * rowBytes("f32", k));
  return {.rows = {Index::parameter("begin"), Index::parameter("end")},
          .tiles = {tile.finish()}};
}

} // namespace gemmac
