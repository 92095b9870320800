// A CTA while it runs: accesses and their checks, barriers, asynchronous
// copies, and the loop over instructions.
#include "test/cuda/warp.h"

#include "runtime/cuda/driver_api.h"

namespace cuemu {

void Warp::report(int code, const std::string &what, int lane) const {
  const Instruction &in = at();
  char where[120];
  snprintf(where, sizeof where, " (CTA %u,%u,%u, warp %d, lane %d)", cta->id[0],
           cta->id[1], cta->id[2], index, lane);
  throw Fault(
      code,
      kernel->name + ": line " +
          std::to_string(in.source ? in.source->line : kernel->function->line) +
          ": " + what + where + ": " +
          (in.source ? in.source->text : "the end of the kernel"));
}

u8 *Warp::accessGlobal(u64 address, u32 bytes, int lane) {
  if (address < span.begin || address + bytes > span.end) {
    const Span *found = memory().find(address, bytes);
    if (!found)
      report(CUDA_ERROR_ILLEGAL_ADDRESS,
             "outside global memory: " + memory().explain(address, bytes),
             lane);
    span = *found;
  }
  return memory().view(address);
}

u8 *Warp::accessShared(u64 address, u32 bytes, int lane, bool write) {
  if (address + bytes > cta->shared.size() || address + bytes < address)
    report(CUDA_ERROR_ILLEGAL_ADDRESS,
           "outside shared memory: " + std::to_string(bytes) +
               " bytes at offset " + std::to_string(address) + " of " +
               std::to_string(cta->shared.size()),
           lane);
  if (at().sync)
    return cta->shared.data() + address;
  cta->note(*this, address, bytes, lane, write);
  return cta->shared.data() + address;
}

u8 *Warp::access(u64 address, u32 bytes, Space space, int lane, bool write) {
  if (address % bytes)
    report(CUDA_ERROR_MISALIGNED_ADDRESS,
           "misaligned: " + std::to_string(bytes) + " bytes at address ..." +
               std::to_string(address % 256),
           lane);
  if (space == Space::Generic) {
    space = Space::Global;
    for (auto [window, own] : {std::pair{SHARED_WINDOW, Space::Shared},
                               {LOCAL_WINDOW, Space::Local},
                               {PARAM_WINDOW, Space::Param}})
      if (address - window < WINDOW_BYTES)
        address -= window, space = own;
  }
  auto outside = [&](const char *what, u64 size) {
    report(CUDA_ERROR_ILLEGAL_ADDRESS,
           std::string("outside ") + what + ": " + std::to_string(bytes) +
               " bytes at offset " + std::to_string(address) + " of " +
               std::to_string(size),
           lane);
  };
  if (space == Space::Shared)
    return accessShared(address, bytes, lane, write);
  if (space == Space::Local) {
    u64 size = kernel->localBytes;
    if (address + bytes > size || address + bytes < address)
      outside("local memory", size);
    return local.data() + u64(lane) * size + address;
  }
  if (space == Space::Param) {
    const std::vector<u8> &params = cta->grid->launch.params;
    if (address + bytes > params.size() || address + bytes < address)
      outside("the parameters", params.size());
    if (write)
      report(CUDA_ERROR_ILLEGAL_ADDRESS, "writes a parameter", lane);
    return const_cast<u8 *>(params.data()) + address;
  }
  return accessGlobal(address, bytes, lane);
}

void Warp::checkMembers(const Row &members, u32 mask) const {
  for (u32 m = mask; m; m &= m - 1) {
    int lane = __builtin_ctz(m);
    u32 want = members.w[lane];
    if (!(want >> lane & 1))
      report(CUDA_ERROR_LAUNCH_FAILED,
             "a lane that its own member mask leaves out", lane);
    if (u32 missing = want & alive & ~mask)
      report(CUDA_ERROR_LAUNCH_FAILED,
             "a warp operation with part of its lanes: lane " +
                 std::to_string(__builtin_ctz(missing)) + " is elsewhere",
             lane);
  }
}

void Warp::land(const Copy &copy, int writer, u32 time) {
  if (copy.bytes)
    memcpy(cta->shared.data() + copy.to, memory().view(copy.from), copy.bytes);
  u32 end = copy.to + copy.bytes + copy.zeros;
  memset(cta->shared.data() + copy.to + copy.bytes, 0, copy.zeros);
  for (u32 x = copy.to / 4; x < (end + 3) / 4; ++x) {
    Shadow &s = cta->shadow[x];
    s.writer = u8(writer), s.wroteAt = time, s.wrote = s.known = 15;
    s.pending = 0;
  }
}

void Warp::landGroups(u32 mask, u32 keep) {
  size_t left = 0;
  for (Copy &copy : copies) {
    size_t lane = size_t(copy.lane);
    if ((mask >> lane & 1) && copy.group + keep < groups[lane])
      land(copy, index, clock.time[size_t(index)]);
    else
      copies[left++] = copy;
  }
  copies.resize(left);
}

void Cta::note(Warp &w, u64 at, u32 bytes, int lane, bool write) {
  u32 own = 1u << w.index, now = w.clock.time[size_t(w.index)];
  for (u64 x = at / 4; x <= (at + bytes - 1) / 4; ++x) {
    Shadow &s = shadow[x];
    u32 from = x * 4 < at ? u32(at % 4) : 0,
        to = u32(std::min<u64>(4, at + bytes - x * 4));
    u8 touched = u8(((1u << to) - 1) & ~((1u << from) - 1));
    auto race = [&](const std::string &what, int other) {
      w.report(CUDA_ERROR_LAUNCH_FAILED,
               what + " shared memory at offset " + std::to_string(x * 4) +
                   (other == ASYNC
                        ? " that a bulk copy wrote, without waiting for it"
                        : " that warp " + std::to_string(other) +
                              " touched, without a barrier between"),
               lane);
    };
    if (s.pending & touched)
      w.report(CUDA_ERROR_LAUNCH_FAILED,
               std::string(write ? "writes" : "reads") +
                   " shared memory at offset " + std::to_string(x * 4) +
                   " before the wait for an asynchronous copy to it",
               lane);
    if (!write && settings().uninitialised && (touched & ~s.known))
      w.report(CUDA_ERROR_LAUNCH_FAILED,
               "reads shared memory at offset " + std::to_string(x * 4) +
                   " that nobody wrote",
               lane);
    bool others = s.writer != w.index;
    if ((s.wrote & touched) && others && s.wroteAt > w.clock.time[s.writer])
      race(write ? "writes" : "reads", s.writer);
    if (!write) {
      if (s.readAt < now)
        s.readers = 0, s.read = 0, s.readAt = now;
      if (s.readAt == now)
        s.readers |= own, s.read |= touched;
      continue;
    }
    if (s.read & touched)
      for (u32 r = s.readers & ~own; r; r &= r - 1)
        if (s.readAt > w.clock.time[size_t(__builtin_ctz(r))])
          race("writes", __builtin_ctz(r));
    // Warps that share a word by bytes are not told apart afterwards.
    bool mixed = others && s.wroteAt > w.clock.time[s.writer];
    bool same = !others && s.wroteAt == now;
    s.wrote = mixed ? 0 : same ? s.wrote | touched : touched;
    s.writer = u8(w.index), s.wroteAt = now;
    s.read &= u8(~touched);
    s.known = (s.known | touched) & 15;
  }
}

void Cta::pending(u64 at, u32 bytes, bool is) {
  for (u64 x = at / 4; x < (at + bytes + 3) / 4; ++x)
    shadow[x].pending = is ? 15 : 0;
}

bool Cta::arrive(Warp &w, int b, u32 expected) {
  Barrier &bar = barriers[size_t(b)];
  if (bar.arrived && bar.expected != expected)
    w.report(CUDA_ERROR_LAUNCH_FAILED,
             "barrier " + std::to_string(b) + " with another thread count", 0);
  bar.expected = expected;
  bar.arrived += 32;
  bar.gathering.join(w.clock);
  u32 all = expected ? expected : alive * 32;
  if (bar.arrived < all)
    return false;
  bar.arrived = 0, ++bar.phase;
  bar.released = bar.gathering;
  bar.gathering = {};
  return true;
}

void Cta::settle() {
  for (Barrier &bar : barriers)
    if (bar.arrived && !bar.expected && bar.arrived >= alive * 32) {
      bar.arrived = 0, ++bar.phase;
      bar.released = bar.gathering;
      bar.gathering = {};
    }
}

namespace {

/// The next lanes that still have something to do.
void resume(Warp &w) {
  while (!w.parts.empty() && !(w.parts.back().mask & w.alive))
    w.parts.pop_back();
  if (w.parts.empty()) {
    w.state = Warp::Ended;
    return;
  }
  const Warp::Part &top = w.parts.back();
  w.pc = top.pc, w.mask = top.mask & w.alive, w.join = top.join;
}

void end(Warp &w, u32 mask) {
  u32 rest = w.mask & ~mask;
  w.alive &= ~mask;
  if (rest) {
    w.mask = rest, ++w.pc;
  } else {
    w.parts.pop_back();
    resume(w);
  }
  if (!w.alive) {
    w.state = Warp::Ended;
    --w.cta->alive;
    w.cta->settle();
  }
}

void branch(Warp &w, const Instruction &in, u32 mask) {
  u32 rest = w.mask & ~mask;
  if (!rest) {
    w.pc = in.target;
  } else if (!mask) {
    ++w.pc;
  } else {
    Warp::Part &here = w.parts.back();
    here = {in.join, w.mask, w.join};
    if (in.join < 0)
      w.parts.pop_back(); // they never meet
    w.parts.push_back({w.pc + 1, rest, in.join});
    w.parts.push_back({in.target, mask, in.join});
    resume(w);
  }
}

void meetBarrier(Warp &w, const Instruction &in, u32 mask) {
  if (mask != w.alive)
    w.report(CUDA_ERROR_LAUNCH_FAILED,
             "a barrier with part of a warp: lane " +
                 std::to_string(__builtin_ctz(w.alive & ~mask)) +
                 " is elsewhere",
             mask ? __builtin_ctz(mask) : 0);
  int lane = __builtin_ctz(mask);
  u32 id = w.rows[size_t(in.s[0])].w[lane];
  u32 count = in.ss > 1 ? w.rows[size_t(in.s[1])].w[lane] : 0;
  if (id >= 16 || count % 32 || (in.ss > 1 && !count))
    w.report(CUDA_ERROR_LAUNCH_FAILED,
             "barrier " + std::to_string(id) + " of " + std::to_string(count) +
                 " threads",
             lane);
  Cta &c = *w.cta;
  w.barrier = int(id), w.phase = c.barriers[id].phase;
  c.arrive(w, int(id), count);
  if (in.mode) { // bar.arrive
    ++w.clock.time[size_t(w.index)];
    ++w.pc;
  } else {
    w.state = Warp::AtBarrier;
  }
}

/// Whether W may go on; then it knows what the others knew.
bool passBarrier(Warp &w) {
  Barrier &bar = w.cta->barriers[size_t(w.barrier)];
  if (bar.phase == w.phase)
    return false;
  w.clock.join(bar.released);
  ++w.clock.time[size_t(w.index)];
  w.state = Warp::Running;
  ++w.pc;
  return true;
}

} // namespace

void step(Warp &w, u64 slice) {
  if (w.state == Warp::AtBarrier && !passBarrier(w))
    return;
  if (w.state == Warp::AtGrid && w.cta->grid->mayPassGridWait)
    w.state = Warp::Running, ++w.pc;
  w.polled = false;
  u64 done = 0;
  while (w.state == Warp::Running && done++ < slice) {
    while (w.pc == w.join) {
      w.parts.pop_back();
      resume(w);
      if (w.state != Warp::Running)
        break;
    }
    const Instruction &in = w.at();
    u32 mask = w.mask;
    if (in.predicate >= 0) {
      u32 p = w.predicates[size_t(in.predicate)];
      mask &= in.negated ? ~p : p;
    }
    if (in.whole && mask && mask != ALL)
      w.report(CUDA_ERROR_LAUNCH_FAILED,
               "a warp operation with part of a warp: lane " +
                   std::to_string(__builtin_ctz(~mask)) + " is elsewhere",
               __builtin_ctz(mask));
    switch (in.flow) {
    case Flow::Next:
      if (mask)
        in.run(w, in, mask);
      w.polled |= in.polls && mask;
      ++w.pc;
      break;
    case Flow::Branch: {
      int from = w.pc;
      branch(w, in, mask);
      if (w.polled && w.pc <= from) { // once around a loop that waits
        w.steps += done;
        return;
      }
      break;
    }
    case Flow::Exit:
      if (mask)
        end(w, mask);
      else
        ++w.pc;
      break;
    case Flow::Call:
      ++w.pc;
      if (mask) {
        w.parts.back().pc = w.pc;
        w.parts.back().mask = w.mask;
        w.parts.push_back({in.target, mask, -1});
        resume(w);
      }
      break;
    case Flow::Return:
      w.parts.pop_back();
      resume(w);
      break;
    case Flow::Barrier:
      if (mask || in.predicate < 0)
        meetBarrier(w, in, mask);
      else
        ++w.pc;
      if (w.state == Warp::AtBarrier)
        passBarrier(w);
      break;
    case Flow::Grid:
      if (w.cta->grid->mayPassGridWait)
        ++w.pc;
      else
        w.state = Warp::AtGrid;
      break;
    }
  }
  w.steps += done;
}

} // namespace cuemu
