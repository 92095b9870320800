// See divergence.h.
#include "runtime/app/divergence.h"

#include <algorithm>
#include <cmath>

namespace gm {

double loss(const float *logits, int64_t vocab, int32_t target) {
  double best = *std::max_element(logits, logits + vocab), sum = 0;
  for (int64_t i = 0; i < vocab; ++i)
    sum += std::exp(double(logits[i]) - best);
  return std::log(sum) + best - double(logits[target]);
}

// With a = reference - max, b = logits - max, A = sum exp(a), B = sum exp(b):
// KL = sum exp(a) (a - b) / A - log A + log B.
RowCheck Divergence::add(const float *reference, const float *logits,
                         int64_t vocab, int32_t target) {
  const float *top = std::max_element(reference, reference + vocab),
              *own_top = std::max_element(logits, logits + vocab);
  const double most = *top, own_most = *own_top;
  double sum = 0, own_sum = 0, product = 0, bad = 0, own_bad = 0;
  for (int64_t i = 0; i < vocab; ++i) {
    double a = double(reference[i]) - most, b = double(logits[i]) - own_most;
    double p = std::exp(a), q = std::exp(b);
    sum += p;
    own_sum += q;
    if (p > 0)
      product += p * (a - b);
    // 0 unless the logit is NaN or infinite; -inf of a reference may be.
    bad += p > 0 ? 0 * a : p;
    own_bad += 0 * b;
  }
  if (!std::isfinite(most) || bad != 0)
    return RowCheck::ReferenceNotFinite;
  if (!std::isfinite(own_most) || own_bad != 0)
    return RowCheck::NotFinite;
  // Rounding can leave equal rows a little below 0.
  keep(std::max(0.0, product / sum - std::log(sum) + std::log(own_sum)));
  same += top - reference == own_top - logits;
  if (target >= 0) {
    ++targets;
    own += std::log(own_sum) + own_most - double(logits[target]);
    others += std::log(sum) + most - double(reference[target]);
  }
  return RowCheck::Fine;
}

void Divergence::keep(double x) {
  sum_kl += x;
  most_kl = std::max(most_kl, x);
  if (count++ % stride)
    return;
  if (kl.size() == KEPT) {
    for (size_t i = 0; i < KEPT / 2; ++i)
      kl[i] = kl[2 * i];
    kl.resize(KEPT / 2);
    stride *= 2;
  }
  kl.push_back(x);
}

double Divergence::mean() const { return count ? sum_kl / double(count) : 0; }

double Divergence::quantile(double q) const {
  if (kl.empty() || q == 1)
    return most_kl;
  std::vector<double> sorted = kl;
  std::sort(sorted.begin(), sorted.end());
  double at = q * double(sorted.size() - 1);
  size_t low = size_t(at), high = std::min(low + 1, sorted.size() - 1);
  return sorted[low] + (at - double(low)) * (sorted[high] - sorted[low]);
}

double Divergence::same_top() const {
  return count ? double(same) / double(count) : 0;
}

double Divergence::perplexity_ratio() const {
  return targets ? std::exp((own - others) / double(targets)) : 1;
}

} // namespace gm
