// From logits to a token: HF's order (suppressed ids are masked before this,
// then temperature, top-k, top-p, draw), and min-p last. All sums in double and
// in a fixed order, so equal logits and seeds give equal tokens anywhere.
#include "runtime/abi.h"
#include "runtime/gemma.h"

#include <algorithm>
#include <cmath>

namespace gm {

uint64_t Random::next() {
  uint64_t x = state += 0x9E3779B97F4A7C15ull;
  x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9ull;
  x = (x ^ x >> 27) * 0x94D049BB133111EBull;
  return x ^ x >> 31;
}

static double weight(const Candidate &c, const Candidate &best,
                     double temperature) {
  return std::exp((double(c.value) - double(best.value)) / temperature);
}

int32_t sample(Candidate *sorted, int64_t count, const Sampling &sampling,
               Random &random) {
  if (count <= 0)
    return -1;
  if (sampling.temperature <= 0)
    return sorted[0].id;
  if (sampling.top_k > 0)
    count = std::min(count, sampling.top_k);

  double sum = 0;
  for (int64_t i = 0; i < count; ++i)
    sum += weight(sorted[i], sorted[0], sampling.temperature);
  // Top-p keeps the shortest prefix whose probability reaches top_p; min-p
  // those with at least min_p of the best one's probability, also a prefix.
  double kept = 0;
  int64_t n = 0;
  while (n < count) {
    double w = weight(sorted[n], sorted[0], sampling.temperature);
    if (n > 0 && ((sampling.top_p < 1 && kept >= sampling.top_p * sum) ||
                  w < sampling.min_p))
      break;
    kept += w;
    ++n;
  }
  double left = random.uniform() * kept;
  for (int64_t i = 0; i < n; ++i) {
    left -= weight(sorted[i], sorted[0], sampling.temperature);
    if (left < 0)
      return sorted[i].id;
  }
  return sorted[n - 1].id;
}

int32_t sample_top(const int32_t *ids, const float *values,
                   const Sampling &sampling, Random &random) {
  Candidate list[GM_TOP];
  int64_t n = 0;
  while (n < GM_TOP && ids[n] >= 0) {
    list[n] = {values[n], ids[n]};
    ++n;
  }
  return sample(list, n, sampling, random);
}

int32_t sample_logits(const float *logits, int64_t vocab, const uint32_t *mask,
                      const Sampling &sampling, Random &random,
                      Candidate *scratch) {
  int64_t n = 0;
  for (int64_t i = 0; i < vocab; ++i)
    if (!mask || mask[i / 32] >> (i % 32) & 1)
      scratch[n++] = {logits[i], int32_t(i)};
  auto better = [](const Candidate &a, const Candidate &b) {
    return a.value > b.value || (a.value == b.value && a.id < b.id);
  };
  int64_t wanted = sampling.temperature <= 0 ? 1
                   : sampling.top_k > 0      ? sampling.top_k
                                             : n;
  wanted = std::min(wanted, n);
  std::partial_sort(scratch, scratch + wanted, scratch + n, better);
  return sample(scratch, wanted, sampling, random);
}

int32_t top_wanted(const Sampling &sampling) {
  return sampling.temperature <= 0 ? 1
         : sampling.top_k > 0
             ? int32_t(std::min<int64_t>(sampling.top_k, GM_TOP))
             : GM_TOP;
}

bool top_is_enough(const Sampling &sampling) {
  return sampling.temperature <= 0 ||
         (sampling.top_k > 0 && sampling.top_k <= GM_TOP);
}

} // namespace gm
