// Signals on Linux futexes.
#include "runtime/host/signal.h"

#include "runtime/host/clock.h"

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

// Longer than what workers wait for each other in a step.
enum { SPIN_LEAST = 2000, SPIN_MOST = 50000 };

} // namespace

void Signal::raise() {
  value.fetch_add(1);
  if (sleepers.load())
    futex_wake_all(value);
}

void Signal::wait(uint32_t old) {
  int64_t start = now_ns();
  do {
    for (int i = 0; i < 16; ++i) {
      if (value.load(std::memory_order_acquire) != old)
        return;
      pause_cpu();
    }
  } while (now_ns() - start < spin_ns.load(std::memory_order_relaxed));
  // raise() reads `sleepers` after it changed `value`, and the kernel compares
  // `value` after this: no wake-up is lost.
  sleepers.fetch_add(1);
  while (value.load() == old)
    futex_wait(value, old);
  sleepers.fetch_sub(1);
  bool pays = now_ns() - start < SPIN_MOST;
  spin_ns.store(pays ? SPIN_MOST : SPIN_LEAST, std::memory_order_relaxed);
}

} // namespace gm
