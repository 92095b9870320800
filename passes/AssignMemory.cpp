// kernel-assign-memory: a place for every result, an offset for every weight
// and cache. Liveness counts phases (intervals between barriers), because a
// worker may be anywhere in its phase while another is anywhere in the same:
// two values share bytes only if a barrier stands between the last access of
// one and the first of the other. Private slots (`worker`) are touched by one
// worker only, so there the order of calls counts.
#include "passes/Passes.h"
#include "runtime/file.h"
#include "targets/Layouts.h"

using namespace mlir;

namespace gemmac {
#define GEN_PASS_DEF_ASSIGNMEMORY
#include "passes/Passes.h.inc"

namespace {

using kernel::Space;

// Bytes that one value, or a chain of values updated in place, occupies.
struct Slot {
  Space place;
  int64_t bytes;       // per unit of the class
  int64_t first, last; // time of the first and last access
  int64_t offset = -1;
};

Space spaceOf(kernel::CallOp call) {
  if (call.getAxis() == Axis::All)
    return Space::Worker;
  return call.getAxis() == Axis::Splits ? Space::Key : Space::Row;
}

//===-- one function ------------------------------------------------------===//

class FunctionPlanner {
public:
  FunctionPlanner(func::FuncOp func, const kernel::Symbols &symbols)
      : func(func), symbols(symbols) {}
  void run();

private:
  // Order of calls for private slots, phases for shared ones.
  int64_t time(Space place, Operation *op) {
    return place == Space::Worker ? position.lookup(op) : phase.lookup(op);
  }
  void number();
  void makeSlots();
  std::optional<unsigned> inPlaceOf(kernel::CallOp call, OpResult result);
  bool isAloneInPhase(kernel::CallOp call, Value updated);
  void layOut();
  void write();

