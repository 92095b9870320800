// Checkpoint or random tensors -> weights in double.
#include "test/reference/Weights.h"

#include <cmath>
#include <cstring>
#include <memory>

using namespace mlir;

namespace gemmac::reference {
namespace {

double fromHalf(uint16_t bits) {
  int exponent = bits >> 10 & 31, fraction = bits & 1023;
  double sign = bits & 0x8000 ? -1 : 1;
  if (exponent == 31)
    return fraction ? NAN : sign * INFINITY;
  if (exponent == 0)
    return sign * std::ldexp(fraction, -24);
  return sign * std::ldexp(1024 + fraction, exponent - 25);
}

// The value at `i` of the tensor as it lies in its file.
double storedElement(const SourceTensor &tensor, int64_t i) {
  if (const int64_t block = blockElements(tensor.type); block > 1) {
    std::vector<float> values(static_cast<size_t>(block));
    dequantizeRow(
        tensor.type,
        tensor.at(uint64_t(sourceBytes(tensor.type, i / block * block))), block,
        values.data());
    return values[size_t(i % block)];
  }
  if (tensor.type == SourceType::F32) {
    float x;
    std::memcpy(&x, tensor.at(4 * uint64_t(i)), 4);
    return x;
  }
  uint16_t bits;
  std::memcpy(&bits, tensor.at(2 * uint64_t(i)), 2);
  if (tensor.type == SourceType::F16)
    return fromHalf(bits);
  uint32_t wide = uint32_t(bits) << 16;
  float x;
  std::memcpy(&x, &wide, 4);
  return x;
}

double element(const SourceTensor &tensor, int64_t i) {
  const StoredForm &form = tensor.form;
  const int64_t cols = tensor.cols();
  return form.canonical(
      storedElement(tensor, form.storedRow(tensor.shape, i / cols) * cols +
                                form.storedColumn(i % cols, cols)));
}

Tensor shaped(gemma::WeightOp op) {
  int64_t cols = op.dim(op.rank() - 1);
  return Tensor(op.getTensorType().getNumElements() / cols, cols);
}

// splitmix64 of (seed, index) in [-1, 1).
double random(uint64_t seed, uint64_t index) {
  uint64_t z = seed + (index + 1) * 0x9E3779B97F4A7C15;
  z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9;
  z = (z ^ z >> 27) * 0x94D049BB133111EB;
  z ^= z >> 31;
  return double(z >> 40) / double(1 << 23) - 1;
}

uint64_t hash(StringRef name) {
  uint64_t h = 0xcbf29ce484222325;
  for (char c : name)
    h = (h ^ uint8_t(c)) * 0x100000001b3;
  return h;
}

// mean + range * u: norms about 1, keys' norms smaller, matrices such that
// activations keep their size.
std::pair<double, double> rangeOf(gemma::WeightOp op) {
  StringRef name = op.getFrom();
  if (name.ends_with("k_norm.weight"))
    return {0.3, 0.1};
  if (name.ends_with("layer_scalar"))
    return {0.75, 0.25};
  if (name.ends_with("put_min"))
    return {-1.5, 0.5};
  if (name.ends_with("put_max"))
    return {1.5, 0.5};
  if (op.rank() == 1)
    return {1, 0.25};
  return {0, std::sqrt(3.0 / double(op.dim(op.rank() - 1)))};
}

using Fill = std::function<bool(gemma::WeightOp, Tensor &)>;

WeightSource cached(Fill fill) {
  auto known = std::make_shared<std::map<std::string, Tensor>>();
  return [known, fill](gemma::WeightOp op) -> const Tensor * {
    auto [at, fresh] = known->try_emplace(op.getFrom().str());
    if (fresh) {
      at->second = shaped(op);
      if (!fill(op, at->second)) {
        known->erase(at);
        return nullptr;
      }
    }
    return &at->second;
  };
}

} // namespace

WeightSource checkpointWeights(const TensorSource &source) {
  return cached([&source](gemma::WeightOp op, Tensor &tensor) {
    SmallVector<std::string> names;
    if (ArrayAttr parts = op.getPartsAttr())
      for (StringRef part : parts.getAsValueRange<StringAttr>())
        names.push_back(part.str());
    else
      names.push_back(op.getFrom().str());
    const int64_t all = op.getTensorType().getNumElements(),
                  count = int64_t(names.size()),
                  each = op.rank() == 3 ? all / op.dim(0) / count : all;
    for (int64_t p = 0; p < count; ++p) {
      const SourceTensor *found = source.find(names[size_t(p)]);
      if (!found || found->elements() != all / count ||
          !sourceWord(found->type)) {
        op.emitError("has no tensor of its name, size and a type of weights");
        return false;
      }
      for (int64_t i = 0; i < all / count; ++i)
        tensor.data[size_t((i / each * count + p) * each + i % each)] =
            element(*found, i);
    }
    return true;
  });
}

WeightSource randomWeights() {
  return cached([](gemma::WeightOp op, Tensor &tensor) {
    auto [mean, range] = rangeOf(op);
    uint64_t seed = hash(op.getFrom());
    for (size_t i = 0; i < tensor.data.size(); ++i)
      tensor.data[i] = mean + range * random(seed, i);
    return true;
  });
}

} // namespace gemmac::reference
