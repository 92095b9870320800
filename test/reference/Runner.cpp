// Step arrays and the order of segments.
#include "test/reference/Runner.h"

#include <algorithm>
#include <cmath>
#include <numeric>

using namespace mlir;

namespace gemmac::reference {
namespace {

Tensor column(const std::vector<int64_t> &list) {
  Tensor t(int64_t(list.size()), 1);
  std::copy(list.begin(), list.end(), t.data.begin());
  return t;
}

Tensor rowsOf(const Tensor &x, const std::vector<int64_t> &rows) {
  Tensor y(int64_t(rows.size()), x.cols);
  for (int64_t r = 0; r < y.rows; ++r)
    std::copy_n(x.row(rows[r]), x.cols, y.row(r));
  return y;
}

std::vector<int64_t> chosen(const std::vector<int64_t> &list,
                            const std::vector<int64_t> &rows) {
  std::vector<int64_t> result;
  for (int64_t row : rows)
    result.push_back(list[size_t(row)]);
  return result;
}

} // namespace

func::FuncOp Runner::find(StringRef segment) {
  for (func::FuncOp function : module.getOps<func::FuncOp>())
    if (auto name = function->getAttrOfType<StringAttr>(gemma::segmentAttr))
      if (name == segment)
        return function;
  return {};
}

// cos and sin of p * theta^(-2i/dim), computed in double and rounded once to
// f32, as the program's runtime does.
FailureOr<Tensor> Runner::ropeTable(StringRef name, const Step &step) {
  auto config = module->getAttrOfType<gemma::ConfigAttr>(gemma::configAttr);
  auto rope = config ? config.getEntries().getAs<DictionaryAttr>(name)
                     : DictionaryAttr();
  auto theta = rope ? rope.getAs<FloatAttr>("theta") : FloatAttr();
  auto dim = rope ? rope.getAs<IntegerAttr>("dim") : IntegerAttr();
  auto pairs = rope ? rope.getAs<IntegerAttr>("pairs") : IntegerAttr();
  if (!theta || !dim || !pairs)
    return module.emitError("gemma.config says no theta, dim and pairs of ")
               << name,
           failure();
  Tensor table(int64_t(step.positions.size()), 2 * pairs.getInt());
  for (int64_t r = 0; r < table.rows; ++r)
    for (int64_t i = 0; i < pairs.getInt(); ++i) {
      double frequency = std::pow(theta.getValueAsDouble(),
                                  -2.0 * double(i) / double(dim.getInt()));
      double angle = double(step.positions[r] + step.ropeOffset) * frequency;
      double *pair = table.row(r) + 2 * i;
      pair[0] = exactRope ? std::cos(angle) : roundToF32(std::cos(angle));
      pair[1] = exactRope ? std::sin(angle) : roundToF32(std::sin(angle));
    }
  return table;
}

FailureOr<Runner::Arguments> Runner::arguments(const Step &step) {
  FailureOr<Tensor> local = ropeTable("rope_local", step);
  FailureOr<Tensor> global = ropeTable("rope_global", step);
  if (failed(local) || failed(global))
    return failure();
  std::vector<int64_t> ends = step.ends;
  ends.resize(step.ids.size());
  return Arguments{{"ids", column(step.ids)},
                   {"slot", column(step.slots)},
                   {"pos", column(step.positions)},
                   {"rope_local", std::move(*local)},
                   {"rope_global", std::move(*global)},
                   {"soft", step.soft},
                   {"end", column(ends)}};
}

FailureOr<Output> Runner::step(const Step &step) {
  FailureOr<Arguments> all = arguments(step);
  if (failed(all))
    return failure();
  if (func::FuncOp whole = find("step")) {
    FailureOr<std::vector<Tensor>> results = evaluator.run(whole, *all);
    if (failed(results))
      return failure();
    return Output{rowsOf((*results)[0], step.want),
                  rowsOf((*results)[1], step.want)};
  }
  func::FuncOp body = find("body"), tail = find("tail"),
               logits = find("logits");
  if (!body || !tail || !logits)
    return module.emitError("has neither a step nor body, tail and logits"),
           failure();
  FailureOr<std::vector<Tensor>> resid = evaluator.run(body, *all);
  Step wanted{chosen(step.ids, step.want),
              chosen(step.slots, step.want),
              chosen(step.positions, step.want),
              {},
              step.ropeOffset,
              step.soft,
              step.ends.empty() ? step.ends : chosen(step.ends, step.want)};
  FailureOr<Arguments> few = arguments(wanted);
  if (failed(resid) || failed(few))
    return failure();
  (*few)["resid"] = std::move((*resid)[0]);
  (*few)["want"] = column(step.want);
  FailureOr<std::vector<Tensor>> hidden = evaluator.run(tail, *few);
  if (failed(hidden))
    return failure();
  FailureOr<std::vector<Tensor>> scores =
      evaluator.run(logits, {{"hidden", (*hidden)[0]}});
  if (failed(scores))
    return failure();
  return Output{std::move((*hidden)[0]), std::move((*scores)[0])};
}

int64_t Runner::hidden() {
  auto config = module->getAttrOfType<gemma::ConfigAttr>(gemma::configAttr);
  auto size =
      config ? config.getEntries().getAs<IntegerAttr>("hidden") : IntegerAttr();
  return size ? size.getInt() : 0;
}

FailureOr<std::vector<Tensor>> Runner::top(const Tensor &hidden) {
  auto config = module->getAttrOfType<gemma::ConfigAttr>(gemma::configAttr);
  auto vocab =
      config ? config.getEntries().getAs<IntegerAttr>("vocab") : IntegerAttr();
  Tensor mask(hidden.rows, vocab ? (vocab.getInt() + 31) / 32 : 1);
  std::fill(mask.data.begin(), mask.data.end(), double(0xffffffff));
  return evaluator.run(find("top"), {{"hidden", hidden}, {"mask", mask}});
}

std::vector<int64_t> blockEnds(const std::vector<int64_t> &types,
                               int64_t first) {
  std::vector<int64_t> ends(types.size());
  for (size_t r = types.size(); r-- > 0;) {
    bool goesOn = r + 1 < types.size() && types[r + 1] == types[r];
    if (types[r] != 0 && types[r] != 3)
      ends[r] = goesOn ? ends[r + 1] : first + int64_t(r) + 1;
  }
  return ends;
}

Step sequence(std::vector<int64_t> ids, int64_t first, int64_t slot) {
  Step step;
  size_t n = ids.size();
  step.ids = std::move(ids);
  step.slots.assign(n, slot);
  step.positions.resize(n);
  std::iota(step.positions.begin(), step.positions.end(), first);
  step.want.resize(n);
  std::iota(step.want.begin(), step.want.end(), 0);
  return step;
}

} // namespace gemmac::reference
