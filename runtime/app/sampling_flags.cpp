// See sampling_flags.h.
#include "runtime/app/sampling_flags.h"
#include "runtime/manifest_generated.h"

#include <cmath>
#include <ctime>
#include <sys/random.h>

namespace gm {

std::vector<Flag> SamplingFlags::flags() {
  const double any = HUGE_VAL;
  return {
      {"--seed", "-s", "SEED",
       "of the random draws, -1 = a random one (the default; --timings shows "
       "it)",
       &seed},
      {"--temp", "", "T", "temperature, 0 = always the most likely token",
       &temperature, 0, any},
      {"--top-k", "", "K", "draw from the K most likely tokens, 0 = all",
       &top_k, 0, 1 << 24},
      {"--top-p", "", "P",
       "draw from the most likely tokens that reach probability P", &top_p, 0,
       1},
      {"--min-p", "", "P",
       "drop tokens below P times the best one's probability", &min_p, 0, 1},
  };
}

Sampling SamplingFlags::resolve(const Program &program) const {
  Sampling s;
  if (const gemmac::manifest::Sampling *d = program.manifest().sampling())
    s = {d->temperature(), d->top_k(), d->top_p(), d->min_p()};
  if (temperature >= 0)
    s.temperature = temperature;
  if (top_k >= 0)
    s.top_k = top_k;
  if (top_p >= 0)
    s.top_p = top_p;
  if (min_p >= 0)
    s.min_p = min_p;
  return s;
}

void SamplingFlags::explain(Syntax &syntax) {
  Program program;
  if (!program.open(false).ok())
    return; // help is for programs that are broken too
  Sampling s = SamplingFlags().resolve(program);
  auto add = [&](const char *name, const std::string &value) {
    for (Flag &flag : syntax.flags)
      if (flag.name == name)
        flag.help += " (default: " + value + ", the model's)";
  };
  add("--temp", exact(float(s.temperature)));
  add("--top-k", std::to_string(s.top_k));
  add("--top-p", exact(float(s.top_p)));
  add("--min-p", exact(float(s.min_p)));
}

Random SamplingFlags::random() const {
  if (seed)
    return {*seed};
  uint64_t drawn = 0;
  if (getrandom(&drawn, sizeof drawn, GRND_NONBLOCK) != sizeof drawn)
    drawn = uint64_t(time(nullptr)) * 0x9E3779B97F4A7C15ull;
  return {drawn};
}

} // namespace gm
