// See probe.h. The loops exist per instruction set, chosen by what the CPU and
// the OS have: this file must run on any machine of its architecture.
#include "runtime/host/probe.h"
#include "runtime/gemma.h"
#include "runtime/host/clock.h"
#include "runtime/host/features.h"

#include <algorithm>
#include <atomic>
#include <numeric>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace gm {
namespace {

constexpr int MOST_THREADS = 256, TRIES = 3;
constexpr int64_t RATE_NS = 50000000; // of a try

//===- threads that start together ----------------------------------------===//

struct Team {
  int threads;
  void (*function)(void *data, int worker);
  void *data;
  std::atomic<int> ready{0};
};

struct Member {
  Team *team;
  int worker;
};

void wait_for(const std::atomic<int> &word, int value) {
  for (int spins = 0; word.load(std::memory_order_acquire) < value; ++spins) {
    pause_cpu();
    if (spins > 1000) // fewer cores than threads
      sched_yield();
  }
}

void *enter(void *data) {
  Member m = *static_cast<Member *>(data);
  m.team->ready.fetch_add(1);
  wait_for(m.team->ready, m.team->threads);
  m.team->function(m.team->data, m.worker);
  return nullptr;
}

// False if not all threads could be started (then nothing was run).
bool run_team(int threads, void (*function)(void *, int), void *data) {
  Team team = {threads, function, data};
  Member member[MOST_THREADS];
  pthread_t thread[MOST_THREADS];
  int started = 1;
  for (; started < threads; ++started) {
    member[started] = {&team, started};
    if (pthread_create(&thread[started], nullptr, enter, &member[started]))
      break;
  }
  bool complete = started == threads;
  if (!complete) {
    team.function = [](void *, int) {};
    team.ready.fetch_add(threads);
  }
  member[0] = {&team, 0};
  enter(&member[0]);
  for (int t = 1; t < started; ++t)
    pthread_join(thread[t], nullptr);
  return complete;
}

// Work counted until a time is over; the rates of all workers are summed, as
// all work at the same time.
struct Rate {
  int threads;
  // Does one piece of work for the worker; gives its size.
  double (*work)(void *data, int worker, int threads, int64_t turn);
  void *data;
  double rate[MOST_THREADS] = {};

  static void run(void *self, int worker) {
    Rate &r = *static_cast<Rate *>(self);
    int64_t begin = now_ns(), now = begin;
    double done = 0;
    for (int64_t turn = 0; now - begin < RATE_NS; ++turn) {
      done += r.work(r.data, worker, r.threads, turn);
      now = now_ns();
    }
    r.rate[worker] = done / (double(now - begin) * 1e-9);
  }

  double best() {
    double best = 0;
    for (int attempt = 0; attempt < TRIES; ++attempt) {
      if (!run_team(threads, run, this))
        return 0;
      best = std::max(best, std::accumulate(rate, rate + threads, 0.0));
    }
    return best;
  }
};

// Of all threads and, if `details`, of one alone.
void best_rates(int threads, bool details, decltype(Rate::work) work,
                void *data, double &all, double &one) {
  all = Rate{threads, work, data}.best();
  one = threads == 1 ? all : details ? Rate{1, work, data}.best() : 0;
}

//===- reading ------------------------------------------------------------===//

// The sum of `bytes` bytes, a multiple of 8 vectors, by plain loads of V.
template <typename V>
[[gnu::always_inline]] inline uint64_t sum_with(const uint8_t *from,
                                                uint64_t bytes) {
  V sum[8] = {};
  for (uint64_t at = 0; at < bytes; at += 8 * sizeof(V))
#pragma clang loop unroll(full)
    for (int i = 0; i < 8; ++i)
      sum[i] += *reinterpret_cast<const V *>(from + at + i * sizeof(V));
  for (int i = 1; i < 8; ++i)
    sum[0] += sum[i];
  uint64_t total = 0;
  for (size_t i = 0; i < sizeof(V) / 8; ++i)
    total += sum[0][i];
  return total;
}

typedef uint64_t Wide16 __attribute__((vector_size(16), may_alias));
typedef uint64_t Wide32 __attribute__((vector_size(32), may_alias));
typedef uint64_t Wide64 __attribute__((vector_size(64), may_alias));

uint64_t sum_16(const uint8_t *from, uint64_t bytes) {
  return sum_with<Wide16>(from, bytes);
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) uint64_t sum_32(const uint8_t *from,
                                                uint64_t bytes) {
  return sum_with<Wide32>(from, bytes);
}
__attribute__((target("avx512f,avx512dq"))) uint64_t sum_64(const uint8_t *from,
                                                            uint64_t bytes) {
  return sum_with<Wide64>(from, bytes);
}
#endif

uint64_t (*choose_sum())(const uint8_t *, uint64_t) {
#if defined(__x86_64__)
  if (has_feature("avx512f") && has_feature("avx512dq"))
    return sum_64;
  if (has_feature("avx2"))
    return sum_32;
#endif
  return sum_16;
}

struct Reading {
  static constexpr uint64_t PIECE = 1u << 20;
  uint8_t *buffer;
  int threads; // that fill it
  uint64_t (*sum)(const uint8_t *, uint64_t);
  std::atomic<uint64_t> result{0}; // so that nothing is optimised away

