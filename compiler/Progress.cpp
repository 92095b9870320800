#include "compiler/Progress.h"

#include <cstdio>
#include <unistd.h>

namespace gemmac {

Progress::Progress(std::string what, bool quiet)
    : what(std::move(what)), quiet(quiet), terminal(isatty(STDERR_FILENO)) {}

void Progress::update(uint64_t done, uint64_t total) {
  if (quiet || total == 0)
    return;
  Clock::time_point now = Clock::now();
  double seconds = std::chrono::duration<double>(now - start).count();
  double rate = seconds > 0 ? done / seconds : 0;
  int percent = int(double(done) / total * 100);
  if (terminal) {
    if (now - last < std::chrono::milliseconds(100) && done != total)
      return;
    last = now;
    shown = true;
    char bar[31];
    for (int i = 0; i < 30; ++i)
      bar[i] = i < percent * 3 / 10 ? '#' : '.';
    bar[30] = 0;
    fprintf(stderr, "\r%s [%s] %3d %%  %.2f GB/s  %.0f s left  ", what.c_str(),
            bar, percent, rate / 1e9, rate > 0 ? (total - done) / rate : 0.0);
    fflush(stderr);
  } else if (percent / 10 > lastTenth && seconds > 1) {
    lastTenth = percent / 10;
    fprintf(stderr, "gemmac: %s: %d %% of %.1f MB, %.2f GB/s, %.0f s left\n",
            what.c_str(), percent, total / 1e6, rate / 1e9,
            rate > 0 ? (total - done) / rate : 0.0);
  }
}

void Progress::count(uint64_t done, uint64_t total) {
  if (quiet || !terminal)
    return;
  shown = true;
  fprintf(stderr, "\r%s %llu of %llu", what.c_str(), (unsigned long long)done,
          (unsigned long long)total);
  fflush(stderr);
}

void Progress::finish() {
  if (shown)
    fprintf(stderr, "\r\033[K");
  shown = false;
}

} // namespace gemmac
