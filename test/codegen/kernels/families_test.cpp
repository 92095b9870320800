// Every declared (family, target, row class, format) has a body that defines
// its symbol, needs nothing from outside but memory functions, and is
// deterministic.
#include "codegen/DeviceKernel.h"
#include "codegen/KernelCompiler.h"
#include "codegen/Optimize.h"
#include "codegen/kernels/Tile.h"
#include "targets/Layouts.h"
#include "test/codegen/kernels/KernelRunner.h"

#include "llvm/IR/LLVMContext.h"
#include "llvm/IR/Module.h"

#include <gtest/gtest.h>

#include <set>

using namespace gemmac;

namespace {

Constants sampleConstants(const Family &family) {
  Constants constants;
  for (const KernelConstant &constant : family.constants)
    constants.set(constant.name, constant.parse(constant.example).value());
  return constants;
}

// The sample, and with it quantised weights, activations and caches where the
// family takes them.
std::vector<Constants> sampleVariants(const Family &family, RowClass rows) {
  std::vector<Constants> variants = {sampleConstants(family)};
  struct Words {
    const char *format, *cache;
  };
  for (Words words : {Words{"q8_0", "q8"}, Words{"q4_bf", "f32"}}) {
    Constants other = variants[0];
    if (other.has("format"))
      other.set("format", words.format);
    if (other.has("dense_format"))
      other.set("dense_format", words.format);
    if (other.has("act"))
      other.set("act", "q8");
    if (other.has("cache"))
      other.set("cache", words.cache);
    if (!(other == variants[0]) &&
        checkSpec({family.name, rows, other}).empty())
      variants.push_back(other);
  }
  if (Constants other = variants[0]; other.has("clipped")) // and no bounds
    variants.push_back(other.set("clipped", int64_t(0)));
  return variants;
}

class Families : public testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Targets, Families, testing::ValuesIn(targetNames()),
                         testName);

// What every card of the compute capabilities that there are can launch.
void expectLaunchable(const LaunchFacts &launch, const std::string &symbol) {
  EXPECT_GE(launch.threads, 32) << symbol;
  EXPECT_LE(launch.threads, 1024) << symbol;
  EXPECT_EQ(launch.threads % 32, 0) << symbol;
  EXPECT_GE(launch.shared, 0) << symbol;
  EXPECT_LE(launch.shared, 99 << 10) << symbol;
  EXPECT_GE(launch.units, 1) << symbol;
  EXPECT_GE(launch.rows, -GM_TOP) << symbol; // below 0: blocks of a row
}

std::string compile(const KernelSpec &spec, const Target &target) {
  llvm::LLVMContext context;
  auto module = compileKernel(spec, target, context);
  if (!module) {
    ADD_FAILURE() << module.error().message;
    return "";
  }
  optimizeModule(**module, target);
  if (target.device == Device::Cuda)
    expectLaunchable(takeLaunchFacts(**module, kernelSymbol(spec)),
                     kernelSymbol(spec));
  int defined = 0;
  for (llvm::Function &function : **module) {
    std::string name = function.getName().str();
    if (function.isDeclaration()) {
      static const std::set<std::string> allowed = {"memcpy", "memset",
                                                    "memmove"};
      EXPECT_TRUE(function.isIntrinsic() || allowed.count(name))
          << kernelSymbol(spec) << " needs " << name;
    } else if (!function.hasLocalLinkage()) {
      ++defined;
      EXPECT_EQ(name, kernelSymbol(spec));
      EXPECT_TRUE(function.hasFnAttribute(llvm::Attribute::NoInline));
      EXPECT_TRUE(function.hasFnAttribute(llvm::Attribute::NoUnwind));
      EXPECT_EQ(function.arg_size(), kernelParameters(spec).size());
    }
  }
  EXPECT_EQ(defined, 1) << kernelSymbol(spec);
  Result<std::string> text = emitAssembly(**module, target);
  if (text)
    return *text;
  ADD_FAILURE() << text.error().message;
  return "";
}

TEST_P(Families, EveryFamilyHasBodies) {
  const Target &target = *findTarget(GetParam());
  const bool isDevice = target.device == Device::Cuda;
  std::string missing;
  for (const Family &family : kernelFamilies()) {
    if (family.deviceOnly && !isDevice) {
      EXPECT_FALSE(hasKernel(family.name, target)) << family.name;
      continue;
    }
    if (!hasKernel(family.name, target)) {
      // Devices do not scan a head.
      ASSERT_TRUE(isDevice && family.matrix == MatrixUse::Scan)
          << family.name << " on " << target.name;
      missing += ' ' + family.name;
      continue;
    }
    for (RowClass rows : {RowClass::Few, RowClass::Many})
      if (!family.axesOf(rows).empty())
        for (const Constants &constants : sampleVariants(family, rows)) {
          KernelSpec spec{family.name, rows, constants};
          EXPECT_EQ(checkSpec(spec), "");
          std::string text = compile(spec, target);
          const std::string symbol = kernelSymbol(spec);
          EXPECT_NE(
              text.find(isDevice ? ".entry " + symbol + "(" : symbol + ":"),
              std::string::npos);
          // Arrays that are not unrolled would be memory of a thread.
          if (isDevice)
            EXPECT_EQ(text.find(".local"), std::string::npos) << symbol;
        }
  }
  if (!missing.empty())
    GTEST_SKIP() << "no body of families" << missing << " for " << target.name;
}

