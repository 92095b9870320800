// Branches, calls, ends, barriers and fences. Fences do nothing: stores are
// seen in order here.
#include "runtime/cuda/driver_api.h"
#include "test/cuda/lanes.h"

namespace cuemu {

namespace {

void nothing(Warp &, const Instruction &, u32) {}

void trap(Warp &w, const Instruction &, u32 mask) {
  w.report(CUDA_ERROR_ILLEGAL_INSTRUCTION, "trap", __builtin_ctz(mask));
}

void warpBarrier(Warp &w, const Instruction &in, u32 mask) {
  w.checkMembers(w.rows[size_t(in.s[0])], mask);
  w.sync();
}

Execute *barrier(Decoder &d) {
  d.take("cta");
  if (d.take("warp") && d.take("sync")) {
    d.source(0, 4);
    return warpBarrier;
  }
  std::string kind = d.takeOne({"sync", "arrive"});
  d.take("all");
  d.take("aligned");
  if (kind.empty())
    d.fail("not emulated");
  d.in.flow = Flow::Barrier;
  d.in.mode = kind == "arrive";
  for (size_t n = 0; n < d.count(); ++n)
    d.source(n, 4);
  return nullptr;
}

} // namespace

Execute *decodeControl(Decoder &d) {
  const std::string &op = d.opcode();
  if (op == "bar" || op == "barrier")
    return barrier(d);
  if (op == "bra" || op == "call" || op == "ret") {
    d.take("uni");
    bool leaves = op == "ret" && d.rows.function->entry;
    d.in.flow = leaves ? Flow::Exit : op == "call" ? Flow::Call : Flow::Branch;
    return nullptr;
  }
  if (op == "exit") {
    d.in.flow = Flow::Exit;
    return nullptr;
  }
  if (op == "griddepcontrol") {
    if (d.take("wait")) {
      d.in.flow = Flow::Grid;
      return nullptr;
    }
    return d.take("launch_dependents") ? nothing : nullptr;
  }
  if (op == "nanosleep") {
    d.takeType();
    d.in.polls = true;
    return nothing;
  }
  if (op == "trap")
    return trap;
  d.ignore({"cta", "gl", "sys", "gpu", "cluster", "sc", "acq_rel", "acquire",
            "release", "proxy", "async", "async::shared::cta", "async::global",
            "alias", "mbarrier_init"});
  return nothing;
}

} // namespace cuemu
