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
  cta->noteShared(*this, address, bytes, lane, write);
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
  u8 *p = accessGlobal(address, bytes, lane);
  if (at().sync) {
    clock.join(cta->ordered);
    cta->ordered.join(clock);
    ++clock.time[size_t(index)];
    sync();
  } else if (!at().hint) {
    cta->noteGlobal(*this, address, bytes, lane, write);
  }
  return p;
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
    s.wroteBy.bytes = 0;
    if (writer != ASYNC)
      s.wroteBy.add(*this, 15, copy.lane);
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
    w.sync();
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
  w.sync();
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
