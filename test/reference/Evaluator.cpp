// The semantics of GemmaOps.td, one function per op (of GemmaTowerOps.td:
// TowerOps.cpp). Plain loops: clarity
// before speed, but 4200 tokens of a tiny model in seconds.
#include "test/reference/Evaluator.h"

#include "llvm/ADT/TypeSwitch.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

using namespace mlir;

namespace gemmac::reference {
namespace {

// Eight partial sums: without reassociation a single one is not vectorised.
double dot(const double *a, const double *b, int64_t n) {
  double sum[8] = {};
  int64_t i = 0;
  for (; i + 8 <= n; i += 8)
    for (int64_t j = 0; j < 8; ++j)
      sum[j] += a[i + j] * b[i + j];
  for (; i < n; ++i)
    sum[0] += a[i] * b[i];
  return (sum[0] + sum[4]) + (sum[1] + sum[5]) + (sum[2] + sum[6]) +
         (sum[3] + sum[7]);
}

// y = x W^T for the rows [first, first + y.cols) of W.
void multiply(Tensor &y, const Tensor &x, const Tensor &w, int64_t first) {
  for (int64_t o = 0; o < y.cols; ++o)
    for (int64_t r = 0; r < y.rows; ++r)
      y.row(r)[o] = dot(x.row(r), w.row(first + o), x.cols);
}

void normalize(double *y, const double *x, int64_t n, double eps,
               const double *w) {
  double factor = 1 / std::sqrt(dot(x, x, n) / double(n) + eps);
  for (int64_t i = 0; i < n; ++i)
    y[i] = x[i] * factor * (w ? w[i] : 1);
}

double gelu(double x) {
  const double root = std::sqrt(2 / 3.14159265358979323846);
  return 0.5 * x * (1 + std::tanh(root * (x + 0.044715 * x * x * x)));
}

// The `count` largest of x in descending order; ties: lower index first.
std::vector<int64_t> largest(const double *x, int64_t n, int64_t count) {
  std::vector<int64_t> order(static_cast<size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  count = std::min(count, n);
  std::partial_sort(order.begin(), order.begin() + count, order.end(),
                    [&](int64_t a, int64_t b) {
                      return x[a] > x[b] || (x[a] == x[b] && a < b);
                    });
  order.resize(size_t(count));
  return order;
}

double number(FloatAttr attr) { return attr.getValueAsDouble(); }

int64_t columnsOf(Value v) {
  return cast<RankedTensorType>(v.getType()).getDimSize(1);
}

} // namespace

double roundToF32(double value) { return double(float(value)); }

// Nearest even, by way of f32.
double roundToBf16(double value) {
  float single = float(value);
  uint32_t bits;
  std::memcpy(&bits, &single, sizeof bits);
  bits = (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000;
  std::memcpy(&single, &bits, sizeof bits);
  return single;
}

//===-- values ------------------------------------------------------------===//

const Tensor *Evaluator::weight(Operation *user, FlatSymbolRefAttr name) {
  gemma::WeightOp op = gemma::lookupWeight(user, name);
  if (!op) {
    user->emitError("names no weight: ") << name;
    return nullptr;
  }
  return weights(op);
}

void Evaluator::define(Value v, Tensor tensor) {
  if (observer)
    if (auto name = dyn_cast<NameLoc>(v.getLoc()))
      observer(name.getName(), tensor);
  values[v] = std::move(tensor);
}

// For an op named "P<suffix>" shows `tensor` as "P<name>".
void Evaluator::observe(Operation *op, StringRef suffix, StringRef name,
                        const Tensor &tensor) {
  auto location = dyn_cast<NameLoc>(op->getLoc());
  if (!observer || !location || !location.getName().strref().ends_with(suffix))
    return;
  StringRef base = location.getName().strref().drop_back(suffix.size());
  observer((base + name).str(), tensor);
}

FailureOr<std::vector<Tensor>>
Evaluator::run(func::FuncOp function,
               const std::map<std::string, Tensor> &arguments) {
  std::vector<Tensor> list;
  for (unsigned i = 0; i < function.getNumArguments(); ++i) {
    auto name = function.getArgAttrOfType<StringAttr>(i, "gemma.arg");
    auto found = name ? arguments.find(name.str()) : arguments.end();
    if (found == arguments.end())
      return function.emitError("argument ") << i << " has no value", failure();
    list.push_back(found->second);
  }
  return run(function, std::move(list));
}

FailureOr<std::vector<Tensor>> Evaluator::run(func::FuncOp function,
                                              std::vector<Tensor> arguments) {
  values.clear();
  if (arguments.size() != function.getNumArguments())
    return function.emitError("expects ")
               << function.getNumArguments() << " arguments",
           failure();
  for (auto [argument, tensor] : llvm::zip(function.getArguments(), arguments))
    values[argument] = std::move(tensor);
  for (Operation &op : function.front().without_terminator())
    if (failed(runOp(&op)))
      return failure();
  std::vector<Tensor> results;
  for (Value v : function.front().getTerminator()->getOperands())
    results.push_back(value(v));
  return results;
}

LogicalResult Evaluator::runOp(Operation *op) {
  return llvm::TypeSwitch<Operation *, LogicalResult>(op)
      .Case<gemma::EmbedOp, gemma::RmsNormOp, gemma::LinearOp, gemma::RopeOp,
            gemma::AppendOp, gemma::AttentionOp, gemma::GegluOp, gemma::AddOp,
            gemma::ScaleOp, gemma::ColumnsOp, gemma::TakeOp, gemma::RouterOp,
            gemma::ExpertsOp, gemma::LogitsOp, gemma::SoftcapOp, gemma::TopOp,
            gemma::AffineOp, gemma::ClampOp, gemma::BiasOp,
            gemma::StandardizeOp, gemma::AddPositionsOp, gemma::Rope2dOp,
            gemma::SelfAttentionOp, gemma::PoolOp, gemma::LayerNormOp,
            gemma::Conv2dOp, gemma::ReluOp, gemma::SiluOp, gemma::GluOp,
            gemma::DepthwiseConvOp, gemma::RelAttentionOp>(
          [&](auto each) { return run(each); })
      .Default([](Operation *other) {
        return other->emitError("the evaluator runs primitives only");
      });
}

//===-- ops ---------------------------------------------------------------===//

LogicalResult Evaluator::run(gemma::EmbedOp op) {
  const Tensor *table = weight(op, op.getTableAttr());
  if (!table)
    return failure();
  const Tensor &ids = value(op.getIds());
  int64_t first = op.getColumns() ? (*op.getColumns())[0] : 0;
  double scale = number(op.getScaleAttr());
  bool softRows = op.getSoft() && op.getSoftMode() == gemma::SoftMode::Row;
  Tensor y(ids.rows, columnsOf(op.getResult()));
  for (int64_t r = 0; r < y.rows; ++r) {
    int64_t id = int64_t(ids.data[r]);
    if (id < 0 && softRows) {
      const Tensor &soft = value(op.getSoft());
      if (-1 - id >= soft.rows || soft.cols != y.cols)
        return op.emitError("id ") << id << " has no soft row";
      std::copy_n(soft.row(-1 - id), y.cols, y.row(r));
      continue;
    }
    id = std::max<int64_t>(id, 0);
    if (id >= table->rows)
      return op.emitError("id ") << id << " is beyond the table";
    for (int64_t j = 0; j < y.cols; ++j)
      y.row(r)[j] = table->row(id)[first + j] * scale;
  }
  return define(op.getResult(), std::move(y)), success();
}

LogicalResult Evaluator::run(gemma::RmsNormOp op) {
  const Tensor *w = nullptr;
  if (op.getWeightAttr() && !(w = weight(op, op.getWeightAttr())))
    return failure();
  const Tensor &x = value(op.getX());
  int64_t size = op.getSize();
  Tensor y(x.rows, x.cols);
  for (int64_t r = 0; r < y.rows; ++r)
    for (int64_t g = 0; g < y.cols; g += size)
      normalize(y.row(r) + g, x.row(r) + g, size, number(op.getEpsAttr()),
                w ? w->row(0) : nullptr);
  return define(op.getResult(), std::move(y)), success();
}

LogicalResult Evaluator::run(gemma::LinearOp op) {
  const Tensor *w = weight(op, op.getWeightAttr());
  if (!w)
    return failure();
  const Tensor &x = value(op.getX());
  Tensor y(x.rows, columnsOf(op.getResult()));
  multiply(y, x, *w, op.getRows() ? (*op.getRows())[0] : 0);
  return define(op.getResult(), std::move(y)), success();
}

LogicalResult Evaluator::run(gemma::RopeOp op) {
  const Tensor &table = value(op.getTable());
  Tensor y = value(op.getX());
  int64_t dim = op.getDim(), pairs = op.getPairs();
  for (int64_t r = 0; r < y.rows; ++r)
    for (double *h = y.row(r), *end = h + y.cols; h < end; h += dim)
      for (int64_t i = 0; i < pairs; ++i) {
        double c = table.row(r)[2 * i], s = table.row(r)[2 * i + 1];
        double a = h[i], b = h[i + dim / 2];
        h[i] = a * c - b * s;
        h[i + dim / 2] = b * c + a * s;
      }
  return define(op.getResult(), std::move(y)), success();
}

LogicalResult Evaluator::run(gemma::AppendOp op) {
  gemma::CacheOp cacheOp = gemma::lookupCache(op, op.getCacheAttr());
  if (!cacheOp)
    return op.emitError("names no cache");
  const Tensor &k = value(op.getK()), &v = value(op.getV());
  const Tensor &slots = value(op.getSlot()), &positions = value(op.getPos());
  Cache &cache = caches[op.getCache().str()];
  auto stored = [&](double x) {
    if (!roundCaches || !cacheOp.getFormat())
      return x;
    return *cacheOp.getFormat() == "bf16" ? roundToBf16(x) : roundToF32(x);
  };
  for (int64_t r = 0; r < k.rows; ++r) {
    Slot &slot = cache[int64_t(slots.data[r])];
    size_t pos = size_t(positions.data[r]), width = size_t(k.cols);
    if (slot.written.size() <= pos) {
      slot.written.resize(pos + 1);
      slot.k.resize((pos + 1) * width);
      slot.v.resize((pos + 1) * width);
    }
    slot.written[pos] = 1;
    for (size_t j = 0; j < width; ++j) {
      slot.k[pos * width + j] = stored(k.row(r)[j]);
      slot.v[pos * width + j] = stored(v.row(r)[j]);
    }
  }
  return success();
}

LogicalResult Evaluator::run(gemma::AttentionOp op) {
  gemma::CacheOp cacheOp = gemma::lookupCache(op, op.getCacheAttr());
  if (!cacheOp)
    return op.emitError("names no cache");
  const Tensor &q = value(op.getQ());
  const Tensor &slots = value(op.getSlot()), &positions = value(op.getPos());
  Cache &cache = caches[op.getCache().str()];
  int64_t hd = cacheOp.getDim(), width = cacheOp.getHeads() * hd;
  int64_t window = cacheOp.getWindow(), group = q.cols / width;
  Tensor y(q.rows, q.cols), seenK(q.rows, width), seenV(q.rows, width),
      seen(q.rows, 3);
  std::vector<double> p;
  for (int64_t r = 0; r < q.rows; ++r) {
    const Slot &slot = cache[int64_t(slots.data[r])];
    int64_t at = int64_t(positions.data[r]), end = at + 1;
    if (op.getEnd())
      end = std::max(end, int64_t(value(op.getEnd()).data[r]));
    int64_t begin = window ? std::max<int64_t>(0, at - window + 1) : 0;
    std::copy_n(std::initializer_list<double>{double(begin), double(end),
                                              double(window)}
                    .begin(),
                3, seen.row(r));
    for (int64_t pos = begin; pos < end; ++pos)
      if (pos >= int64_t(slot.written.size()) || !slot.written[pos])
        return op.emitError("reads position ")
               << pos << " before it is written";
    std::copy_n(&slot.k[at * width], width, seenK.row(r));
    std::copy_n(&slot.v[at * width], width, seenV.row(r));
    p.resize(size_t(end - begin));
    for (int64_t head = 0; head * hd < q.cols; ++head) {
      const double *query = q.row(r) + head * hd;
      const double *keys = &slot.k[begin * width + head / group * hd];
      const double *shown = &slot.v[begin * width + head / group * hd];
      for (size_t i = 0; i < p.size(); ++i)
        p[i] = dot(query, keys + int64_t(i) * width, hd);
      double most = *std::max_element(p.begin(), p.end()), sum = 0;
      double *out = y.row(r) + head * hd;
      for (size_t i = 0; i < p.size(); ++i) {
        double weight = std::exp(p[i] - most);
        const double *v = shown + int64_t(i) * width;
        sum += weight;
        for (int64_t j = 0; j < hd; ++j)
          out[j] += weight * v[j];
      }
      for (int64_t j = 0; j < hd; ++j)
        out[j] /= sum;
    }
  }
  observe(op, ".attn_out", ".k", seenK);
  observe(op, ".attn_out", ".v", seenV);
  observe(op, ".attn_out", ".seen", seen);
  return define(op.getResult(), std::move(y)), success();
}

LogicalResult Evaluator::run(gemma::GegluOp op) {
  const Tensor &g = value(op.getG()), &u = value(op.getU());
  Tensor y(g.rows, g.cols);
  for (size_t i = 0; i < y.data.size(); ++i)
    y.data[i] = gelu(g.data[i]) * u.data[i];
  return define(op.getResult(), std::move(y)), success();
}

LogicalResult Evaluator::run(gemma::AddOp op) {
  Tensor y = value(op.getLhs());
  const Tensor &rhs = value(op.getRhs());
  for (size_t i = 0; i < y.data.size(); ++i)
    y.data[i] += rhs.data[i];
  return define(op.getResult(), std::move(y)), success();
}

LogicalResult Evaluator::run(gemma::ScaleOp op) {
  double factor = op.getFactor() ? number(op.getFactorAttr()) : 1;
  if (op.getWeightAttr()) {
    const Tensor *w = weight(op, op.getWeightAttr());
    if (!w)
      return failure();
    factor *= w->data[0];
  }
  Tensor y = value(op.getX());
  for (double &each : y.data)
    each *= factor;
  return define(op.getResult(), std::move(y)), success();
}

LogicalResult Evaluator::run(gemma::ColumnsOp op) {
  const Tensor &x = value(op.getX());
  Tensor y(x.rows, columnsOf(op.getResult()));
  for (int64_t r = 0; r < y.rows; ++r)
    std::copy_n(x.row(r) + op.getRange()[0], y.cols, y.row(r));
  return define(op.getResult(), std::move(y)), success();
}

LogicalResult Evaluator::run(gemma::TakeOp op) {
  const Tensor &x = value(op.getX()), &index = value(op.getIndex());
  Tensor y(index.rows, x.cols);
  for (int64_t r = 0; r < y.rows; ++r) {
    int64_t from = int64_t(index.data[r]);
    if (from < 0 || from >= x.rows)
      return op.emitError("takes row ") << from << " of " << x.rows;
    std::copy_n(x.row(from), y.cols, y.row(r));
  }
  return define(op.getResult(), std::move(y)), success();
}

LogicalResult Evaluator::run(gemma::RouterOp op) {
  const Tensor *proj = weight(op, op.getProjAttr());
  const Tensor *scale = weight(op, op.getScaleAttr());
  if (!proj || !scale)
    return failure();
  const Tensor &x = value(op.getX());
  int64_t top = op.getTop();
  Tensor z(x.rows, x.cols), g(x.rows, proj->rows);
  for (int64_t r = 0; r < x.rows; ++r) {
    normalize(z.row(r), x.row(r), x.cols, number(op.getEpsAttr()),
              scale->row(0));
    for (int64_t i = 0; i < z.cols; ++i)
      z.row(r)[i] *= number(op.getFactorAttr());
  }
  multiply(g, z, *proj, 0);
  // The softmax's denominator cancels in prob / sum of the chosen.
  Tensor chosen(x.rows, top), ids(x.rows, top);
  for (int64_t r = 0; r < x.rows; ++r) {
    std::vector<int64_t> order = largest(g.row(r), g.cols, top);
    double sum = 0;
    for (int64_t j = 0; j < top; ++j) {
      ids.row(r)[j] = double(order[j]);
      chosen.row(r)[j] = std::exp(g.row(r)[order[j]] - g.row(r)[order[0]]);
      sum += chosen.row(r)[j];
    }
    for (int64_t j = 0; j < top; ++j)
      chosen.row(r)[j] /= sum;
  }
  observe(op, ".router", ".router_logits", g);
  observe(op, ".router", ".topk_index", ids);
  define(op.getWeights(), std::move(chosen));
  define(op.getIds(), std::move(ids));
  return success();
}

LogicalResult Evaluator::run(gemma::ExpertsOp op) {
  const Tensor *gateUp = weight(op, op.getGateUpAttr());
  const Tensor *down = weight(op, op.getDownAttr());
  const Tensor *perExpert = weight(op, op.getPerExpertAttr());
  if (!gateUp || !down || !perExpert)
    return failure();
  const Tensor &x = value(op.getX()), &ids = value(op.getIds());
  Tensor chosen = value(op.getWeights()), y(x.rows, x.cols);
  int64_t f = down->cols, d = x.cols;
  std::vector<double> act(static_cast<size_t>(f));
  for (int64_t r = 0; r < x.rows; ++r) {
    std::vector<std::pair<int64_t, int64_t>> order; // ascending id
    for (int64_t j = 0; j < ids.cols; ++j) {
      order.push_back({int64_t(ids.row(r)[j]), j});
      chosen.row(r)[j] *= perExpert->data[order.back().first];
    }
    std::sort(order.begin(), order.end());
    for (auto [e, j] : order) {
      for (int64_t i = 0; i < f; ++i)
        act[i] = gelu(dot(x.row(r), gateUp->row(e * 2 * f + i), d)) *
                 dot(x.row(r), gateUp->row(e * 2 * f + f + i), d);
      for (int64_t i = 0; i < d; ++i)
        y.row(r)[i] +=
            chosen.row(r)[j] * dot(act.data(), down->row(e * d + i), f);
    }
  }
  observe(op, ".experts_out", ".topk_weight", chosen);
  return define(op.getResult(), std::move(y)), success();
}

LogicalResult Evaluator::run(gemma::LogitsOp op) {
  const Tensor *w = weight(op, op.getWeightAttr());
  if (!w)
    return failure();
  const Tensor &x = value(op.getHidden());
  Tensor y(x.rows, w->rows);
  multiply(y, x, *w, 0);
  return define(op.getResult(), std::move(y)), success();
}

LogicalResult Evaluator::run(gemma::SoftcapOp op) {
  double cap = number(op.getCapAttr());
  Tensor y = value(op.getX());
  for (double &each : y.data)
    each = cap * std::tanh(each / cap);
  return define(op.getResult(), std::move(y)), success();
}

LogicalResult Evaluator::run(gemma::TopOp op) {
  const Tensor *w = weight(op, op.getWeightAttr());
  if (!w)
    return failure();
  const Tensor &x = value(op.getHidden());
  Tensor scores(x.rows, w->rows);
  multiply(scores, x, *w, 0);
  int64_t count = op.getCount();
  Tensor ids(x.rows, count), best(x.rows, count);
  for (int64_t r = 0; r < x.rows; ++r) {
    double *row = scores.row(r);
    std::vector<int64_t> in; // the ids that take part
    for (int64_t i = 0; i < w->rows; ++i)
      if (!op.getMask() ||
          (uint32_t(int64_t(value(op.getMask()).row(r)[i / 32])) >> i % 32 & 1))
        in.push_back(i);
    std::vector<double> part;
    for (int64_t i : in)
      part.push_back(row[i]);
    std::vector<int64_t> order =
        largest(part.data(), int64_t(part.size()), count);
    for (int64_t j = 0; j < count; ++j) {
      bool there = j < int64_t(order.size());
      double score = there ? part[order[j]] : -1e30;
      double cap = op.getCap() ? number(op.getCapAttr()) : 0;
      ids.row(r)[j] = there ? double(in[order[j]]) : -1;
      best.row(r)[j] = there && cap ? cap * std::tanh(score / cap) : score;
    }
  }
  define(op.getIds(), std::move(ids));
  define(op.getValues(), std::move(best));
  return success();
}

} // namespace gemmac::reference
