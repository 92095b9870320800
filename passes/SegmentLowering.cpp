// See SegmentLowering.h. Knows where every field of gm_ctx lies.
#include "passes/SegmentLowering.h"
#include "runtime/abi.h"
#include "targets/Layouts.h"

#include "llvm/Support/FormatVariadic.h"

#include <cstddef>

using namespace mlir;

namespace gemmac {

// Bits of gm_kernel::addresses.
constexpr size_t mostParameters = 64;

// Name and offset of a field.
#define GM_FIELD(field) #field, offsetof(gm_ctx, field)

namespace {

class SegmentLowering {
public:
  SegmentLowering(func::FuncOp source, const kernel::Symbols &symbols,
                  const llvm::StringMap<DeclaredBody> &kernels,
                  CallTable &table)
      : source(source), symbols(symbols), kernels(kernels), table(table),
        isDevice(!kernels.empty() && kernels.begin()->second.device >= 0),
        top(source.getContext()), b(source.getContext()), loc(source.getLoc()) {
    MLIRContext *context = source.getContext();
    ptr = LLVM::LLVMPointerType::get(context);
    i8 = IntegerType::get(context, 8);
    i32 = IntegerType::get(context, 32);
    i64 = IntegerType::get(context, 64);
  }
  LLVM::LLVMFuncOp run();

private:
  void call(kernel::CallOp op);
  void launch(kernel::CallOp op, int32_t kernel, SmallVector<Value> &args);
  void barrier(Location where);
  void mark(int32_t call);

  // Fields of gm_ctx, loaded once at the top; `kind`: an element of one that
  // has an element for local and for global caches.
  Value field(StringRef name, size_t offset, Type type);
  Value field(StringRef name, size_t offset, Type type, int kind) {
    size_t bytes = type == i32 ? sizeof(int32_t) : sizeof(int64_t);
    return field((name + (kind == GM_LOCAL ? "_local" : "_global")).str(),
                 offset + kind * bytes, type);
  }
  Value array(Io io) { return field(arrayOf(io).name, arrayOf(io).field, ptr); }
  Value cutPoint(int32_t next);
  Value pointerAt(Value base, Value bytes) {
    return LLVM::GEPOp::create(b, loc, ptr, i8, base,
                               ArrayRef<LLVM::GEPArg>{bytes});
  }
  Value pointerAt(Value base, int64_t bytes);
  Value constant(Type type, int64_t value) {
    return LLVM::ConstantOp::create(b, loc, type,
                                    b.getIntegerAttr(type, value));
  }
  // Values that many calls share, by what they are, and what they are called.
  Value once(StringRef key, llvm::function_ref<Value()> make, StringRef name);
  Value once(StringRef key, llvm::function_ref<Value()> make) {
    return once(key, make, key);
  }
  // Gives a value a name for readers; the first one stays.
  Value named(Value value, StringRef name) {
    if (Operation *op = value.getDefiningOp(); op && hasName.insert(op).second)
      op->setLoc(NameLoc::get(b.getStringAttr(name), source.getLoc()));
    return value;
  }

  Value addressOf(Value value);
  Value addressOf(kernel::PlaceAttr place);
  Value poolAddress(kernel::CacheOp cache, int64_t offset);
  std::pair<Value, Value> range(kernel::CallOp op);
  Value unitsOf(kernel::CallOp op);
  int kindOf(kernel::CallOp op) { // of the cache
    return symbols.cache(op).isLocal() ? GM_LOCAL : GM_GLOBAL;
  }

