// Stores quantised activation rows (targets/Layouts.h, encoding q8): per block
// of 32 columns the codes, the scale and where sums of products with them
// start.
#include "codegen/kernels/common.h"

using namespace Halide;

namespace gemmac {

Index bytesOf(const Index &elements, const std::string &encoding) {
  return isQuantized(encoding)
             ? elements / blockValues * int64_t(sizeof(ActivationBlock))
             : elements * elementBytes(encoding);
}

static constexpr int64_t activationBytes = sizeof(ActivationBlock);

// A dimension of rows for elements of `bytes` bytes in a quantised row.
static Dim quantizedRows(const Dim &rows, int64_t bytes) {
  Dim dim = rows;
  if (dim.parameter.empty())
    dim.stride = rows.stride / blockValues * activationBytes / bytes;
  dim.multiply = activationBytes / bytes;
  dim.divide = blockValues;
  return dim;
}

// scale = (largest magnitude) / 127; code = round(value / scale), ties to even.
// A block of (almost) nothing is 0.
void outputQuantized(TileBuilder &tile, Func value, int64_t blocks,
                     const std::string &operand, const Index &offset,
                     const Dim &rowDim) {
  Var i("i"), block("block"), r("r");
  int lanes = tile.lanes();
  // Halves are compared until one value is left: any order gives the same.
  Func largest("magnitude");
  largest(i, block, r) = abs(value(i, block, r));
  std::vector<Func> halves;
  for (int n = halfBlock; n >= 1; n /= 2) {
    Func half("larger" + std::to_string(n));
    half(i, block, r) = max(largest(i, block, r), largest(i + n, block, r));
    halves.push_back(half);
    largest = half;
  }
  Func scale("scale"), codes("codes"), sum("sum"), start("start");
  Expr most = largest(0, block, r);
  scale(block, r) = select(most > 1e-30f, most * float(1.0 / 127.0), 0.0f);
  Expr s = scale(block, r);
  Expr inverse = select(s > 0.0f, 1.0f / s, 0.0f);
  codes(i, block, r) =
      cast<int8_t>(cast<int32_t>(round(value(i, block, r) * inverse)));
  RDom k(0, int(blockValues));
  sum(block, r) += cast<int32_t>(codes(k, block, r));
  start(block, r) = sumOriginBits - 128 * sum(block, r);

  for (size_t h = 0; h < halves.size(); ++h) {
    int n = halfBlock >> h;
    halves[h].bound(i, 0, n).compute_at(scale, block);
    halves[h].store_in(MemoryType::Stack);
    if (n > 1)
      halves[h].vectorize(i, std::min(n, lanes)).unroll(i);
  }
  codes.bound(i, 0, int(blockValues)).vectorize(i, lanes).unroll(i);
  sum.compute_at(start, block).store_in(MemoryType::Stack);
  sum.update().atomic().vectorize(k, lanes);

  const int64_t bytes = activationBytes;
  tile.output(scale, operand, {{blocks, bytes / 4}, quantizedRows(rowDim, 4)},
              offset + offsetof(ActivationBlock, scale));
  tile.output(codes, operand,
              {{blockValues, 1}, {blocks, bytes}, quantizedRows(rowDim, 1)},
              offset + offsetof(ActivationBlock, codes));
  tile.output(start, operand, {{blocks, bytes / 4}, quantizedRows(rowDim, 4)},
              offset + offsetof(ActivationBlock, start));
}

} // namespace gemmac
