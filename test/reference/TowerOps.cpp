// The semantics of GemmaTowerOps.td, one function per op, in plain loops.
#include "test/reference/Evaluator.h"

#include <algorithm>
#include <cmath>

using namespace mlir;

namespace gemmac::reference {
namespace {

double number(FloatAttr attr) { return attr.getValueAsDouble(); }
int64_t columnsOf(Value v) {
  return cast<RankedTensorType>(v.getType()).getDimSize(1);
}
double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

double dot(const double *a, const double *b, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i)
    sum += a[i] * b[i];
  return sum;
}

// Turns scores into weights that sum to 1.
void softmax(std::vector<double> &s) {
  double most = *std::max_element(s.begin(), s.end()), sum = 0;
  for (double &each : s)
    sum += each = std::exp(each - most);
  for (double &each : s)
    each /= sum;
}

template <typename F>
Tensor map(const Tensor &x, F f) {
  Tensor y = x;
  for (int64_t r = 0; r < y.rows; ++r)
    for (int64_t j = 0; j < y.cols; ++j)
      y.row(r)[j] = f(y.row(r)[j], j);
  return y;
}

} // namespace

LogicalResult Evaluator::run(gemma::AffineOp op) {
  const double factor = number(op.getFactorAttr()),
               offset = number(op.getOffsetAttr());
  return define(op.getResult(),
                map(value(op.getX()),
                    [=](double x, int64_t) { return x * factor + offset; })),
         success();
}

LogicalResult Evaluator::run(gemma::ClampOp op) {
  const Tensor *low = weight(op, op.getLowAttr()),
               *high = weight(op, op.getHighAttr());
  if (!low || !high)
    return failure();
  const double a = low->data[0], b = high->data[0];
  return define(op.getResult(), map(value(op.getX()),
                                    [=](double x, int64_t) {
                                      return std::min(std::max(x, a), b);
                                    })),
         success();
}

LogicalResult Evaluator::run(gemma::BiasOp op) {
  const Tensor *w = weight(op, op.getWeightAttr());
  if (!w)
    return failure();
  return define(op.getResult(), map(value(op.getX()),
                                    [=](double x, int64_t j) {
                                      return x + w->data[size_t(j)];
                                    })),
         success();
}

LogicalResult Evaluator::run(gemma::StandardizeOp op) {
  const Tensor *bias = weight(op, op.getBiasAttr()),
               *scale = weight(op, op.getScaleAttr());
  if (!bias || !scale)
    return failure();
  return define(op.getResult(), map(value(op.getX()),
                                    [=](double x, int64_t j) {
                                      return (x - bias->data[size_t(j)]) *
                                             scale->data[size_t(j)];
                                    })),
         success();
}

LogicalResult Evaluator::run(gemma::AddPositionsOp op) {
  const Tensor *table = weight(op, op.getTableAttr());
  if (!table)
    return failure();
  Tensor y = value(op.getX());
  const Tensor &position = value(op.getPosition());
  const int64_t count = table->rows / 2;
  for (int64_t r = 0; r < y.rows; ++r)
    for (int64_t axis = 0; axis < 2; ++axis) {
      const auto at = int64_t(position.row(r)[axis]);
      if (at < 0 || at >= count)
        return op.emitError("position ") << at << " is beyond the table";
      const double *t =
          table->row(op.getInner() ? 2 * at + axis : axis * count + at);
      for (int64_t j = 0; j < y.cols; ++j)
        y.row(r)[j] += t[j];
    }
  return define(op.getResult(), std::move(y)), success();
}

LogicalResult Evaluator::run(gemma::Rope2dOp op) {
  const Tensor &table = value(op.getTable());
  Tensor y = value(op.getX());
  const int64_t part = int64_t(op.getDim()) / 2;
  for (int64_t r = 0; r < y.rows; ++r)
    for (int64_t j = 0; j < y.cols; j += part) {
      const double *turn = table.row(r) + j / part % 2 * part;
      double *u = y.row(r) + j;
      for (int64_t i = 0; i < part / 2; ++i) {
        const double c = turn[2 * i], s = turn[2 * i + 1];
        const double a = u[i], b = u[i + part / 2];
        u[i] = a * c - b * s;
        u[i + part / 2] = b * c + a * s;
      }
    }
  return define(op.getResult(), std::move(y)), success();
}

