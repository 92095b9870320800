// A CTA while it runs: warps, shared memory, barriers and what checks need to
// know about them. Must not know how grids are scheduled or the driver.
#pragma once

#include "test/cuda/kernel.h"
#include "test/cuda/memory.h"

#include <atomic>
#include <unordered_map>

namespace cuemu {

struct Cta;
struct Grid;

/// Of every warp the last of its times that the owner has heard of, directly
/// or through others (a vector clock); the last entry is that of bulk copies.
constexpr int ASYNC = 32;
/// In the place of a lane: what all lanes of a warp read together.
constexpr int NO_LANE = 32;
struct Clock {
  std::array<u32, 33> time{};
  void join(const Clock &other) {
    for (size_t i = 0; i < time.size(); ++i)
      time[i] = std::max(time[i], other.time[i]);
  }
};

/// A copy to shared memory that has been asked for. Its bytes land when
/// somebody waits for them.
struct Copy {
  u64 from = 0;
  u32 to = 0, bytes = 0, zeros = 0; // zeros behind the bytes
  int lane = 0;
  u32 group = 0;
};

/// bar.sync and kin: threads that came, and what they know.
struct Barrier {
  u32 arrived = 0, expected = 0; // 0 expected: all threads of the CTA
  u64 phase = 0;
  Clock gathering, released;
};

/// An mbarrier. Its eight bytes of shared memory hold nothing.
struct MBarrier {
  u32 expected = 0, pending = 0;
  i64 bytes = 0; // still to come
  u64 phase = 0;
  std::vector<Copy> copies;
  bool asked = false; // somebody tried since; now they may land
  Clock gathering, released;
};

struct Warp {
  Cta *cta = nullptr;
  const Kernel *kernel = nullptr;
  int index = 0;
  std::vector<Row> rows;
  std::vector<u32> predicates; // a bit per lane
  std::vector<u8> local;       // of each lane, one after the other

  /// Lanes that ran apart: the top runs until it reaches its join.
  struct Part {
    int pc;
    u32 mask;
    int join;
  };
  std::vector<Part> parts;
  int pc = 0, join = -1;
  u32 mask = 0, alive = 0;

  enum State : u8 { Running, AtBarrier, AtGrid, Ended } state = Running;
  int barrier = 0; // AtBarrier: which, and its phase on arrival
  u64 phase = 0;
  bool polled = false; // it looked for something that others do
  u64 steps = 0;       // instructions

  Clock clock;
  u32 syncs = 1;                // barriers of the warp or the CTA so far
  std::vector<Copy> copies;     // cp.async that nobody waited for
  std::array<u32, 32> groups{}; // of each lane, committed so far
  Span span;                    // the last that an access fell in

  const Instruction &at() const { return kernel->code[size_t(pc)]; }

  /// Ends the launch: WHAT, with kernel, line, CTA, warp and LANE.
  [[noreturn]] void report(int code, const std::string &what, int lane) const;

  /// Where BYTES at ADDRESS of SPACE lie; reports what a kernel must not do.
  u8 *access(u64 address, u32 bytes, Space space, int lane, bool write);
  u8 *accessGlobal(u64 address, u32 bytes, int lane);
  u8 *accessShared(u64 address, u32 bytes, int lane, bool write);
  /// The lanes of a warp operation of member mask MEMBERS, executed by MASK.
  void checkMembers(const Row &members, u32 mask) const;
  /// A barrier: lanes see what the others did.
  void sync() { ++syncs; }

  void land(const Copy &copy, int writer, u32 time);
  /// Lets copies of lanes in MASK land, but for their last KEEP groups.
  void landGroups(u32 mask, u32 keep);
};

/// Lanes of a warp that touched the bytes of a word since the last barrier that
/// orders them: shuffles and their kin order no memory.
struct LaneBytes {
  u32 since = 0; // Warp::syncs
  int pc = 0;    // of the last access
  u8 warp = 0;
  u8 bytes = 0;   // touched
  u32 owners = 0; // the lane of each byte, MANY if several
  enum { MANY = 0xff };

  /// One of the bytes TOUCHED that another lane than LANE touched, or -1.
  int other(const Warp &w, u32 touched, int lane) const;
  void add(const Warp &w, u32 touched, int lane);
};

/// What is known of a word of memory. Masks are of its four bytes.
struct Shadow {
  u32 readers = 0;             // warps, all at time `readAt`
  u32 readAt = 0, wroteAt = 0; // of the clock of who did
  u8 writer = 0;
  u8 wrote = 0, read = 0;            // bytes of `writer` and `readers`
  u8 known : 4 = 0, pending : 4 = 0; // written ever; a copy is on its way
  LaneBytes wroteBy, readBy;
};

struct Cta {
  Grid *grid = nullptr;
  u32 id[3] = {};
  std::vector<u8> shared;
  std::vector<Shadow> shadow;
  /// Of words of global memory that the CTA wrote, by address / 4, and which
  /// words that might be: a bit for those with the same hash.
  std::unordered_map<u64, Shadow> globals;
  std::array<u64, 64> wroteNear{};
  Clock ordered; // by atomic operations and their kin
  std::vector<std::unique_ptr<Warp>> warps;
  std::array<Barrier, 16> barriers;
  std::map<u32, MBarrier> mbarriers; // by offset
  u32 alive = 0;                     // warps
  u32 asyncTime = 0;

  /// Notes an access and reports it if that of another warp, or of another lane
  /// of this one, is not ordered with it.
  void noteShared(Warp &w, u64 at, u32 bytes, int lane, bool write);
  /// The same of global memory; of what the CTA wrote alone.
  void noteGlobal(Warp &w, u64 address, u32 bytes, int lane, bool write);
  void pending(u64 at, u32 bytes, bool is);
  /// A warp came to barrier B; true when that was the last one.
  bool arrive(Warp &w, int b, u32 expected);
  /// Barriers that only waited for a warp that ended.
  void settle();
};

struct Launch {
  const Kernel *kernel = nullptr;
  u32 grid[3] = {1, 1, 1}, block[3] = {1, 1, 1};
  u64 dynamicShared = 0;
  bool cooperative = false;
  bool early = false; // may start before the kernel before it has ended
  std::vector<u8> params;
};

/// How kernels run here, from the environment (docs in settings.cpp).
struct Settings {
  int sm = 80;
  u64 seed = 0; // 0: in order
  int threads = 1;
  bool uninitialised = false; // report reads of shared memory never written
  bool abortOnFault = false;
  std::string ptx; // file of GM_CUDA_PTX
  int tensorBlock = 8, tensorBits = 24, tensorZero = -132;
  void setSm(int value);
};
Settings &settings();

/// A launch while it runs.
struct Grid {
  Launch launch;
  u64 id = 0;
  std::atomic<u64> changes{0}; // stores that others might wait for
  bool mayPassGridWait = true;
};

/// Runs W until it ends, waits, has polled, or did about SLICE instructions.
void step(Warp &w, u64 slice);

} // namespace cuemu
