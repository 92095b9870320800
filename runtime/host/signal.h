// A number that other threads wait for.
#pragma once

#include <atomic>
#include <cstdint>

namespace gm {

// Those who wait spin, then sleep. They spin long while that pays: not where
// threads have to share cores. What was written before raise() is seen after
// wait().
class Signal {
public:
  void raise(); // to the next number
  void wait(uint32_t old);
  uint32_t get() const { return value.load(); }

private:
  std::atomic<uint32_t> value{0}, sleepers{0};
  std::atomic<int32_t> spin_ns{0};
};

} // namespace gm
