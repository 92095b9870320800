// linear, logits, linear_geglu, linear_ple: matrix products with their
// epilogues. Unit = 16 output columns (geglu: 32), all rows inside.
#include "codegen/kernels/dots.h"

using namespace Halide;

namespace gemmac {

using Epilogue = Func (*)(TileBuilder &, const KernelSpec &, Dots &);

// y(o, b, r) of a tile lies at row * stride + unit * 16 elements.
static void storeBlocks(TileBuilder &tile, Func y, int64_t bytes) {
  Index offset =
      (Index::row() * Index::parameter("stride") + Index::unit() * 16) * bytes;
  tile.output(y, "y", {{16, 1}, {tile.units, 16}, {tile.rows, 0, "stride"}},
              offset);
}

// Units are blocks of 16 outputs, several per tile where they fit.
static TileKernel buildBlocks(const KernelSpec &spec,
                              const gemmac::Target &target,
                              const std::string &resultEncoding,
                              Epilogue epilogue) {
  const std::string &format = spec.constants.text("format"),
                    &act = spec.constants.text("act");
  int64_t k = spec.constants.integer("k");
  TileKernel kernel;
  kernel.units = {Index::parameter("begin"), Index::parameter("end")};
  kernel.rows = {0, Index::parameter("rows")};
  for (int64_t rows : rowTiles(target, spec.rows)) {
    int64_t most = blocksInRegisters(target, rows);
    for (int64_t blocks :
         most > 1 ? std::vector<int64_t>{most, 1} : std::vector<int64_t>{1}) {
      TileBuilder tile(target, rows, blocks);
      Dots dots(tile, {.k = k,
                       .format = format,
                       .act = act,
                       .blocks = blocks,
                       .x = Index::row() * rowBytes(act, k),
                       .w = Index::unit() * groupBytes(format, k)});
      Func y = epilogue(tile, spec, dots);
      dots.schedule(y, spec.family != "linear");
      storeBlocks(tile, y, elementBytes(resultEncoding));
      kernel.tiles.push_back(tile.finish());
    }
  }
  return kernel;
}

TileKernel buildLinear(const KernelSpec &spec, const gemmac::Target &target) {
  return buildBlocks(spec, target, "f32",
                     [](TileBuilder &, const KernelSpec &, Dots &dots) {
                       Func y("y");
                       y(dots.o, dots.b, dots.r) = dots.sum(0);
                       return y;
                     });
}

TileKernel buildLogits(const KernelSpec &spec, const gemmac::Target &target) {
  return buildBlocks(spec, target, "f32",
                     [](TileBuilder &, const KernelSpec &spec, Dots &dots) {
                       float cap = float(spec.constants.real("cap"));
                       Expr sum = dots.sum(0);
                       Func y("y");
                       y(dots.o, dots.b, dots.r) =
                           cap > 0 ? cap * tanhOf(sum / cap) : sum;
                       return y;
                     });
}

TileKernel buildLinearPle(const KernelSpec &spec,
                          const gemmac::Target &target) {
  return buildBlocks(
      spec, target, spec.constants.text("act"),
      [](TileBuilder &tile, const KernelSpec &spec, Dots &dots) {
        Index offset = (Index::row() * Index::parameter("ple_stride") +
                        Index::parameter("column") + Index::unit() * 16) *
                       4;
        ImageParam ple = tile.input(
            "ple", Float(32),
            {{16, 1}, {tile.units, 16}, {tile.rows, 0, "ple_stride"}}, offset);
        Func y("y");
        y(dots.o, dots.b, dots.r) =
            encode(gelu(dots.sum(0)) * ple(dots.o, dots.b, dots.r),
                   spec.constants.text("act"));
        return y;
      });
}

// Unit = 32 outputs = two blocks; their gate groups are 4u and 4u + 1 of W, up
// groups 4u + 2 and 4u + 3.
TileKernel buildLinearGeglu(const KernelSpec &spec,
                            const gemmac::Target &target) {
  const std::string &format = spec.constants.text("format"),
                    &act = spec.constants.text("act");
  int64_t k = spec.constants.integer("k");
  TileKernel kernel;
  kernel.units = {Index::parameter("begin"), Index::parameter("end")};
  kernel.rows = {0, Index::parameter("rows")};
  for (int64_t rows : rowTiles(target, spec.rows)) {
    TileBuilder tile(target, rows, 1);
    Dots dots(tile, {.k = k,
                     .format = format,
                     .act = act,
                     .blocks = 2,
                     .parts = 2,
                     .partGroups = 2,
                     .x = Index::row() * rowBytes(act, k),
                     .w = Index::unit() * (4 * groupBytes(format, k))});
    Func y("y");
    y(dots.o, dots.b, dots.r) = encode(gelu(dots.sum(0)) * dots.sum(1), act);
    dots.schedule(y, true);
    Index offset =
        (Index::row() * Index::parameter("stride") + Index::unit() * 32) *
        elementBytes(act);
    tile.output(y, "y", {{16, 1}, {2, 16}, {rows, 0, "stride"}}, offset);
    kernel.tiles.push_back(tile.finish());
  }
  return kernel;
}

} // namespace gemmac