  func::FuncOp func;
  const kernel::Symbols &symbols;
  llvm::DenseMap<Operation *, int64_t> position, phase;
  llvm::DenseMap<Value, Io> outputs; // what the function returns
  llvm::DenseMap<Value, unsigned> slotOf;
  std::vector<Slot> slots;
};

void FunctionPlanner::number() {
  int64_t at = 0, phases = 0;
  for (Operation &op : func.front()) {
    phases += isa<kernel::BarrierOp>(op);
    position[&op] = at++;
    phase[&op] = phases;
  }
  auto returned = cast<func::ReturnOp>(func.front().getTerminator());
  for (auto [index, value] : llvm::enumerate(returned.getOperands()))
    if (std::optional<Io> io = kernel::resultIo(func, index))
      outputs[value] = *io;
}

// Whether every other access of `updated` in the phase of `call` is by the
// worker that updates the same part, so that none sees half an update.
bool FunctionPlanner::isAloneInPhase(kernel::CallOp call, Value updated) {
  auto touchesOwnPart = [&](kernel::CallOp other, Access access) {
    return phase.lookup(other) != phase.lookup(call) ||
           (access == Access::Own && other.getAxis() == call.getAxis() &&
            other.getUnits() == call.getUnits());
  };
  auto producer = updated.getDefiningOp<kernel::CallOp>();
  unsigned number = cast<OpResult>(updated).getResultNumber();
  if (!touchesOwnPart(producer,
                      symbols.family(producer).results[number].access))
    return false;
  return llvm::all_of(updated.getUses(), [&](OpOperand &use) {
    auto reader = dyn_cast<kernel::CallOp>(use.getOwner());
    return reader &&
           touchesOwnPart(
               reader,
               symbols.family(reader).inputs[use.getOperandNumber()].access);
  });
}

// The slot whose bytes `result` takes over: that of its in-place operand, which
// must be a value of the same kind that dies here.
std::optional<unsigned> FunctionPlanner::inPlaceOf(kernel::CallOp call,
                                                   OpResult result) {
  int index =
      symbols.family(call).results[result.getResultNumber()].inPlaceWith;
  if (index < 0)
    return std::nullopt;
  Value updated = call.getInputs()[index];
  auto slot = slotOf.find(updated);
  if (slot == slotOf.end() || slots[slot->second].place != spaceOf(call) ||
      updated.getType() != result.getType())
    return std::nullopt;
  int64_t uses = 0;
  for (OpOperand &use : updated.getUses()) {
    if (position.lookup(use.getOwner()) > position.lookup(call))
      return std::nullopt;
    uses += use.getOwner() == call;
  }
  if (uses != 1 ||
      (spaceOf(call) != Space::Worker && !isAloneInPhase(call, updated)))
    return std::nullopt;
  return slot->second;
}

void FunctionPlanner::makeSlots() {
  for (auto call : func.front().getOps<kernel::CallOp>())
    for (OpResult result : call->getResults()) {
      if (outputs.contains(result))
        continue;
      Space place = spaceOf(call);
      int64_t from = time(place, call), to = from;
      for (Operation *user : result.getUsers())
        to = std::max(to, time(place, user));
      if (std::optional<unsigned> slot = inPlaceOf(call, result)) {
        slots[*slot].last = std::max(slots[*slot].last, to);
        slotOf[result] = *slot;
        continue;
      }
      int64_t bytes =
          kernel::bytesPerRow(cast<RankedTensorType>(result.getType()));
      if (place == Space::Worker)
        bytes *= fewRows;
      slotOf[result] = slots.size();
      slots.push_back({place, roundUp(bytes, GM_SLOT_ALIGN), from, to});
    }
}

// Largest first; each into the smallest hole that the slots alive at the same
// time leave, else on top.
void FunctionPlanner::layOut() {
  std::vector<Slot *> order;
  for (Slot &slot : slots)
    order.push_back(&slot);
  llvm::stable_sort(order, [](Slot *a, Slot *b) {
    return std::tie(b->bytes, a->first) < std::tie(a->bytes, b->first);
  });
  for (Slot *slot : order) {
    std::vector<std::pair<int64_t, int64_t>> taken;
    for (Slot *other : order)
      if (other->offset >= 0 && other->place == slot->place &&
          other->first <= slot->last && slot->first <= other->last)
        taken.emplace_back(other->offset, other->offset + other->bytes);
    llvm::sort(taken);
    int64_t end = 0, best = -1, smallest = 0;
    for (auto [from, to] : taken) {
      int64_t hole = from - end;
      if (hole >= slot->bytes && (best < 0 || hole < smallest))
        best = end, smallest = hole;
      end = std::max(end, to);
    }
    slot->offset = best < 0 ? end : best;
  }
}

void FunctionPlanner::write() {
  Builder b(func.getContext());
  for (auto call : func.front().getOps<kernel::CallOp>()) {
    SmallVector<Attribute> places;
    for (Value result : call.getResults()) {
      if (auto io = outputs.find(result); io != outputs.end()) {
        places.push_back(kernel::PlaceAttr::at(b.getContext(), io->second));
        continue;
      }
      const Slot &slot = slots[slotOf.lookup(result)];
      places.push_back(
          kernel::PlaceAttr::at(b.getContext(), slot.place, slot.offset));
    }
    if (!places.empty())
      call.setAtAttr(b.getArrayAttr(places));
  }
  auto most = [&](Space place) {
    int64_t bytes = 0;
    for (const Slot &slot : slots)
      if (slot.place == place)
        bytes = std::max(bytes, slot.offset + slot.bytes);
    return bytes;
  };
  func->setAttr(kernel::memoryAttr,
                kernel::MemoryAttr::get(b.getContext(), most(Space::Worker),
                                        most(Space::Row), most(Space::Key)));
}

void FunctionPlanner::run() {
  number();
  makeSlots();
  layOut();
  write();
}

//===-- weights and caches ------------------------------------------------===//

// In the order of the module; what is read by row at random (experts, gathered
// tables) starts at a page of its own.
void placeWeights(ModuleOp module, const kernel::Symbols &symbols) {
  int64_t end = 0;
  for (auto weight : module.getOps<kernel::WeightOp>()) {
    if (weight.getViewOf())
      continue;
    bool isSection = weight.getStack() > 1 || weight->hasAttr(kernel::pleMark);
    end = roundUp(end, isSection ? GM_SECTION_ALIGN : GM_WEIGHT_ALIGN);
    weight.setOffset(end);
    end += weight.getBytes();
    if (isSection)
      end = roundUp(end, GM_SECTION_ALIGN);
  }
  for (auto view : module.getOps<kernel::WeightOp>()) {
    if (!view.getViewOf())
      continue;
    kernel::WeightOp base = symbols.weight(view.getViewOfAttr());
    const Layout *layout = findLayout(view.getLayout().str());
    view.setOffset(base.getOffset().value() +
                   layout->address(*view.getViewRow(), 0, view.getCols()));
  }
}

void placeCaches(ModuleOp module) {
  int64_t local = 0, global = 0;
  for (auto cache : module.getOps<kernel::CacheOp>()) {
    int64_t &end = cache.isLocal() ? local : global;
    cache.setOffset(end);
    end += cache.getKPage() + cache.getVPage();
  }
}

struct AssignMemory : impl::AssignMemoryBase<AssignMemory> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    kernel::Symbols symbols(module);
    placeWeights(module, symbols);
    placeCaches(module);
    for (auto func : module.getOps<func::FuncOp>())
      if (func->hasAttr(kernel::segmentAttr) && !func.isExternal())
        FunctionPlanner(func, symbols).run();
  }
};

} // namespace
} // namespace gemmac
