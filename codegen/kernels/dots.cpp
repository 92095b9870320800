#include "codegen/kernels/dots.h"

using namespace Halide;

namespace gemmac {

int64_t groupBytes(const std::string &format, int64_t k) {
  return matrixLayout(format).bytes(16, k);
}

static int64_t vectorsPerBlock(const gemmac::Target &target) {
  return 64 / target.vectorBytes;
}

// Vectors of weights per step of k, a power of two: each has `rows` sums in
// registers. Without a pair dot product a vector of bf16 pairs becomes two.
// More than four streams of x86 or two blocks of ARM gain nothing.
static int64_t weightVectors(const gemmac::Target &target,
                             const std::string &format, int64_t rows) {
  int64_t registers = target.vectorRegisters;
  bool widened = format == "bf16" && !target.bf16Dot;
  int64_t vectors = target.vectorBytes == 64 ? 4 : 8;
  auto fits = [&] {
    return widened ? vectors * (rows + 2) <= registers * 3 / 4
                   : vectors * rows <= registers / 2;
  };
  while (vectors > 1 && !fits())
    vectors /= 2;
  return vectors;
}

int64_t blocksInRegisters(const gemmac::Target &target,
                          const std::string &format, int64_t rows) {
  return std::max<int64_t>(1, weightVectors(target, format, rows) /
                                  vectorsPerBlock(target));
}

std::vector<int64_t> rowTiles(const gemmac::Target &target, RowClass rows) {
  if (rows == RowClass::Few)
    return target.linearRows;
  return {target.linearRows.back()};
}

// f32: W[k][16]. bf16 with a pair dot product: W[k/2][16][2] as bf16, two
// products per step. bf16 without: the same pairs as u32, widened by shifts.
Dots::Dots(TileBuilder &tile, const DotShape &shape)
    : tile(tile), shape(shape) {
  if (shape.format != shape.act ||
      (shape.format != "f32" && shape.format != "bf16"))
    throw CompileError("no product of " + shape.act + " activations with " +
                       shape.format + " weights");
  int64_t k = shape.k, rows = tile.rows;
  bool bf16 = shape.format == "bf16", dot = bf16 && tile.target.bf16Dot;
  int64_t steps = bf16 ? (k + 1) / 2 : k;
  // Strides count elements of the buffer: f32, u32 pairs or single bf16.
  int64_t width = dot ? 2 : 1;
  int64_t row = rowStride(shape.act, k) / (bf16 && !dot ? 2 : 1);
  int64_t group = steps * 16 * width;
  std::vector<Dim> xDims = {{steps, width}, {rows, row}};
  std::vector<Dim> wDims = {{16, width},
                            {steps, 16 * width},
                            {shape.parts, group * shape.partGroups},
                            {shape.blocks, group * shape.blockGroups}};
  if (dot) {
    xDims.insert(xDims.begin(), {2, 1});
    wDims.insert(wDims.begin(), {2, 1});
  }
  Type type = !bf16 ? Type(Float(32)) : dot ? Type(BFloat(16)) : Type(UInt(32));
  ImageParam x = tile.input("x", type, xDims, shape.x);
  ImageParam w = tile.input("w", type, wDims, shape.w);
  sums = Func("sums");
  sums(o, p, b, r) = 0.0f;
  if (bf16) {
    definePairs(x, w);
  } else {
    RDom kk(0, int(k));
    sums(o, p, b, r) += w(o, kk, p, b) * x(kk, r);
    pairs.push_back(RVar());
    this->steps.push_back(kk.x);
  }
}

void Dots::definePairs(ImageParam x, ImageParam w) {
  int whole = int(shape.k / 2);
  bool dot = tile.target.bf16Dot;
  auto low = [](Expr e) { return reinterpret<float>(e << 16); };
  auto high = [](Expr e) {
    return reinterpret<float>(e & cast<uint32_t>(Expr(0xffff0000u)));
  };
  if (whole > 0 && dot) {
    RDom kk(0, 2, 0, whole);
    sums(o, p, b, r) +=
        cast<float>(w(kk.x, o, kk.y, p, b)) * cast<float>(x(kk.x, kk.y, r));
    pairs.push_back(kk.x);
    steps.push_back(kk.y);
  } else if (whole > 0) {
    RDom kk(0, whole);
    Expr a = w(o, kk, p, b), c = x(kk, r);
    sums(o, p, b, r) = (sums(o, p, b, r) + low(a) * low(c)) + high(a) * high(c);
    pairs.push_back(RVar());
    steps.push_back(kk.x);
  }
  if (shape.k % 2) { // the other half of the last pair of x holds anything
    RDom kk(whole, 1);
    Expr product =
        dot ? cast<float>(w(0, o, kk, p, b)) * cast<float>(x(0, kk, r))
            : low(w(o, kk, p, b)) * low(x(kk, r));
    sums(o, p, b, r) += product;
    pairs.push_back(RVar());
    steps.push_back(kk.x);
  }
}

void Dots::scheduleUpdate(int stage) {
  Var outer("oo"), inner("oi");
  Stage update = sums.update(stage);
  bool paired = tile.target.bf16Dot && shape.format == "bf16" && stage == 0 &&
                shape.k >= 2;
  update.split(o, outer, inner, tile.lanes());
  if (paired)
    update.reorder(pairs[stage], inner, outer, p, b, r, steps[stage])
        .atomic()
        .vectorize(pairs[stage]);
  else
    update.reorder(inner, outer, p, b, r, steps[stage]);
  update.vectorize(inner).unroll(outer).unroll(p).unroll(b).unroll(r);
}

void Dots::schedule(Func y) {
  int64_t vectors = weightVectors(tile.target, shape.format, tile.rows);
  int64_t lanes = tile.lanes();
  bool allBlocks =
      shape.parts * shape.blocks * vectorsPerBlock(tile.target) <= vectors;
  int64_t columns = std::min<int64_t>(
      16, std::max<int64_t>(1, vectors / shape.parts) * lanes);

  // Steps outside (if not all fits), one step unrolled inside.
  Var step("step"), within("within"), outer("yo"), inner("yi");
  y.split(o, step, within, int(columns))
      .split(within, outer, inner, int(lanes));
  std::vector<VarOrRVar> order = {inner, outer};
  if (y.dimensions() == 4)
    order.push_back(p);
  for (Var v :
       allBlocks ? std::vector<Var>{b, r, step} : std::vector<Var>{r, step, b})
    order.push_back(v);
  y.reorder(order).vectorize(inner).unroll(outer).unroll(r);
  if (allBlocks)
    y.unroll(b);
  if (y.dimensions() == 4)
    y.unroll(p);
  sums.compute_at(y, step).store_in(MemoryType::Stack);
  sums.vectorize(o, int(lanes)).unroll(o).unroll(p).unroll(b).unroll(r);
  for (int stage = 0; stage < int(steps.size()); ++stage)
    scheduleUpdate(stage);
}

std::vector<Dim> Dots::sumDims() const {
  return {{16, 1},
          {shape.parts, 16},
          {shape.blocks, 16 * shape.parts},
          {tile.rows, 16 * shape.parts * shape.blocks}};
}

Expr Dots::stored(TileBuilder &epilogue, int part) {
  if (!storedSums.defined())
    storedSums = epilogue.input(tileSums, Float(32), sumDims(), 0);
  return storedSums(o, part, b, r);
}

void Dots::scheduleEpilogue(TileBuilder &epilogue, Func y) {
  y.vectorize(o, epilogue.lanes());
}

Tile Dots::finish(TileBuilder &epilogue) {
  Func result("result");
  result(o, p, b, r) = sums(o, p, b, r);
  schedule(result);
  tile.output(result, tileSums, sumDims(), 0);
  Tile product = tile.finish();
  product.sumBytes = 16 * shape.parts * shape.blocks * tile.rows * 4;
  product.epilogue = std::make_shared<Tile>(epilogue.finish("_epilogue"));
  return product;
}

} // namespace gemmac
