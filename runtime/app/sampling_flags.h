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
  // Adds the checkpoint's defaults to the help of `syntax`.
  static void explain(Syntax &syntax);
  // Fills in the checkpoint's defaults.
  Sampling resolve(const Program &program) const;
  // From the given seed, or from a random one.
  Random random() const;
};

} // namespace gm