  func::FuncOp source;
  const kernel::Symbols &symbols;
  const llvm::StringMap<DeclaredBody> &kernels;
  CallTable &table;
  const bool isDevice; // as all bodies of a module are
  OpBuilder top, b;
  Location loc;
  Type ptr, i8, i32, i64;
  Value ctx, worker, zero;
  llvm::StringMap<Value> shared;
  llvm::DenseSet<Operation *> hasName;
};

Value SegmentLowering::once(StringRef key, llvm::function_ref<Value()> make,
                            StringRef name) {
  if (auto found = shared.find(key); found != shared.end())
    return found->second;
  return shared[key] = named(make(), name);
}

Value SegmentLowering::field(StringRef name, size_t offset, Type type) {
  return once(name, [&] {
    Value address = ctx;
    if (offset)
      address = LLVM::GEPOp::create(top, source.getLoc(), ptr, i8, ctx,
                                    ArrayRef<LLVM::GEPArg>{int32_t(offset)});
    return LLVM::LoadOp::create(top, source.getLoc(), type, address);
  });
}

// cut[worker + next] as i64.
Value SegmentLowering::cutPoint(int32_t next) {
  Value cut = field(GM_FIELD(cut), ptr);
  return once(llvm::formatv("cut{0}", next).str(), [&]() -> Value {
    Location where = source.getLoc();
    Value index = LLVM::SExtOp::create(top, where, i64, worker);
    Value at = LLVM::GEPOp::create(top, where, ptr, i32, cut,
                                   ArrayRef<LLVM::GEPArg>{index});
    if (next)
      at = LLVM::GEPOp::create(top, where, ptr, i32, at,
                               ArrayRef<LLVM::GEPArg>{next});
    Value point = LLVM::LoadOp::create(top, where, i32, at);
    return LLVM::ZExtOp::create(top, where, i64, point);
  });
}

Value SegmentLowering::pointerAt(Value base, int64_t bytes) {
  if (bytes == 0)
    return base;
  if (bytes < 1 << 28) // a GEPArg holds no more
    return LLVM::GEPOp::create(b, loc, ptr, i8, base,
                               ArrayRef<LLVM::GEPArg>{int32_t(bytes)});
  return pointerAt(base, constant(i64, bytes));
}

//===-- addresses ---------------------------------------------------------===//

Value SegmentLowering::addressOf(kernel::PlaceAttr place) {
  using kernel::Space;
  if (place.getSpace() == Space::Io)
    return array(place.getIo());
  return once(
      textOf(place),
      [&]() -> Value {
        if (place.getSpace() == Space::Worker) {
          Value base = once("private", [&]() -> Value {
            Value stride = field(GM_FIELD(worker_stride), i64);
            Value index = LLVM::SExtOp::create(b, loc, i64, worker);
            return pointerAt(field(GM_FIELD(worker), ptr),
                             LLVM::MulOp::create(b, loc, index, stride));
          });
          return pointerAt(base, place.getOffset());
        }
        bool isRow = place.getSpace() == Space::Row;
        Value base =
            isRow ? field(GM_FIELD(row), ptr) : field(GM_FIELD(key), ptr);
        if (place.getOffset() == 0)
          return base;
        Value units = isRow ? field(GM_FIELD(max_rows), i32)
                            : field(GM_FIELD(max_splits), i32);
        Value wide = once(isRow ? "all rows" : "all splits", [&]() -> Value {
          return LLVM::SExtOp::create(b, loc, i64, units);
        });
        int64_t bytes = place.getOffset() * (isRow ? 1 : GM_FEW_ROWS);
        return pointerAt(
            base, LLVM::MulOp::create(b, loc, wide, constant(i64, bytes)));
      },
      (wordOf(place.getSpace()) + Twine(place.getOffset())).str());
}

Value SegmentLowering::addressOf(Value value) {
  if (std::optional<Io> io = kernel::argumentIo(source, value))
    return array(*io);
  return addressOf(kernel::placeOf(cast<OpResult>(value)));
}

Value SegmentLowering::poolAddress(kernel::CacheOp cache, int64_t offset) {
  int kind = cache.isLocal() ? GM_LOCAL : GM_GLOBAL;
  return once(llvm::formatv("pool{0}_{1}", kind, offset).str(), [&]() -> Value {
    Value base = field(GM_FIELD(cache), ptr, kind);
    if (offset == 0)
      return base;
    Value pages = field(GM_FIELD(pool_pages), i64, kind);
    return pointerAt(base,
                     LLVM::MulOp::create(b, loc, pages, constant(i64, offset)));
  });
}

//===-- calls -------------------------------------------------------------===//

// All units of the call as i64.
Value SegmentLowering::unitsOf(kernel::CallOp op) {
  int64_t n = op.getUnits();
  if (op.getAxis() == Axis::Blocks)
    return constant(i64, n);
  Value factor = op.getAxis() == Axis::Tiles ? field(GM_FIELD(tiles), i32)
                 : op.getAxis() == Axis::Splits
                     ? field(GM_FIELD(splits), i32, kindOf(op))
                     : field(GM_FIELD(rows), i32);
  Value wide = LLVM::SExtOp::create(b, loc, i64, factor);
  return n == 1
             ? wide
             : LLVM::MulOp::create(b, loc, wide, constant(i64, n)).getResult();
}

// This worker's units [begin, end).
std::pair<Value, Value> SegmentLowering::range(kernel::CallOp op) {
  Value rows = field(GM_FIELD(rows), i32);
  if (op.getAxis() == Axis::All)
    return {zero, rows};
  if (op.getAxis() == Axis::One) {
    Value end = once("one", [&]() -> Value {
      Value first =
          LLVM::ICmpOp::create(b, loc, LLVM::ICmpPredicate::eq, worker, zero);
      return LLVM::SelectOp::create(b, loc, first, rows, zero);
    });
    return {zero, end};
  }
  std::string key =
      llvm::formatv("{0} {1} {2} ", stringifyAxis(op.getAxis()), op.getUnits(),
                    op.getAxis() == Axis::Splits ? kindOf(op) : 0);
  auto share = [&](int32_t next) {
    auto make = [&]() -> Value {
      Value units = once(key, [&] { return unitsOf(op); }, "units");
      Value scaled = LLVM::MulOp::create(b, loc, units, cutPoint(next));
      Value unit = LLVM::LShrOp::create(b, loc, scaled, constant(i64, 16));
      return LLVM::TruncOp::create(b, loc, i32, unit);
    };
    return once(key + std::to_string(next), make, next ? "end" : "begin");
  };
  Value begin = share(0);
  return {begin, share(1)};
}

void SegmentLowering::call(kernel::CallOp op) {
  loc = op.getLoc();
  DeclaredBody body = kernels.lookup(op.getCallee());
  const Family &family = *body.family;
  SmallVector<Value> args;
  for (Value input : op.getInputs())
    args.push_back(addressOf(input));
  while (args.size() < family.inputs.size())
    args.push_back(once("null", [&]() -> Value {
      return LLVM::ZeroOp::create(top, loc, ptr);
    }));
  for (Attribute name :
       op.getWeights().value_or(ArrayAttr::get(op.getContext(), {}))) {
    kernel::WeightOp weight = symbols.weight(name);
    args.push_back(
        named(pointerAt(field(GM_FIELD(weights), ptr), *weight.getOffset()),
              weight.getSymName()));
  }
  if (family.cache) {
    kernel::CacheOp cache = symbols.cache(op);
    int kind = kindOf(op);
    int64_t offset = *cache.getOffset();
    args.push_back(poolAddress(cache, offset));
    args.push_back(poolAddress(cache, offset + cache.getKPage()));
    args.push_back(field(GM_FIELD(page), ptr, kind));
    args.push_back(field(GM_FIELD(page_stride), i32, kind));
  }
  for (Value result : op.getResults())
    args.push_back(addressOf(result));
  args.push_back(isDevice ? ctx : field(GM_FIELD(rows), i32));
  if (family.partials)
    args.push_back(field(GM_FIELD(max_splits), i32));
  for (int64_t scalar : kernel::scalarsOf(op, family))
    args.push_back(once(llvm::formatv("c{0}", scalar).str(), [&]() -> Value {
      return LLVM::ConstantOp::create(top, source.getLoc(), i32,
                                      b.getI32IntegerAttr(scalar));
    }));
  if (isDevice) {
    mark(table.add(op, body.spec));
    return launch(op, body.device, args);
  }
  auto [begin, end] = range(op);
  args.append({begin, end});
  mark(table.add(op, body.spec));
  auto lowered = LLVM::CallOp::create(b, loc, body.declaration, args);
  // The way back to the plan.
  if (auto name = dyn_cast<NameLoc>(op.getLoc()))
    lowered->setAttr(kernel::callAttr, name.getName());
}

// Kernels stop at the step's rows, tiles and splits themselves, which they read
// where they run; only blocks end here.
void SegmentLowering::launch(kernel::CallOp op, int32_t kernel,
                             SmallVector<Value> &args) {
  const bool isBlocks = op.getAxis() == Axis::Blocks;
  args.push_back(zero);
  args.push_back(constant(i32, isBlocks ? op.getUnits() : INT32_MAX));
  Value list = once("parameters", [&]() -> Value {
    return LLVM::AllocaOp::create(
        top, source.getLoc(), ptr, i64,
        LLVM::ConstantOp::create(top, source.getLoc(), i64,
                                 top.getI64IntegerAttr(mostParameters)));
  });
  assert(args.size() <= mostParameters && "more parameters than bits");
  for (auto [i, arg] : llvm::enumerate(args)) {
    Value wide = arg.getType() == ptr
                     ? LLVM::PtrToIntOp::create(b, loc, i64, arg).getResult()
                     : LLVM::ZExtOp::create(b, loc, i64, arg).getResult();
    LLVM::StoreOp::create(b, loc, wide,
                          pointerAt(list, int64_t(i * sizeof(uint64_t))));
  }
  auto type = LLVM::LLVMFunctionType::get(
      LLVM::LLVMVoidType::get(b.getContext()), {ptr, i32, i32, i32, i32, ptr});
  const int kind = symbols.cache(op) ? kindOf(op) : 0;
  auto call = LLVM::CallOp::create(
      b, loc, type,
      ValueRange{field(GM_FIELD(launch), ptr), ctx, constant(i32, kernel),
                 constant(i32, int32_t(op.getAxis())), constant(i32, kind),
                 constant(i32, op.getUnits()), list});
  call->setAttr(kernel::calleeAttr, op.getCalleeAttr());
  if (auto name = dyn_cast<NameLoc>(op.getLoc()))
    call->setAttr(kernel::callAttr, name.getName());
}

void SegmentLowering::barrier(Location where) {
  Value function = field(GM_FIELD(barrier), ptr);
  auto type = LLVM::LLVMFunctionType::get(
      LLVM::LLVMVoidType::get(b.getContext()), {ptr, i32});
  LLVM::CallOp::create(b, where, type, ValueRange{function, ctx, worker});
}

void SegmentLowering::mark(int32_t call) {
  Value function = field(GM_FIELD(mark), ptr);
  auto type = LLVM::LLVMFunctionType::get(
      LLVM::LLVMVoidType::get(b.getContext()), {ptr, i32, i32});
  LLVM::CallOp::create(b, loc, type,
                       ValueRange{function, ctx, worker, constant(i32, call)});
}

LLVM::LLVMFuncOp SegmentLowering::run() {
  b.setInsertionPoint(source);
  auto type = LLVM::LLVMFunctionType::get(
      LLVM::LLVMVoidType::get(b.getContext()), {ptr, i32});
  // The source keeps its symbol until it is erased.
  auto func = LLVM::LLVMFuncOp::create(b, loc, source.getSymName(), type);
  Block *entry = func.addEntryBlock(b);
  ctx = entry->getArgument(0);
  worker = entry->getArgument(1);
  ctx.setLoc(NameLoc::get(b.getStringAttr("ctx")));
  worker.setLoc(NameLoc::get(b.getStringAttr("worker")));
  b.setInsertionPointToStart(entry);
  zero = constant(i32, 0);
  shared["c0"] = named(zero, "c0");
  // Loads go in front of the first address or call.
  Operation *end = LLVM::ReturnOp::create(b, loc, ValueRange());
  top.setInsertionPoint(end);
  b.setInsertionPointToEnd(entry);
  for (Operation &op : source.front()) {
    if (auto kernelCall = dyn_cast<kernel::CallOp>(op))
      call(kernelCall);
    else if (isa<kernel::BarrierOp>(op) && !isDevice)
      barrier(op.getLoc()); // launches run one after the other
  }
  mark(-1);
  end->moveBefore(entry, entry->end());
  return func;
}

} // namespace

LLVM::LLVMFuncOp lowerSegment(func::FuncOp source,
                              const kernel::Symbols &symbols,
                              const llvm::StringMap<DeclaredBody> &kernels,
                              CallTable &table) {
  return SegmentLowering(source, symbols, kernels, table).run();
}

} // namespace gemmac
