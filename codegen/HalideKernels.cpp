// Links the tiles of a Halide kernel into one module, in which loops around
// them (TileLoops.h) are the only function that is seen from outside.
#include "codegen/KernelCompiler.h"
#include "codegen/Optimize.h"
#include "codegen/Sanitize.h"
#include "codegen/TileLoops.h"

#include "llvm/Bitcode/BitcodeReader.h"
#include "llvm/IR/IRBuilder.h"
#include "llvm/IR/InstIterator.h"
#include "llvm/IR/IntrinsicInst.h"
#include "llvm/IR/Module.h"
#include "llvm/Linker/Linker.h"
#include "llvm/Support/MemoryBuffer.h"

#include <set>

using namespace llvm;

namespace gemmac {

// f32 to the bits of the nearest bf16, ties to even, in integers; NaN is quiet.
static Value *roundByHand(IRBuilder<> &builder, Value *value) {
  Value *bits = builder.CreateBitCast(value, builder.getInt32Ty());
  Value *odd = builder.CreateAnd(builder.CreateLShr(bits, 16), 1);
  Value *rounded =
      builder.CreateAdd(builder.CreateAdd(bits, builder.getInt32(0x7fff)), odd);
  Value *quiet = builder.CreateOr(bits, 0x400000);
  Value *high = builder.CreateLShr(
      builder.CreateSelect(builder.CreateFCmpUNO(value, value), quiet, rounded),
      16);
  return builder.CreateTrunc(high, builder.getInt16Ty());
}

// The same by an IR conversion where the target has an instruction.
static void defineRounding(Module &module, const gemmac::Target &target) {
  Function *round = module.getFunction("gm_round_bf16");
  if (!round)
    return;
  IRBuilder<> builder(BasicBlock::Create(module.getContext(), "entry", round));
  Value *value = round->getArg(0);
  if (!target.roundsBf16)
    value = roundByHand(builder, value);
  else
    value = builder.CreateBitCast(
        builder.CreateFPTrunc(value, builder.getBFloatTy()),
        builder.getInt16Ty());
  builder.CreateRet(value);
  round->removeFnAttr(Attribute::NoInline);
  round->setAttributes({});
  round->addFnAttr(Attribute::NoUnwind);
  round->addFnAttr(Attribute::AlwaysInline);
}

static void linkTile(Module &module, Linker &linker, const Tile &tile,
                     const gemmac::Target &target) {
  if (module.getFunction(tile.symbol))
    return; // of a body that another tile needed
  StringRef bytes =
      tile.body.empty() ? tile.bitcode : bodyBytes(tile.body, target);
  std::unique_ptr<Module> part = cantFail(parseBitcodeFile(
      MemoryBufferRef(bytes, tile.symbol), module.getContext()));
  sanitizeModule(*part, target);
  [[maybe_unused]] bool failed = linker.linkInModule(std::move(part));
  assert(!failed && "tiles define the same symbol");
}

// Halide prefetches as if nothing were used twice, and in a loop over the
// lines: into all caches instead, and straight.
static void straightenPrefetches(Module &module) {
  LLVMContext &context = module.getContext();
  for (Function &function : module)
    for (Instruction &instruction : instructions(function)) {
      auto *prefetch = dyn_cast<IntrinsicInst>(&instruction);
      if (!prefetch || prefetch->getIntrinsicID() != Intrinsic::prefetch)
        continue;
      prefetch->setArgOperand(2,
                              ConstantInt::get(Type::getInt32Ty(context), 3));
      BasicBlock *block = prefetch->getParent();
      if (!is_contained(successors(block), block))
        continue;
      MDNode *unroll =
          MDNode::get(context, MDString::get(context, "llvm.loop.unroll.full"));
      MDNode *loop = MDNode::getDistinct(context, {nullptr, unroll});
      loop->replaceOperandWith(0, loop);
      block->getTerminator()->setMetadata(LLVMContext::MD_loop, loop);
    }
}

// Strict sums of products of widened weights become fma, in the order that they
// have.
static void contractProducts(Module &module) {
  for (Function &function : module)
    for (Instruction &instruction : instructions(function))
      if (isa<FPMathOperator>(instruction))
        instruction.setHasAllowContract(true);
}

// All of it is internal and inlined, except epilogues.
static void internalizeTiles(Module &module, const TileKernel &kernel) {
  std::set<std::string> epilogues;
  for (const Tile &tile : kernel.tiles)
    if (tile.epilogue && !tile.inlined)
      epilogues.insert(tile.epilogue->symbol);
  for (Function &function : module)
    if (!function.isDeclaration()) {
      bool epilogue = epilogues.count(function.getName().str());
      function.setLinkage(GlobalValue::InternalLinkage);
      function.removeFnAttr(Attribute::NoInline);
      function.addFnAttr(epilogue ? Attribute::NoInline
                                  : Attribute::AlwaysInline);
    }
  for (GlobalVariable &variable : module.globals())
    if (!variable.isDeclaration() && !variable.getName().starts_with("llvm."))
      variable.setLinkage(GlobalValue::InternalLinkage);
}

Result<std::unique_ptr<Module>> compileHalideKernel(const KernelSpec &spec,
                                                    const Target &target,
                                                    LLVMContext &context) {
  Result<TileKernel> kernel = makeTileKernel(spec, target);
  if (!kernel)
    return kernel.error();
  auto module = std::make_unique<Module>(kernelSymbol(spec), context);
  setTarget(*module, target);
  Linker linker(*module);
  for (const Tile &tile : kernel->tiles)
    for (const Tile *part :
         {tile.product.get(), &tile, (const Tile *)tile.epilogue.get()})
      if (part)
        linkTile(*module, linker, *part, target);
  if (isWidened(spec))
    contractProducts(*module);
  defineRounding(*module, target);
  straightenPrefetches(*module);
  internalizeTiles(*module, *kernel);
  emitTileLoops(*module, spec, *kernel);
  return module;
}

} // namespace gemmac
