// What fused ops are (those of towers: FusedTowerOps.cpp): the primitives that
// define them, as their descriptions in GemmaOps.td say; and which matrices an
// op reads, for whoever chooses formats. Must not know formats, targets or
// kernels.
#include "dialects/gemma/Primitives.h"

using namespace mlir;
using namespace mlir::gemma;

template <typename Block>
static Value expandDense(Primitives &p, Block op, FlatSymbolRefAttr post,
                         ArrayAttr bounds = {}) {
  Value x = p.norm(op.getH(), op.getPreAttr());
  Value gate = p.clipped(x, op.getGateAttr(), bounds, 0);
  Value a = p.geglu(gate, p.clipped(x, op.getUpAttr(), bounds, 1));
  return p.norm(p.clipped(a, op.getDownAttr(), bounds, 2), post);
}

//===-- primitives --------------------------------------------------------===//

SmallVector<MatrixRead> EmbedOp::getMatrices() {
  return {{getTableAttr(), MatrixRole::Vocabulary}};
}

SmallVector<MatrixRead> LogitsOp::getMatrices() {
  return {{getWeightAttr(), MatrixRole::Vocabulary},
          {getWeightAttr(), MatrixRole::Head}};
}

SmallVector<MatrixRead> TopOp::getMatrices() {
  return {{getWeightAttr(), MatrixRole::Vocabulary},
          {getWeightAttr(), MatrixRole::Head}};
}

SmallVector<MatrixRead> RouterOp::getMatrices() {
  return {{getProjAttr(), MatrixRole::Router}};
}

//===-- ple_inputs --------------------------------------------------------===//

SmallVector<Value> PleInputsOp::expand(OpBuilder &builder) {
  Primitives p(builder, *this, getEpsAttr());
  int64_t width = getWidth();
  DenseI64ArrayAttr range = builder.getDenseI64ArrayAttr(
      {getLayers()[0] * width, getLayers()[1] * width});
  Value token =
      EmbedOp::create(builder, p.loc, getType(), getIds(), Value(),
                      getTableAttr(), getTokenScaleAttr(), range,
                      SoftModeAttr::get(builder.getContext(), SoftMode::Zero));
  Value context =
      p.scale(p.linear(getH0(), getProjAttr(), range), getContextScaleAttr());
  context = p.norm(context, getNormAttr(), width);
  return {p.scale(p.add(context, token), getScaleAttr(), true)};
}

SmallVector<MatrixRead> PleInputsOp::getMatrices() {
  return {{getProjAttr(), MatrixRole::PerLayer},
          {getTableAttr(), MatrixRole::LayerTable, getWidth()}};
}

//===-- kv_block ----------------------------------------------------------===//

SmallVector<Value> KvBlockOp::expand(OpBuilder &builder) {
  Primitives p(builder, *this, getEpsAttr());
  int64_t dim = lookupCache(*this, getCacheAttr()).getDim();
  Value x = p.norm(getH(), getNormAttr());
  Value k0 = p.linear(x, getKAttr());
  Value v0 = getVAttr() ? p.linear(x, getVAttr()) : k0;
  Value k =
      p.rope(p.norm(k0, getKNormAttr(), dim), getTable(), dim, getPairsAttr());
  Value v = p.norm(v0, FlatSymbolRefAttr(), dim);
  AppendOp::create(builder, getLoc(), k, v, getSlot(), getPos(),
                   getCacheAttr());
  return {};
}

SmallVector<MatrixRead> KvBlockOp::getMatrices() {
  MatrixKey x = normed(getH(), getNormAttr(), getEpsAttr()),
            qkv = layer(getNormAttr(), getCacheAttr());
  return {{getKAttr(), MatrixRole::Keys, 0, x, qkv},
          {getVAttr(), MatrixRole::Keys, 0, x, qkv}};
}

//===-- attention_block ---------------------------------------------------===//

