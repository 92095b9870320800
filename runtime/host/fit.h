// What of a plan that is too large would fit, for those who know how much there
// is. Knows neither memory nor devices.
#pragma once

#include "runtime/gemma.h"

namespace gm {

// "the largest that fits is -c 4096, or -b 64": the largest context and the
// largest batch, each with the other as it is, whose plan passes
// `has_room(plan, data)`; what to do if there is none.
struct Advice {
  char text[160];
};
Advice advise(const File &file, const Options &options, const Plan &plan,
              bool (*has_room)(const Plan &plan, const void *data),
              const void *data);

} // namespace gm
