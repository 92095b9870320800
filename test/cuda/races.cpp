// Who touched which word of memory, and whether that is ordered with who else
// touches it: warps by the barriers of their CTA, lanes of a warp by those and
// by the warp's own. Must not know where memory lies.
#include "test/cuda/warp.h"

#include "runtime/cuda/driver_api.h"

namespace cuemu {

namespace {

/// A byte of ones for each bit of a mask of four bytes.
constexpr std::array<u32, 16> WIDE = [] {
  std::array<u32, 16> masks{};
  for (u32 bytes = 0; bytes < 16; ++bytes)
    for (u32 b = 0; b < 4; ++b)
      masks[bytes] |= (bytes >> b & 1 ? 0xffu : 0) << 8 * b;
  return masks;
}();
u32 wide(u32 bytes) { return WIDE[bytes & 15]; }

/// The lane in all four bytes.
u32 owned(int lane) { return u32(lane) * 0x01010101u; }

/// The bytes of word X that [AT, AT + BYTES) has.
u8 touchedBytes(u64 x, u64 at, u32 bytes) {
  u32 from = x * 4 < at ? u32(at % 4) : 0,
      to = u32(std::min<u64>(4, at + bytes - x * 4));
  return u8(((1u << to) - 1) & ~((1u << from) - 1));
}

/// An access of a warp to a word that is being checked.
struct Access {
  Warp &w;
  const char *space;
  u64 offset;
  int lane;
  bool write;
  u32 touched;

  [[noreturn]] void report(const std::string &what) const {
    w.report(CUDA_ERROR_LAUNCH_FAILED,
             std::string(write ? "writes " : "reads ") + space +
                 " memory at offset " + std::to_string(offset) + what,
             lane);
  }
  [[noreturn]] void race(int other) const {
    report(other == ASYNC ? " that a bulk copy wrote, without waiting for it"
                          : " that warp " + std::to_string(other) +
                                " touched, without a barrier between");
  }
  void checkLanes(const LaneBytes &others) const {
    int other = others.other(w, touched, w.at().whole ? NO_LANE : lane);
    if (other >= 0)
      report((other == LaneBytes::MANY
                  ? " that other lanes"
                  : " that lane " + std::to_string(other)) +
             " touched, without a barrier of the warp between");
  }
};

void checkPending(const Access &a, const Shadow &s) {
  if (s.pending & a.touched)
    a.report(" before the wait for an asynchronous copy to it");
  if (!a.write && settings().uninitialised && (a.touched & ~s.known))
    a.report(" that nobody wrote");
}

void note(const Access &a, Shadow &s) {
  Warp &w = a.w;
  const u32 own = 1u << w.index, now = w.clock.time[size_t(w.index)],
            touched = a.touched;
  bool others = s.writer != w.index;
  if ((s.wrote & touched) && others && s.wroteAt > w.clock.time[s.writer])
    a.race(s.writer);
  const int lane = w.at().whole ? NO_LANE : a.lane;
  // Lanes may store to one place at once: one of them wins.
  if (!a.write || s.wroteBy.pc != w.pc)
    a.checkLanes(s.wroteBy);
  if (!a.write) {
    if (s.readAt < now)
      s.readers = 0, s.read = 0, s.readAt = now;
    if (s.readAt == now)
      s.readers |= own, s.read |= u8(touched);
    s.readBy.add(w, touched, lane);
    return;
  }
  if (s.read & touched)
    for (u32 r = s.readers & ~own; r; r &= r - 1)
      if (s.readAt > w.clock.time[size_t(__builtin_ctz(r))])
        a.race(__builtin_ctz(r));
  a.checkLanes(s.readBy);
  s.wroteBy.add(w, touched, lane);
  // Warps that share a word by bytes are not told apart afterwards.
  bool mixed = others && s.wroteAt > w.clock.time[s.writer];
  bool same = !others && s.wroteAt == now;
  s.wrote = u8(mixed ? 0 : same ? s.wrote | touched : touched);
  s.writer = u8(w.index), s.wroteAt = now;
  s.read &= u8(~touched);
  s.known = (s.known | touched) & 15;
}

} // namespace

int LaneBytes::other(const Warp &w, u32 touched, int lane) const {
  if (since != w.syncs || warp != w.index)
    return -1;
  u32 differ = (owners ^ owned(lane)) & wide(touched & bytes);
  return differ ? int(owners >> __builtin_ctz(differ) / 8 * 8 & 0xff) : -1;
}

void LaneBytes::add(const Warp &w, u32 touched, int lane) {
  if (since != w.syncs || warp != w.index)
    since = w.syncs, warp = u8(w.index), bytes = 0;
  u32 differ = (owners ^ owned(lane)) & wide(touched & bytes);
  u32 all = wide(touched);
  owners = (owners & ~all) | (owned(lane) & all);
  for (u32 b = 0; differ && b < 4; ++b)
    if (differ >> 8 * b & 0xff)
      owners |= u32(MANY) << 8 * b;
  bytes |= u8(touched);
  pc = w.pc;
}

void Cta::noteShared(Warp &w, u64 at, u32 bytes, int lane, bool write) {
  for (u64 x = at / 4; x <= (at + bytes - 1) / 4; ++x) {
    Access a{w, "shared", x * 4, lane, write, touchedBytes(x, at, bytes)};
    checkPending(a, shadow[x]);
    note(a, shadow[x]);
  }
}

void Cta::noteGlobal(Warp &w, u64 address, u32 bytes, int lane, bool write) {
  for (u64 x = address / 4; x <= (address + bytes - 1) / 4; ++x) {
    u64 &near = wroteNear[x >> 10 & 63], bit = u64(1) << (x >> 4 & 63);
    if (!write && !(near & bit))
      continue;
    near |= write ? bit : 0;
    auto it = write ? globals.try_emplace(x).first : globals.find(x);
    if (it == globals.end())
      continue;
    Access a{w,    "global", x * 4 - w.span.begin,
             lane, write,    touchedBytes(x, address, bytes)};
    note(a, it->second);
  }
}

} // namespace cuemu
