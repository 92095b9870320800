// See shares.h.
#include "runtime/host/shares.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace gm {

enum { SAMPLES = 8 };
// Smaller differences are noise, and units are coarse.
constexpr double TOLERANCE = 0.08;
// Of an equal share: a worker that was stopped for long comes back.
constexpr double LEAST = 0.1;

void Shares::reset(int n) {
  workers = n;
  samples = 0;
  for (int w = 0; w < n; ++w)
    share[w] = 1.0 / n, total[w] = 0, clock[w].busy = 0;
  fill();
}

void Shares::fill() {
  double sum = 0;
  table[0] = 0;
  for (int w = 0; w < workers; ++w)
    table[w + 1] = uint32_t(std::lround((sum += share[w]) * 65536));
  table[workers] = 65536;
}

void Shares::add(const int64_t *busy) {
  for (int w = 0; w < workers; ++w)
    total[w] += double(std::max<int64_t>(busy[w], 1));
  if (++samples < SAMPLES)
    return;
  double speed[MOST_WORKERS], all = 0, worst = 0;
  for (int w = 0; w < workers; ++w)
    all += speed[w] = share[w] / total[w];
  for (int w = 0; w < workers; ++w)
    worst = std::max(worst, std::abs(speed[w] / all / share[w] - 1));
  samples = 0;
  std::fill_n(total, workers, 0.0);
  if (worst <= TOLERANCE)
    return;
  double sum = 0;
  for (int w = 0; w < workers; ++w)
    sum += share[w] =
        std::max((share[w] + speed[w] / all) / 2, LEAST / workers);
  for (int w = 0; w < workers; ++w)
    share[w] /= sum;
  fill();
}

void Shares::finish() {
  int64_t busy[MOST_WORKERS];
  for (int w = 0; w < workers; ++w)
    busy[w] = std::exchange(clock[w].busy, 0);
  add(busy);
}

} // namespace gm
