#include "codegen/kernels/dots.h"

using namespace Halide;

namespace gemmac {

int64_t groupBytes(const std::string &format, int64_t k) {
  return matrixLayout(format).bytes(groupRows, k);
}

// Vectors of 16 f32 outputs.
static int64_t vectorsPerBlock(const gemmac::Target &target) {
  return groupRows * 4 / target.vectorBytes;
}

// Blocks of 16 outputs of a wide product at a time: its rows are rounded once
// for all of them.
constexpr int64_t wideBlocks = 64;

static bool isBf16(const std::string &format) {
  return formatOf(format).code == Format::Code::BF16;
}

// Whether bf16 pairs of weights and rows are multiplied as they are.
static bool multipliesPairs(const gemmac::Target &target,
                            const std::string &format, const std::string &act) {
  return isBf16(format) && isBf16(act) && target.bf16Dot;
}

// Vectors of weights per step of k, a power of two: each has `rows` sums in
// registers. A vector of bf16 pairs that are widened becomes two.
static int64_t weightVectors(const gemmac::Target &target,
                             const std::string &format, const std::string &act,
                             int64_t rows) {
  const Tuning &tuning = target.tuning;
  bool widened = isBf16(format) && !multipliesPairs(target, format, act);
  int64_t vectors = tuning.weightVectors;
  auto fits = [&] {
    return widened ? vectors * (rows + 2) <= tuning.widenedSums
                   : vectors * rows <= tuning.sums;
  };
  while (vectors > 1 && !fits())
    vectors /= 2;
  return vectors;
}

int64_t blocksOfTile(const gemmac::Target &target, const std::string &format,
                     const std::string &act, int64_t rows) {
  if (isQuantized(format) && isWideProduct(formatOf(format), formatOf(act)))
    return wideBlocks;
  if (hasBodyProduct(target, format, act) ||
      isQuantized(format)) // one stream: see scheduleQuantized
    return 1;
  return std::max<int64_t>(1, weightVectors(target, format, act, rows) /
                                  vectorsPerBlock(target));
}

std::vector<int64_t> rowTiles(const gemmac::Target &target, RowClass rows) {
  if (rows == RowClass::Few)
    return target.tuning.rows;
  return {target.tuning.rows.back()};
}

RowBuffers::RowBuffers(TileBuilder &tile, const DotShape &shape, Type type,
                       std::vector<Dim> dims, int64_t rowStride, int64_t offset)
    : gathered(!shape.gathered.empty()) {
  for (const Index &row : shape.gathered)
    buffers.push_back(tile.input("x", type, dims, row + offset));
  if (gathered)
    return;
  dims.push_back({tile.rows, rowStride});
  buffers.push_back(tile.input("x", type, dims, shape.x + offset));
}

Expr RowBuffers::at(std::vector<Expr> args) const {
  if (!gathered)
    return buffers[0](args);
  Expr row = args.back();
  args.pop_back();
  std::vector<Expr> values;
  for (const ImageParam &buffer : buffers)
    values.push_back(buffer(args));
  return values.size() == 1 ? values[0] : mux(row, values);
}

// f32: W[k][16]. bf16 with a pair dot product: W[k/2][16][2] as bf16, two
// products per step. bf16 without: the same pairs as u32, widened by shifts.
Dots::Dots(TileBuilder &tile, const DotShape &shape)
    : tile(tile), shape(shape) {
  const Format &format = formatOf(shape.format), &act = formatOf(shape.act);
  if (format.isQuantized() && shape.k % format.block == 0 &&
      (shape.act == format.act || isWideProduct(format, act))) {
    if (hasBodyProduct(tile.target, shape.format, shape.act))
      readProduct();
    else
      defineQuantized();
    return;
  }
  const bool wide = isWideProduct(format, act);
  if (!(shape.act == format.act || wide) || format.isQuantized())
    throw CompileError("no product of " + shape.act + " activations with " +
                       shape.format + " weights");
  int64_t k = shape.k;
  bool bf16 = isBf16(shape.format),
       dot = multipliesPairs(tile.target, shape.format, shape.act);
  int64_t steps = bf16 ? (k + 1) / 2 : k;
  // Strides count elements of the buffer: f32, u32 pairs or single bf16.
  int64_t width = dot ? 2 : 1;
  int64_t row = rowStride(shape.act, k) / (bf16 && !dot && !wide ? 2 : 1);
  int64_t group = steps * 16 * width;
  std::vector<Dim> xDims = {{wide ? k : steps, width}};
  std::vector<Dim> wDims = {{16, width},
                            {steps, 16 * width},
                            {shape.parts, group * shape.partGroups},
                            {shape.blocks, group * shape.blockGroups}};
  if (dot) {
    xDims.insert(xDims.begin(), {2, 1});
    wDims.insert(wDims.begin(), {2, 1});
  }
  Type type = !bf16 ? Type(Float(32)) : dot ? Type(BFloat(16)) : Type(UInt(32));
  RowBuffers x(tile, shape, wide ? Float(32) : type, xDims, row);
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

void Dots::definePairs(const RowBuffers &x, ImageParam w) {
  int whole = int(shape.k / 2);
  bool dot = multipliesPairs(tile.target, shape.format, shape.act);
  bool wide = !isBf16(shape.act);
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
    Expr a = w(o, kk, p, b);
    Expr first = wide ? x(2 * kk, r) : low(x(kk, r)),
         second = wide ? x(2 * kk + 1, r) : high(x(kk, r));
    Expr sum = (sums(o, p, b, r) + low(a) * first) + high(a) * second;
    // Halide 21 adds the second product first in some tiles; of strict
    // numbers fma are made afterwards (HalideKernels.cpp).
    sums(o, p, b, r) = wide ? strict_float(sum) : sum;
    pairs.push_back(RVar());
    steps.push_back(kk.x);
  }
  if (shape.k % 2) { // the other half of the last pair of x holds anything
    RDom kk(whole, 1);
    Expr product =
        dot ? cast<float>(w(0, o, kk, p, b)) * cast<float>(x(0, kk, r))
            : low(w(o, kk, p, b)) * (wide ? x(2 * kk, r) : low(x(kk, r)));
    sums(o, p, b, r) += product;
    pairs.push_back(RVar());
    steps.push_back(kk.x);
  }
}

// Per block of 32 k: the exact int32 sum of code products, then two fma.
// Weights are unsigned (targets/Layouts.h), 16 times as large where they have 4
// bits, and the sum starts where ActivationBlock says; targets that multiply
// signed ones do it in C++ (dots_body.cpp).
void Dots::defineQuantized() {
  const Layout &layout = matrixLayout(shape.format);
  const int64_t blocks = shape.k / blockValues, bytes = layout.blockBytes;
  const int64_t group = layout.bytes(groupRows, shape.k);
  const int64_t act = sizeof(ActivationBlock),
                row = rowBytes(shape.act, shape.k);
  const bool isSplit = layout.bits == Layout::FirstFive;
  const bool nibbles = layout.hasNibbles();
  auto weights = [&](Type type, int64_t offset, std::vector<Dim> dims) {
    int64_t size = type.bytes();
    dims.push_back({blocks, bytes / size});
    dims.push_back({shape.parts, group * shape.partGroups / size});
    dims.push_back({shape.blocks, group * shape.blockGroups / size});
    return tile.input("w", type, dims, shape.w + offset);
  };
  ImageParam lower;
  if (isSplit) { // of one part
    const Layout &low = matrixLayout(formatOf(shape.format).low);
    std::vector<Dim> dims = codeDims(low);
    dims.push_back({blocks, low.blockBytes});
    dims.push_back({shape.blocks, low.bytes(groupRows, shape.k)});
    lower = tile.input("low", UInt(8), dims, shape.low);
  }
  RowBuffers x(
      tile, shape, Int(8),
      {{stepValues, 1}, {blockValues / stepValues, stepValues}, {blocks, act}},
      row, offsetof(ActivationBlock, codes));
  RowBuffers xScale(tile, shape, Float(32), {{blocks, act / 4}}, row / 4,
                    offsetof(ActivationBlock, scale));
  RowBuffers xStart(tile, shape, Int(32), {{blocks, act / 4}}, row / 4,
                    offsetof(ActivationBlock, start));
  ImageParam w = weights(UInt(8), layout.codesAt, codeDims(layout));
  codes = w;
  ImageParam wScale =
      weights(scaleType(shape.format), layout.scalesAt, {{groupRows, 1}});

  Var kb("kb");
  const int steps = (nibbles ? halfBlock : blockValues) / stepValues;
  inBlock = RDom(0, stepValues, 0, steps);
  RVar j = inBlock.x, g = inBlock.y;
  blockSums = Func("block_sums");
  blockSums(o, p, b, r, kb) = xStart(kb, r);
  auto add = [&](Expr codes, Expr group) {
    blockSums(o, p, b, r, kb) +=
        cast<int32_t>(codes) * cast<int32_t>(x(j, group, kb, r));
  };
  Expr code = w(j, o, g, kb, p, b);
  if (!nibbles) {
    add(code, g);
  } else {
    Expr first = code << 4, second = code & cast<uint8_t>(0xf0);
    if (isSplit) { // whole codes
      Expr c = lower(j, o, g, kb, b);
      // A mask that Halide knew would keep it from the instruction that
      // multiplies u8 by i8.
      first = first | (c & tile.scalar<uint8_t>(15));
      second = second | (c >> 4);
    }
    add(first, g);
    add(second, g + steps);
  }
  RDom k(0, int(blocks));
  block = k.x;
  Expr scale = scaleValue(wScale(o, block, p, b), shape.format);
  if (nibbles && !isSplit)
    scale *= 1.0f / 16;
  // One fma: what is added must not be contracted with its own product.
  Expr product = reinterpret<float>(blockSums(o, p, b, r, block)) * scale +
                 strict_float(scale * -sumOrigin);
  sums = Func("sums");
  sums(o, p, b, r) = 0.0f;
  sums(o, p, b, r) += product * xScale(block, r);
}

// 16 outputs at a time, all rows inside: weights are unpacked once, and read in
// the order of memory. Two or four groups beside each other would save nothing
// and be as many streams, of which DRAM gives a quarter less.
void Dots::scheduleQuantized(Func y) {
  const int lanes = tile.lanes();
  // With few lanes a step is a part of the 16 outputs.
  const int columns = int(std::clamp<int64_t>(
      tile.target.tuning.quantizedSums * lanes / tile.rows, lanes, 16));
  Var step("step"), within("within"), outer("yo"), inner("yi");
  y.split(o, step, within, columns).split(within, outer, inner, lanes);
  std::vector<VarOrRVar> order = {inner, outer, r, step, b};
  if (y.dimensions() == 4)
    order.push_back(p);
  y.reorder(order).vectorize(inner).unroll(outer).unroll(r);

  auto spread = [&](auto stage) {
    Var so("so"), si("si");
    stage.split(o, so, si, lanes).vectorize(si).unroll(so);
    return std::pair(si, so);
  };
  sums.compute_at(y, step).store_in(MemoryType::Stack);
  sums.vectorize(o, lanes).unroll(o).unroll(p).unroll(b).unroll(r);
  {
    Stage update = sums.update();
    auto [si, so] = spread(update);
    update.reorder(si, so, p, b, r, block).unroll(p).unroll(b).unroll(r);
    if (shape.prefetchBytes > 0)
      update.prefetch(
          codes, block, block,
          int(shape.prefetchBytes / matrixLayout(shape.format).blockBytes),
          PrefetchBoundStrategy::NonFaulting);
  }
  blockSums.compute_at(sums, block).store_in(MemoryType::Stack);
  blockSums.vectorize(o, lanes).unroll(o).unroll(p).unroll(b).unroll(r);
  for (int i = 0; i < blockSums.num_update_definitions(); ++i) {
    Stage update = blockSums.update(i);
    Var so("so"), si("si");
    update.split(o, so, si, lanes)
        .reorder({inBlock.x, si, r, so, p, b, inBlock.y})
        .atomic()
        .vectorize(inBlock.x)
        .vectorize(si)
        .unroll(r)
        .unroll(so)
        .unroll(p)
        .unroll(b)
        .unroll(inBlock.y);
  }
}

void Dots::scheduleUpdate(int stage) {
  Var outer("oo"), inner("oi");
  Stage update = sums.update(stage);
  bool paired = multipliesPairs(tile.target, shape.format, shape.act) &&
                stage == 0 && shape.k >= 2;
  update.split(o, outer, inner, tile.lanes());
  if (paired)
    update.reorder(pairs[stage], inner, outer, p, b, r, steps[stage])
        .atomic()
        .vectorize(pairs[stage]);
  else
    update.reorder(inner, outer, p, b, r, steps[stage]);
  update.vectorize(inner).unroll(outer).unroll(p).unroll(b).unroll(r);
}

void Dots::readProduct() {
  body = std::make_shared<Tile>(bodyProduct(tile.rows, shape));
  body->sumBytes = sumBytes();
}

Expr Dots::sum(int part) {
  if (!body)
    return sums(o, part, b, r);
  tile.runFirst(*body);
  return stored(tile, part);
}

void Dots::schedule(Func y) {
  if (body) {
    y.vectorize(o, tile.lanes()).unroll(o);
    return;
  }
  if (blockSums.defined())
    return scheduleQuantized(y);
  int64_t vectors =
      weightVectors(tile.target, shape.format, shape.act, tile.rows);
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

std::vector<Dim> Dots::sumDims(int64_t rows) const {
  return {{16, 1},
          {shape.parts, 16},
          {shape.blocks, 16 * shape.parts},
          {rows, 16 * shape.parts * shape.blocks}};
}

Expr Dots::stored(TileBuilder &epilogue, int part) {
  if (!storedSums.defined())
    storedSums = epilogue.input(tileSums, Float(32), sumDims(epilogue.rows), 0);
  return storedSums(o, part, b, r);
}

void Dots::scheduleEpilogue(TileBuilder &epilogue, Func y) {
  y.vectorize(o, epilogue.lanes());
}

Tile Dots::finish(Tile epilogue) {
  auto tail = std::make_shared<Tile>(std::move(epilogue));
  if (body) {
    body->rows = tile.rows;
    body->units = tile.units;
    body->epilogue = tail;
    return *body;
  }
  Func result("result");
  result(o, p, b, r) = sums(o, p, b, r);
  schedule(result);
  tile.output(result, tileSums, sumDims(tile.rows), 0);
  Tile product = tile.finish();
  product.sumBytes = sumBytes();
  product.epilogue = tail;
  return product;
}

} // namespace gemmac
