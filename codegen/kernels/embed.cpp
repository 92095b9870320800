// embed: rows of a matrix in its packed layout, looked up by id. The table may
// pass 2^31 elements; its offset is 64 bits. Unit = row.
#include "codegen/kernels/common.h"

using namespace Halide;

namespace gemmac {

TileKernel buildEmbed(const KernelSpec &spec, const gemmac::Target &target) {
  int64_t k = spec.constants.integer("k");
  const std::string &format = spec.constants.text("format");
  const Layout &layout = matrixLayout(format);
  int64_t group = layout.rowGroup, pair = layout.colGroup;

  TileBuilder tile(target);
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
