// Signals on Linux futexes.
#include "runtime/host/signal.h"

#include "runtime/host/clock.h"

#include <algorithm>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace gm {
namespace {

void futex_wait(std::atomic<uint32_t> &word, uint32_t value) {
  syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, value, nullptr, nullptr, 0);
}

void futex_wake_all(std::atomic<uint32_t> &word) {
  syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, INT32_MAX, nullptr, nullptr, 0);
}

// Longer than what workers with cores of their own wait for each other in most
// phases, and what a sleep and a wake-up cost at worst.
constexpr int64_t SPIN_NS = 50000;
// Of the waits that would sleep at once one in so many spins, to notice when
// the cores are free again.
constexpr uint32_t PROBE = 64;

constexpr std::memory_order relaxed = std::memory_order_relaxed;

} // namespace

void Signal::raise() {
  value.fetch_add(1);
  if (sleepers.load())
    futex_wake_all(value);
}

bool Signal::may_spin() {
  int32_t now = trust.load(relaxed);
  return now >= SPINS ||
         (now != NEVER && (slept.fetch_add(1, relaxed) + 1) % PROBE == 0);
}

// A probe that succeeds is believed at once; otherwise cores that are free
// again would be noticed only after SPINS probes.
void Signal::spun(bool enough) {
  int32_t now = trust.load(relaxed);
  int32_t next = enough ? std::min(+MOST, std::max(now, SPINS - 1) + 1)
                        : std::max(0, now - 1);
  if (now != NEVER && next != now)
    trust.store(next, relaxed);
}

void Signal::wait(uint32_t old) {
  auto raised = [&] {
    for (int i = 0; i < 16; ++i) {
      if (value.load(std::memory_order_acquire) != old)
        return true;
      pause_cpu();
    }
    return false;
  };
  if (raised())
    return;
  if (may_spin()) {
    const int64_t end = now_ns() + SPIN_NS;
    bool enough = false;
    // Being scheduled away is no success of spinning: the time counts too.
    for (bool early = true; early && !enough; early = now_ns() < end)
      enough = raised();
    spun(enough && now_ns() < end);
    if (enough)
      return;
  }
  // raise() reads `sleepers` after it changed `value`, and the kernel compares
  // `value` after this: no wake-up is lost.
  sleepers.fetch_add(1);
  while (value.load() == old)
    futex_wait(value, old);
  sleepers.fetch_sub(1);
}

} // namespace gm
