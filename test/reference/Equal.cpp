// evaluate(before) = evaluate(after).
#include "test/reference/Equal.h"

#include "llvm/Support/Format.h"
#include "llvm/Support/raw_ostream.h"

#include <algorithm>
#include <cmath>

using namespace mlir;

namespace gemmac::reference {
namespace {

// Relative to the largest value of `a`; infinite if shapes differ.
double difference(const Tensor &a, const Tensor &b) {
  if (a.rows != b.rows || a.cols != b.cols)
    return INFINITY;
  double most = 0, size = 1e-300;
  for (size_t i = 0; i < a.data.size(); ++i) {
    double d = std::fabs(a.data[i] - b.data[i]);
    most = std::isnan(d) ? INFINITY : std::max(most, d);
    size = std::max(size, std::fabs(a.data[i]));
  }
  return most / size;
}

// Rows of two sequences in turn, 30 + 17 of them; ids spread over the
// vocabulary. With `soft` > 0 columns of soft rows, rows 4 to 9 and 11 to 13 of
// each are blocks of such (which the model may take for causal).
std::vector<Step> steps(int64_t vocab, int64_t soft) {
  Step prefill, decode;
  prefill.soft.cols = decode.soft.cols = soft;
  auto add = [&](Step &step, int64_t slot, int64_t pos) {
    step.ids.push_back((7 + 31 * pos + 17 * slot * (pos + 1)) % vocab);
    step.slots.push_back(slot);
    step.positions.push_back(pos);
    const int64_t end = pos >= 4 && pos < 10   ? 10
                        : pos > 10 && pos < 14 ? 14
                                               : 0;
    step.ends.push_back(soft ? end : 0);
    if (!soft || !end)
      return;
    step.ids.back() = -1 - step.soft.rows++;
    for (int64_t i = 0; i < soft; ++i)
      step.soft.data.push_back(std::sin(double(3 * i + 5 * pos + 7 * slot)));
  };
  for (int64_t i = 0; i < 30; ++i) {
    add(prefill, 0, i);
    if (i < 17)
      add(prefill, 1, i);
  }
  prefill.want = {46, 3, 12};
  add(decode, 1, 17);
  add(decode, 0, 30);
  add(decode, 1, 18);
  decode.want = {0, 1, 2};
  return {prefill, decode};
}

// @top must list the logits in descending order.
bool checkTop(Runner &runner, const Output &output) {
  FailureOr<std::vector<Tensor>> top = runner.top(output.hidden);
  if (failed(top))
    return false;
  const Tensor &ids = (*top)[0], &values = (*top)[1];
  for (int64_t r = 0; r < ids.rows; ++r) {
    std::vector<double> sorted(output.logits.row(r),
                               output.logits.row(r) + output.logits.cols);
    std::sort(sorted.rbegin(), sorted.rend());
    for (int64_t j = 0; j < std::min(ids.cols, output.logits.cols); ++j) {
      int64_t id = int64_t(ids.row(r)[j]);
      if (id < 0 || id >= output.logits.cols ||
          std::fabs(values.row(r)[j] - sorted[j]) > 1e-9 ||
          std::fabs(output.logits.row(r)[id] - sorted[j]) > 1e-9) {
        llvm::outs() << "top: row " << r << " entry " << j << " is id " << id
                     << ": FAILED\n";
        return false;
      }
    }
  }
  return true;
}

} // namespace

bool runEqual(ModuleOp before, ModuleOp after, const WeightSource &weights,
              double tolerance) {
  auto config = before->getAttrOfType<gemma::ConfigAttr>(gemma::configAttr);
  auto vocab =
      config ? config.getEntries().getAs<IntegerAttr>("vocab") : IntegerAttr();
  if (!vocab)
    return before.emitError("gemma.config says no vocab"), false;
  auto hidden = config.getEntries().getAs<IntegerAttr>("hidden");
  const bool takesSoft = hidden && config.getEntries().get("soft_rows");
  Runner first(before, weights), second(after, weights);
  double worst = 0;
  for (const Step &step :
       steps(vocab.getInt(), takesSoft ? hidden.getInt() : 0)) {
    FailureOr<Output> a = first.step(step), b = second.step(step);
    if (failed(a) || failed(b))
      return false;
    worst = std::max({worst, difference(a->hidden, b->hidden),
                      difference(a->logits, b->logits)});
    if (second.has("top") && !checkTop(second, *b))
      return false;
  }
  bool good = worst <= tolerance;
  llvm::outs() << "equal: " << llvm::format("%.2e", worst)
               << (good ? "\n" : ": FAILED\n");
  return good;
}

} // namespace gemmac::reference
