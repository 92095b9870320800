#include "compiler/Phases.h"
#include "compiler/StandardStreams.h"

#include <fmt/format.h>

namespace gemmac {

static double seconds(std::chrono::steady_clock::duration time) {
  return std::chrono::duration<double>(time).count();
}

void Phases::end() {
  if (!phases.empty())
    phases.back().second = seconds(Clock::now() - since);
}

void Phases::begin(std::string name) {
  end();
  since = Clock::now();
  if (verbose)
    say(fmt::format("gemmac: {:.3f} s: {}\n", seconds(since - start), name));
  phases.emplace_back(std::move(name), 0);
}

std::string Phases::report() {
  end();
  double all = seconds(Clock::now() - start);
  std::string text;
  for (const auto &[name, time] : phases)
    text += fmt::format("gemmac: {:9.3f} s {:5.1f} %  {}\n", time,
                        time / all * 100, name);
  return text + fmt::format("gemmac: {:9.3f} s          in all\n", all);
}

} // namespace gemmac
