// Arithmetic that several families share. f32 throughout, no infinities.
#include "codegen/kernels/common.h"

using namespace Halide;

namespace gemmac {

using Code = Format::Code;

Type bufferType(const std::string &encoding) {
  const Code code = formatOf(encoding).code;
  return code == Code::BF16  ? UInt(16)
         : code == Code::I32 ? Int(32)
                             : Float(32);
}

static Expr fromBf16(Expr bits) {
  return reinterpret<float>(cast<uint32_t>(bits) << 16);
}

Expr decode(Expr e, const std::string &encoding) {
  return formatOf(encoding).code == Code::BF16 ? fromBf16(e) : e;
}

std::vector<Dim> codeDims(const Layout &layout, int64_t rows) {
  const int64_t codes = layout.hasNibbles() ? halfBlock : blockValues;
  std::vector<Dim> dims = {{stepValues, 1}};
  if (rows > 1)
    dims.push_back({rows, stepValues});
  dims.push_back({codes / stepValues, stepBytes});
  return dims;
}

Type scaleType(const std::string &format) {
  return formatOf(format).scale == Format::Scale::BF16 ? UInt(16)
                                                       : Type(Float(16));
}

Expr scaleValue(Expr bits, const std::string &format) {
  return formatOf(format).scale == Format::Scale::BF16 ? fromBf16(bits)
                                                       : cast<float>(bits);
}

Expr encode(Expr e, const std::string &encoding) {
  // Defined by HalideKernels.cpp; one conversion instruction where there is
  // one.
  if (formatOf(encoding).code == Code::BF16)
    return Internal::Call::make(UInt(16), "gm_round_bf16", {e},
                                Internal::Call::PureExtern);
  return e;
}

Expr gelu(Expr x) {
  const float c = 0.7978845608028654f; // sqrt(2 / pi)
  Expr u = c * (x + 0.044715f * x * x * x);
  return x / (1.0f + exp(clamp(-2.0f * u, -80.0f, 80.0f)));
}

// `width` partial sums over j = width c + l, each over c in order; then halves
// are added until one is left. Columns beyond the last whole chunk go to the
// first partial sums.
Func rowSum(TileBuilder &tile, int64_t k,
            const std::function<Expr(Expr)> &term) {
  int width = 64, lanes = tile.lanes();
  int chunks = int(k / width), rest = int(k % width);
  Var l("l");
  Func sum("sum");
  sum(l) = 0.0f;
  if (chunks > 0) {
    RDom c(0, chunks);
    sum(l) += term(c * width + l);
    sum.update(0).reorder(l, c).vectorize(l, lanes).unroll(l);
  }
  if (rest > 0) {
    RDom t(0, rest);
    sum(t) += term(chunks * width + t);
    int stage = chunks > 0 ? 1 : 0;
    if (rest % lanes == 0) {
      RVar outer, inner;
      sum.update(stage).split(t, outer, inner, lanes).atomic().vectorize(inner);
    }
  }
  sum.bound(l, 0, width).compute_root().store_in(MemoryType::Stack);
  sum.vectorize(l, lanes).unroll(l);

  Func last = sum;
  for (int n = width / 2; n >= 1; n /= 2) {
    Func half("half" + std::to_string(n));
    half(l) = last(l) + last(l + n);
    half.bound(l, 0, n).compute_root().store_in(MemoryType::Stack);
    if (n > 1)
      half.vectorize(l, std::min(n, lanes)).unroll(l);
    last = half;
  }
  return last;
}

InverseRms inverseRms(TileBuilder &tile, Func f, int64_t k, double eps) {
  Func sum = rowSum(tile, k, [&](Expr j) {
    Expr x = f(j);
    return x * x;
  });
  InverseRms rms;
  rms.value = Func("rms");
  rms.value() = 1.0f / sqrt(sum(0) * float(1.0 / double(k)) + float(eps));
  rms.value.compute_root().store_in(MemoryType::Stack);
  return rms;
}

void storeRow(TileBuilder &tile, Func y, const std::string &operand, int64_t k,
              const Index &offset) {
  // A tail must not be recomputed (in-place results) nor read beyond k.
  TailStrategy tail =
      k % tile.lanes() == 0 ? TailStrategy::RoundUp : TailStrategy::GuardWithIf;
  y.vectorize(y.args().at(0), tile.lanes(), tail);
  tile.output(y, operand, {{k, 1}}, offset);
}

void storeEncoded(TileBuilder &tile, Func value, int64_t k,
                  const std::string &name, const std::string &encoding) {
  const Index offset = Index::row() * rowBytes(encoding, k);
  if (isQuantized(encoding)) {
    Var i("i"), block("block"), r("r");
    // The only memory that Halide does not move to its heap above 16 KB.
    value.compute_root().store_in(MemoryType::Register);
    value.vectorize(value.args()[0], tile.lanes());
    Func blocks(name + "_blocks");
    blocks(i, block, r) = value(block * int(blockValues) + i);
    outputQuantized(tile, blocks, k / blockValues, name, offset,
                    {1, roundUp(k, blockValues)});
    return;
  }
  Var j("j");
  Func y(name);
  y(j) = encode(value(j), encoding);
  storeRow(tile, y, name, k, offset);
}

} // namespace gemmac
