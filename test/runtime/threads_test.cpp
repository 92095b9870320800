// Workers and barrier: everything written before a barrier is seen after it,
// also when there are more workers than cores and when they sleep.
#include "runtime/core/threads.h"

#include "runtime/core/backend.h"
#include "runtime/host/shares.h"

#include <gtest/gtest.h>
#include <memory>
#include <random>
#include <sched.h>
#include <sys/mman.h>
#include <sys/resource.h>
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

// The shares of workers after many rounds on cores of these speeds.
std::vector<double> shares_of(const std::vector<double> &speed, int rounds,
                              double noise = 0) {
  Shares shares;
  const int n = int(speed.size());
  shares.reset(n);
  std::mt19937 rng{7};
  std::vector<int64_t> busy(speed.size());
  for (int i = 0; i < rounds; ++i) {
    for (int w = 0; w < n; ++w) {
      double units = shares.cut()[w + 1] - shares.cut()[w];
      double off = 1 + noise * (double(rng() % 1000) / 500 - 1);
      busy[size_t(w)] = int64_t(units * 100 / speed[size_t(w)] * off);
    }
    shares.add(busy.data());
  }
  std::vector<double> result;
  for (int w = 0; w < n; ++w)
    result.push_back((shares.cut()[w + 1] - shares.cut()[w]) / 65536.0);
  EXPECT_EQ(shares.cut()[0], 0u);
  EXPECT_EQ(shares.cut()[n], 65536u);
  return result;
}

TEST(Shares, FollowTheSpeedOfCores) {
  std::vector<double> s = shares_of({2, 2, 1, 1}, 400);
  for (int w = 0; w < 4; ++w)
    EXPECT_NEAR(s[size_t(w)], w < 2 ? 1 / 3.0 : 1 / 6.0, 0.02) << w;
}

TEST(Shares, EqualCoresKeepEqualShares) {
  for (double s : shares_of({1, 1, 1}, 400, 0.1))
    EXPECT_NEAR(s, 1 / 3.0, 1e-4);
}

TEST(Shares, AStoppedWorkerComesBack) {
  std::vector<double> s = shares_of({1, 0.0001}, 400);
  EXPECT_GT(s[1], 0.04);
}

TEST(Threads, Barriers) {
  for (int workers : {1, 2, 3, 8})
    run(workers, 300, 5, 0, false);
}

TEST(Threads, SleepingWorkersWakeUp) { run(4, 200, 2, 0, true); }

TEST(Threads, ManyShortJobs) { run(3, 1, 3000, 0, false); }

#if !defined(__has_feature) || !__has_feature(thread_sanitizer)
double cpu_seconds() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  auto seconds = [](timeval t) { return double(t.tv_sec) + 1e-6 * t.tv_usec; };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// Puts the calling thread on the first CPU of its mask.
void use_one_cpu() {
  cpu_set_t all, one;
  ASSERT_EQ(sched_getaffinity(0, sizeof all, &all), 0);
  CPU_ZERO(&one);
  for (int cpu = 0; cpu < CPU_SETSIZE && !CPU_COUNT(&one); ++cpu)
    if (CPU_ISSET(cpu, &all))
      CPU_SET(cpu, &one);
  ASSERT_EQ(sched_setaffinity(0, sizeof one, &one), 0);
}

// CPU time that a barrier takes from all workers together, in microseconds.
double barrier_cost(int workers, bool share_later) {
  constexpr int BARRIERS = 4000;
  size_t bytes = size_t(workers) * STACK_BYTES;
  void *stacks = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  EXPECT_NE(stacks, MAP_FAILED);
  Threads threads;
  EXPECT_TRUE(threads.start(workers, static_cast<uint8_t *>(stacks), 0).ok());
  if (share_later)
    threads.run([](void *, int) { use_one_cpu(); }, nullptr);
  auto barriers = [](void *data, int worker) {
    for (int i = 0; i < BARRIERS; ++i)
      static_cast<Threads *>(data)->barrier(worker);
  };
  threads.run(barriers, &threads);
  double before = cpu_seconds();
  threads.run(barriers, &threads);
  double cost = 1e6 * (cpu_seconds() - before) / BARRIERS;
  threads.stop();
  munmap(stacks, bytes);
  return cost;
}

