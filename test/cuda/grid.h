// Launches: which CTAs and warps run when. Must not know streams, graphs or
// handles of the driver.
#pragma once

#include "test/cuda/warp.h"

#include <random>

namespace cuemu {

/// A launch that may begin before another one ends (PDL).
class GridRun {
public:
  explicit GridRun(const Launch &launch);

  /// Runs some CTAs as far as they get before griddepcontrol.wait, as a card
  /// would while the kernel before still runs.
  void begin();
  /// Runs everything. Throws the first Fault.
  void finish();

private:
  std::unique_ptr<Cta> make(u32 number) const;
  /// Runs CTAs until all have ended, or (not mayPassGridWait) wait for that.
  void drive(std::vector<std::unique_ptr<Cta>> &ctas, std::mt19937_64 &random);
  void share(int worker);

  Grid grid;
  std::vector<u32> order; // numbers of CTAs
  std::vector<std::unique_ptr<Cta>> early;
  std::atomic<size_t> next{0};
  std::atomic<bool> failed{false};
};

/// Statistics since the process began.
struct Statistics {
  std::atomic<u64> launches{0}, instructions{0}; // of warps
};
Statistics &statistics();

} // namespace cuemu
