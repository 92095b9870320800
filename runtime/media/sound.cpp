// See sound.h. The filter was found by measuring what soxr makes of impulses.
// It behaves as a chain of filters, each a sinc under a Kaiser window: halvings
// while the rate is 4 times too high, a steep one at the lower of the two rates
// and, for ratios that are no small fractions, a short one that finds samples
// between samples and whose slow slope begins inside the band. A sound notices
// their product (Kernel) and that each of them begins at time 0
// (lost_at_start). The numbers in chain_of are fits to impulse responses, which
// they meet to about 1e-7; test/tools/check_resampler.py compares whole sounds.
#include "runtime/media/sound.h"

#include "runtime/media/limits.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>
#include <optional>

namespace gm::media {
namespace {

// Times are in samples of the lower rate, frequencies in its Nyquist frequency.
struct Sinc {
  double half = 0; // its window ends at -half and half
  double cut = 1;  // frequency where the amplitude is 0.5
  double beta = 0; // of the window
};

// Modified Bessel function of the first kind, order 0.
double bessel(double x) {
  double sum = 1, term = 1;
  for (int k = 1; term > sum * 1e-17; ++k) {
    term *= (x / 2 / k) * (x / 2 / k);
    sum += term;
  }
  return sum;
}

double value(const Sinc &sinc, double t) {
  const double u = t / sinc.half;
  if (u <= -1 || u >= 1)
    return 0;
  const double angle = std::numbers::pi * sinc.cut * t;
  const double wave = angle == 0 ? 1 : std::sin(angle) / angle;
  return sinc.cut * wave * bessel(sinc.beta * std::sqrt(1 - u * u)) /
         bessel(sinc.beta);
}

// A filter and the grid of its outputs, per sample of the lower rate; the last
// one's are the sound's.
struct Stage {
  Sinc filter;
  double grid = 1;
};

struct Chain {
  std::vector<Stage> stages; // in their order
  size_t halvings = 0;       // of them, the first
  size_t steep = 0;          // which of them is steep
  // Which of them, before or behind it, finds samples in between.
  std::optional<size_t> soft;
};

// The least number that is 1 more than a multiple of 4.
double odd_taps(double at_least) {
  return 4 * std::ceil((at_least - 1) / 4) + 1;
}

// The short filter, which finds samples between those of its input: `grid` of
// them per one of the lower rate, at `phases` places.
Sinc soft_filter(double taps, double cut, double grid, int64_t phases) {
  return {(taps / 2 - 0.25 / double(phases) + 0.002) / grid, cut, 14.067};
}

// Five places are kept as ten, of which every other one is used.
int64_t ten_for_five(int64_t phases) { return phases == 5 ? 10 : phases; }

Chain chain_of(int64_t rate) {
  Chain chain;
  double ratio = double(rate) / double(kRate);
  int64_t halved = kRate; // Hz, of the output, had nothing been halved
  for (; ratio >= 4; ratio /= 2, halved *= 2)
    ++chain.halvings;
  const int64_t common = std::gcd(halved, rate);
  const int64_t up = halved / common, down = rate / common;

  Stage steep, soft;
  bool has_soft = true, soft_first = false;
  double fine; // grid on which the steep filter has its taps
  if (std::max(up, down) <= 4 || up * down < 6) {
    has_soft = false;
    fine = double(std::max(up, down));
  } else if (ratio > 1.5 && ratio < 2) {
    soft_first = true;
    fine = soft.grid = 2;
    const int64_t phases = ten_for_five(2 * kRate / std::gcd(2 * kRate, rate));
    soft.filter =
        soft_filter(std::floor(7.5 * ratio) + 1, 1.80678, ratio, phases);
  } else {
    fine = steep.grid = ratio < 1 ? 2 : ratio < 1.5 ? 2 * ratio : ratio;
    int64_t phases = up / std::gcd(up, ratio < 1.5 ? 2 * down : down);
    if (ratio < 1)
      phases = ten_for_five(phases);
    // The farther away what the filter must stop, the fewer taps.
    const double taps = 2 * std::ceil(7.835 / (1 - 0.9556 / fine) / 2);
    soft.filter = soft_filter(ratio < 1 ? 15 : taps,
                              1.81786 + 0.856114 * (fine - 2), fine, phases);
  }
  // More filters in a row must each be better.
  const size_t count = (chain.halvings + 1) * (has_soft ? 2 : 1);
  const double more = std::log2(double(count));
  const double taps = 193.1 + more * (9.2 + 0.2 * more);
  steep.filter = {odd_taps(taps * fine + 1) / (2 * fine), 0.956872,
                  13.04 + 0.6715 * more};

  for (double r = double(rate) / double(kRate); r >= 4; r /= 2)
    chain.stages.push_back({count < 4 ? Sinc{17.27 / r, r / 2, 13.31}
                                      : Sinc{19.47 / r, r / 2, 15.02},
                            r / 2});
  chain.steep = chain.stages.size() + soft_first;
  if (has_soft)
    chain.soft = chain.stages.size() + !soft_first;
  if (soft_first)
    chain.stages.push_back(soft);
  chain.stages.push_back(steep);
  if (has_soft && !soft_first)
    chain.stages.push_back(soft);
  return chain;
}

// The whole chain as one even function of time, tabulated. What is halved first
// does not show in it: those filters leave the band alone.
class Kernel {
public:
  explicit Kernel(const Chain &chain) {
    const Sinc &steep = chain.stages[chain.steep].filter;
    const int64_t ends = int64_t(std::ceil(steep.half * kFine));
    std::vector<double> values(static_cast<size_t>(ends + 1));
    for (int64_t i = 0; i <= ends; ++i)
      values[size_t(i)] = value(steep, double(i) / kFine);
    auto at = [&](int64_t i) {
      i = std::abs(i);
      return i <= ends ? values[size_t(i)] : 0.0;
    };
    // What the steep filter leaves has no frequency above 1, so the soft one,
    // which has none above 7, may be sampled every 1/8.
    constexpr int64_t step = kFine / 8;
    std::vector<double> soft = {1};
    if (chain.soft) {
      const Sinc &sinc = chain.stages[*chain.soft].filter;
      soft[0] = value(sinc, 0);
      for (int k = 1; k < 8 * sinc.half; ++k)
        soft.push_back(value(sinc, k / 8.0));
    }
    double sum = -soft[0];
    for (double s : soft)
      sum += 2 * s;
    const int64_t reach = ends + step * int64_t(soft.size() - 1);
    table.assign(size_t(reach + 4), 0);
    for (int64_t i = 0; i <= reach; ++i) {
      double all = soft[0] * at(i);
      for (size_t k = 1; k < soft.size(); ++k)
        all +=
            soft[k] * (at(i - step * int64_t(k)) + at(i + step * int64_t(k)));
      table[size_t(i)] = all / sum;
    }
    half = double(reach) / kFine;
  }

