// See TileLoops.h: loops, operand addresses and the buffer structs that
// Halide's functions take. LLVM dissolves the structs after inlining.
#include "codegen/TileLoops.h"

#include "llvm/IR/IRBuilder.h"
#include "llvm/IR/Module.h"

#include <functional>
#include <map>
#include <set>

using namespace llvm;

namespace gemmac {

namespace {

// Emits the loops of one kernel.
class TileLoops {
public:
  TileLoops(Module &module, const KernelSpec &spec, const TileKernel &kernel);
  void emit();

private:
  using Emitter = std::function<void(Value *)>;
  using Advance = std::function<Value *(Value *)>;

  Value *evaluate(const Index &index);
  Value *constant(int64_t value) { return builder.getInt64(uint64_t(value)); }
  Value *advance(Value *begin, Value *end, const Advance &body);
  void loop(Value *begin, Value *end, int64_t step, const Emitter &body);
  void ifThen(Value *condition, const std::function<void()> &then);
  void emitUnits(int64_t rows);
  void emitUnits(int64_t rows, Value *firstRow, Value *lastRow);
  void emitGroups();
  Value *endOfGroup(Value *first, Value *end);
  void emitGroup(Value *first, Value *end);
  void call(const Tile &tile);
  Value *makeBuffer(const Tile &tile, size_t argument);
  Value *address(const TileArgument &argument);
  AllocaInst *stack(uint64_t bytes, uint64_t alignment = 8);

