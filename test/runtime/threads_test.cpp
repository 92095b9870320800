// Workers and barrier: everything written before a barrier is seen after it,
// also when there are more workers than cores and when they sleep.
#include "runtime/core/threads.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>
#include <vector>

using namespace gm;

namespace {

struct Shared {
  Threads threads;
  int workers = 0, rounds = 0;
  std::vector<int> value; // plain: a race if the barrier does not order it
  bool slow = false;
  std::atomic<int> wrong{0};
};

void round_robin(void *data, int worker) {
  Shared &s = *static_cast<Shared *>(data);
  for (int round = 1; round <= s.rounds; ++round) {
    s.value[size_t(worker)] += 1;
    if (s.slow && (round + worker) % 37 == 0)
      usleep(200); // the others go to sleep
    s.threads.barrier(worker);
    for (int value : s.value)
      s.wrong += value != s.value[0];
    s.threads.barrier(worker);
  }
}

void run(int workers, int rounds, int jobs, uint64_t shuffle, bool slow) {
  size_t bytes = size_t(workers) * STACK_BYTES;
  void *stacks = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(stacks, MAP_FAILED);
  Shared s;
  s.workers = workers;
  s.rounds = rounds;
  s.slow = slow;
  s.value.assign(size_t(workers), 0);
  ASSERT_TRUE(
      s.threads.start(workers, static_cast<uint8_t *>(stacks), shuffle).ok());
  for (int job = 1; job <= jobs; ++job) {
    s.threads.run(round_robin, &s);
    for (int value : s.value)
      EXPECT_EQ(value, rounds * job);
  }
  s.threads.stop();
  EXPECT_EQ(s.wrong, 0);
  munmap(stacks, bytes);
}

TEST(Threads, Barriers) {
  for (int workers : {1, 2, 3, 8})
    run(workers, 300, 5, 0, false);
}

TEST(Threads, SleepingWorkersWakeUp) { run(4, 200, 2, 0, true); }

TEST(Threads, ManyShortJobs) { run(3, 1, 3000, 0, false); }

TEST(Threads, NothingToDo) { run(5, 0, 100, 0, false); }

#if !defined(__has_feature) || !__has_feature(thread_sanitizer)
TEST(Threads, OneAfterAnotherInRandomOrders) {
  for (uint64_t seed : {1, 2, 3})
    run(7, 100, 3, seed, false);
}
#endif

} // namespace
