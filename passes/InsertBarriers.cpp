// kernel-insert-barriers: a barrier in front of every call that touches what
// another worker may have written, or that writes what another may still read,
// since the last barrier. Values and caches only: reuse of bytes is the matter
// of kernel-assign-memory. Must not know places.
#include "passes/Passes.h"

using namespace mlir;

namespace gemmac {
#define GEN_PASS_DEF_INSERTBARRIERS
#include "passes/Passes.h.inc"

namespace {

// A call and its family.
struct Access {
  kernel::CallOp call;
  const Family *family;
};

bool sameUnits(kernel::CallOp a, kernel::CallOp b) {
  return a.getAxis() == b.getAxis() && a.getUnits() == b.getUnits();
}

// Whether worker w's share of `reader` only needs what worker w's share of
// `writer` has written: private copies, worker 0 on both sides, or the same
// units each touching its own part.
bool staysWithWorker(Access writer, unsigned result, Access reader,
                     unsigned input) {
  if (writer.call.getAxis() == Axis::All)
    return true;
  if (!sameUnits(writer.call, reader.call))
    return false;
  if (writer.call.getAxis() == Axis::One)
    return true;
  return writer.family->results[result].access == gemmac::Access::Own &&
         reader.family->inputs[input].access == gemmac::Access::Own;
}

class BarrierFinder {
public:
  BarrierFinder(func::FuncOp func, const kernel::Symbols &symbols)
      : func(func), symbols(symbols) {
    auto returned = cast<func::ReturnOp>(func.front().getTerminator());
    for (auto [index, value] : llvm::enumerate(returned.getOperands()))
      if (std::optional<Io> io = kernel::resultIo(func, index))
        outputs[value] = *io;
  }

  void run() {
    OpBuilder builder(func.getContext());
    for (Operation &op : llvm::make_early_inc_range(func.front())) {
      if (isa<kernel::BarrierOp>(op))
        phase.clear();
      auto call = dyn_cast<kernel::CallOp>(op);
      if (!call)
        continue;
      Access access = {call, &symbols.family(call)};
      if (llvm::any_of(phase, [&](Access earlier) {
            return conflict(earlier, access);
          })) {
        builder.setInsertionPoint(call);
        kernel::BarrierOp::create(builder, call.getLoc());
        phase.clear();
      }
      phase.push_back(access);
    }
  }

private:
  bool conflict(Access earlier, Access later) {
    for (auto [input, value] : llvm::enumerate(later.call.getInputs()))
      if (value.getDefiningOp() == earlier.call &&
          !staysWithWorker(earlier, cast<OpResult>(value).getResultNumber(),
                           later, input))
        return true;
    if (earlier.call.getCacheAttr() &&
        earlier.call.getCacheAttr() == later.call.getCacheAttr() &&
        (earlier.family->writesCache || later.family->writesCache))
      return true;
    return overwritesInput(earlier, later);
  }

  // `later` writes an io buffer that `earlier` reads.
  bool overwritesInput(Access earlier, Access later) {
    for (Value result : later.call.getResults())
      for (auto [index, value] : llvm::enumerate(earlier.call.getInputs())) {
        auto output = outputs.find(result);
        if (output != outputs.end() &&
            kernel::argumentIo(func, value) == output->second &&
            !(sameUnits(earlier.call, later.call) &&
              earlier.family->inputs[index].access == gemmac::Access::Own))
          return true;
      }
    return false;
  }

  func::FuncOp func;
  const kernel::Symbols &symbols;
  llvm::DenseMap<Value, Io> outputs;
  SmallVector<Access> phase; // calls since the last barrier
};

struct InsertBarriers : impl::InsertBarriersBase<InsertBarriers> {
  void runOnOperation() override {
    kernel::Symbols symbols(getOperation());
    for (auto func : getOperation().getOps<func::FuncOp>())
      if (func->hasAttr(kernel::segmentAttr) && !func.isExternal())
        BarrierFinder(func, symbols).run();
  }
};

} // namespace
} // namespace gemmac
