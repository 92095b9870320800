// Code for a target uses no feature that programs do not ask their machine for:
// neither what LLVM generates, nor the C++ bodies, whatever CPU it is tuned
// for.
#include "codegen/BodyBitcode.h"
#include "codegen/Optimize.h"
#include "runtime/host/features.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Bitcode/BitcodeReader.h"
#include "llvm/CodeGen/TargetSubtargetInfo.h"
#include "llvm/IR/Instructions.h"
#include "llvm/IR/LLVMContext.h"
#include "llvm/IR/Module.h"
#include "llvm/MC/MCSubtargetInfo.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Target/TargetMachine.h"

#include <gtest/gtest.h>

#include <set>

using namespace gemmac;

namespace {

using Names = std::set<std::string>;

// What LLVM turns on for a CPU with features, tuned for another.
Names enabled(const Target &target, const std::string &cpu,
              const std::string &features) {
  createTargetMachine(target); // registers the back ends
  std::string error;
  llvm::Triple triple(target.triple);
  const auto *backend = llvm::TargetRegistry::lookupTarget(triple, error);
  std::unique_ptr<llvm::MCSubtargetInfo> info(
      backend->createMCSubtargetInfo(triple, cpu, features));
  Names names;
  for (const auto &feature : info->getAllProcessorFeatures())
    if (info->getFeatureBits()[feature.Value])
      names.insert(feature.Key);
  return names;
}

// Features of instructions of a CPU, without those of its tuning.
Names instructionSets(const Target &target, const std::string &cpu) {
  createTargetMachine(target);
  std::string error;
  llvm::Triple triple(target.triple);
  const auto *backend = llvm::TargetRegistry::lookupTarget(triple, error);
  std::unique_ptr<llvm::MCSubtargetInfo> info(
      backend->createMCSubtargetInfo(triple, cpu, ""));
  llvm::FeatureBitset bits;
  for (const auto &known : info->getAllProcessorDescriptions())
    if (cpu == known.Key)
      bits = known.Implies.getAsBitset();
  auto features = info->getAllProcessorFeatures();
  for (size_t before = 0; before != bits.count();) { // what they imply
    before = bits.count();
    for (const auto &feature : features)
      if (bits[feature.Value])
        bits |= feature.Implies.getAsBitset();
  }
  Names names;
  for (const auto &feature : features)
    if (bits[feature.Value])
      names.insert(feature.Key);
  return names;
}

Names operator-(const Names &a, const Names &b) {
  Names result;
  for (const std::string &name : a)
    if (!b.count(name))
      result.insert(name);
  return result;
}

Names listed(const Target &target) {
  return {target.features.begin(), target.features.end()};
}

class Features : public testing::TestWithParam<Target> {};
INSTANTIATE_TEST_SUITE_P(Targets, Features, testing::ValuesIn(targets()),
                         [](const auto &info) {
                           std::string name = info.param.name;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

} // namespace

TEST_P(Features, ProgramsAskForAllOfThem) {
  const Target target = hostOf(GetParam());
  for (const std::string &name : target.features)
    EXPECT_TRUE(gm::knows_feature(target.arch.c_str(), name.c_str())) << name;
}

// Implied ones stand in the list, and the list holds no word that LLVM ignores.
TEST_P(Features, LlvmUsesNoOther) {
  const Target &target = GetParam();
  EXPECT_EQ(enabled(target, target.cpu, llvmFeatures(target)) -
                enabled(target, target.cpu, ""),
            listed(target));
}

// The machine that functions are compiled for: tuned, yet with no feature of
// the CPU that it is tuned for.
TEST_P(Features, TuningAddsNone) {
  const Target &target = GetParam();
  llvm::LLVMContext context;
  llvm::Module module("m", context);
  auto *function = llvm::Function::Create(
      llvm::FunctionType::get(llvm::Type::getVoidTy(context), false),
      llvm::Function::ExternalLinkage, "f", module);
  llvm::ReturnInst::Create(
      context, llvm::BasicBlock::Create(context, "entry", function));
  optimizeModule(module, target);
  EXPECT_EQ(function->getFnAttribute("tune-cpu").getValueAsString(),
            target.tune);
  auto machine = createTargetMachine(target);
  const llvm::MCSubtargetInfo &info =
      *static_cast<const llvm::MCSubtargetInfo *>(
          machine->getSubtargetImpl(*function));
  Names used;
  for (const auto &feature : info.getAllProcessorFeatures())
    if (info.getFeatureBits()[feature.Value])
      used.insert(feature.Key);
  Names least = enabled(target, target.cpu, ""), all = listed(target);
  // Features of instructions that the tuned-for CPU has and the target lacks.
  Names foreign = instructionSets(target, target.tune) - least - all;
  EXPECT_EQ(target.tune == "znver4", foreign.count("sse4a") > 0);
  for (const std::string &name : used)
    EXPECT_FALSE(foreign.count(name)) << name;
  for (const std::string &name : all)
    EXPECT_TRUE(used.count(name)) << name;
}

TEST_P(Features, BodiesUseNoOther) {
  const Target &target = GetParam();
  Names allowed = listed(target);
  allowed.merge(enabled(target, target.cpu, ""));
  // What clang says of all code for 64-bit ARM, and for cards: the newest PTX
  // that it knows. Both are dropped with the rest (Sanitize.cpp).
  allowed.insert({"v8a", "outline-atomics", "ptx88"});
  int functions = 0;
  for (const BodyBitcode *b = bodyBitcode(); b->family; ++b) {
    if (target.name != b->target)
      continue;
    llvm::LLVMContext context;
    auto module = llvm::parseBitcodeFile(
        llvm::MemoryBufferRef(
            {reinterpret_cast<const char *>(b->data), b->size}, b->family),
        context);
    ASSERT_TRUE(bool(module)) << b->family;
    for (llvm::Function &function : **module) {
      if (function.isDeclaration())
        continue;
      ++functions;
      EXPECT_NE(function.getFnAttribute("target-cpu").getValueAsString(), "");
      llvm::StringRef text =
          function.getFnAttribute("target-features").getValueAsString();
      for (llvm::StringRef name : llvm::split(text, ','))
        if (name.consume_front("+"))
          EXPECT_TRUE(allowed.count(name.str()))
              << b->family << " uses " << name.str();
    }
  }
  EXPECT_GT(functions, 0);
}

// What a machine lacks is what --target=host heeds.
TEST(Features, RunsHereAsksForEach) {
  for (Target target : targets()) {
    if (!runsHere(target))
      continue;
    target.features.push_back("no-such-feature");
    EXPECT_FALSE(runsHere(target)) << target.name;
  }
}
