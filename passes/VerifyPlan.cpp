// kernel-verify-plan: checks a plan without trusting who made it. This file
// looks at bytes: for every pair of accesses to overlapping bytes, at least one
// of them a write, it must be clear why no worker can see the other halfway: a
// barrier, private copies, worker 0 on both sides, or the same units each
// touching its own part. Must not share liveness with kernel-assign-memory.
#include "passes/VerifyPlan.h"

#include "dialects/Check.h"
#include "passes/Passes.h"
#include "runtime/file.h"
#include "targets/Layouts.h"

using namespace mlir;

namespace gemmac {
#define GEN_PASS_DEF_VERIFYPLAN
#include "passes/Passes.h.inc"

namespace {

using kernel::Space;

constexpr int64_t slotAlign = GM_SLOT_ALIGN;

// Bytes that an access touches: [begin, end) per unit of a class, or all of the
// array `io` or of `cache`.
struct Bytes {
  Space place = Space::Io;
  int64_t begin = 0, end = 0;
  std::optional<Io> io = {};
  StringRef cache = "";

  bool overlaps(const Bytes &other) const {
    if (place != other.place || io != other.io || cache != other.cache)
      return false;
    return io || !cache.empty() || (begin < other.end && other.begin < end);
  }
};

struct Touch {
  kernel::CallOp call;
  Bytes bytes;
  bool isWrite;
  gemmac::Access access;
  Type type; // of the value; null for caches
};

// Why two accesses of one phase are safe although they touch the same bytes.
bool isSafe(Touch a, Touch b) {
  if (a.bytes.place == Space::Worker)
    return true; // private copies
  Axis axis = a.call.getAxis();
  if (axis == Axis::One && b.call.getAxis() == Axis::One)
    return true; // worker 0 in program order
  return a.access == gemmac::Access::Own && b.access == gemmac::Access::Own &&
         (axis == Axis::Rows || axis == Axis::Blocks || axis == Axis::Tiles) &&
         axis == b.call.getAxis() && a.call.getUnits() == b.call.getUnits() &&
         a.type == b.type && a.bytes.begin == b.bytes.begin;
}

class MemoryChecker {
public:
  MemoryChecker(func::FuncOp func, const kernel::Symbols &symbols)
      : func(func), symbols(symbols) {}
  LogicalResult run();

private:
  LogicalResult placeResults(kernel::CallOp call);
  LogicalResult checkPlace(kernel::CallOp call, Value result,
                           kernel::PlaceAttr place);
  LogicalResult checkInside(kernel::CallOp call, const Bytes &bytes);
  LogicalResult checkSelf(kernel::CallOp call, const Family &family);
  LogicalResult checkRaces(kernel::CallOp call, const Family &family);
  Value overwriterOf(Value value);
  LogicalResult checkOutputs();
  std::optional<Bytes> bytesOf(Value value);