  // By the cubic through the four values around t.
  double operator()(double t) const {
    t = std::fabs(t);
    if (t >= half)
      return 0;
    const double at = t * kFine;
    const size_t i = size_t(at);
    const double x = at - double(i);
    const double a = table[i ? i - 1 : 1], b = table[i], c = table[i + 1],
                 d = table[i + 2];
    return b +
           0.5 * x *
               (c - a +
                x * (2 * a - 5 * b + 4 * c - d + x * (3 * (b - c) + d - a)));
  }

  double half = 0; // 0 from here on

private:
  static constexpr int64_t kFine = 512;
  std::vector<double> table; // at i / kFine
};

// The kernel at the phases that outputs have against inputs.
class Phases {
public:
  Phases(int64_t rate, const Kernel &kernel) {
    const int64_t common = std::gcd(rate, kRate);
    const double ratio = std::max(1.0, double(rate) / double(kRate));
    reach = int64_t(std::ceil(kernel.half * ratio));
    // All phases where they are few, else as many as a million weights allow,
    // between which weights go straight.
    constexpr int64_t most = int64_t(1) << 20;
    count = kRate / common;
    exact = count * 2 * reach <= most;
    if (!exact)
      count = std::max<int64_t>(most / (2 * reach), 64);
    weights.resize(size_t((count + 1) * 2 * reach));
    float *to = weights.data();
    for (int64_t phase = 0; phase <= count; ++phase)
      for (int64_t k = 1 - reach; k <= reach; ++k)
        *to++ =
            float(kernel((double(k) - double(phase) / double(count)) / ratio) /
                  ratio);
  }

  // The sound at input sample `base` + rest / parts.
  float at(const float *from, int64_t samples, int64_t base, int64_t rest,
           int64_t parts) const {
    const int64_t begin = std::max<int64_t>(0, base + 1 - reach);
    const int64_t end = std::min(samples, base + 1 + reach);
    if (begin >= end)
      return 0;
    const int64_t skip = begin - (base + 1 - reach);
    const int64_t phase = rest * count / parts;
    const float *w = weights.data() + phase * 2 * reach + skip;
    const float one = dot(from + begin, w, end - begin);
    if (exact)
      return one;
    const float two = dot(from + begin, w + 2 * reach, end - begin);
    const double between = double(rest * count % parts) / double(parts);
    return float(double(one) + between * (double(two) - double(one)));
  }

private:
  static float dot(const float *a, const float *b, int64_t count) {
    float sum[8] = {};
    int64_t i = 0;
    for (; i + 8 <= count; i += 8)
      for (int lane = 0; lane < 8; ++lane)
        sum[lane] += a[i + lane] * b[i + lane];
    for (int lane = 0; i < count; ++i, ++lane)
      sum[lane] += a[i] * b[i];
    return ((sum[0] + sum[4]) + (sum[2] + sum[6])) +
           ((sum[1] + sum[5]) + (sum[3] + sum[7]));
  }

