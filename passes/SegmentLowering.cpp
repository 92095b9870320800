// See SegmentLowering.h. Knows where every field of gm_ctx lies.
#include "passes/SegmentLowering.h"
#include "runtime/abi.h"
#include "targets/Layouts.h"

#include "llvm/Support/FormatVariadic.h"

#include <cstddef>

using namespace mlir;

namespace gemmac {

namespace {

class SegmentLowering {
public:
  SegmentLowering(func::FuncOp source,
                  const llvm::StringMap<DeclaredBody> &kernels,
                  CallTable &table)
      : source(source), kernels(kernels), table(table),
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
  void barrier(Location where);
  void mark(int32_t call);

  // Fields of gm_ctx, loaded once at the top.
  Value field(size_t offset, Type type);
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
  // Values that many calls share, by what they are.
  Value once(const std::string &key, llvm::function_ref<Value()> make) {
    auto found = shared.find(key);
    return found != shared.end() ? found->second : shared[key] = make();
  }

  Value addressOf(Value value);
  Value addressOf(kernel::PlaceAttr place);
  Value poolAddress(kernel::CacheOp cache, int64_t offset);
  std::pair<Value, Value> range(kernel::CallOp op);
  Value unitsOf(kernel::CallOp op);
  static int kindOf(kernel::CallOp op) { // of the cache
    return kernel::lookupCache(op, op.getCacheAttr()).isLocal() ? GM_LOCAL
                                                                : GM_GLOBAL;
  }

