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

// Draws from all of a list, in passes over it instead of by sorting a
// vocabulary. Which one depends on the list's order, how often does not.
static int32_t sample(Candidate *list, int64_t n, Candidate best,
                      const Sampling &sampling, Random &random) {
  const double scale = std::min(1 / sampling.temperature, 1e300);
  auto weigh = [&](const Candidate &c) {
    return exp_of((double(c.value) - double(best.value)) * scale);
  };
  auto total = [&](const Candidate *at, const Candidate *end) {
    double part[4] = {}; // so that additions do not wait for each other
    for (; end - at >= 4; at += 4)
      for (int j = 0; j < 4; ++j)
        part[j] += weigh(at[j]);
    for (; at < end; ++at)
      part[0] += weigh(*at);
    return (part[0] + part[1]) + (part[2] + part[3]);
  };
  // Moves those of at least that weight to the front.
  auto cut = [&](Candidate *end, double weight) {
    double low = double(best.value) + std::log(weight) / scale;
    return std::partition(
        list, end, [&](const Candidate &c) { return double(c.value) >= low; });
  };
  Candidate *end = list + n;
  double kept = total(list, end);
  if (sampling.top_p < 1) {
    // All below `least` together have less than 1 - top_p.
    double target = std::max(sampling.top_p * kept, 1e-300), // the best one
        least = (1 - sampling.top_p) * kept / double(n) * (1 - 1e-9);
    Candidate *left = list, *right = cut(end, least);
    // The end of the shortest prefix, in the order of `better`, that reaches
    // the target: in front of `left` stand those known to be in it, which have
    // `kept`, and from `right` on those that are not.
    kept = 0;
    while (left < right) {
      Candidate *pivot = left + (right - left) / 2;
      std::swap(*pivot, right[-1]);
      pivot = std::partition(left, right - 1, [&](const Candidate &c) {
        return better(c, right[-1]);
      });
      std::swap(*pivot, right[-1]);
      double more = total(left, pivot);
      if (kept + more >= target) {
        right = pivot;
        continue;
      }
      kept += more + weigh(*pivot);
      left = pivot + 1;
      if (kept >= target)
        break;
    }
    end = left;
  }
  if (sampling.min_p > 0) {
    end = cut(end, sampling.min_p);
    kept = total(list, end);
  }
  double rest = random.uniform() * kept;
  int32_t id = best.id;
  const Candidate *c = list;
  for (double block; end - c > 1024; c += 1024, rest -= block)
    if (block = total(c, c + 1024); block > rest)
      break;
  for (; c < end && rest >= 0; ++c)
    if (double w = weigh(*c); w > 0)
      rest -= w, id = c->id;
  return id;
}

int32_t sample_top(const int32_t *ids, const float *values,
                   const Sampling &sampling, Random &random) {
  Candidate list[GM_TOP];
  int64_t n = 0;
  const int64_t most = top_wanted(sampling);
  while (n < most && ids[n] >= 0) {
    list[n] = {values[n], ids[n]};
    ++n;
  }
  if (n == 0 || sampling.temperature <= 0)
    return n ? ids[0] : NO_TOKEN;
  return sample(list, n, list[0], sampling, random);
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
  const Candidate best = scratch[first];
  if (sampling.top_k > 0 && sampling.top_k < n) {
    Candidate *end = scratch + sampling.top_k;
    if (sampling.top_k > 1024) // a heap of so many is slower
      std::nth_element(scratch, end, scratch + n, better);
    else
      std::partial_sort(scratch, end, scratch + n, better);
    n = sampling.top_k;
  }
  return sample(scratch, n, best, sampling, random);
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
