// Asynchronous copies to shared memory and the mbarriers that count them.
// Everything is as late as allowed: bytes land at the wait that orders them,
// until then they are garbage and may not be touched.
#include "runtime/cuda/driver_api.h"
#include "test/cuda/lanes.h"

namespace cuemu {

namespace {

void ask(Warp &w, const Copy &copy) {
  u32 bytes = copy.bytes + copy.zeros;
  memset(w.cta->shared.data() + copy.to, 0xfb, bytes);
  w.cta->pending(copy.to, bytes, true);
}

/// s: to, from, bytes that are read (if fewer than `vector`).
void copyAsync(Warp &w, const Instruction &in, u32 mask) {
  lanes(mask, [&](int l) {
    u64 to = addressOf(w, in, in.s[0], l);
    u64 from = w.rows[size_t(in.s[1])].q[l] + u64(in.offset2);
    u32 whole = u32(in.vector),
        bytes = in.ss > 2 ? w.rows[size_t(in.s[2])].w[l] : whole;
    if (bytes > whole)
      w.report(CUDA_ERROR_LAUNCH_FAILED,
               "copies " + std::to_string(bytes) + " of " +
                   std::to_string(whole) + " bytes",
               l);
    if (from % whole)
      w.report(CUDA_ERROR_MISALIGNED_ADDRESS,
               "misaligned: " + std::to_string(whole) + " bytes from ..." +
                   std::to_string(from % 256),
               l);
    w.access(to, whole, Space::Shared, l, true);
    if (bytes) {
      w.accessGlobal(from, bytes, l);
      w.cta->noteGlobal(w, from, bytes, l, false);
    }
    Copy copy{from, u32(to), bytes, whole - bytes, l, w.groups[size_t(l)]};
    ask(w, copy);
    w.copies.push_back(copy);
  });
}

void commitGroup(Warp &w, const Instruction &, u32 mask) {
  lanes(mask, [&](int l) { ++w.groups[size_t(l)]; });
}

void waitGroup(Warp &w, const Instruction &in, u32 mask) {
  w.landGroups(mask, u32(in.mode));
}

void waitAll(Warp &w, const Instruction &in, u32 mask) {
  commitGroup(w, in, mask);
  w.landGroups(mask, 0);
}

MBarrier &barrierAt(Warp &w, u64 address, int lane) {
  w.access(address, 8, Space::Shared, lane, false);
  auto it = w.cta->mbarriers.find(u32(address));
  if (it == w.cta->mbarriers.end())
    w.report(CUDA_ERROR_LAUNCH_FAILED, "an mbarrier that was not initialised",
             lane);
  return it->second;
}

void settle(MBarrier &b) {
  if (b.pending || b.bytes)
    return;
  ++b.phase;
  b.pending = b.expected;
  b.released.join(b.gathering);
}

void initialise(Warp &w, const Instruction &in, u32 mask) {
  lanes(mask, [&](int l) {
    u64 at = addressOf(w, in, in.s[0], l);
    w.access(at, 8, Space::Shared, l, true);
    MBarrier &b = w.cta->mbarriers[u32(at)] = {};
    b.expected = b.pending = w.rows[size_t(in.s[1])].w[l];
    if (!b.expected || b.expected >= 1u << 20)
      w.report(CUDA_ERROR_LAUNCH_FAILED, "an mbarrier of no threads", l);
  });
}

void invalidate(Warp &w, const Instruction &in, u32 mask) {
  lanes(mask, [&](int l) {
    u64 at = addressOf(w, in, in.s[0], l);
    barrierAt(w, at, l);
    w.cta->mbarriers.erase(u32(at));
  });
}

enum { ARRIVE, EXPECT, ARRIVE_EXPECT };

/// s: the mbarrier, then a count of threads or bytes.
void arrive(Warp &w, const Instruction &in, u32 mask) {
  lanes(mask, [&](int l) {
    MBarrier &b = barrierAt(w, addressOf(w, in, in.s[0], l), l);
    u32 n = in.ss > 1 ? w.rows[size_t(in.s[1])].w[l] : 1;
    if (in.ds && in.d[0] >= 0)
      w.rows[size_t(in.d[0])].q[l] = b.phase;
    if (in.mode != ARRIVE)
      b.bytes += n;
    if (in.mode == EXPECT)
      return;
    u32 threads = in.mode == ARRIVE ? n : 1;
    if (threads > b.pending)
      w.report(CUDA_ERROR_LAUNCH_FAILED, "more arrivals than the mbarrier has",
               l);
    b.gathering.join(w.clock);
    b.pending -= threads;
    settle(b);
  });
  ++w.clock.time[size_t(w.index)];
  w.sync();
  w.cta->grid->changes.fetch_add(1, std::memory_order_relaxed);
}

/// s: the mbarrier, then its phase (mode 0) or the phase's parity (mode 1).
void tryWait(Warp &w, const Instruction &in, u32 mask) {
  u32 done = 0;
  std::vector<MBarrier *> early; // the first try after a copy is in vain
  lanes(mask, [&](int l) {
    MBarrier &b = barrierAt(w, addressOf(w, in, in.s[0], l), l);
    if (!b.copies.empty() && b.asked) {
      for (const Copy &copy : b.copies) {
        w.land(copy, ASYNC, ++w.cta->asyncTime);
        b.bytes -= copy.bytes;
      }
      b.gathering.time[ASYNC] = w.cta->asyncTime;
      b.copies.clear();
      b.asked = false;
      settle(b);
    } else if (!b.copies.empty()) {
      early.push_back(&b);
    }
    bool yes = in.mode ? (b.phase & 1) != (w.rows[size_t(in.s[1])].w[l] & 1)
                       : b.phase != w.rows[size_t(in.s[1])].q[l];
    if (yes)
      w.clock.join(b.released);
    done |= u32(yes) << l;
  });
  for (MBarrier *b : early)
    b->asked = true;
  if (done)
    w.sync();
  setPredicate(w, in.d[0], mask, done);
}

/// s: to, from, bytes, mbarrier.
void copyBulk(Warp &w, const Instruction &in, u32 mask) {
  lanes(mask, [&](int l) {
    u64 to = addressOf(w, in, in.s[0], l);
    u64 from = w.rows[size_t(in.s[1])].q[l] + u64(in.offset2);
    u32 bytes = w.rows[size_t(in.s[2])].w[l];
    if (bytes % 16 || from % 16 || to % 16)
      w.report(CUDA_ERROR_MISALIGNED_ADDRESS,
               "a bulk copy that is no multiple of 16 bytes", l);
    if (!bytes)
      return;
    w.accessShared(to, bytes, l, true);
    w.accessGlobal(from, bytes, l);
    MBarrier &b = barrierAt(w, w.rows[size_t(in.s[3])].w[l] + u64(in.mode), l);
    Copy copy{from, u32(to), bytes, 0, l, 0};
    ask(w, copy);
    b.copies.push_back(copy);
  });
}

void prefetchBulk(Warp &w, const Instruction &in, u32 mask) {
  lanes(mask, [&](int l) {
    u64 from = addressOf(w, in, in.s[0], l);
    u32 bytes = w.rows[size_t(in.s[1])].w[l];
    if (bytes % 16 || from % 16)
      w.report(CUDA_ERROR_MISALIGNED_ADDRESS,
               "a bulk prefetch that is no multiple of 16 bytes", l);
    if (bytes)
      w.accessGlobal(from, bytes, l);
  });
}

Execute *decodeBulk(Decoder &d) {
  if (d.take("prefetch")) {
    d.take("L2");
    d.take("global");
    d.address(0);
    d.source(1, 4);
    return prefetchBulk;
  }
  if (!d.take("mbarrier::complete_tx::bytes") ||
      (!d.take("shared::cluster") && !d.take("shared::cta")) ||
      !d.take("global"))
    return nullptr;
  d.in.space = Space::Shared;
  d.address(0);
  d.in.offset2 = d.otherAddress(1, false);
  d.source(2, 4);
  const Operand &b = d.operand(3);
  bool narrow = b.kind == Operand::Address && !b.list.empty() &&
                d.bytesOf(b.list[0]) == 4;
  d.in.mode = int(d.otherAddress(3, narrow));
  return copyBulk;
}

Execute *decodeCopy(Decoder &d) {
  if (!d.take("async"))
    return nullptr;
  if (d.take("bulk"))
    return decodeBulk(d);
  if (d.take("commit_group"))
    return commitGroup;
  if (d.take("wait_group")) {
    d.in.mode = int(d.immediate(0));
    return waitGroup;
  }
  if (d.take("wait_all"))
    return waitAll;
  d.ignore({"ca", "cg", "L2::64B", "L2::128B", "L2::256B"});
  if ((!d.take("shared") && !d.take("shared::cta")) || !d.take("global"))
    return nullptr;
  d.in.space = Space::Shared;
  d.address(0);
  d.in.offset2 = d.otherAddress(1, false);
  u64 bytes = d.immediate(2);
  if (bytes != 4 && bytes != 8 && bytes != 16)
    d.fail("expects 4, 8 or 16 bytes");
  d.in.vector = int(bytes);
  if (d.count() > 3)
    d.source(3, 4);
  return copyAsync;
}

} // namespace

Execute *decodeAsync(Decoder &d) {
  if (d.opcode() == "cp")
    return decodeCopy(d);
  d.take("b64");
  d.ignore({"shared", "shared::cta", "relaxed", "release", "acquire", "cta"});
  d.in.space = Space::Shared;
  d.in.sync = true;
  if (d.take("init")) {
    d.address(0);
    d.source(1, 4);
    return initialise;
  }
  if (d.take("inval")) {
    d.address(0);
    return invalidate;
  }
  bool arrives = d.take("arrive"), expects = d.take("expect_tx");
  if (arrives || expects) {
    d.in.mode = !expects ? ARRIVE : arrives ? ARRIVE_EXPECT : EXPECT;
    size_t n = 0;
    if (arrives)
      d.result(n++);
    d.address(n++);
    if (d.count() > n)
      d.source(n, 4);
    return arrive;
  }
  if (d.take("try_wait") || d.take("test_wait")) {
    d.in.mode = d.take("parity");
    d.in.polls = true;
    d.in.d[0] = d.predicate(d.operand(0));
    d.address(1);
    d.source(2, d.in.mode ? 4 : 8);
    return tryWait;
  }
  return nullptr;
}

} // namespace cuemu
