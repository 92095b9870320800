// The hot loops of the products as machine code: the instruction that should be
// there is, no vector goes to the stack, nothing is called.
#include "codegen/KernelCompiler.h"
#include "codegen/Optimize.h"

#include "llvm/IR/LLVMContext.h"
#include "llvm/IR/Module.h"

#include <gtest/gtest.h>

#include <sstream>

using namespace gemmac;

namespace {

std::string assemble(const KernelSpec &spec, const std::string &target) {
  llvm::LLVMContext context;
  auto module = compileKernel(spec, *findTarget(target), context);
  if (!module) {
    ADD_FAILURE() << module.error().message;
    return "";
  }
  optimizeModule(**module, *findTarget(target));
  return emitAssembly(**module, *findTarget(target));
}

using Block = std::vector<std::string>;

// Basic blocks that jump to their own label.
std::vector<Block> selfLoops(const std::string &assembly) {
  std::vector<Block> loops;
  std::istringstream lines(assembly);
  std::string line, label;
  Block block;
  while (std::getline(lines, line)) {
    if (line.starts_with(".L") && line.find(':') != line.npos) {
      label = line.substr(0, line.find(':'));
      block.clear();
    } else if (line.starts_with("\t") && !line.starts_with("\t.")) {
      block.push_back(line);
      if (!label.empty() && line.ends_with(label))
        loops.push_back(block);
    }
  }
  return loops;
}

int count(const Block &block, const std::string &word,
          const std::string &with = "") {
  int n = 0;
  for (const std::string &line : block)
    n += line.find(word) != line.npos && line.find(with) != line.npos;
  return n;
}

KernelSpec product(const std::string &family, RowClass rows,
                   const std::string &format) {
  KernelSpec spec{family, rows, {}};
  spec.constants.set("k", int64_t(1536))
      .set("format", format)
      .set("act", format[0] == 'q' ? "q8" : format);
  if (family == "logits")
    spec.constants.set("cap", 30.0);
  if (family.starts_with("experts"))
    spec.constants.set("n", int64_t(2816))
        .set("f", int64_t(704))
        .set("experts", int64_t(128))
        .set("top", int64_t(8));
  return spec;
}

const char *const products[] = {"linear",     "logits",     "linear_geglu",
                                "linear_ple", "experts_up", "experts_down"};

// Products per step of every hot loop, in ascending order; fails on a spill, a
// call, or a product outside a hot loop.
std::vector<int> hotLoops(const KernelSpec &spec, const std::string &target,
                          const std::string &instruction,
                          const std::string &stack, const std::string &call) {
  std::string text = assemble(spec, target);
  std::vector<int> sizes;
  for (const Block &loop : selfLoops(text)) {
    if (int n = count(loop, instruction)) {
      sizes.push_back(n);
      EXPECT_EQ(count(loop, stack), 0)
          << kernelSymbol(spec) << " spills in a hot loop";
      EXPECT_EQ(count(loop, call), 0)
          << kernelSymbol(spec) << " calls in a hot loop";
    }
  }
  std::sort(sizes.begin(), sizes.end());
  return sizes;
}

TEST(Assembly, X86Bf16PairProducts) {
  for (const char *family : products)
    for (RowClass rows : {RowClass::Few, RowClass::Many}) {
      if (std::string(family) == "logits" && rows == RowClass::Many)
        continue;
      KernelSpec spec = product(family, rows, "bf16");
      std::vector<int> sizes =
          hotLoops(spec, "x86-avx512", "vdpbf16ps", "(%rsp)", "\tcall");
      std::string name = family;
      std::vector<int> want = {1, 2,  4, 4, 8,
                               8, 16, 16}; // M x blocks: 1, 2, 4, 8 x most or 1
      if (name == "linear_geglu")
        want = {4, 8, 16, 16};
      if (rows == RowClass::Many)
        want = name == "linear_geglu" ? std::vector<int>{16}
                                      : std::vector<int>{8, 16};
      if (name == "experts_up") // all M in both classes
        want = {4, 8, 16, 16};
      if (name == "experts_down")
        want = {1, 2, 4, 8};
      EXPECT_EQ(sizes, want) << kernelSymbol(spec);
    }
}

// One row: four streams of weights, one load of x, little else.
TEST(Assembly, X86OneRowIsLean) {
  bool found = false;
  for (const Block &loop : selfLoops(
           assemble(product("linear", RowClass::Few, "bf16"), "x86-avx512")))
    if (count(loop, "vdpbf16ps") == 4 && count(loop, "vbroadcastss") == 1) {
      found = true;
      EXPECT_LE(loop.size(), 8u);
    }
  EXPECT_TRUE(found);
}

// 8 products per 32 k, row and 16 outputs; weights are unpacked once for all
// rows of a tile.
TEST(Assembly, X86ByteProducts) {
  for (const char *format : {"q8_0", "q4_0", "q4_bf"})
    for (const char *family : products)
      for (RowClass rows : {RowClass::Few, RowClass::Many}) {
        std::string name = family;
        if (name == "linear_ple" ||
            (name == "logits" && rows == RowClass::Many))
          continue;
        KernelSpec spec = product(family, rows, format);
        std::vector<int> sizes =
            hotLoops(spec, "x86-avx512", "vpdpbusd", "(%rsp)", "\tcall");
        // M x blocks: 1 x 1 and 4, 2 x 1 and 2, 4, 8
        std::vector<int> want = {8, 16, 32, 32, 32, 64};
        if (name == "linear_geglu")
          want = {32, 32, 32, 64};
        if (rows == RowClass::Many)
          want = {64};
        if (name == "experts_up") // all M in both classes
          want = {32, 32, 32, 64};
        if (name == "experts_down")
          want = {8, 16, 32, 64};
        EXPECT_EQ(sizes, want) << kernelSymbol(spec);
      }
}

TEST(Assembly, F32UsesFusedMultiplyAdd) {
  for (const char *family : products) {
    KernelSpec spec = product(family, RowClass::Few, "f32");
    std::vector<int> x86 =
        hotLoops(spec, "x86-avx512", "vfmadd", "(%rsp)", "\tcall");
    EXPECT_FALSE(x86.empty()) << kernelSymbol(spec);
    std::vector<int> arm = hotLoops(spec, "arm-neon", "fmla", "[sp", "\tbl\t");
    EXPECT_FALSE(arm.empty()) << kernelSymbol(spec);
  }
}

TEST(Assembly, ArmBf16Widens) {
  for (const char *family : products) {
    KernelSpec spec = product(family, RowClass::Few, "bf16");
    std::vector<int> sizes =
        hotLoops(spec, "arm-neon", "fmla", "[sp", "\tbl\t");
    ASSERT_FALSE(sizes.empty()) << kernelSymbol(spec);
    EXPECT_EQ(sizes.back() % 8, 0)
        << kernelSymbol(spec); // 4 vectors x 2 of a pair
  }
}

} // namespace
