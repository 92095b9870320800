// A number that other threads wait for. Knows nothing of workers and steps.
#pragma once

#include <atomic>
#include <cstdint>

namespace gm {

// Those who wait spin, then sleep. How long they spin follows from how often
// spinning alone was enough at this Signal: where the threads have cores of
// their own nearly always, and then nobody pays for a wake-up; where they share
// cores hardly ever, because the one they wait for needs the core they spin on.
// Waits of different kinds (in a step, between steps) need a Signal each.
// What was written before raise() is seen after wait().
class Signal {
public:
  void raise(); // to the next number
  void wait(uint32_t old);
  uint32_t get() const { return value.load(); }
  // For threads that are more than their cores: they never spin.
  void always_sleep() { trust.store(NEVER); }

private:
  enum : int32_t { NEVER = -1, SPINS = 4, MOST = 16 };
  bool may_spin();
  void spun(bool enough);

  // A line of its own: those who wait read it without end.
  alignas(64) std::atomic<uint32_t> value{0};
  std::atomic<uint32_t> sleepers{0};
  // Spins that were enough less those that were not, 0 to MOST. Waiting threads
  // share it; a lost update is one observation less.
  alignas(64) std::atomic<int32_t> trust{MOST};
  std::atomic<uint32_t> slept{0}; // waits that did not spin
};

} // namespace gm