LogicalResult Evaluator::run(gemma::SelfAttentionOp op) {
  const Tensor &q = value(op.getQ()), &k = value(op.getK()),
               &v = value(op.getV());
  const int64_t dim = op.getDim();
  Tensor y(q.rows, q.cols);
  std::vector<double> p(size_t(q.rows));
  for (int64_t r = 0; r < q.rows; ++r)
    for (int64_t h = 0; h < q.cols; h += dim) {
      for (int64_t i = 0; i < q.rows; ++i)
        p[size_t(i)] = dot(q.row(r) + h, k.row(i) + h, dim);
      softmax(p);
      for (int64_t i = 0; i < q.rows; ++i)
        for (int64_t j = 0; j < dim; ++j)
          y.row(r)[h + j] += p[size_t(i)] * v.row(i)[h + j];
    }
  return define(op.getResult(), std::move(y)), success();
}

LogicalResult Evaluator::run(gemma::PoolOp op) {
  const Tensor &x = value(op.getX());
  const int64_t count = op.getCount();
  if (x.rows % count)
    return op.emitError("expects a multiple of ")
           << count << " rows, got " << x.rows;
  Tensor y(x.rows / count, x.cols);
  for (int64_t r = 0; r < x.rows; ++r)
    for (int64_t j = 0; j < x.cols; ++j)
      y.row(r / count)[j] +=
          x.row(r)[j] * number(op.getFactorAttr()) / double(count);
  return define(op.getResult(), std::move(y)), success();
}

LogicalResult Evaluator::run(gemma::LayerNormOp op) {
  const Tensor *w = weight(op, op.getWeightAttr());
  const Tensor *bias =
      op.getBiasAttr() ? weight(op, op.getBiasAttr()) : nullptr;
  if (!w || (op.getBiasAttr() && !bias))
    return failure();
  Tensor y = value(op.getX());
  const int64_t n = op.getSize();
  for (int64_t r = 0; r < y.rows; ++r)
    for (int64_t g = 0; g < y.cols; g += n) {
      double *u = y.row(r) + g, mean = 0, variance = 0;
      for (int64_t i = 0; i < n; ++i)
        mean += u[i] / double(n);
      for (int64_t i = 0; i < n; ++i)
        variance += (u[i] - mean) * (u[i] - mean) / double(n);
      const double factor = 1 / std::sqrt(variance + number(op.getEpsAttr()));
      for (int64_t i = 0; i < n; ++i)
        u[i] = (u[i] - mean) * factor * w->data[size_t(i)] +
               (bias ? bias->data[size_t(i)] : 0);
    }
  return define(op.getResult(), std::move(y)), success();
}

LogicalResult Evaluator::run(gemma::Conv2dOp op) {
  const Tensor *w = weight(op, op.getWeightAttr()); // [C', C, 3, 3]
  if (!w)
    return failure();
  const Tensor &x = value(op.getX());
  const int64_t bins = op.getBins(), in = x.cols / bins;
  const int64_t columns = columnsOf(op.getResult()), out = columns / (bins / 2);
  Tensor y((x.rows + 1) / 2, columns);
  for (int64_t t = 0; t < y.rows; ++t)
    for (int64_t f = 0; f < bins / 2; ++f)
      for (int64_t o = 0; o < out; ++o) {
        double sum = 0;
        for (int64_t dt = 0; dt < 3; ++dt)
          for (int64_t df = 0; df < 3; ++df) {
            const int64_t frame = 2 * t + dt - 1, bin = 2 * f + df - 1;
            if (frame < 0 || frame >= x.rows || bin < 0 || bin >= bins)
              continue;
            for (int64_t c = 0; c < in; ++c)
              sum += x.row(frame)[bin * in + c] *
                     w->data[size_t(((o * in + c) * 3 + dt) * 3 + df)];
          }
        y.row(t)[f * out + o] = sum;
      }
  return define(op.getResult(), std::move(y)), success();
}