// What is optimised is a kernel, not the code of all formats: these are ten
// times as many instructions, and the time to compile a program.
TEST_P(Families, ProductsHoldOneFormat) {
  const Target &target = *findTarget(GetParam());
  if (target.device != Device::Cuda)
    GTEST_SKIP() << "products of CPUs are tiles";
  for (const char *name : {"linear", "linear_geglu", "norm_linear"})
    for (RowClass rows : {RowClass::Few, RowClass::Many}) {
      const Family &family = *findFamily(name);
      if (family.axesOf(rows).empty())
        continue;
      llvm::LLVMContext context;
      auto module =
          compileKernel({name, rows, sampleConstants(family)}, target, context);
      ASSERT_TRUE(bool(module)) << module.error().message;
      EXPECT_LT((*module)->getInstructionCount(), 3000u) << name;
    }
}

TEST_P(Families, SameSpecSameCode) {
  const Target &target = *findTarget(GetParam());
  for (const char *name : {"norm", "linear"}) {
    if (!hasKernel(name, target))
      GTEST_SKIP() << "no body of family " << name << " for " << target.name;
    KernelSpec spec{name, RowClass::Few, sampleConstants(*findFamily(name))};
    EXPECT_EQ(compile(spec, target), compile(spec, target));
  }
}

// Symbols tell constants apart, and print reals as the shortest decimals that
// read back.
TEST(Symbols, SayWhichConstantIsWhich) {
  auto rope = [](int64_t heads, int64_t hd) {
    return kernelSymbol({"rope_q", RowClass::Few,
                         Constants()
                             .set("heads", heads)
                             .set("hd", hd)
                             .set("pairs", int64_t(16))
                             .set("eps", 1e-6)
                             .set("cache", "bf16")});
  };
  EXPECT_EQ(rope(64, 32), "rope_q_bf16_1em06_d32_h64_r16_few");
  EXPECT_NE(rope(64, 32), rope(32, 64));
  KernelSpec norm{"norm", RowClass::Few,
                  Constants()
                      .set("k", int64_t(64))
                      .set("eps", 0.0015359999999999996)
                      .set("act", "f32")};
  EXPECT_EQ(kernelSymbol(norm), "norm_f32_0p001536_k64_few");
  for (const Family &family : kernelFamilies()) {
    std::set<std::string> letters;
    for (const KernelConstant &constant : family.constants)
      if (constant.kind == KernelConstant::Integer)
        EXPECT_TRUE(letters.insert(constant.letter).second) << constant.name;
  }
}

// What the table of families refuses, in the order of its checks.
TEST(Specs, AreChecked) {
  KernelSpec spec{"norm", RowClass::Few,
                  Constants().set("k", int64_t(64)).set("act", "bf16")};
  EXPECT_EQ(checkSpec({"nrm", RowClass::Few, {}}),
            "expects a kernel family, got \"nrm\"");
  EXPECT_EQ(checkSpec({"merge", RowClass::Many, {}}),
            "expects a row class of family merge, got \"many\"");
  EXPECT_EQ(checkSpec(spec), "expects constant eps");
  spec.constants.set("eps", int64_t(1));
  EXPECT_EQ(checkSpec(spec), "expects constant eps to be a finite f64, got 1");
  spec.constants.set("eps", 1e-6).set("k", int64_t(0));
  EXPECT_EQ(checkSpec(spec),
            "expects constant k to be an i64 of 1 to 1048576, got 0");
  spec.constants.set("k", int64_t(48)).set("act", "q8");
  EXPECT_EQ(checkSpec(spec), "expects k to be a multiple of 32, got 48");
  spec.constants.set("act", "q4");
  EXPECT_EQ(checkSpec(spec),
            "expects constant act to be f32, bf16 or q8, got q4");
  spec.constants.set("act", "bf16").set("z", int64_t(1));
  EXPECT_EQ(checkSpec(spec), "family norm has no constant z");
  KernelSpec heads{"attend_all", RowClass::Many,
                   Constants()
                       .set("heads", int64_t(4))
                       .set("hd", int64_t(72))
                       .set("cache", "q8")
                       .set("act", "q8")};
  EXPECT_EQ(checkSpec(heads),
            "expects constant cache to be f32 or bf16, got q8");
  heads.constants.set("cache", "bf16");
  EXPECT_EQ(checkSpec(heads), "expects hd to be a multiple of 32, got 72");
  KernelSpec turned{"heads_q", RowClass::Many,
                    Constants()
                        .set("heads", int64_t(4))
                        .set("hd", int64_t(70))
                        .set("eps", 1e-6)
                        .set("cache", "bf16")
                        .set("clipped", int64_t(0))};
  EXPECT_EQ(checkSpec(turned), "expects constant hd to be an i64 of 4 to 1024, "
                               "a multiple of 4, got 70");
}

// What cannot be made is an error that names kernel and reason, not a crash.
TEST_P(Families, UnsupportedFormat) {
  llvm::LLVMContext context;
  KernelSpec spec{"linear", RowClass::Few,
                  Constants()
                      .set("k", int64_t(64))
                      .set("format", "f32")
                      .set("act", "bf16")};
  auto module = compileKernel(spec, *findTarget(GetParam()), context);
  ASSERT_FALSE(bool(module));
  EXPECT_EQ(module.error().code, ExitCode::Unsupported);
  EXPECT_NE(module.error().message.find(
                "no product of bf16 activations with f32 weights"),
            std::string::npos)
      << module.error().message;
  KernelSpec unknown{"no_such_family", RowClass::Few, {}};
  EXPECT_FALSE(bool(compileKernel(unknown, *findTarget(GetParam()), context)));
}

} // namespace
