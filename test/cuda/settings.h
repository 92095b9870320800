// The emulated machine, as the driver describes it. Must not know kernels.
#pragma once

#include "test/cuda/warp.h"

namespace cuemu {

struct Machine {
  int driver = 13000, devices = 1, sms = 4;
  u64 memory = 0;
  bool report = false;
};
Machine &machine();

} // namespace cuemu