  Module &module;
  const TileKernel &kernel;
  Function *function;
  BasicBlock *entry;
  IRBuilder<> builder;
  std::map<std::string, Value *> pointers, integers;
  std::map<std::pair<const Tile *, size_t>, std::pair<Value *, Value *>>
      structs;
  Value *row = nullptr, *unit = nullptr; // while inside the loops
};

} // namespace

TileLoops::TileLoops(Module &module, const KernelSpec &spec,
                     const TileKernel &kernel)
    : module(module), kernel(kernel), builder(module.getContext()) {
  std::vector<Parameter> parameters = kernelParameters(spec);
  SmallVector<Type *> types;
  for (const Parameter &parameter : parameters)
    types.push_back(parameter.pointer ? (Type *)builder.getPtrTy()
                                      : builder.getInt32Ty());
  function = Function::Create(
      FunctionType::get(builder.getVoidTy(), types, false),
      GlobalValue::ExternalLinkage, kernelSymbol(spec), module);
  function->addFnAttr(Attribute::NoInline);
  function->addFnAttr(Attribute::NoUnwind);
  entry = BasicBlock::Create(module.getContext(), "entry", function);
  builder.SetInsertPoint(entry);

  const Family &family = *findFamily(spec.family);
  std::set<std::string> shared; // may be the same memory
  for (const ResultOperand &result : family.results)
    if (result.inPlaceWith >= 0)
      shared.insert(
          {result.name, family.inputs[size_t(result.inPlaceWith)].name});
  for (auto [i, parameter] : enumerate(parameters)) {
    Argument *argument = function->getArg(unsigned(i));
    argument->setName(parameter.name);
    if (!parameter.pointer) {
      integers[parameter.name] =
          builder.CreateSExt(argument, builder.getInt64Ty());
      continue;
    }
    pointers[parameter.name] = argument;
    if (!shared.count(parameter.name))
      argument->addAttr(Attribute::NoAlias);
  }
}

Value *TileLoops::evaluate(const Index &index) {
  SmallVector<Value *, 2> of;
  for (const Index &operand : index.of)
    of.push_back(evaluate(operand));
  switch (index.op) {
  case Index::Constant:
    return constant(index.value);
  case Index::Row:
    return row;
  case Index::Unit:
    return unit;
  case Index::Parameter:
    return integers.at(index.name);
  case Index::Load: {
    Value *place =
        builder.CreateGEP(builder.getInt32Ty(), pointers.at(index.name), of[0]);
    return builder.CreateSExt(builder.CreateLoad(builder.getInt32Ty(), place),
                              builder.getInt64Ty());
  }
  case Index::Add:
    return builder.CreateAdd(of[0], of[1]);
  case Index::Mul:
    return builder.CreateMul(of[0], of[1]);
  case Index::Div:
    return builder.CreateUDiv(of[0], of[1]);
  case Index::Mod:
    return builder.CreateURem(of[0], of[1]);
  }
  llvm_unreachable("all operations are handled");
}

// for (i = begin; i < end; i = body(i)); gives the last i.
Value *TileLoops::advance(Value *begin, Value *end, const Advance &body) {
  LLVMContext &context = module.getContext();
  BasicBlock *before = builder.GetInsertBlock();
  BasicBlock *head = BasicBlock::Create(context, "head", function);
  BasicBlock *inside = BasicBlock::Create(context, "body", function);
  BasicBlock *after = BasicBlock::Create(context, "after", function);
  builder.CreateBr(head);
  builder.SetInsertPoint(head);
  PHINode *i = builder.CreatePHI(builder.getInt64Ty(), 2);
  i->addIncoming(begin, before);
  builder.CreateCondBr(builder.CreateICmpSLT(i, end), inside, after);
  builder.SetInsertPoint(inside);
  Value *next = body(i);
  i->addIncoming(next, builder.GetInsertBlock());
  builder.CreateBr(head);
  builder.SetInsertPoint(after);
  return i;
}

// for (i = begin; i < end; i += step) body(i)
void TileLoops::loop(Value *begin, Value *end, int64_t step,
                     const Emitter &body) {
  advance(begin, end, [&](Value *i) {
    body(i);
    return builder.CreateAdd(i, constant(step));
  });
}

void TileLoops::ifThen(Value *condition, const std::function<void()> &then) {
  LLVMContext &context = module.getContext();
  BasicBlock *inside = BasicBlock::Create(context, "then", function);
  BasicBlock *after = BasicBlock::Create(context, "else", function);
  builder.CreateCondBr(condition, inside, after);
  builder.SetInsertPoint(inside);
  then();
  builder.CreateRetVoid();
  builder.SetInsertPoint(after);
}

// One path per row tile, the smallest that holds all rows first; the largest
// one loops.
void TileLoops::emit() {
  std::set<int64_t> rows;
  for (const Tile &tile : kernel.tiles)
    rows.insert(tile.rows);
  int64_t sumBytes = 0;
  for (const Tile &tile : kernel.tiles)
    sumBytes = std::max(sumBytes, tile.sumBytes);
  pointers[tileSums] = stack(uint64_t(sumBytes), 64);
  Value *begin = evaluate(kernel.rows.begin), *end = evaluate(kernel.rows.end);
  Value *count = builder.CreateSub(end, begin);
  // Nothing to do is legal.
  ifThen(builder.CreateICmpSLE(count, constant(0)), [] {});
  if (kernel.group)
    return emitGroups();
  for (int64_t tile : rows) {
    if (tile == *rows.rbegin())
      emitUnits(tile);
    else
      ifThen(builder.CreateICmpSLE(count, constant(tile)),
             [&] { emitUnits(tile); });
  }
  builder.CreateRetVoid();
}

void TileLoops::emitUnits(int64_t rows) {
  Value *begin = evaluate(kernel.rows.begin), *end = evaluate(kernel.rows.end);
  if (!kernel.rowsAtOnce)
    return emitUnits(rows, begin, end);
  assert(kernel.rowsAtOnce % rows == 0);
  loop(begin, end, kernel.rowsAtOnce, [&](Value *first) {
    Value *next = builder.CreateAdd(first, constant(kernel.rowsAtOnce));
    emitUnits(rows, first,
              builder.CreateBinaryIntrinsic(Intrinsic::smin, next, end));
  });
}

// Units outside: as many at a time as the largest tile has, then the rest.
void TileLoops::emitUnits(int64_t rows, Value *firstRow, Value *lastRow) {
  std::map<int64_t, const Tile *, std::greater<>> tiles;
  for (const Tile &tile : kernel.tiles)
    if (tile.rows == rows)
      tiles[tile.units] = &tile;
  int64_t last = tiles.rbegin()->first, first = tiles.begin()->first;
  assert(last == 1 && tiles.size() <= 2 && "a tile of one unit takes the rest");
  Value *begin = evaluate(kernel.units.begin),
        *end = evaluate(kernel.units.end);
  Value *count = builder.CreateSub(end, begin);
  auto rowLoop = [&](const Tile &tile) {
    loop(firstRow, lastRow, rows, [&](Value *i) {
      row = i;
      call(tile);
    });
  };
  if (first > last) {
    Value *whole = builder.CreateMul(builder.CreateSDiv(count, constant(first)),
                                     constant(first));
    Value *stop = builder.CreateAdd(begin, whole);
    loop(begin, stop, first, [&](Value *u) {
      unit = u;
      rowLoop(*tiles.begin()->second);
    });
    begin = stop;
  }
  loop(begin, end, 1, [&](Value *u) {
    unit = u;
    rowLoop(*tiles.rbegin()->second);
  });
}

// The first row after `first`, at most `end`, of another group.
Value *TileLoops::endOfGroup(Value *first, Value *end) {
  auto groupOf = [&](Value *i) {
    row = i;
    return evaluate(*kernel.group);
  };
  Value *group = groupOf(first);
  LLVMContext &context = module.getContext();
  BasicBlock *before = builder.GetInsertBlock();
  BasicBlock *head = BasicBlock::Create(context, "scan", function);
  BasicBlock *look = BasicBlock::Create(context, "look", function);
  BasicBlock *after = BasicBlock::Create(context, "scanned", function);
  Value *second = builder.CreateAdd(first, constant(1));
  builder.CreateBr(head);
  builder.SetInsertPoint(head);
  PHINode *i = builder.CreatePHI(builder.getInt64Ty(), 2);
  i->addIncoming(second, before);
  builder.CreateCondBr(builder.CreateICmpSLT(i, end), look, after);
  builder.SetInsertPoint(look);
  Value *same = builder.CreateICmpEQ(groupOf(i), group);
  i->addIncoming(builder.CreateAdd(i, constant(1)), look);
  builder.CreateCondBr(same, head, after);
  builder.SetInsertPoint(after);
  return i;
}

void TileLoops::emitGroups() {
  Value *rowBegin = evaluate(kernel.rows.begin),
        *rowEnd = evaluate(kernel.rows.end);
  Value *unitEnd = evaluate(kernel.units.end);
  loop(evaluate(kernel.units.begin), unitEnd, kernel.unitStep, [&](Value *u) {
    Value *stop = builder.CreateBinaryIntrinsic(
        Intrinsic::smin, builder.CreateAdd(u, constant(kernel.unitStep)),
        unitEnd);
    advance(rowBegin, rowEnd, [&](Value *first) {
      Value *end = endOfGroup(first, rowEnd);
      loop(u, stop, 1, [&](Value *v) {
        unit = v;
        emitGroup(first, end);
      });
      return end;
    });
  });
  builder.CreateRetVoid();
}

void TileLoops::emitGroup(Value *first, Value *end) {
  std::map<int64_t, const Tile *, std::greater<>> tiles;
  for (const Tile &tile : kernel.tiles)
    tiles[tile.rows] = &tile;
  for (auto [rows, tile] : tiles)
    first = advance(first, builder.CreateSub(end, constant(rows - 1)),
                    [&, tile = tile, rows = rows](Value *i) {
                      row = i;
                      call(*tile);
                      return builder.CreateAdd(i, constant(rows));
                    });
}

AllocaInst *TileLoops::stack(uint64_t bytes, uint64_t alignment) {
  IRBuilder<> top(entry, entry->begin());
  AllocaInst *memory = top.CreateAlloca(top.getInt8Ty(), top.getInt64(bytes));
  memory->setAlignment(Align(alignment));
  return memory;
}

Value *TileLoops::address(const TileArgument &argument) {
  return builder.CreateGEP(builder.getInt8Ty(), pointers.at(argument.operand),
                           evaluate(argument.offset));
}

// A halide_buffer_t: device, device_interface, host, flags (8 bytes each), type
// (u8 code, u8 bits, u16 lanes), i32 dimensions, dim, padding. A dimension is
// i32 min, extent, stride, flags.
Value *TileLoops::makeBuffer(const Tile &tile, size_t number) {
  const TileArgument &argument = tile.arguments[number];
  auto &[buffer, dims] = structs[{&tile, number}];
  if (!buffer) {
    buffer = stack(56);
    dims = stack(16 * argument.dims.size());
  }
  auto store = [&](Value *base, uint64_t offset, Value *value) {
    builder.CreateStore(
        value, builder.CreateConstGEP1_64(builder.getInt8Ty(), base, offset));
  };
  Value *null = ConstantPointerNull::get(builder.getPtrTy());
  store(buffer, 0, builder.getInt64(0));
  store(buffer, 8, null);
  store(buffer, 16, address(argument));
  store(buffer, 24, builder.getInt64(0));
  store(buffer, 32,
        builder.getInt32(
            uint32_t(argument.typeCode | argument.typeBits << 8 | 1 << 16)));
  store(buffer, 36, builder.getInt32(uint32_t(argument.dims.size())));
  store(buffer, 40, dims);
  store(buffer, 48, null);
  for (auto [i, dim] : enumerate(argument.dims)) {
    Value *stride = constant(dim.stride);
    if (!dim.parameter.empty())
      stride = builder.CreateSDiv(
          builder.CreateMul(integers.at(dim.parameter), constant(dim.multiply)),
          constant(dim.divide));
    store(dims, 16 * i, builder.getInt32(0));
    store(dims, 16 * i + 4, builder.getInt32(uint32_t(dim.extent)));
    store(dims, 16 * i + 8, builder.CreateTrunc(stride, builder.getInt32Ty()));
    store(dims, 16 * i + 12, builder.getInt32(0));
  }
  return buffer;
}

void TileLoops::call(const Tile &tile) {
  if (tile.product)
    call(*tile.product);
  Function *callee = module.getFunction(tile.symbol);
  assert(callee && "nothing defines the tile");
  SmallVector<Value *> arguments;
  for (auto [i, argument] : enumerate(tile.arguments)) {
    if (argument.operand.empty())
      arguments.push_back(
          builder.CreateTrunc(evaluate(argument.offset),
                              builder.getIntNTy(unsigned(argument.typeBits))));
    else
      arguments.push_back(tile.body.empty() ? makeBuffer(tile, i)
                                            : address(argument));
  }
  builder.CreateCall(callee, arguments);
  if (!tile.epilogue)
    return;
  const Tile &epilogue = *tile.epilogue;
  if (epilogue.rows == tile.rows)
    return call(epilogue);
  Value *first = row, *sums = pointers[tileSums];
  const int64_t step = tile.sumBytes / tile.rows * epilogue.rows;
  auto rows = [&](Value *i) {
    row = builder.CreateAdd(first, i);
    pointers[tileSums] = builder.CreateGEP(
        builder.getInt8Ty(), sums,
        builder.CreateMul(builder.CreateSDiv(i, constant(epilogue.rows)),
                          constant(step)));
    call(epilogue);
  };
  if (tile.inlined)
    for (int64_t i = 0; i < tile.rows; i += epilogue.rows)
      rows(constant(i));
  else
    loop(constant(0), constant(tile.rows), epilogue.rows, rows);
  row = first;
  pointers[tileSums] = sums;
}

void emitTileLoops(Module &module, const KernelSpec &spec,
                   const TileKernel &kernel) {
  TileLoops(module, spec, kernel).emit();
}

} // namespace gemmac
