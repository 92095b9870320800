// The aliasing regression of docs/design.md#2.4: two kernels on one slot of the
// arena. Halide tags accesses by buffer name; inlined into one function, the
// tags say that the writer `ka` and the reader `kb` of a slot never touch the
// same bytes.
#include "codegen/KernelCompiler.h"
#include "codegen/Optimize.h"
#include "codegen/Sanitize.h"
#include "codegen/kernels/common.h"

#include "llvm/Bitcode/BitcodeReader.h"
#include "llvm/ExecutionEngine/Orc/LLJIT.h"
#include "llvm/IR/IRBuilder.h"
#include "llvm/IR/InstIterator.h"
#include "llvm/IR/LLVMContext.h"
#include "llvm/IR/Module.h"
#include "llvm/Linker/Linker.h"
#include "llvm/Support/MemoryBuffer.h"

#include <gtest/gtest.h>

using namespace gemmac;
using namespace llvm;

namespace {

// ka: fa(x) = 7.
Tile makeWriter(const gemmac::Target &target) {
  TileBuilder tile(target);
  Halide::Var x("x");
  Halide::Func fa("fa");
  fa(x) = 7.0f;
  tile.output(fa, "fa", {{1, 1}}, 0);
  return tile.finish();
}

// kb: fb(x) = b(x).
Tile makeReader(const gemmac::Target &target) {
  TileBuilder tile(target);
  Halide::ImageParam b = tile.input("b", Halide::Float(32), {{1, 1}}, 0);
  Halide::Var x("x");
  Halide::Func fb("fb");
  fb(x) = b(x);
  tile.output(fb, "fb", {{1, 1}}, 0);
  return tile.finish();
}

// A halide_buffer_t of one element on the stack.
Value *makeBuffer(IRBuilder<> &builder, Value *host) {
  const halide_dimension_t dim(0, 1, 1);
  Value *buffer = builder.CreateAlloca(
      builder.getInt8Ty(), builder.getInt64(sizeof(halide_buffer_t)));
  Value *dims = builder.CreateAlloca(builder.getInt32Ty(), builder.getInt64(4));
  auto store = [&](Value *base, size_t offset, Value *value) {
    builder.CreateStore(
        value, builder.CreateConstGEP1_64(builder.getInt8Ty(), base, offset));
  };
  store(dims, offsetof(halide_dimension_t, min),
        builder.getInt32(uint32_t(dim.min)));
  store(dims, offsetof(halide_dimension_t, extent),
        builder.getInt32(uint32_t(dim.extent)));
  store(dims, offsetof(halide_dimension_t, stride),
        builder.getInt32(uint32_t(dim.stride)));
  store(buffer, offsetof(halide_buffer_t, host), host);
  store(buffer, offsetof(halide_buffer_t, dim), dims);
  return buffer;
}

// run(fa, b, fb) = kb(b, fb); ka(fa); kb(b, fb), everything inlined.
std::unique_ptr<Module> makeProgram(const gemmac::Target &target,
                                    LLVMContext &context, bool sanitize) {
  auto module = std::make_unique<Module>("program", context);
  setTarget(*module, target);
  Linker linker(*module);
  auto link = [&](const Tile &tile, const char *name) {
    auto parsed = cantFail(
        parseBitcodeFile(MemoryBufferRef(tile.bitcode, name), context));
    parsed->getFunction(tile.symbol)->setName(name);
    if (sanitize)
      sanitizeModule(*parsed, target);
    EXPECT_FALSE(linker.linkInModule(std::move(parsed)));
    module->getFunction(name)->setLinkage(GlobalValue::InternalLinkage);
    module->getFunction(name)->removeFnAttr(Attribute::NoInline);
    module->getFunction(name)->addFnAttr(Attribute::AlwaysInline);
    return module->getFunction(name);
  };
  Function *ka = link(makeWriter(target), "ka"),
           *kb = link(makeReader(target), "kb");
  IRBuilder<> builder(context);
  Type *pointer = builder.getPtrTy();
  auto *type = FunctionType::get(builder.getVoidTy(),
                                 {pointer, pointer, pointer}, false);
  Function *run =
      Function::Create(type, GlobalValue::ExternalLinkage, "run", *module);
  for (Function *function : {ka, kb}) // the same CPU, so that inlining is legal
    for (const char *name : {"target-cpu", "target-features", "tune-cpu"})
      function->removeFnAttr(name);
  builder.SetInsertPoint(BasicBlock::Create(context, "entry", run));
  auto call = [&](Function *kernel, std::vector<Value *> pointers) {
    for (Value *&pointer : pointers)
      pointer = makeBuffer(builder, pointer);
    builder.CreateCall(kernel, pointers);
  };
  call(kb, {run->getArg(1), run->getArg(2)});
  call(ka, {run->getArg(0)});
  call(kb, {run->getArg(1), run->getArg(2)});
  builder.CreateRetVoid();
  return module;
}

// The slot holds -99, then 7.
float runProgram(bool sanitize) {
  const gemmac::Target *target = findTarget("host");
  LLVMContext context;
  std::unique_ptr<Module> module = makeProgram(*target, context, sanitize);
  optimizeModule(*module, *target);
  std::string object = *emitObject(*module, *target);
  auto jit = cantFail(orc::LLJITBuilder().create());
  cantFail(jit->addObjectFile(MemoryBuffer::getMemBufferCopy(object)));
  using Run = void(float *, float *, float *);
  auto *run = cantFail(jit->lookup("run")).toPtr<Run>();
  float slot = -99, out = 0;
  run(&slot, &slot, &out);
  return out;
}

TEST(Sanitize, TwoKernelsOnOneSlot) {
  if (!findTarget("host"))
    GTEST_SKIP() << "no target runs on this machine";
  EXPECT_EQ(runProgram(true), 7);
  // The tags are what breaks it: the test above would fail without sanitizing.
  EXPECT_EQ(runProgram(false), -99);
}

// No kernel keeps what sanitizing removes.
TEST(Sanitize, KernelsHaveNoTags) {
  for (const gemmac::Target &target : targets()) {
    if (target.device != Device::Cpu)
      continue; // Halide makes no kernels of devices
    LLVMContext context;
    KernelSpec spec{
        "norm", RowClass::Few,
        Constants().set("k", int64_t(96)).set("eps", 1e-6).set("act", "bf16")};
    auto module = compileHalideKernel(spec, target, context);
    ASSERT_TRUE(bool(module)) << module.error().message;
    EXPECT_EQ((*module)->getTargetTriple().str(), target.triple);
    EXPECT_FALSE((*module)->getModuleFlagsMetadata());
    int accesses = 0, flagged = 0;
    for (Function &function : **module) {
      EXPECT_FALSE(function.hasFnAttribute("target-cpu") ||
                   function.hasFnAttribute("target-features"));
      for (Instruction &instruction : instructions(function)) {
        accesses += isa<LoadInst, StoreInst>(instruction);
        for (unsigned kind :
             {LLVMContext::MD_tbaa, LLVMContext::MD_noalias,
              LLVMContext::MD_alias_scope, LLVMContext::MD_invariant_load})
          EXPECT_FALSE(instruction.getMetadata(kind));
        if (isa<FPMathOperator>(instruction)) {
          FastMathFlags flags = instruction.getFastMathFlags();
          flagged += flags.allowContract();
          flags.setAllowContract(false);
          EXPECT_FALSE(flags.any());
        }
      }
    }
    EXPECT_GT(accesses, 4);
    EXPECT_GT(flagged, 4);
  }
}

} // namespace
