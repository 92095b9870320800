// What the fused ops of towers are: the primitives that define them, as their
// descriptions in GemmaTowerOps.td say; and which matrices the ops of towers
// read. Must not know formats, targets or kernels.
#include "dialects/gemma/Primitives.h"

using namespace mlir;
using namespace mlir::gemma;

SmallVector<MatrixRead> AddPositionsOp::getMatrices() {
  return {{getTableAttr(), MatrixRole::Positions}};
}

//===-- project -----------------------------------------------------------===//

SmallVector<Value> ProjectOp::expand(OpBuilder &builder) {
  Primitives p(builder, *this, {});
  if (!getBiasAttr())
    return {LinearOp::create(builder, getLoc(), getType(), getX(),
                             getWeightAttr(), DenseI64ArrayAttr())};
  Value y = p.linear(getX(), getWeightAttr());
  return {BiasOp::create(builder, getLoc(), getType(), y, getBiasAttr())};
}

SmallVector<MatrixRead> ProjectOp::getMatrices() { return {{getWeightAttr()}}; }

//===-- vision_attention_block --------------------------------------------===//

SmallVector<Value> VisionAttentionBlockOp::expand(OpBuilder &builder) {
  Primitives p(builder, *this, getEpsAttr());
  const int64_t dim = getDim();
  ArrayAttr bounds = getBoundsAttr();
  Value x = p.norm(getH(), getNormAttr());
  auto turned = [&](FlatSymbolRefAttr weight, unsigned index,
                    FlatSymbolRefAttr norm) -> Value {
    Value y = p.norm(p.clipped(x, weight, bounds, index), norm, dim);
    return Rope2dOp::create(builder, p.loc, y.getType(), y, getTable(),
                            getDimAttr());
  };
  Value q = turned(getQAttr(), 0, getQNormAttr()),
        k = turned(getKAttr(), 1, getKNormAttr());
  Value v = p.norm(p.clipped(x, getVAttr(), bounds, 2), {}, dim);
  Value a = SelfAttentionOp::create(builder, p.loc, q.getType(), q, k, v,
                                    getDimAttr());
  Value o = p.norm(p.clipped(a, getOAttr(), bounds, 3), getPostAttr());
  return {p.add(getH(), o, true)};
}

SmallVector<MatrixRead> VisionAttentionBlockOp::getMatrices() {
  if (getBounds())
    return {{getQAttr()}, {getKAttr()}, {getVAttr()}, {getOAttr()}};
  MatrixKey x = within(*this);
  return {{getQAttr(), MatrixRole::Plain, 0, x},
          {getKAttr(), MatrixRole::Plain, 0, x},
          {getVAttr(), MatrixRole::Plain, 0, x},
          {getOAttr()}};
}

//===-- subsample ---------------------------------------------------------===//

SmallVector<Value> SubsampleOp::expand(OpBuilder &builder) {
  Primitives p(builder, *this, getEpsAttr());
  Value y = Conv2dOp::create(builder, p.loc, getType(), getX(), getWeightAttr(),
                             getBinsAttr());
  y = LayerNormOp::create(
      builder, p.loc, y.getType(), y, getNormAttr(), FlatSymbolRefAttr(),
      getEpsAttr(),
      builder.getI64IntegerAttr(lookupWeight(*this, getNormAttr()).dim(0)));
  return {ReluOp::create(builder, getLoc(), y.getType(), y)};
}

SmallVector<MatrixRead> SubsampleOp::getMatrices() { return {}; }

//===-- conformer ---------------------------------------------------------===//

SmallVector<Value> ConformerFfnBlockOp::expand(OpBuilder &builder) {
  Primitives p(builder, *this, getEpsAttr());
  ArrayAttr bounds = getBoundsAttr();
  Value x = p.norm(getH(), getPreAttr());
  Value a = p.silu(p.clipped(x, getUpAttr(), bounds, 0));
  Value y = p.norm(p.clipped(a, getDownAttr(), bounds, 1), getPostAttr());
  return {p.add(getH(), p.scale(y, getFactorAttr()), true)};
}

SmallVector<MatrixRead> ConformerFfnBlockOp::getMatrices() {
  return {{getUpAttr()}, {getDownAttr()}};
}

SmallVector<Value> ConformerAttentionBlockOp::expand(OpBuilder &builder) {
  Primitives p(builder, *this, getEpsAttr());
  ArrayAttr bounds = getBoundsAttr();
  Value x = p.norm(getH(), getPreAttr());
  Value q = p.clipped(x, getQAttr(), bounds, 0),
        k = p.clipped(x, getKAttr(), bounds, 1),
        v = p.clipped(x, getVAttr(), bounds, 2);
  Value a = RelAttentionOp::create(builder, p.loc, q.getType(), q, k, v,
                                   getRelAttr(), getScaleAttr(), getDimAttr(),
                                   getWindowAttr(), getCapAttr());
  Value o = p.norm(p.clipped(a, getOAttr(), bounds, 3), getPostAttr());
  return {p.add(getH(), o, true)};
}

SmallVector<MatrixRead> ConformerAttentionBlockOp::getMatrices() {
  if (getBounds())
    return {{getQAttr()},
            {getKAttr()},
            {getVAttr()},
            {getRelAttr(), MatrixRole::Positions},
            {getOAttr()}};
  MatrixKey x = within(*this);
  return {{getQAttr(), MatrixRole::Plain, 0, x},
          {getKAttr(), MatrixRole::Plain, 0, x},
          {getVAttr(), MatrixRole::Plain, 0, x},
          {getRelAttr(), MatrixRole::Positions},
          {getOAttr()}};
}

SmallVector<Value> ConformerConvBlockOp::expand(OpBuilder &builder) {
  Primitives p(builder, *this, getEpsAttr());
  ArrayAttr bounds = getBoundsAttr();
  Value u = p.clipped(p.norm(getH(), getPreAttr()), getStartAttr(), bounds, 0);
  Value g = GluOp::create(builder, p.loc, getH().getType(), u);
  Value c = DepthwiseConvOp::create(builder, p.loc, g.getType(), g,
                                    getDepthwiseAttr());
  c = p.silu(p.norm(c, getNormAttr()));
  return {p.add(getH(), p.clipped(c, getEndAttr(), bounds, 1), true)};
}

SmallVector<MatrixRead> ConformerConvBlockOp::getMatrices() {
  return {{getStartAttr()}, {getEndAttr()}};
}
