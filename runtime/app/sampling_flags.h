// The sampling flags of `run` and `chat`; defaults are the checkpoint's.
#pragma once

#include "runtime/app/generate.h"

#include <optional>

namespace gm {

struct SamplingFlags {
  // Negative: not given.
  double temperature = -1, top_p = -1, min_p = -1;
  int64_t top_k = -1;
  std::optional<uint64_t> seed;

  std::vector<Flag> flags();
  // Fills in the checkpoint's defaults.
  Sampling resolve(const Program &program) const;
  // The given seed, or a random one that is printed to stderr.
  Random random(const Sampling &sampling) const;
};

} // namespace gm