LogicalResult Evaluator::run(gemma::ReluOp op) {
  auto relu = [](double x, int64_t) { return std::max(x, 0.0); };
  return define(op.getResult(), map(value(op.getX()), relu)), success();
}

LogicalResult Evaluator::run(gemma::SiluOp op) {
  auto silu = [](double x, int64_t) { return x * sigmoid(x); };
  return define(op.getResult(), map(value(op.getX()), silu)), success();
}

LogicalResult Evaluator::run(gemma::GluOp op) {
  const Tensor &x = value(op.getX());
  Tensor y(x.rows, x.cols / 2);
  for (int64_t r = 0; r < y.rows; ++r)
    for (int64_t j = 0; j < y.cols; ++j)
      y.row(r)[j] = x.row(r)[j] * sigmoid(x.row(r)[y.cols + j]);
  return define(op.getResult(), std::move(y)), success();
}

LogicalResult Evaluator::run(gemma::DepthwiseConvOp op) {
  const Tensor *w = weight(op, op.getWeightAttr()); // [K, n]
  if (!w)
    return failure();
  const Tensor &x = value(op.getX());
  Tensor y(x.rows, x.cols);
  const int64_t taps = w->cols / x.cols;
  for (int64_t t = 0; t < y.rows; ++t)
    for (int64_t i = 0; i < taps; ++i)
      if (int64_t from = t - taps + 1 + i; from >= 0)
        for (int64_t j = 0; j < y.cols; ++j)
          y.row(t)[j] += w->data[size_t(j * taps + i)] * x.row(from)[j];
  return define(op.getResult(), std::move(y)), success();
}

LogicalResult Evaluator::run(gemma::RelAttentionOp op) {
  const Tensor *w = weight(op, op.getRelAttr()),
               *scale = weight(op, op.getScaleAttr());
  if (!w || !scale)
    return failure();
  const int64_t dim = op.getDim(), window = op.getWindow();
  const double cap = number(op.getCapAttr()), ln2 = std::log(2.0);
  Tensor q = value(op.getQ()), k = value(op.getK());
  const Tensor &v = value(op.getV());
  const int64_t width = q.cols, half = width / 2;
  Tensor sine(window, width), rel(window, width);
  for (int64_t d = 0; d < window; ++d) {
    for (int64_t j = 0; j < half; ++j) {
      const double angle = double(d) * std::exp(-double(j) * std::log(10000.0) /
                                                double(half - 1));
      sine.row(d)[j] = std::sin(angle);
      sine.row(d)[half + j] = std::cos(angle);
    }
    for (int64_t j = 0; j < width; ++j)
      rel.row(d)[j] = dot(sine.row(d), w->row(j), width);
  }
  for (int64_t r = 0; r < q.rows; ++r)
    for (int64_t j = 0; j < width; ++j) {
      const double x = scale->data[size_t(j % dim)];
      q.row(r)[j] *= std::log1p(std::exp(x)) / ln2 / std::sqrt(double(dim));
      k.row(r)[j] *= std::log1p(std::exp(1.0)) / ln2;
    }
  Tensor y(q.rows, width);
  for (int64_t r = 0; r < q.rows; ++r)
    for (int64_t h = 0; h < width; h += dim) {
      const int64_t first = std::max<int64_t>(0, r - window + 1);
      std::vector<double> p;
      for (int64_t i = first; i <= r; ++i) {
        const double s = dot(q.row(r) + h, k.row(i) + h, dim) +
                         dot(q.row(r) + h, rel.row(r - i) + h, dim);
        p.push_back(cap * std::tanh(s / cap));
      }
      softmax(p);
      for (int64_t i = first; i <= r; ++i)
        for (int64_t j = 0; j < dim; ++j)
          y.row(r)[h + j] += p[size_t(i - first)] * v.row(i)[h + j];
    }
  return define(op.getResult(), std::move(y)), success();
}

} // namespace gemmac::reference
