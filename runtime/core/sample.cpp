// From logits to a token: HF's order (suppressed ids are masked before this,
// then temperature, top-k, top-p, draw), and min-p last. All sums in double and
// in a fixed order, so equal logits and seeds give equal tokens anywhere.
#include "runtime/abi.h"
#include "runtime/gemma.h"

#include <algorithm>
#include <bit>
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

// `sum` is that of the weights of all that top-p counts.
static int32_t draw(const Candidate *sorted, int64_t count, double sum,
                    const Sampling &sampling, Random &random) {
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

int32_t sample(Candidate *sorted, int64_t count, const Sampling &sampling,
               Random &random) {
  if (count <= 0)
    return NO_TOKEN;
  if (sampling.temperature <= 0)
    return sorted[0].id;
  if (sampling.top_k > 0)
    count = std::min(count, sampling.top_k);
  double sum = 0;
  for (int64_t i = 0; i < count; ++i)
    sum += weight(sorted[i], sorted[0], sampling.temperature);
  return draw(sorted, count, sum, sampling, random);
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

static bool better(const Candidate &a, const Candidate &b) {
  return a.value > b.value || (a.value == b.value && a.id < b.id);
}

// e^x for x <= 0 within 2 units in the last place; 0 where that is below
// 1e-300. Plain arithmetic: the same bits on every machine, and the compiler
// makes vectors of it.
static inline double exp_of(double x) {
  const double round = 0x1.8p52; // adding it leaves whole numbers
  double least = std::max(x, -690.0);
  double k = least * 0x1.71547652b82fep0 + round;
  double whole = k - round;
  double r =
      (least - whole * 0x1.62e42fefa3800p-1) - whole * 0x1.ef35793c76730p-45;
  double p = 1.0 / 479001600;
  for (double c :
       {1.0 / 39916800, 1.0 / 3628800, 1.0 / 362880, 1.0 / 40320, 1.0 / 5040,
        1.0 / 720, 1.0 / 120, 1.0 / 24, 1.0 / 6, 0.5, 1.0, 1.0})
    p = p * r + c;
  uint64_t bits = std::bit_cast<uint64_t>(k) << 52; // 2^whole, less the bias
  double power = std::bit_cast<double>(bits + (1023ull << 52));
  return x < -690 ? 0 : p * power;
}

// Draws from all candidates, which are in no order: two passes instead of
// sorting a vocabulary.
static int32_t sample_all(Candidate *list, int64_t n, float best,
                          const Sampling &sampling, Random &random) {
  enum : int64_t { BLOCK = 8192, BLOCKS = (1 << 24) / BLOCK }; // of any model
  double block[BLOCKS], sum = 0;
  const double scale = std::min(1 / sampling.temperature, 1e300);
  auto weigh = [&](const Candidate &c) {
    return exp_of((double(c.value) - double(best)) * scale);
  };
  for (int64_t b = 0; b * BLOCK < n; ++b) {
    // Four sums, so that additions do not wait for each other.
    double part[4] = {};
    int64_t i = b * BLOCK, end = std::min(n, i + BLOCK);
    for (; i + 4 <= end; i += 4)
      for (int j = 0; j < 4; ++j)
        part[j] += weigh(list[i + j]);
    for (; i < end; ++i)
      part[0] += weigh(list[i]);
    sum += block[b] = (part[0] + part[1]) + (part[2] + part[3]);
  }
  // All below this together have less than 1 - top_p: none is in the prefix.
  double least =
      sampling.top_p < 1 ? (1 - sampling.top_p) * sum / double(n) : 0;
  least = std::max(least * (1 - 1e-9), sampling.min_p * (1 - 1e-9));
  if (least > 0) {
    Candidate *end = std::partition(
        list, list + n, [&](const Candidate &c) { return weigh(c) >= least; });
    std::sort(list, end, better);
    return draw(list, end - list, sum, sampling, random);
  }
  double left = random.uniform() * sum;
  int64_t b = 0;
  while ((b + 1) * BLOCK < n && left >= block[b])
    left -= block[b++];
  int64_t last = b * BLOCK, end = std::min(n, last + BLOCK);
  for (int64_t i = last; i < end; ++i) {
    double w = weigh(list[i]);
    if (w > 0)
      last = i;
    left -= w;
    if (left < 0)
      break;
  }
  return list[last].id;
}

int32_t sample_logits(const float *logits, int64_t vocab, const uint32_t *mask,
                      const Sampling &sampling, Random &random,
                      Candidate *scratch) {
  int64_t n = 0, first = 0;
  bool numbers = true;
  for (int64_t i = 0; i < vocab; ++i)
    if (!mask || mask[i / 32] >> (i % 32) & 1) {
      numbers &= logits[i] < INFINITY; // false for NaN
      scratch[n] = {logits[i], int32_t(i)};
      first = scratch[n].value > scratch[first].value ? n : first;
      ++n;
    }
  if (!numbers)
    return NOT_FINITE;
  if (n == 0 || scratch[first].value == -INFINITY)
    return NO_TOKEN;
  if (sampling.temperature <= 0)
    return scratch[first].id;
  if (sampling.top_k <= 0 || sampling.top_k >= n)
    return sample_all(scratch, n, scratch[first].value, sampling, random);
  Candidate *end = scratch + sampling.top_k;
  if (sampling.top_k > 1024) { // a heap of so many is slower
    std::nth_element(scratch, end, scratch + n, better);
    std::sort(scratch, end, better);
  } else {
    std::partial_sort(scratch, end, scratch + n, better);
  }
  return sample(scratch, sampling.top_k, sampling, random);
}

int32_t top_wanted(const Sampling &sampling) {
  return sampling.temperature <= 0 ? 1
         : top_is_enough(sampling) ? int32_t(sampling.top_k)
                                   : GM_TOP;
}

bool top_is_enough(const Sampling &sampling) {
  return sampling.temperature <= 0 ||
         (sampling.top_k > 0 && sampling.top_k <= GM_TOP);
}

} // namespace gm
