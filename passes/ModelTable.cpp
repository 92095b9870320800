// See ModelTable.h.
#include "passes/ModelTable.h"
#include "runtime/abi.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

#include <bit>

using namespace mlir;

namespace gemmac {

namespace {

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

} // namespace

void makeModelTable(ModuleOp module, ArrayRef<SegmentEntry> entries,
                    const CallTable &table, int32_t kernels) {
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
  for (const SegmentEntry &entry : entries)
    makeBytes(b, loc, ("gm_name_" + entry.segment).str(),
              entry.segment.str() + '\0');

  auto pair = LLVM::LLVMArrayType::get(i32, 2);
  auto entryType = LLVM::LLVMStructType::getLiteral(
      context, {ptr, ptr, ptr, i32, pair, pair});
  makeGlobal(b, loc, LLVM::LLVMArrayType::get(entryType, entries.size()),
             LLVM::Linkage::Internal, "gm_entries", [&](Value list) {
               for (auto [at, entry] : llvm::enumerate(entries)) {
                 int64_t i = at;
                 std::string name = ("gm_name_" + entry.segment).str();
                 StringRef symbols[] = {name, entry.few, entry.many};
                 for (int64_t j = 0; j < 3; ++j)
                   set(list, addressOrNull(b, loc, symbols[j]), {i, j});
                 set(list, number(entry.fewRows), {i, 3});
                 for (int64_t j = 0; j < 2; ++j)
                   for (int64_t k = 0; k < 2; ++k)
                     set(list, number(entry.calls[j][k]), {i, 4 + j, k});
               }
               return list;
             });
  StringRef deviceTables[] = {"gm_kernels", "gm_kernel_names", "gm_images"};
  for (StringRef &name : deviceTables)
    if (kernels)
      LLVM::GlobalOp::create(b, loc, b.getI8Type(), /*isConstant=*/true,
                             LLVM::Linkage::External, name, Attribute());
    else
      name = "";
  auto modelType = LLVM::LLVMStructType::getLiteral(
      context, {i32, i32, ptr, ptr, ptr, ptr, i32, ptr, ptr, ptr});
  makeGlobal(
      b, loc, modelType, LLVM::Linkage::External, "gm_model", [&](Value model) {
        set(model, number(GM_ABI), {0});
        set(model, number(int32_t(entries.size())), {1});
        StringRef tables[] = {"gm_entries", "gm_calls", "gm_works", "gm_names"};
        for (int64_t i = 0; i < 4; ++i)
          set(model, addressOrNull(b, loc, tables[i]), {2 + i});
        set(model, number(kernels), {6});
        for (int64_t i = 0; i < 3; ++i)
          set(model, addressOrNull(b, loc, deviceTables[i]), {7 + i});
        return model;
      });
}

} // namespace gemmac
