// Launches: which CTAs and warps run when, in seeded random order.
#include "test/cuda/grid.h"

#include "runtime/cuda/driver_api.h"

#include <algorithm>
#include <mutex>
#include <thread>
#include <xmmintrin.h>

namespace cuemu {

Statistics &statistics() {
  static Statistics s;
  return s;
}

namespace {

/// Rounds to nearest and keeps subnormals, whatever the caller's thread does.
struct FloatMode {
  FloatMode() : before(_mm_getcsr()) { _mm_setcsr(0x1f80); }
  ~FloatMode() { _mm_setcsr(before); }
  unsigned before;
};

u32 threadsOf(const Launch &l) { return l.block[0] * l.block[1] * l.block[2]; }

u64 valueOf(Special which, const Cta &c, const Warp &w, u32 thread, u32 lane) {
  const Launch &l = c.grid->launch;
  u32 tid[3] = {thread % l.block[0], thread / l.block[0] % l.block[1],
                thread / l.block[0] / l.block[1]};
  int n = int(which);
  if (n < 12)
    return n < 3   ? tid[n]
           : n < 6 ? l.block[n - 3]
           : n < 9 ? c.id[n - 6]
                   : l.grid[n - 9];
  u32 bit = 1u << lane;
  switch (which) {
  case Special::Lane:
    return lane;
  case Special::Warp:
    return u32(w.index);
  case Special::Warps:
    return (threadsOf(l) + 31) / 32;
  case Special::MaskEq:
    return bit;
  case Special::MaskLt:
    return bit - 1;
  case Special::MaskLe:
    return bit | (bit - 1);
  case Special::MaskGt:
    return ~(bit | (bit - 1));
  case Special::MaskGe:
    return ~(bit - 1);
  case Special::Sm:
    return c.id[0] % 4;
  case Special::Sms:
    return 4;
  case Special::DynamicShared:
    return l.dynamicShared;
  default: // TotalShared
    return c.shared.size();
  }
}

std::unique_ptr<Warp> makeWarp(Cta &c, u32 first, u32 threads) {
  const Kernel &k = *c.grid->launch.kernel;
  auto w = std::make_unique<Warp>();
  w->cta = &c;
  w->kernel = &k;
  w->index = int(first / 32);
  w->rows = k.image;
  w->predicates.assign(size_t(k.predicates), 0xaaaaaaaa);
  w->local.assign(k.localBytes * 32, 0xee);
  w->alive = threads - first >= 32 ? ALL : (1u << (threads - first)) - 1;
  w->mask = w->alive;
  w->parts.push_back({0, w->alive, -1});
  w->clock.time[size_t(w->index)] = 1;
  for (auto [which, row] : k.specials)
    for (u32 lane = 0; lane < 32; ++lane)
      w->rows[size_t(row)].w[lane] =
          u32(valueOf(which, c, *w, first + lane, lane));
  return w;
}

} // namespace

GridRun::GridRun(const Launch &launch) {
  static std::atomic<u64> ids{0};
  grid.launch = launch;
  grid.id = ++ids;
  u64 count = u64(launch.grid[0]) * launch.grid[1] * launch.grid[2];
  order.resize(count);
  for (u64 i = 0; i < count; ++i)
    order[i] = u32(i);
  if (settings().seed) {
    std::mt19937_64 random(settings().seed + grid.id);
    std::shuffle(order.begin(), order.end(), random);
  }
  ++statistics().launches;
}

std::unique_ptr<Cta> GridRun::make(u32 number) const {
  const Launch &l = grid.launch;
  auto c = std::make_unique<Cta>();
  c->grid = const_cast<Grid *>(&grid);
  c->id[0] = number % l.grid[0];
  c->id[1] = number / l.grid[0] % l.grid[1];
  c->id[2] = number / l.grid[0] / l.grid[1];
  // What nobody wrote differs between orders, so that no result hangs on it.
  c->shared.assign(l.kernel->staticShared + l.dynamicShared,
                   u8(0xee + 0x35 * settings().seed));
  c->shadow.resize(c->shared.size() / 4 + 1);
  u32 threads = threadsOf(l);
  for (u32 first = 0; first < threads; first += 32)
    c->warps.push_back(makeWarp(*c, first, threads));
  c->alive = u32(c->warps.size());
  return c;
}

void GridRun::drive(std::vector<std::unique_ptr<Cta>> &ctas,
                    std::mt19937_64 &random) {
  std::vector<Warp *> warps;
  for (auto &c : ctas)
    for (auto &w : c->warps)
      warps.push_back(w.get());
  bool shuffled = settings().seed != 0;
  u64 changes = grid.changes, idle = 0;
  for (;;) {
    if (shuffled)
      std::shuffle(warps.begin(), warps.end(), random);
    bool moved = false;
    size_t left = 0;
    for (Warp *w : warps) {
      if (failed)
        return;
      u64 before = w->steps;
      step(*w, shuffled ? 1 + random() % 2000 : 50000);
      statistics().instructions.fetch_add(w->steps - before,
                                          std::memory_order_relaxed);
      moved |= (w->steps != before && !w->polled) || w->state == Warp::Ended;
      if (w->state != Warp::Ended)
        warps[left++] = w;
    }
    warps.resize(left);
    if (warps.empty())
      return;
    if (moved || grid.changes != changes) {
      idle = 0, changes = grid.changes;
      continue;
    }
    if (!grid.mayPassGridWait)
      return;
    // Loops that wait may count their rounds and give up, so they get some.
    bool polls = std::any_of(warps.begin(), warps.end(),
                             [](Warp *w) { return w->polled; });
    if (polls && ++idle < 5000)
      continue;
    Warp *w = warps[0];
    w->report(CUDA_ERROR_LAUNCH_FAILED,
              polls ? "waits for ever: nobody that runs changes anything"
                    : "waits for ever at a barrier that others do not reach",
              __builtin_ctz(w->alive));
  }
}

void GridRun::begin() {
  FloatMode mode;
  std::mt19937_64 random(settings().seed * 31 + grid.id);
  grid.mayPassGridWait = false;
  while (next < order.size() && early.size() < 8)
    early.push_back(make(order[next++]));
  drive(early, random);
  grid.mayPassGridWait = true;
}

void GridRun::share(int worker) {
  FloatMode mode;
  std::mt19937_64 random(settings().seed * 31 + grid.id * 7 + u64(worker));
  for (size_t i; !failed && (i = next++) < order.size();) {
    std::vector<std::unique_ptr<Cta>> one;
    one.push_back(make(order[i]));
    drive(one, random);
  }
}

void GridRun::finish() {
  grid.mayPassGridWait = true;
  std::mt19937_64 random(settings().seed * 31 + grid.id);
  if (grid.launch.cooperative) {
    FloatMode mode;
    while (next < order.size())
      early.push_back(make(order[next++]));
  }
  if (!early.empty()) {
    FloatMode mode;
    drive(early, random);
  }
  int workers = int(
      std::min<size_t>(size_t(settings().threads),
                       order.size() - std::min<size_t>(next, order.size())));
  if (workers <= 1)
    return share(0);
  std::mutex first;
  std::unique_ptr<Fault> fault;
  auto guarded = [&](int worker) {
    try {
      share(worker);
    } catch (Fault &f) {
      std::lock_guard lock(first);
      if (!failed.exchange(true))
        fault = std::make_unique<Fault>(f);
    }
  };
  std::vector<std::thread> threads;
  for (int i = 1; i < workers; ++i)
    threads.emplace_back(guarded, i);
  guarded(0);
  for (std::thread &t : threads)
    t.join();
  if (fault)
    throw *fault;
}

} // namespace cuemu
