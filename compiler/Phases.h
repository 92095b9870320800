// Where the compiler's time goes: the phases of one run, said as they begin
// (--verbose) and in a table at the end (--time-report).
#pragma once

#include <chrono>
#include <string>
#include <utility>
#include <vector>

namespace gemmac {

class Phases {
public:
  explicit Phases(bool verbose) : verbose(verbose) {}
  // Ends the phase before it.
  void begin(std::string name);
  // Seconds of wall time and what share of them each phase took, a line each.
  std::string report();

private:
  using Clock = std::chrono::steady_clock;
  void end();

  const bool verbose;
  const Clock::time_point start = Clock::now();
  Clock::time_point since;
  std::vector<std::pair<std::string, double>> phases; // with seconds
};

} // namespace gemmac