SmallVector<Value> AttentionBlockOp::expand(OpBuilder &builder) {
  Primitives p(builder, *this, getEpsAttr());
  int64_t dim = lookupCache(*this, getCacheAttr()).getDim();
  Value x = p.norm(getH(), getNormAttr());
  Value q = p.norm(p.linear(x, getQAttr()), getQNormAttr(), dim);
  q = p.rope(q, getTable(), dim, getPairsAttr());
  Value a = AttentionOp::create(builder, p.loc, q.getType(), q, getSlot(),
                                getPos(), getEnd(), getCacheAttr());
  Value o = p.norm(p.linear(a, getOAttr()), getPostAttr());
  return {p.add(getH(), o, true)};
}

SmallVector<MatrixRead> AttentionBlockOp::getMatrices() {
  MatrixKey x = normed(getH(), getNormAttr(), getEpsAttr()),
            qkv = layer(getNormAttr(), getCacheAttr());
  return {{getQAttr(), MatrixRole::Plain, 0, x, qkv, /*joins=*/true},
          {getOAttr()}};
}

//===-- ffn_block ---------------------------------------------------------===//

SmallVector<Value> FfnBlockOp::expand(OpBuilder &builder) {
  Primitives p(builder, *this, getEpsAttr());
  Value y = expandDense(p, *this, getPostAttr(), getBoundsAttr());
  return p.finish(getH(), y, getScaleAttr());
}

static MatrixRead padded(FlatSymbolRefAttr down, MatrixKey x = {}) {
  MatrixRead read = {down, MatrixRole::Plain, 0, x};
  read.pads = true;
  return read;
}

SmallVector<MatrixRead> FfnBlockOp::getMatrices() {
  if (getBounds()) // every matrix multiplies an input of its own
    return {{getGateAttr()}, {getUpAttr()}, padded(getDownAttr())};
  MatrixKey x = within(*this);
  return {{getGateAttr(), MatrixRole::Plain, 0, x, x},
          {getUpAttr(), MatrixRole::Plain, 0, x, x},
          padded(getDownAttr(), x)};
}

//===-- moe_block ---------------------------------------------------------===//

SmallVector<Value> MoeBlockOp::expand(OpBuilder &builder) {
  Primitives p(builder, *this, getEpsAttr());
  Value y1 = expandDense(p, *this, getPostDenseAttr());
  RankedTensorType weights = p.columns(getH(), getTop());
  auto ids = RankedTensorType::get(weights.getShape(), builder.getI32Type());
  auto router = RouterOp::create(builder, p.loc, TypeRange{weights, ids},
                                 getH(), getRouterAttr(), getRouterScaleAttr(),
                                 getEpsAttr(), getFactorAttr(), getTopAttr());
  Value x3 = p.norm(getH(), getPreExpertsAttr());
  Value y2 = ExpertsOp::create(
      builder, p.loc, x3.getType(), x3, router.getWeights(), router.getIds(),
      getGateUpAttr(), getExpertsDownAttr(), getPerExpertAttr());
  y2 = p.norm(y2, getPostExpertsAttr());
  Value y = p.norm(p.add(y1, y2), getPostAttr());
  return p.finish(getH(), y, getScaleAttr());
}

SmallVector<MatrixRead> MoeBlockOp::getMatrices() {
  MatrixKey x = within(*this);
  return {{getGateAttr(), MatrixRole::Plain, 0, x, x},
          {getUpAttr(), MatrixRole::Plain, 0, x, x},
          padded(getDownAttr(), x),
          {getRouterAttr(), MatrixRole::Router},
          {getGateUpAttr(), MatrixRole::Experts, getTop(), x},
          {getExpertsDownAttr(), MatrixRole::Experts, getTop(), x}};
}

//===-- ple_block ---------------------------------------------------------===//

SmallVector<Value> PleBlockOp::expand(OpBuilder &builder) {
  Primitives p(builder, *this, getEpsAttr());
  Value g = p.geglu(p.linear(getH(), getGateAttr()), getPle());
  Value y = p.norm(p.linear(g, getProjAttr()), getPostAttr());
  return p.finish(getH(), y, getScaleAttr());
}

SmallVector<MatrixRead> PleBlockOp::getMatrices() {
  MatrixKey x = within(*this);
  return {{getGateAttr(), MatrixRole::PerLayer, 0, x},
          {getProjAttr(), MatrixRole::PerLayer, 0, x}};
}
