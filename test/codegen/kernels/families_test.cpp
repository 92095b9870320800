// Every declared (family, target, row class) has a body that defines its
// symbol, needs nothing from outside but memory functions, and is
// deterministic.
#include "codegen/KernelCompiler.h"
#include "codegen/Optimize.h"
#include "codegen/kernels/Tile.h"
#include "targets/Layouts.h"

#include "llvm/IR/LLVMContext.h"
#include "llvm/IR/Module.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

using namespace gemmac;

namespace {

Constants sampleConstants(const Family &family) {
  const Constants samples = Constants()
                                .set("k", int64_t(96))
                                .set("n", int64_t(96))
                                .set("f", int64_t(64))
                                .set("p", int64_t(32))
                                .set("experts", int64_t(16))
                                .set("top", int64_t(4))
                                .set("heads", int64_t(4))
                                .set("hd", int64_t(32))
                                .set("group", int64_t(2))
                                .set("pairs", int64_t(16))
                                .set("window", int64_t(64))
                                .set("scaled", int64_t(1))
                                .set("eps", 1e-6)
                                .set("scale", 2.0)
                                .set("factor", 0.5)
                                .set("cap", 30.0)
                                .set("token_scale", 4.0)
                                .set("format", "bf16")
                                .set("act", "bf16")
                                .set("cache", "bf16");
  Constants constants;
  for (const std::string &name : family.constants) {
    const auto &value = samples.all().at(name);
    std::visit([&](const auto &v) { constants.set(name, v); }, value);
  }
  if (family.name == "top_scan") // of these alone
    constants.set("format", splitFormat).set("act", "q8");
  return constants;
}

class Families : public testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Targets, Families,
                         testing::Values("x86-avx512", "x86-avx2", "arm-neon"),
                         [](const auto &info) {
                           std::string name = info.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

std::string compile(const KernelSpec &spec, const Target &target) {
  llvm::LLVMContext context;
  auto module = compileKernel(spec, target, context);
  if (!module) {
    ADD_FAILURE() << module.error().message;
    return "";
  }
  optimizeModule(**module, target);
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
  return emitAssembly(**module, target);
}

TEST_P(Families, EveryFamilyHasBodies) {
  const Target &target = *findTarget(GetParam());
  for (const Family &family : kernelFamilies()) {
    ASSERT_TRUE(hasKernel(family.name, target))
        << family.name << " on " << target.name;
    for (RowClass rows : {RowClass::Few, RowClass::Many})
      if (!(rows == RowClass::Few ? family.few : family.many).empty()) {
        KernelSpec spec{family.name, rows, sampleConstants(family)};
        std::string text = compile(spec, target);
        EXPECT_NE(text.find(kernelSymbol(spec) + ":"), std::string::npos);
      }
  }
}

TEST_P(Families, SameSpecSameCode) {
  const Target &target = *findTarget(GetParam());
  for (const char *name : {"linear", "norm"}) {
    KernelSpec spec{name, RowClass::Few, sampleConstants(*findFamily(name))};
    EXPECT_EQ(compile(spec, target), compile(spec, target));
  }
}

// What cannot be made is an error that names kernel and reason, not a crash.
TEST_P(Families, UnsupportedFormat) {
  llvm::LLVMContext context;
  KernelSpec spec{"linear", RowClass::Few,
                  Constants()
                      .set("k", int64_t(64))
                      .set("format", "bf16")
                      .set("act", "f32")};
  auto module = compileKernel(spec, *findTarget(GetParam()), context);
  ASSERT_FALSE(bool(module));
  EXPECT_EQ(module.error().code, ExitCode::Unsupported);
  EXPECT_NE(module.error().message.find(
                "no product of f32 activations with bf16 weights"),
            std::string::npos)
      << module.error().message;
  KernelSpec unknown{"no_such_family", RowClass::Few, {}};
  EXPECT_FALSE(bool(compileKernel(unknown, *findTarget(GetParam()), context)));
}

} // namespace