  func::FuncOp func;
  const kernel::Symbols &symbols;
  llvm::DenseMap<Value, Bytes> places;
  llvm::DenseMap<Value, size_t> definedAt; // number of writes before it
  std::vector<Touch> phase;                // accesses since the last barrier
  std::vector<std::pair<Value, Bytes>> writes; // all so far, in program order
};

std::optional<Bytes> MemoryChecker::bytesOf(Value value) {
  if (auto found = places.find(value); found != places.end())
    return found->second;
  if (std::optional<Io> io = kernel::argumentIo(func, value))
    return Bytes{.io = io};
  return std::nullopt;
}

//===-- places ------------------------------------------------------------===//

LogicalResult MemoryChecker::checkInside(kernel::CallOp call,
                                         const Bytes &bytes) {
  Check check(call);
  StringRef word = kernel::wordOf(bytes.place);
  check.require(bytes.begin % slotAlign == 0,
                "expects a place at a multiple of {0}, got {1} + {2}",
                slotAlign, word, bytes.begin);
  auto memory = func->getAttrOfType<kernel::MemoryAttr>(kernel::memoryAttr);
  int64_t size = bytes.place == Space::Worker ? memory.getWorker()
                 : bytes.place == Space::Row  ? memory.getRow()
                                              : memory.getKey();
  check.require(size % slotAlign == 0,
                "expects {0} memory of a multiple of {1} bytes, got {2}", word,
                slotAlign, size);
  check.require(bytes.end <= size,
                "expects places within {0} bytes of {1} memory, got [{2}, {3})",
                size, word, bytes.begin, bytes.end);
  return check;
}

LogicalResult MemoryChecker::checkPlace(kernel::CallOp call, Value result,
                                        kernel::PlaceAttr place) {
  Check check(call);
  Axis axis = call.getAxis();
  std::string text = textOf(place);
  if (place.getSpace() == Space::Io) {
    check.require(
        llvm::any_of(result.getUsers(), llvm::IsaPred<func::ReturnOp>),
        "expects results at {0} to be returned", text);
    check.require(axis != Axis::All,
                  "expects a private place for the result of axis all, got {0}",
                  text);
    places[result] = {.io = place.getIo()};
    return check;
  }
  Space legal = axis == Axis::All      ? Space::Worker
                : axis == Axis::Splits ? Space::Key
                                       : Space::Row;
  check.require(place.getSpace() == legal,
                "expects the result of axis {0} at {1} + o, got {2}",
                stringifyAxis(axis), wordOf(legal), text);
  check.require(place.getOffset() <= (int64_t(1) << 50),
                "expects an offset below 2^50, got {0}", text);
  if (failed(check))
    return check;
  int64_t bytes = kernel::bytesPerRow(cast<RankedTensorType>(result.getType()));
  if (legal == Space::Worker)
    bytes *= fewRows;
  if (legal == Space::Key) {
    const Constants &constants = kernel::specOf(symbols.def(call)).constants;
    bytes = std::max(bytes, partialBytes(constants.integer("heads"),
                                         constants.integer("hd")));
  }
  Bytes where = {.place = legal,
                 .begin = place.getOffset(),
                 .end = place.getOffset() + bytes};
  places[result] = where;
  return checkInside(call, where);
}

LogicalResult MemoryChecker::placeResults(kernel::CallOp call) {
  if (call.getNumResults() == 0)
    return success();
  if (!call.getAt())
    return call.emitOpError("expects a place for every result");
  for (OpResult result : call->getResults())
    if (failed(checkPlace(call, result, kernel::placeOf(result))))
      return failure();
  return success();
}

//===-- accesses ----------------------------------------------------------===//

// One call may get the same bytes twice only for an update declared in place.
LogicalResult MemoryChecker::checkSelf(kernel::CallOp call,
                                       const Family &family) {
  Check check(call);
  for (auto [r, result] : llvm::enumerate(call.getResults())) {
    const Bytes &out = places[result];
    for (auto [i, input] : llvm::enumerate(call.getInputs())) {
      std::optional<Bytes> in = bytesOf(input);
      if (in && in->overlaps(out))
        check.require(family.results[r].inPlaceWith == int(i) &&
                          in->begin == out.begin &&
                          input.getType() == result.getType(),
                      "expects result {0} apart from input {1} ({2})", r, i,
                      family.inputs[i].name);
    }
    for (Value other : call.getResults().drop_front(r + 1))
      check.require(!places[other].overlaps(out),
                    "expects results at different bytes");
  }
  return check;
}

LogicalResult MemoryChecker::checkRaces(kernel::CallOp call,
                                        const Family &family) {
  std::vector<Touch> touches;
  for (auto [i, input] : llvm::enumerate(call.getInputs()))
    if (std::optional<Bytes> bytes = bytesOf(input))
      touches.push_back(
          {call, *bytes, false, family.inputs[i].access, input.getType()});
  for (auto [r, result] : llvm::enumerate(call.getResults()))
    touches.push_back({call, places[result], true, family.results[r].access,
                       result.getType()});
  if (call.getCacheAttr())
    touches.push_back({call,
                       {.cache = call.getCache().value()},
                       family.writesCache,
                       gemmac::Access::Any,
                       {}});
  for (Touch &now : touches)
    for (Touch &before : phase) {
      if (!(now.isWrite || before.isWrite) ||
          !now.bytes.overlaps(before.bytes) || isSafe(before, now))
        continue;
      InFlightDiagnostic diag = call.emitOpError("expects a barrier after @")
                                << before.call.getCallee() << ", which "
                                << (before.isWrite ? "writes" : "reads")
                                << " the same bytes";
      diag.attachNote(before.call.getLoc()) << "the other access";
      return diag;
    }
  phase.insert(phase.end(), touches.begin(), touches.end());
  return success();
}

// What has written to the bytes of `value` since its definition; null: nothing.
Value MemoryChecker::overwriterOf(Value value) {
  std::optional<Bytes> bytes = bytesOf(value);
  assert(bytes && "arguments have kernel.io, results have places");
  for (size_t i = definedAt.lookup(value); i < writes.size(); ++i)
    if (writes[i].first != value && writes[i].second.overlaps(*bytes))
      return writes[i].first;
  return {};
}

LogicalResult MemoryChecker::checkOutputs() {
  auto returned = dyn_cast<func::ReturnOp>(func.front().getTerminator());
  if (!returned)
    return func.emitOpError("expects a return");
  for (auto [index, value] : llvm::enumerate(returned.getOperands())) {
    std::optional<Io> io = kernel::resultIo(func, index);
    std::optional<Bytes> bytes = bytesOf(value);
    if (!io || !bytes || bytes->io != io || !value.getDefiningOp())
      return returned.emitOpError() << "expects result " << index << " at io "
                                    << (io ? arrayOf(*io).name : "?");
    if (overwriterOf(value))
      return returned.emitOpError()
             << "returns io " << arrayOf(*io).name << ", which is overwritten";
  }
  return success();
}

LogicalResult MemoryChecker::run() {
  for (Operation &op : func.front().without_terminator()) {
    if (isa<kernel::BarrierOp>(op)) {
      phase.clear();
      continue;
    }
    auto call = dyn_cast<kernel::CallOp>(op);
    if (!call)
      return op.emitOpError("expects kernel.call and kernel.barrier only");
    const Family &family = symbols.family(call);
    if (failed(placeResults(call)))
      return failure();
    for (Value input : call.getInputs())
      if (Value other = overwriterOf(input))
        return call.emitOpError()
               << "reads a value that @"
               << other.getDefiningOp<kernel::CallOp>().getCallee()
               << " has overwritten";
    if (failed(checkSelf(call, family)) || failed(checkRaces(call, family)))
      return failure();
    for (Value result : call.getResults()) {
      definedAt[result] = writes.size();
      writes.emplace_back(result, places[result]);
    }
  }
  return checkOutputs();
}

//===-- sections ----------------------------------------------------------===//

struct Range {
  int64_t begin, end;
  Operation *op;
};

LogicalResult checkDisjoint(std::vector<Range> ranges, StringRef what) {
  llvm::sort(ranges,
             [](const Range &a, const Range &b) { return a.begin < b.begin; });
  for (size_t i = 1; i < ranges.size(); ++i)
    if (ranges[i].begin < ranges[i - 1].end) {
      InFlightDiagnostic diag = ranges[i].op->emitOpError("expects ")
                                << what << " of its own, got offset "
                                << ranges[i].begin << " below the end "
                                << ranges[i - 1].end << " of another";
      diag.attachNote(ranges[i - 1].op->getLoc()) << "the other one";
      return diag;
    }
  return success();
}

} // namespace

LogicalResult verifyPlannedMemory(func::FuncOp func,
                                  const kernel::Symbols &symbols) {
  return MemoryChecker(func, symbols).run();
}

static LogicalResult verifySections(ModuleOp module) {
  std::vector<Range> weights, pools[2];
  for (Operation &op : *module.getBody()) {
    auto weight = dyn_cast<kernel::WeightOp>(op);
    auto cache = dyn_cast<kernel::CacheOp>(op);
    if (!weight && !cache)
      continue;
    std::optional<int64_t> offset =
        weight ? weight.getOffset() : cache.getOffset();
    if (!offset)
      return op.emitOpError("expects an offset");
    bool isSection =
        weight && (weight.getStack() > 1 || weight->hasAttr(kernel::pleMark));
    int64_t align = cache       ? slotAlign
                    : isSection ? GM_SECTION_ALIGN
                                : GM_WEIGHT_ALIGN;
    if (*offset % align)
      return op.emitOpError() << "expects an offset at a multiple of " << align
                              << ", got " << *offset;
    int64_t begin = *offset;
    if (cache)
      pools[cache.isLocal()].push_back(
          {begin, begin + cache.getKPage() + cache.getVPage(), cache});
    else if (!weight.getViewOf())
      weights.push_back({begin, begin + weight.getBytes(), weight});
  }
  if (failed(checkDisjoint(weights, "weight bytes")) ||
      failed(checkDisjoint(pools[0], "cache pages")) ||
      failed(checkDisjoint(pools[1], "cache pages")))
    return failure();
  return success();
}

LogicalResult verifyPlan(ModuleOp module) {
  // Layouts of weights depend on it.
  if (!module->hasAttr(kernel::targetAttr))
    return emitError(module.getLoc())
           << "expects " << kernel::targetAttr << " of the module";
  if (failed(verifySections(module)))
    return failure();
  kernel::Symbols symbols(module);
  for (auto func : module.getOps<func::FuncOp>())
    if (failed(verifyPlannedCalls(func, symbols)) ||
        failed(verifyPlannedMemory(func, symbols)))
      return failure();
  return success();
}

namespace {
struct VerifyPlan : impl::VerifyPlanBase<VerifyPlan> {
  void runOnOperation() override {
    if (failed(verifyPlan(getOperation())))
      signalPassFailure();
  }
};
} // namespace
} // namespace gemmac