  int64_t count = 0; // of phases in one input sample
  int64_t reach = 0; // 2 * reach weights per phase
  bool exact = true;
  std::vector<float> weights; // (count + 1, 2 * reach)
};

// What the chain lacks at the sound's start against one filter, for its first
// outputs: each stage's outputs begin at time 0, so that the next one never
// sees what a filter without delay puts out before.
std::vector<double> lost_at_start(const Chain &chain, const Kernel &kernel,
                                  const float *from, int64_t samples,
                                  int64_t rate) {
  const double ratio = std::max(1.0, double(rate) / double(kRate));
  const double step = std::min(1.0, double(rate) / double(kRate));
  std::vector<std::vector<double>> lost; // per stage, at -1 / grid, -2 / grid
  std::vector<double> outputs;
  for (size_t s = 0; s + 1 < chain.stages.size(); ++s) {
    const auto &[filter, grid] = chain.stages[s];
    lost.emplace_back();
    for (int64_t i = 1; double(i) < filter.half * grid; ++i) {
      const double t = -double(i) / grid;
      double sum = 0;
      for (int64_t k = 0; k < samples && t - double(k) / ratio > -filter.half;
           ++k)
        sum += value(filter, t - double(k) / ratio) * from[k] / ratio;
      for (size_t p = 0; p < s; ++p)
        for (size_t j = 0; j < lost[p].size(); ++j)
          sum -= value(filter, t + double(j + 1) / chain.stages[p].grid) *
                 lost[p][j] / chain.stages[p].grid;
      lost[s].push_back(sum);
    }
    const bool whole = s < chain.halvings;
    const Sinc &last = chain.stages.back().filter;
    const double reach = whole ? kernel.half : last.half;
    for (int64_t m = 0; double(m) * step < reach; ++m) {
      if (outputs.size() <= size_t(m))
        outputs.push_back(0);
      for (size_t j = 0; j < lost[s].size(); ++j) {
        const double t = double(m) * step + double(j + 1) / grid;
        outputs[size_t(m)] +=
            (whole ? kernel(t) : value(last, t)) * lost[s][j] / grid;
      }
    }
  }
  return outputs;
}

Status check_samples(int64_t samples) {
  if (samples < 0 || samples > kMostSamples)
    return failure(USAGE, "expects a sound of at most %lld samples, got %lld",
                   (long long)kMostSamples, (long long)samples);
  return {};
}

} // namespace

Status to_mono(const float *interleaved, int64_t samples, int64_t channels,
               std::vector<float> &mono) {
  if (channels < 1 || channels > kMostChannels)
    return failure(USAGE, "expects a sound of 1 to %lld channels, got %lld",
                   (long long)kMostChannels, (long long)channels);
  if (Status s = check_samples(samples); !s.ok())
    return s;
  mono.resize(size_t(samples));
  for (int64_t i = 0; i < samples; ++i) {
    float sum = interleaved[i * channels];
    for (int64_t c = 1; c < channels; ++c)
      sum += interleaved[i * channels + c];
    mono[size_t(i)] = sum / float(channels);
  }
  return {};
}

int64_t resampled_length(int64_t samples, int64_t rate) {
  return (samples * kRate + rate - 1) / rate;
}

Status resample(const float *from, int64_t samples, int64_t rate,
                std::vector<float> &to) {
  if (rate < kLeastRate || rate > kMostRate)
    return failure(USAGE, "expects a sound of %lld to %lld Hz, got %lld",
                   (long long)kLeastRate, (long long)kMostRate,
                   (long long)rate);
  if (Status s = check_samples(samples); !s.ok())
    return s;
  const int64_t length = resampled_length(samples, rate);
  if (Status s = check_samples(length); !s.ok())
    return s;
  if (rate == kRate) {
    to.assign(from, from + samples);
    return {};
  }
  to.assign(size_t(length), 0);
  if (samples == 0)
    return {};
  const Chain chain = chain_of(rate);
  const Kernel kernel(chain);
  const std::vector<double> lost =
      lost_at_start(chain, kernel, from, samples, rate);
  const Phases phases(rate, kernel);
  // soxr rounds to the nearest length.
  const int64_t made = (2 * samples * kRate + rate) / (2 * rate);
  for (int64_t i = 0; i < std::min(made, length); ++i) {
    const int64_t at = i * rate; // in 1 / kRate of an input sample
    to[size_t(i)] = phases.at(from, samples, at / kRate, at % kRate, kRate);
    if (size_t(i) < lost.size())
      to[size_t(i)] = float(double(to[size_t(i)]) - lost[size_t(i)]);
  }
  return {};
}

} // namespace gm::media
