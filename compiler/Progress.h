// Progress of long work on standard error: of bytes a bar with their rate and
// the time left on a terminal, a line every ten percent elsewhere; of things
// how many there are on a terminal, nothing elsewhere.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace gemmac {

class Progress {
public:
  Progress(std::string what, bool quiet);
  void update(uint64_t done, uint64_t total); // bytes
  void count(uint64_t done, uint64_t total);  // things
  // Removes the bar. Without it the bar stays, so that an error shows where.
  void finish();

private:
  using Clock = std::chrono::steady_clock;
  std::string what;
  bool quiet, terminal, shown = false;
  Clock::time_point start = Clock::now(), last{};
  int lastTenth = 0;
};

} // namespace gemmac
