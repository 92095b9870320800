// Products of quantised matrices whose inner loop is C++ (dots.body.cpp,
// wide_dots.body.cpp): where Halide has no good words for the target's int8
// instructions, and where rows are rounded inside.
#include "codegen/kernels/dots.h"

namespace gemmac {

bool hasBodyProduct(const gemmac::Target &target, const std::string &format,
                    const std::string &act) {
  return isQuantized(format) &&
         (target.dot != DotKind::U8S8 ||
          isWideProduct(formatOf(format), formatOf(act)));
}

Tile bodyProduct(int64_t rows, const DotShape &shape) {
  const int64_t group = groupBytes(shape.format, shape.k);
  Tile tile;
  tile.body = isWideProduct(formatOf(shape.format), formatOf(shape.act))
                  ? "wide_dots"
                  : "dots";
  tile.symbol =
      "gm_" + tile.body + "_" + shape.format + "_" + std::to_string(rows);
  auto pointer = [&](const std::string &operand, const Index &offset) {
    tile.arguments.push_back({.operand = operand, .offset = offset});
  };
  auto number = [&](int64_t value) {
    tile.arguments.push_back({.offset = value, .typeBits = 64});
  };
  for (int64_t r = 0; r < rows; ++r)
    pointer("x", shape.gathered.empty()
                     ? shape.x + r * rowBytes(shape.act, shape.k)
                     : shape.gathered[size_t(r)]);
  pointer("w", shape.w);
  pointer(tileSums, 0);
  number(shape.k / formatOf(shape.format).block);
  number(shape.blocks);
  number(group * shape.blockGroups);
  number(shape.parts);
  number(group * shape.partGroups);
  number(groupRows * shape.parts * shape.blocks);
  return tile;
}

} // namespace gemmac
