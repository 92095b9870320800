// Verifiers of the ops in GemmaTowerOps.td. Shapes are checked against the
// symbols that an op names; nothing here knows formats, targets or kernels.
#include "dialects/gemma/GemmaCheck.h"

using namespace mlir;
using namespace mlir::gemma;

LogicalResult ClampOp::verifySymbolUses(SymbolTableCollection &table) {
  Check check(*this, table);
  check.vectors({"low", "high"}, 1);
  return check;
}

LogicalResult BiasOp::verifySymbolUses(SymbolTableCollection &table) {
  Check check(*this, table);
  check.weight("weight", {columnsOf(getX())});
  return check;
}

LogicalResult StandardizeOp::verifySymbolUses(SymbolTableCollection &table) {
  Check check(*this, table);
  check.vectors({"bias", "scale"}, columnsOf(getX()));
  return check;
}

LogicalResult AddPositionsOp::verifySymbolUses(SymbolTableCollection &table) {
  Check check(*this, table);
  const int64_t columns = columnsOf(getX());
  if (getInner())
    check.weight("table", {-1, 2, columns});
  else
    check.weight("table", {2, -1, columns});
  check.columns(getPosition(), "position", 2);
  check.rows({getX(), getPosition()});
  return check;
}

LogicalResult Rope2dOp::verify() {
  Check check(*this);
  const int64_t dim = getDim();
  check.require(dim % 4 == 0 && columnsOf(getX()) % dim == 0,
                "expects a dim that is a multiple of 4 and divides {0} "
                "columns, got {1}",
                columnsOf(getX()), dim);
  check.rope(getTable(), dim / 2, dim);
  check.rows({getX(), getTable()});
  return check;
}

LogicalResult SelfAttentionOp::verify() {
  Check check(*this);
  check.require(columnsOf(getQ()) % getDim() == 0,
                "expects a dim that divides {0} columns, got {1}",
                columnsOf(getQ()), getDim());
  return check;
}

LogicalResult PoolOp::verify() {
  Check check(*this);
  check.columns(getResult(), "result", columnsOf(getX()));
  return check;
}

LogicalResult LayerNormOp::verifySymbolUses(SymbolTableCollection &table) {
  Check check(*this, table);
  check.require(columnsOf(getX()) % getSize() == 0,
                "expects size to divide {0} columns, got {1}",
                columnsOf(getX()), getSize());
  check.vectors({"weight", "bias"}, getSize());
  return check;
}

LogicalResult Conv2dOp::verifySymbolUses(SymbolTableCollection &table) {
  Check check(*this, table);
  const int64_t bins = getBins(), columns = columnsOf(getX());
  check.require(bins % 2 == 0 && columns % bins == 0,
                "expects an even number of bins that divides {0} columns, got "
                "{1}",
                columns, bins);
  check.convolution(getResult(), bins, columns / bins);
  return check;
}

LogicalResult GluOp::verify() {
  Check check(*this);
  check.columns(getX(), "x", 2 * columnsOf(getResult()));
  check.rows({getX(), getResult()});
  return check;
}

LogicalResult DepthwiseConvOp::verifySymbolUses(SymbolTableCollection &table) {
  Check check(*this, table);
  check.taps("weight", columnsOf(getX()));
  return check;
}

LogicalResult RelAttentionOp::verifySymbolUses(SymbolTableCollection &table) {
  Check check(*this, table);
  const int64_t columns = columnsOf(getQ());
  check.require(columns % getDim() == 0 && columns % 2 == 0,
                "expects an even number of columns that dim divides, got {0} "
                "and dim {1}",
                columns, getDim());
  check.weight("rel", {columns, columns});
  check.weight("scale", {int64_t(getDim())});
  return check;
}

//===-- fused ops ---------------------------------------------------------===//

LogicalResult ProjectOp::verifySymbolUses(SymbolTableCollection &table) {
  Check check(*this, table);
  int64_t outputs = check.weight("weight", {-1, columnsOf(getX())})[0];
  check.weight("bias", {outputs});
  check.rows({getX(), getResult()});
  check.columns(getResult(), "result", outputs);
  return check;
}

LogicalResult
VisionAttentionBlockOp::verifySymbolUses(SymbolTableCollection &table) {
  Check check(*this, table);
  const int64_t hidden = columnsOf(getH()), dim = getDim();
  const int64_t width = check.weight("q", {-1, hidden})[0];
  check.require(dim % 4 == 0 && width % dim == 0,
                "expects a dim that is a multiple of 4 and divides {0} rows of "
                "q, got {1}",
                width, dim);
  for (StringRef role : {"k", "v"})
    check.weight(role, {width, hidden});
  check.weight("o", {hidden, width});
  check.vectors({"norm", "post"}, hidden);
  check.vectors({"q_norm", "k_norm"}, dim);
  check.rope(getTable(), dim / 2, dim);
  check.rows({getH(), getTable()});
  check.bounds(4);
  return check;
}

LogicalResult SubsampleOp::verifySymbolUses(SymbolTableCollection &table) {
  Check check(*this, table);
  const int64_t bins = getBins(), columns = columnsOf(getX());
  check.require(bins % 2 == 0 && columns % bins == 0,
                "expects an even number of bins that divides {0} columns, got "
                "{1}",
                columns, bins);
  check.weight("norm", {check.convolution(getResult(), bins, columns / bins)});
  return check;
}

LogicalResult
ConformerFfnBlockOp::verifySymbolUses(SymbolTableCollection &table) {
  Check check(*this, table);
  const int64_t hidden = columnsOf(getH());
  const int64_t width = check.weight("up", {-1, hidden})[0];
  check.weight("down", {hidden, width});
  check.vectors({"pre", "post"}, hidden);
  check.bounds(2);
  return check;
}

LogicalResult
ConformerAttentionBlockOp::verifySymbolUses(SymbolTableCollection &table) {
  Check check(*this, table);
  const int64_t hidden = columnsOf(getH()), dim = getDim();
  check.require(hidden % dim == 0 && hidden % 2 == 0,
                "expects an even number of columns that dim divides, got {0} "
                "and dim {1}",
                hidden, dim);
  for (StringRef role : {"q", "k", "v", "rel", "o"})
    check.weight(role, {hidden, hidden});
  check.vectors({"pre", "post"}, hidden);
  check.weight("scale", {dim});
  check.bounds(4);
  return check;
}

LogicalResult
ConformerConvBlockOp::verifySymbolUses(SymbolTableCollection &table) {
  Check check(*this, table);
  const int64_t hidden = columnsOf(getH());
  check.weight("start", {2 * hidden, hidden});
  check.taps("depthwise", hidden);
  check.weight("end", {hidden, hidden});
  check.vectors({"pre", "norm"}, hidden);
  check.bounds(2);
  return check;
}