// A worker that spins on a shared CPU takes the time of those it waits for: up
// to 50 us per barrier and worker, where sleeping costs a few. Twice the best
// of three runs leaves room for what else the machine does.
class SharedCpu : public testing::Test {
protected:
  void SetUp() override { sched_getaffinity(0, sizeof mask, &mask); }
  void TearDown() override { sched_setaffinity(0, sizeof mask, &mask); }
  void expect_cheap(int workers, bool share_later) {
    double best = 1e9;
    for (int i = 0; i < 3; ++i) {
      sched_setaffinity(0, sizeof mask, &mask);
      if (!share_later)
        use_one_cpu();
      best = std::min(best, barrier_cost(workers, share_later));
    }
    RecordProperty("us_per_barrier", std::to_string(best));
    EXPECT_LT(best, MOST_US * workers);
  }
  static constexpr double MOST_US = 8;
  cpu_set_t mask;
};

TEST_F(SharedCpu, WorkersThatOutnumberCpusSleep) { expect_cheap(4, false); }

TEST_F(SharedCpu, WorkersThatComeToShareACpuSleep) {
  if (CPU_COUNT(&mask) < 2)
    GTEST_SKIP() << "one CPU only";
  expect_cheap(2, true);
}
#endif

//===- calls that end early -----------------------------------------------===//

struct Ending {
  static inline int asked = 0, most = 0;
  static bool ends() { return ++asked > most; }

  std::vector<int> phases; // of each worker
  static inline Ending *now = nullptr;
};

constexpr int PHASES = 50;

void many_phases(gm_ctx *ctx, int32_t worker) {
  for (int phase = 0; phase < PHASES; ++phase) {
    if (phase)
      ctx->barrier(ctx, worker);
    ++Ending::now->phases[size_t(worker)];
  }
}

// All workers leave behind the same barrier, and the next run is whole.
void end_early(int workers, uint64_t shuffle) {
  const size_t bytes = size_t(workers) * STACK_BYTES;
  void *stacks = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(stacks, MAP_FAILED);
  {
    std::unique_ptr<Backend> backend(make_backend());
    ASSERT_TRUE(
        backend->start(workers, static_cast<uint8_t *>(stacks), shuffle).ok());
    Context context = {};
    context.backend = backend.get();
    context.ctx.workers = workers;
    backend->prepare(context.ctx);
    const Call calls[] = {{many_phases, &context.ctx},
                          {many_phases, &context.ctx}};
    // In the first call, between the two, in the second, in none; more often
    // than shares are measured.
    for (int most : {0, 1, 7, PHASES - 1, PHASES, PHASES + 3, 2 * PHASES}) {
      for (int again = 0; again < 6; ++again) {
        Ending ending;
        ending.phases.assign(size_t(workers), 0);
        Ending::now = &ending;
        Ending::asked = 0;
        Ending::most = most;
        const bool whole = most >= 2 * PHASES;
        bool ended = whole;
        EXPECT_TRUE(backend->run(calls, 2, Ending::ends, ended).ok());
        EXPECT_EQ(ended, !whole);
        for (int phases : ending.phases)
          EXPECT_EQ(phases, whole ? 2 * PHASES : most + 1);
        ending.phases.assign(size_t(workers), 0);
        EXPECT_TRUE(backend->run(calls, 2, nullptr, ended).ok());
        EXPECT_FALSE(ended);
        for (int phases : ending.phases)
          EXPECT_EQ(phases, 2 * PHASES);
      }
    }
  }
  munmap(stacks, bytes);
}

TEST(Backend, CallsEndBetweenPhases) {
  for (int workers : {1, 2, 5})
    end_early(workers, 0);
}

TEST(Threads, NothingToDo) { run(5, 0, 100, 0, false); }

#if !defined(__has_feature) || !__has_feature(thread_sanitizer)
TEST(Threads, OneAfterAnotherInRandomOrders) {
  for (uint64_t seed : {1, 2, 3})
    run(7, 100, 3, seed, false);
}

TEST(Backend, CallsEndBetweenPhasesInRandomOrders) {
  for (uint64_t seed : {1, 2, 3})
    end_early(5, seed);
}
#endif

} // namespace