  // The pieces [first, first + count) are the worker's; one reads all.
  static void part(int worker, int threads, uint64_t &first, uint64_t &count) {
    uint64_t pieces = PROBE_BYTES / PIECE, n = uint64_t(threads);
    first = pieces * uint64_t(worker) / n;
    count = pieces * uint64_t(worker + 1) / n - first;
  }
  // Writes the worker's part, so that it is memory of its own, near to it.
  static void fill(void *self, int worker) {
    const Reading &r = *static_cast<Reading *>(self);
    uint64_t first, count;
    part(worker, r.threads, first, count);
    uint64_t *word = reinterpret_cast<uint64_t *>(r.buffer + first * PIECE);
    for (uint64_t i = 0; i < count * PIECE / 8; ++i)
      word[i] = i;
  }
  static double work(void *self, int worker, int threads, int64_t turn) {
    Reading &r = *static_cast<Reading *>(self);
    uint64_t first, count;
    part(worker, threads, first, count);
    uint64_t at = first + uint64_t(turn) % count;
    r.result.fetch_add(r.sum(r.buffer + at * PIECE, PIECE),
                       std::memory_order_relaxed);
    return double(PIECE);
  }
};

void probe_read(int threads, bool details, Probe &p) {
  if (available_memory() < PROBE_BYTES + PROBE_BYTES / 4)
    return;
  // Huge pages, so that the reads wait for memory alone.
  constexpr uint64_t HUGE_PAGE = 2u << 20;
  void *memory = mmap(nullptr, PROBE_BYTES + HUGE_PAGE, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED)
    return;
  uint64_t start = reinterpret_cast<uint64_t>(memory);
  start = (start + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
  Reading r = {reinterpret_cast<uint8_t *>(start), threads, choose_sum()};
  madvise(r.buffer, PROBE_BYTES, MADV_HUGEPAGE);
  if (run_team(threads, Reading::fill, &r))
    best_rates(threads, details, Reading::work, &r, p.read_all, p.read_one);
  munmap(memory, PROBE_BYTES + HUGE_PAGE);
}

//===- int8 multiply-adds -------------------------------------------------===//

// Each: enough independent accumulators to hide the latency of the multiply-
// add, TURNS times; gives the number of multiplications and additions.
constexpr int TURNS = 4096;

#if defined(__x86_64__)

__attribute__((target("avx512f,avx512vnni"))) double dot_vnni512() {
  constexpr int N = 16;
  __m512i a = _mm512_set1_epi32(0x01020304), b = _mm512_set1_epi32(0x02010201);
  asm volatile("" : "+v"(a), "+v"(b));
  __m512i sum[N] = {};
  for (int t = 0; t < TURNS; ++t) {
#pragma clang loop unroll(full)
    for (int i = 0; i < N; ++i)
      sum[i] = _mm512_dpbusd_epi32(sum[i], a, b);
  }
  for (int i = 0; i < N; ++i)
    asm volatile("" ::"v"(sum[i]));
  return 2.0 * 64 * N * TURNS;
}

__attribute__((target("avx2,avxvnni"))) double dot_vnni256() {
  constexpr int N = 12;
  __m256i a = _mm256_set1_epi32(0x01020304), b = _mm256_set1_epi32(0x02010201);
  asm volatile("" : "+x"(a), "+x"(b));
  __m256i sum[N] = {};
  for (int t = 0; t < TURNS; ++t) {
#pragma clang loop unroll(full)
    for (int i = 0; i < N; ++i)
      sum[i] = _mm256_dpbusd_avx_epi32(sum[i], a, b);
  }
  for (int i = 0; i < N; ++i)
    asm volatile("" ::"x"(sum[i]));
  return 2.0 * 32 * N * TURNS;
}

__attribute__((target("avx2"))) double dot_maddubs() {
  constexpr int N = 8;
  __m256i a = _mm256_set1_epi32(0x01020304), b = _mm256_set1_epi32(0x02010201),
          ones = _mm256_set1_epi16(1);
  __m256i sum[N] = {};
  for (int t = 0; t < TURNS; ++t) {
#pragma clang loop unroll(full)
    for (int i = 0; i < N; ++i) {
      asm volatile("" : "+x"(a)); // a new product each time
      sum[i] = _mm256_add_epi32(
          sum[i], _mm256_madd_epi16(_mm256_maddubs_epi16(a, b), ones));
    }
  }
  for (int i = 0; i < N; ++i)
    asm volatile("" ::"x"(sum[i]));
  return 2.0 * 32 * N * TURNS;
}

// Bytes widened to 16 bits before: 8 multiply-adds per instruction.
double dot_base() {
  constexpr int N = 8;
  __m128i a = _mm_set1_epi32(0x00030004), b = _mm_set1_epi32(0x00020001);
  __m128i sum[N] = {};
  for (int t = 0; t < TURNS; ++t) {
#pragma clang loop unroll(full)
    for (int i = 0; i < N; ++i) {
      asm volatile("" : "+x"(a));
      sum[i] = _mm_add_epi32(sum[i], _mm_madd_epi16(a, b));
    }
  }
  for (int i = 0; i < N; ++i)
    asm volatile("" ::"x"(sum[i]));
  return 2.0 * 8 * N * TURNS;
}

double (*choose_dot())() {
  if (has_feature("avx512f") && has_feature("avx512vnni"))
    return dot_vnni512;
  if (has_feature("avx2") && has_feature("avxvnni"))
    return dot_vnni256;
  return has_feature("avx2") ? dot_maddubs : dot_base;
}

#elif defined(__aarch64__)

__attribute__((target("dotprod"))) double dot_sdot() {
  constexpr int N = 16;
  int8x16_t a = vdupq_n_s8(3), b = vdupq_n_s8(2);
  asm volatile("" : "+w"(a), "+w"(b));
  int32x4_t sum[N] = {};
  for (int t = 0; t < TURNS; ++t) {
#pragma clang loop unroll(full)
    for (int i = 0; i < N; ++i)
      sum[i] = vdotq_s32(sum[i], a, b);
  }
  for (int i = 0; i < N; ++i)
    asm volatile("" ::"w"(sum[i]));
  return 2.0 * 16 * N * TURNS;
}

double dot_base() {
  constexpr int N = 8;
  int8x16_t a = vdupq_n_s8(3), b = vdupq_n_s8(2);
  int32x4_t sum[N] = {};
  for (int t = 0; t < TURNS; ++t) {
#pragma clang loop unroll(full)
    for (int i = 0; i < N; ++i) {
      asm volatile("" : "+w"(a));
      sum[i] = vpadalq_s16(sum[i], vmull_s8(vget_low_s8(a), vget_low_s8(b)));
    }
  }
  for (int i = 0; i < N; ++i)
    asm volatile("" ::"w"(sum[i]));
  return 2.0 * 8 * N * TURNS;
}

double (*choose_dot())() {
  return has_feature("dotprod") ? dot_sdot : dot_base;
}

#else

double (*choose_dot())() { return nullptr; }

#endif

void probe_int8(int threads, bool details, Probe &p) {
  double (*dot)() = choose_dot();
  auto work = [](void *dot, int, int, int64_t) {
    return (*static_cast<double (**)()>(dot))();
  };
  if (dot)
    best_rates(threads, details, work, &dot, p.int8_all, p.int8_one);
}

//===- core to core -------------------------------------------------------===//

// A word that two threads count up in turns.
struct PingPong {
  static constexpr int TURNS = 400, BURSTS = 50, SPINS = 50000, OVER = -1;
  static constexpr int64_t MOST_NS = 20000000;
  alignas(128) std::atomic<int> word{0};
  alignas(128) int64_t best = INT64_MAX; // ns of a burst

  // Waits without pausing: a pause is as long as what is measured. The yield is
  // for threads that share a core.
  int await(int value) const {
    for (int spins = 1;; ++spins) {
      int now = word.load(std::memory_order_acquire);
      if (now == value || now == OVER)
        return now;
      if (spins % SPINS == 0)
        sched_yield();
    }
  }
  // The best of many short bursts: one interruption spoils one of them.
  static void run(void *self, int worker) {
    PingPong &p = *static_cast<PingPong *>(self);
    int64_t start = now_ns();
    for (int burst = 0; burst < BURSTS; ++burst) {
      int64_t begin = now_ns();
      for (int i = 0; i < TURNS; ++i) {
        int value = 2 * (burst * TURNS + i) + worker;
        if (p.await(value) == OVER)
          return;
        p.word.store(value + 1, std::memory_order_release);
      }
      if (worker != 0)
        continue;
      int64_t end = now_ns();
      p.best = std::min(p.best, end - begin);
      if (end - start > MOST_NS && burst + 1 < BURSTS) {
        // The other one still answers the last turn.
        p.await(2 * (burst + 1) * TURNS);
        p.word.store(OVER, std::memory_order_release);
        return;
      }
    }
  }
};

void probe_core_to_core(Probe &p) {
  const double most = 2000; // longer: the threads took turns on one core
  for (int attempt = 0; attempt < TRIES; ++attempt) {
    PingPong pair;
    if (!run_team(2, PingPong::run, &pair))
      return;
    double ns = double(pair.best) / (2 * PingPong::TURNS);
    if (ns < most && (p.core_to_core == 0 || ns < p.core_to_core))
      p.core_to_core = ns;
  }
}

} // namespace

Probe probe(int threads, bool details) {
  threads = std::clamp(threads, 1, int(MOST_THREADS));
  Probe p;
  probe_read(threads, details, p);
  probe_int8(threads, details, p);
  if (details && threads > 1)
    probe_core_to_core(p);
  return p;
}

} // namespace gm
