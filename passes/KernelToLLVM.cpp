// kernel-to-llvm: straight-line functions `@<segment>_<class>(ctx, worker)` in
// the LLVM dialect: the fields of gm_ctx once, then per kernel.call the share
// of this worker and a call of the body, per kernel.barrier a call through the
// context; and the tables of gm_model. Trusts the plan (kernel-verify-plan has
// checked it).
#include "passes/KernelToLLVM.h"

#include "passes/CallFacts.h"
#include "passes/Passes.h"
#include "runtime/abi.h"
#include "targets/Layouts.h"

#include "llvm/Support/FormatVariadic.h"

#include <bit>
#include <cstddef>

using namespace mlir;

namespace gemmac {
#define GEN_PASS_DEF_KERNELTOLLVM
#include "passes/Passes.h.inc"

static_assert(GM_FEW_ROWS == fewRows && GM_PAGE_KEYS == pageKeys &&
              GM_SPLIT_KEYS == splitKeys && GM_TILE_ROWS == tileRows);

namespace {

constexpr StringLiteral familyAttr = "kernel.family",
                        constantsName = "kernel.constants";

struct KernelToLLVM : impl::KernelToLLVMBase<KernelToLLVM> {
  void runOnOperation() override;
};

//===-- io names ----------------------------------------------------------===//

// Offset in gm_ctx of the pointer to io array `name`.
std::optional<size_t> ioOffset(StringRef name) {
  constexpr size_t pointer = sizeof(void *);
  static const std::pair<StringRef, size_t> fields[] = {
      {"ids", offsetof(gm_ctx, ids)},
      {"slot", offsetof(gm_ctx, slot)},
      {"pos", offsetof(gm_ctx, pos)},
      {"want", offsetof(gm_ctx, want)},
      {"rope_local", offsetof(gm_ctx, rope)},
      {"rope_global", offsetof(gm_ctx, rope) + pointer},
      {"ple", offsetof(gm_ctx, ple)},
      {"tile", offsetof(gm_ctx, tile)},
      {"split_local", offsetof(gm_ctx, split)},
      {"split_global", offsetof(gm_ctx, split) + pointer},
      {"parts_local", offsetof(gm_ctx, parts)},
      {"parts_global", offsetof(gm_ctx, parts) + pointer},
      {"mask", offsetof(gm_ctx, mask)},
      {"best", offsetof(gm_ctx, best)},
      {"resid", offsetof(gm_ctx, resid)},
      {"hidden", offsetof(gm_ctx, hidden)},
      {"logits", offsetof(gm_ctx, logits)},
      {"top_ids", offsetof(gm_ctx, top_ids)},
      {"top_values", offsetof(gm_ctx, top_values)},
  };
  static_assert(pointer == 8, "gm_ctx has the offsets of 64-bit machines");
  for (auto [known, offset] : fields)
    if (known == name)
      return offset;
  return std::nullopt;
}

//===-- kernel declarations -----------------------------------------------===//

// The C signature of a body (targets/Kernels.h).
LLVM::LLVMFunctionType signatureOf(const KernelSpec &spec,
                                   MLIRContext *context) {
  const Family &family = *findFamily(spec.family);
  Type ptr = LLVM::LLVMPointerType::get(context);
  Type i32 = IntegerType::get(context, 32);
  SmallVector<Type> types(family.inputs.size() + kernelWeights(spec).size(),
                          ptr);
  if (family.cache)
    types.append({ptr, ptr, ptr, i32});
  types.append(family.results.size(), ptr);
  types.append(1 + family.partials + family.scalars.size() + 2, i32);
  return LLVM::LLVMFunctionType::get(LLVM::LLVMVoidType::get(context), types);
}

// A declared body. Bodies are looked up here and not in the module: the
// declaration has the symbol of its kernel.def.
struct Body {
  LLVM::LLVMFuncOp declaration;
  const Family *family = nullptr;
  KernelSpec spec;
};

Body declare(OpBuilder &b, kernel::DefOp def) {
  KernelSpec spec = kernel::specOf(def);
  auto func = LLVM::LLVMFuncOp::create(b, def.getLoc(), def.getSymName(),
                                       signatureOf(spec, b.getContext()));
  func->setAttr(familyAttr, def.getFamilyAttr());
  func->setAttr(kernel::rowsAttr, def.getRowsAttr());
  func->setAttr(constantsName, def.getConstantsAttr());
  return {func, findFamily(spec.family), spec};
}

//===-- one segment -------------------------------------------------------===//

class SegmentLowering {
public:
  SegmentLowering(func::FuncOp source, const llvm::StringMap<Body> &kernels,
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
  Value addressOf(const kernel::Place &place);
  Value poolAddress(kernel::CacheOp cache, int64_t offset);
  std::pair<Value, Value> range(kernel::CallOp op);
  Value unitsOf(kernel::CallOp op);

  func::FuncOp source;
  const llvm::StringMap<Body> &kernels;
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

Value SegmentLowering::addressOf(const kernel::Place &place) {
  using Class = kernel::Place::Class;
  if (place.place == Class::Io)
    return field(*ioOffset(place.name), ptr);
  return once(kernel::formatPlace(place), [&]() -> Value {
    switch (place.place) {
    case Class::Fixed:
      return pointerAt(field(offsetof(gm_ctx, fixed), ptr), place.offset);
    case Class::Worker: {
      Value base = once("private", [&]() -> Value {
        Value stride = field(offsetof(gm_ctx, worker_stride), i64);
        Value index = LLVM::SExtOp::create(b, loc, i64, worker);
        return pointerAt(field(offsetof(gm_ctx, worker), ptr),
                         LLVM::MulOp::create(b, loc, index, stride));
      });
      return pointerAt(base, place.offset);
    }
    case Class::Row:
    case Class::Key: {
      bool isRow = place.place == Class::Row;
      Value base =
          field(isRow ? offsetof(gm_ctx, row) : offsetof(gm_ctx, key), ptr);
      if (place.offset == 0)
        return base;
      Value units = field(isRow ? offsetof(gm_ctx, max_rows)
                                : offsetof(gm_ctx, max_splits),
                          i32);
      Value wide = once(isRow ? "max_rows" : "max_splits", [&]() -> Value {
        return LLVM::SExtOp::create(b, loc, i64, units);
      });
      int64_t bytes = isRow ? place.offset : place.offset * GM_FEW_ROWS;
      return pointerAt(base,
                       LLVM::MulOp::create(b, loc, wide, constant(i64, bytes)));
    }
    case Class::Io:
      break;
    }
    llvm_unreachable("io is an array of gm_ctx");
  });
}

Value SegmentLowering::addressOf(Value value) {
  if (auto argument = dyn_cast<BlockArgument>(value)) {
    auto name = source.getArgAttrOfType<StringAttr>(argument.getArgNumber(),
                                                    kernel::ioAttr);
    return field(*ioOffset(name.getValue()), ptr);
  }
  auto result = cast<OpResult>(value);
  ArrayAttr at = cast<kernel::CallOp>(result.getOwner()).getAtAttr();
  return addressOf(*kernel::parsePlace(
      cast<StringAttr>(at[result.getResultNumber()]).getValue()));
}

Value SegmentLowering::poolAddress(kernel::CacheOp cache, int64_t offset) {
  int kind = cache.getTable() == "local" ? GM_LOCAL : GM_GLOBAL;
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
  size_t factor;
  if (op.getAxis() == "blocks")
    return constant(i64, n);
  if (op.getAxis() == "rows") {
    factor = offsetof(gm_ctx, rows);
  } else if (op.getAxis() == "tiles") {
    factor = offsetof(gm_ctx, tiles);
  } else {
    bool isLocal =
        kernel::lookupCache(op, op.getCacheAttr()).getTable() == "local";
    factor = offsetof(gm_ctx, splits) +
             (isLocal ? GM_LOCAL : GM_GLOBAL) * sizeof(int32_t);
  }
  Value wide = LLVM::SExtOp::create(b, loc, i64, field(factor, i32));
  return n == 1
             ? wide
             : LLVM::MulOp::create(b, loc, wide, constant(i64, n)).getResult();
}

// This worker's units [begin, end).
std::pair<Value, Value> SegmentLowering::range(kernel::CallOp op) {
  Value rows = field(offsetof(gm_ctx, rows), i32);
  if (op.getAxis() == "all")
    return {zero, rows};
  if (op.getAxis() == "one") {
    Value end = once("one", [&]() -> Value {
      Value first =
          LLVM::ICmpOp::create(b, loc, LLVM::ICmpPredicate::eq, worker, zero);
      return LLVM::SelectOp::create(b, loc, first, rows, zero);
    });
    return {zero, end};
  }
  std::string table;
  if (op.getAxis() == "splits")
    table = kernel::lookupCache(op, op.getCacheAttr()).getTable().str();
  std::string key =
      llvm::formatv("{0} {1} {2} ", op.getAxis(), op.getUnits(), table);
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
  Body body = kernels.lookup(op.getCallee());
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
    int kind = cache.getTable() == "local" ? GM_LOCAL : GM_GLOBAL;
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
  for (int64_t scalar : op.getScalars().value_or(ArrayRef<int64_t>()))
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

//===-- the table of segments ---------------------------------------------===//

struct Entry {
  StringRef segment;
  StringRef few, many;      // empty: none
  int32_t calls[2][2] = {}; // few, many: [first, end)
};

Value addressOrNull(OpBuilder &b, Location loc, StringRef symbol) {
  auto ptr = LLVM::LLVMPointerType::get(b.getContext());
  if (symbol.empty())
    return LLVM::ZeroOp::create(b, loc, ptr);
  return LLVM::AddressOfOp::create(b, loc, ptr, symbol);
}

// A constant of these bytes, aligned to 8.
void makeBytes(OpBuilder &b, Location loc, StringRef name, StringRef bytes) {
  LLVM::GlobalOp::create(b, loc,
                         LLVM::LLVMArrayType::get(b.getI8Type(), bytes.size()),
                         /*isConstant=*/true, LLVM::Linkage::Internal, name,
                         b.getStringAttr(bytes), /*alignment=*/8);
}

// A constant struct or array, built by `fill` from nothing.
void makeGlobal(OpBuilder &b, Location loc, Type type, LLVM::Linkage linkage,
                StringRef name, llvm::function_ref<Value(Value)> fill) {
  auto global =
      LLVM::GlobalOp::create(b, loc, type, true, linkage, name, Attribute());
  OpBuilder::InsertionGuard guard(b);
  b.createBlock(&global.getInitializerRegion());
  Value value = fill(LLVM::PoisonOp::create(b, loc, type));
  LLVM::ReturnOp::create(b, loc, value);
}

// gm_model of runtime/abi.h.
void makeTable(ModuleOp module, ArrayRef<Entry> entries,
               const CallTable &table) {
  OpBuilder b = OpBuilder::atBlockEnd(module.getBody());
  Location loc = module.getLoc();
  MLIRContext *context = module.getContext();
  Type ptr = LLVM::LLVMPointerType::get(context), i32 = b.getI32Type();
  auto set = [&](Value &whole, Value part, ArrayRef<int64_t> position) {
    whole = LLVM::InsertValueOp::create(b, loc, whole, part, position);
  };
  auto number = [&](int32_t n) {
    return LLVM::ConstantOp::create(b, loc, i32, b.getI32IntegerAttr(n));
  };
  static_assert(std::endian::native == std::endian::little);
  auto bytesOf = [](const auto &list) {
    return StringRef(reinterpret_cast<const char *>(list.data()),
                     list.size() * sizeof(list[0]));
  };
  makeBytes(b, loc, "gm_calls", bytesOf(table.calls));
  makeBytes(b, loc, "gm_works", bytesOf(table.works));
  makeBytes(b, loc, "gm_names", table.names);
  for (const Entry &entry : entries)
    makeBytes(b, loc, ("gm_name_" + entry.segment).str(),
              entry.segment.str() + '\0');

  auto pair = LLVM::LLVMArrayType::get(i32, 2);
  auto entryType =
      LLVM::LLVMStructType::getLiteral(context, {ptr, ptr, ptr, pair, pair});
  makeGlobal(b, loc, LLVM::LLVMArrayType::get(entryType, entries.size()),
             LLVM::Linkage::Internal, "gm_entries", [&](Value list) {
               for (auto [at, entry] : llvm::enumerate(entries)) {
                 int64_t i = at;
                 std::string name = ("gm_name_" + entry.segment).str();
                 StringRef symbols[] = {name, entry.few, entry.many};
                 for (int64_t j = 0; j < 3; ++j)
                   set(list, addressOrNull(b, loc, symbols[j]), {i, j});
                 for (int64_t j = 0; j < 2; ++j)
                   for (int64_t k = 0; k < 2; ++k)
                     set(list, number(entry.calls[j][k]), {i, 3 + j, k});
               }
               return list;
             });
  auto modelType =
      LLVM::LLVMStructType::getLiteral(context, {i32, i32, ptr, ptr, ptr, ptr});
  makeGlobal(
      b, loc, modelType, LLVM::Linkage::External, "gm_model", [&](Value model) {
        set(model, number(GM_ABI), {0});
        set(model, number(int32_t(entries.size())), {1});
        StringRef tables[] = {"gm_entries", "gm_calls", "gm_works", "gm_names"};
        for (int64_t i = 0; i < 4; ++i)
          set(model, addressOrNull(b, loc, tables[i]), {2 + i});
        return model;
      });
}

} // namespace

void KernelToLLVM::runOnOperation() {
  ModuleOp module = getOperation();
  OpBuilder b = OpBuilder::atBlockBegin(module.getBody());
  llvm::StringMap<Body> kernels;
  for (auto def : llvm::to_vector(module.getOps<kernel::DefOp>()))
    kernels[def.getSymName()] = declare(b, def);
  SmallVector<Entry> entries;
  CallTable table;
  for (auto func : llvm::to_vector(module.getOps<func::FuncOp>())) {
    auto segment = func->getAttrOfType<StringAttr>(kernel::segmentAttr);
    auto rows = func->getAttrOfType<StringAttr>(kernel::rowsAttr);
    if (!segment || !rows || !func->hasAttr(kernel::memoryAttr)) {
      func.emitOpError("expects a planned segment (run the stage plan first)");
      return signalPassFailure();
    }
    int32_t first = table.size();
    LLVM::LLVMFuncOp lowered = SegmentLowering(func, kernels, table).run();
    Entry *entry =
        llvm::find_if(entries, [&](Entry &e) { return e.segment == segment; });
    if (entry == entries.end())
      entry = &entries.emplace_back(Entry{segment.getValue(), "", "", {}});
    bool isFew = rows == "few";
    (isFew ? entry->few : entry->many) = lowered.getSymName();
    entry->calls[isFew ? 0 : 1][0] = first;
    entry->calls[isFew ? 0 : 1][1] = table.size();
  }
  makeTable(module, entries, table);
  for (Operation &op : llvm::make_early_inc_range(*module.getBody()))
    if (isa<func::FuncOp, kernel::DefOp, kernel::WeightOp, kernel::CacheOp>(op))
      op.erase();
}

std::vector<KernelSpec> kernelSpecs(ModuleOp module) {
  std::vector<KernelSpec> specs;
  for (auto def : module.getOps<kernel::DefOp>())
    specs.push_back(kernel::specOf(def));
  for (auto func : module.getOps<LLVM::LLVMFuncOp>()) {
    auto family = func->getAttrOfType<StringAttr>(familyAttr);
    auto rows = func->getAttrOfType<StringAttr>(kernel::rowsAttr);
    auto constants = func->getAttrOfType<DictionaryAttr>(constantsName);
    if (family && rows && constants)
      specs.push_back(
          kernel::specOf(family.getValue(), rows.getValue(), constants));
  }
  return specs;
}

} // namespace gemmac
