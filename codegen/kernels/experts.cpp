// experts_up, experts_down: the products of a mixture of experts, one (row,
// expert) pair at a time in the order of `order`, so that rows that chose the
// same expert read its weights from the cache. A "row" of the loops is a
// position of `order`.
#include "codegen/kernels/dots.h"

using namespace Halide;

namespace gemmac {

static Index pairNumber() { return Index::load("order", Index::row()); }
static Index expert() { return Index::load("ids", pairNumber()); }

static TileKernel pairLoops(const KernelSpec &spec) {
  TileKernel kernel;
  kernel.units = {Index::parameter("begin"), Index::parameter("end")};
  kernel.rows = {0, Index::parameter("rows") * spec.constants.integer("top")};
  return kernel;
}

// Unit = 32 outputs; row q of y is slice q % top of row q / top.
TileKernel buildExpertsUp(const KernelSpec &spec,
                          const gemmac::Target &target) {
  const std::string &format = spec.constants.text("format"),
                    &act = spec.constants.text("act");
  int64_t k = spec.constants.integer("k"), f = spec.constants.integer("f");
  int64_t top = spec.constants.integer("top");
  int64_t member = matrixLayout(format).bytes(2 * roundUp(f, 32), k);
  TileKernel kernel = pairLoops(spec);
  Index y = bytesOf(pairNumber() * roundUp(f, 32) + Index::unit() * 32, act);
  kernel.tiles.push_back(gegluTile(spec, target, 1,
                                   pairNumber() / top * rowBytes(act, k),
                                   expert() * member, y, {1, 32}));
  return kernel;
}

// Unit = 16 outputs. ids ascend within a row and `order` is sorted by them, so
// the pairs of a row come in ascending j: each adds its part to y, the first
// one replaces what is there.
TileKernel buildExpertsDown(const KernelSpec &spec,
                            const gemmac::Target &target) {
  const std::string &format = spec.constants.text("format"),
                    &act = spec.constants.text("act");
  int64_t k = spec.constants.integer("k"), top = spec.constants.integer("top");
  int64_t member = matrixLayout(format).bytes(spec.constants.integer("n"), k);
  TileKernel kernel = pairLoops(spec);
  TileBuilder tile(target);
  Dots dots(tile,
            {.k = k,
             .format = format,
             .act = act,
             .x = pairNumber() * rowBytes(act, k),
             .w = expert() * member + Index::unit() * groupBytes(format, k)});
  Index offset =
      (pairNumber() / top * Index::parameter("stride") + Index::unit() * 16) *
      4;
  ImageParam weight = tile.input("weights", Float(32), {{1, 1}},
                                 pairNumber() / top * rowBytes("f32", top) +
                                     pairNumber() % top * 4);
  ImageParam before = tile.input("y", Float(32), {{16, 1}}, offset);
  Param<int32_t> j = tile.scalar(pairNumber() % top);
  Func y("y");
  y(dots.o, dots.b, dots.r) =
      select(j == 0, 0.0f, before(dots.o)) + weight(0) * dots.sum(0);
  dots.schedule(y);
  tile.output(y, "y", {{16, 1}, {1, 16}, {1, 16}}, offset);
  kernel.tiles.push_back(tile.finish());
  return kernel;
}

} // namespace gemmac