  func::FuncOp source;
  const llvm::StringMap<DeclaredBody> &kernels;
  CallTable &table;
  OpBuilder top, b;
  Location loc;
  Type ptr, i8, i32, i64;
  Value ctx, worker, zero;
  llvm::StringMap<Value> shared;
};

Value SegmentLowering::field(size_t offset, Type type) {
  return once(llvm::formatv("field {0}", offset), [&] {
    Value address = ctx;
    if (offset)
      address = LLVM::GEPOp::create(top, source.getLoc(), ptr, i8, ctx,
                                    ArrayRef<LLVM::GEPArg>{int32_t(offset)});
    return LLVM::LoadOp::create(top, source.getLoc(), type, address);
  });
}

// cut[worker + next] as i64.
Value SegmentLowering::cutPoint(int32_t next) {
  Value cut = field(offsetof(gm_ctx, cut), ptr);
  return once(llvm::formatv("cut {0}", next), [&]() -> Value {
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
    return field(arrayOf(place.getIo()).field, ptr);
  return once(textOf(place), [&]() -> Value {
    if (place.getSpace() == Space::Worker) {
      Value base = once("private", [&]() -> Value {
        Value stride = field(offsetof(gm_ctx, worker_stride), i64);
        Value index = LLVM::SExtOp::create(b, loc, i64, worker);
        return pointerAt(field(offsetof(gm_ctx, worker), ptr),
                         LLVM::MulOp::create(b, loc, index, stride));
      });
      return pointerAt(base, place.getOffset());
    }
    bool isRow = place.getSpace() == Space::Row;
    Value base =
        field(isRow ? offsetof(gm_ctx, row) : offsetof(gm_ctx, key), ptr);
    if (place.getOffset() == 0)
      return base;
    Value units = field(
        isRow ? offsetof(gm_ctx, max_rows) : offsetof(gm_ctx, max_splits), i32);
    Value wide = once(isRow ? "max_rows" : "max_splits", [&]() -> Value {
      return LLVM::SExtOp::create(b, loc, i64, units);
    });
    int64_t bytes = place.getOffset() * (isRow ? 1 : GM_FEW_ROWS);
    return pointerAt(base,
                     LLVM::MulOp::create(b, loc, wide, constant(i64, bytes)));
  });
}

Value SegmentLowering::addressOf(Value value) {
  if (std::optional<Io> io = kernel::argumentIo(source, value))
    return field(arrayOf(*io).field, ptr);
  return addressOf(kernel::placeOf(cast<OpResult>(value)));
}

Value SegmentLowering::poolAddress(kernel::CacheOp cache, int64_t offset) {
  int kind = cache.isLocal() ? GM_LOCAL : GM_GLOBAL;
  return once(llvm::formatv("pool {0} {1}", kind, offset), [&]() -> Value {
    Value base = field(offsetof(gm_ctx, cache) + kind * sizeof(void *), ptr);
    if (offset == 0)
      return base;
    Value pages =
        field(offsetof(gm_ctx, pool_pages) + kind * sizeof(int64_t), i64);
    return pointerAt(base,
                     LLVM::MulOp::create(b, loc, pages, constant(i64, offset)));
  });
}

//===-- calls -------------------------------------------------------------===//

// All units of the call as i64.
Value SegmentLowering::unitsOf(kernel::CallOp op) {
  int64_t n = op.getUnits();
  size_t factor = offsetof(gm_ctx, rows);
  if (op.getAxis() == Axis::Blocks)
    return constant(i64, n);
  if (op.getAxis() == Axis::Tiles)
    factor = offsetof(gm_ctx, tiles);
  if (op.getAxis() == Axis::Splits)
    factor = offsetof(gm_ctx, splits) + kindOf(op) * sizeof(int32_t);
  Value wide = LLVM::SExtOp::create(b, loc, i64, field(factor, i32));
  return n == 1
             ? wide
             : LLVM::MulOp::create(b, loc, wide, constant(i64, n)).getResult();
}

// This worker's units [begin, end).
std::pair<Value, Value> SegmentLowering::range(kernel::CallOp op) {
  Value rows = field(offsetof(gm_ctx, rows), i32);
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
    return once(key + std::to_string(next), [&]() -> Value {
      Value units = once(key, [&] { return unitsOf(op); });
      Value scaled = LLVM::MulOp::create(b, loc, units, cutPoint(next));
      Value unit = LLVM::LShrOp::create(b, loc, scaled, constant(i64, 16));
      return LLVM::TruncOp::create(b, loc, i32, unit);
    });
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
    kernel::WeightOp weight =
        kernel::lookupWeight(op, cast<FlatSymbolRefAttr>(name));
    args.push_back(
        pointerAt(field(offsetof(gm_ctx, weights), ptr), *weight.getOffset()));
  }
  if (family.cache) {
    kernel::CacheOp cache = kernel::lookupCache(op, op.getCacheAttr());
    int kind = kindOf(op);
    int64_t offset = *cache.getOffset();
    args.push_back(poolAddress(cache, offset));
    args.push_back(poolAddress(cache, offset + cache.getKPage()));
    args.push_back(field(offsetof(gm_ctx, page) + kind * sizeof(void *), ptr));
    args.push_back(
        field(offsetof(gm_ctx, page_stride) + kind * sizeof(int32_t), i32));
  }
  for (Value result : op.getResults())
    args.push_back(addressOf(result));
  args.push_back(field(offsetof(gm_ctx, rows), i32));
  if (family.partials)
    args.push_back(field(offsetof(gm_ctx, max_splits), i32));
  for (int64_t scalar : kernel::scalarsOf(op, family))
    args.push_back(once(llvm::formatv("i32 {0}", scalar), [&]() -> Value {
      return LLVM::ConstantOp::create(top, source.getLoc(), i32,
                                      b.getI32IntegerAttr(scalar));
    }));
  auto [begin, end] = range(op);
  args.append({begin, end});
  mark(table.add(op, body.spec));
  LLVM::CallOp::create(b, loc, body.declaration, args);
}

void SegmentLowering::barrier(Location where) {
  Value function = field(offsetof(gm_ctx, barrier), ptr);
  auto type = LLVM::LLVMFunctionType::get(
      LLVM::LLVMVoidType::get(b.getContext()), {ptr, i32});
  LLVM::CallOp::create(b, where, type, ValueRange{function, ctx, worker});
}

void SegmentLowering::mark(int32_t call) {
  Value function = field(offsetof(gm_ctx, mark), ptr);
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
  b.setInsertionPointToStart(entry);
  zero = constant(i32, 0);
  shared["i32 0"] = zero;
  // Loads go in front of the first address or call.
  Operation *end = LLVM::ReturnOp::create(b, loc, ValueRange());
  top.setInsertionPoint(end);
  b.setInsertionPointToEnd(entry);
  for (Operation &op : source.front()) {
    if (auto kernelCall = dyn_cast<kernel::CallOp>(op))
      call(kernelCall);
    else if (isa<kernel::BarrierOp>(op))
      barrier(op.getLoc());
  }
  mark(-1);
  end->moveBefore(entry, entry->end());
  return func;
}

} // namespace

LLVM::LLVMFuncOp lowerSegment(func::FuncOp source,
                              const llvm::StringMap<DeclaredBody> &kernels,
                              CallTable &table) {
  return SegmentLowering(source, kernels, table).run();
}

} // namespace gemmac
