// The hot loops of the products as machine code: the instruction that should be
// there is, no vector goes to the stack, nothing is called.
//
// Numbers of instructions are what the LLVM in use makes: upper bounds, so that
// a slower loop shows. When another LLVM changes them, look at the loops
// (gemma-kernels --family F --constants ... --emit asm -o -) and compare speeds
// with the old build in turns (gemma-kernels bench, the same minute); where
// they are not slower, write down the numbers that the failures print.
#include "codegen/KernelCompiler.h"
#include "codegen/Optimize.h"

#include "llvm/IR/LLVMContext.h"
#include "llvm/IR/Module.h"

#include <gtest/gtest.h>

#include <map>
#include <set>
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
  return *emitAssembly(**module, *findTarget(target));
}

using Block = std::vector<std::string>;

// Basic blocks that jump to their own label, but for those of epilogues.
std::vector<Block> selfLoops(const std::string &assembly) {
  std::vector<Block> loops;
  std::istringstream lines(assembly);
  std::string line, label;
  bool isEpilogue = false;
  Block block;
  while (std::getline(lines, line)) {
    if (!line.empty() && line[0] != '.' && line.find(':') != line.npos &&
        !isspace(uint8_t(line[0])))
      isEpilogue =
          line.find("_epilogue") != line.npos || line.starts_with("gm_softcap");
    if (line.starts_with(".L") && line.find(':') != line.npos) {
      label = line.substr(0, line.find(':'));
      block.clear();
    } else if (line.starts_with("\t") && !line.starts_with("\t.") &&
               !line.starts_with("\t#") && !line.starts_with("\t//")) {
      block.push_back(line);
      if (!isEpilogue && !label.empty() && line.ends_with(label))
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
      if (name == "linear_ple") // a block at a time
        want = {1, 2, 4, 8};
      if (rows == RowClass::Many)
        want = name == "linear_geglu" ? std::vector<int>{16}
               : name == "linear_ple" ? std::vector<int>{8}
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
        if (name == "logits" && rows == RowClass::Many)
          continue;
        KernelSpec spec = product(family, rows, format);
        std::vector<int> sizes =
            hotLoops(spec, "x86-avx512", "vpdpbusd", "(%rsp)", "\tcall");
        std::vector<int> want = {8, 16, 32, 64}; // M = 1, 2, 4, 8
        if (rows == RowClass::Many && !name.starts_with("experts"))
          want = {64};
        EXPECT_EQ(sizes, want) << kernelSymbol(spec);
      }
}

// f32 rows with 8-bit weights: two products each for 16 outputs and the rows of
// a pass (x86-avx512: 1, 2, 4, 8; the others, short of registers, one), in
// tiles of many blocks and of one.
TEST(Assembly, WideProducts) {
  struct Loops {
    const char *target, *instruction, *stack, *call;
    std::map<int, size_t> instructions; // of loops of that many products
  };
  for (const Loops &loops :
       {Loops{"x86-avx512",
              "vpdpbusd",
              "(%rsp)",
              "\tcall",
              {{16, 36}, {32, 58}, {64, 104}, {128, 196}}},
        Loops{"x86-avx2", "vpmaddubsw", "(%rsp)", "\tcall", {{32, 189}}},
        Loops{"arm-neon", "sdot", "[sp", "\tbl\t", {{64, 123}}}}) {
    KernelSpec spec = product("logits", RowClass::Few, "q8_0");
    spec.constants.set("act", "f32");
    std::map<int, int> found;
    for (const Block &loop : selfLoops(assemble(spec, loops.target))) {
      int n = count(loop, loops.instruction);
      if (!n)
        continue;
      ++found[n];
      EXPECT_EQ(count(loop, loops.stack), 0) << loops.target << ' ' << n;
      EXPECT_EQ(count(loop, loops.call), 0) << loops.target << ' ' << n;
      ASSERT_TRUE(loops.instructions.count(n)) << loops.target << ' ' << n;
      EXPECT_LE(loop.size(), loops.instructions.at(n))
          << loops.target << ' ' << n;
    }
    EXPECT_EQ(found.size(), loops.instructions.size()) << loops.target;
    for (auto [n, times] : found)
      EXPECT_GE(times, 2) << loops.target << ' ' << n;
  }
}

// The scan of the head unpacks five bits with few instructions: M = 1, 2, 4, 8
// rows, with and without a group to fetch, and the exact rows.
TEST(Assembly, X86TopScan) {
  KernelSpec spec{"top_scan", RowClass::Few, {}};
  spec.constants.set("k", int64_t(1536))
      .set("format", "q8_0_split")
      .set("act", "q8")
      .set("cap", 30.0);
  EXPECT_EQ(hotLoops(spec, "x86-avx512", "vpdpbusd", "(%rsp)", "\tcall"),
            (std::vector<int>{8, 8, 8, 16, 16, 32, 32, 64, 64}));
  bool isScan = false;
  for (const Block &loop : selfLoops(assemble(spec, "x86-avx512")))
    if (count(loop, "vpdpbusd") == 8 && count(loop, "$352"))
      isScan |= loop.size() <= 61;
  EXPECT_TRUE(isScan);
}

// Loops of the C++ products of a target: products per pass over 32 k, for one
// row, several, and `many`; how many instructions they may take.
struct BodyLoops {
  const char *target, *instruction, *stack, *call;
  std::set<int> few, many;
  int one;
  std::map<std::string, std::map<int, size_t>> instructions; // format, products
};

const BodyLoops bodyLoops[] = {
    // 1, 2, 4 rows of 16 outputs
    {"x86-avx2",
     "vpmaddubsw",
     "(%rsp)",
     "\tcall",
     {16, 32, 64},
     {64},
     16,
     {{"q8_0", {{16, 120}, {32, 216}, {64, 398}}},
      {"q4_0", {{16, 94}, {32, 164}, {64, 294}}},
      {"q4_bf", {{16, 96}, {32, 166}, {64, 296}}}}},
    // 1, 2 rows of 16, 4 rows of 8 outputs
    {"arm-neon",
     "sdot",
     "[sp",
     "\tbl\t",
     {32, 64},
     {64},
     32,
     {{"q8_0", {{32, 82}, {64, 134}}},
      {"q4_0", {{32, 106}, {64, 160}}},
      {"q4_bf", {{32, 106}, {64, 160}}}}},
};

void checkBodyLoops(const BodyLoops &body, const KernelSpec &spec,
                    const std::set<int> &want) {
  const std::map<int, size_t> &most =
      body.instructions.at(spec.constants.text("format"));
  std::string what = std::string(body.target) + ' ' + kernelSymbol(spec);
  std::set<int> got;
  for (const Block &loop : selfLoops(assemble(spec, body.target))) {
    int n = count(loop, body.instruction);
    if (n < body.one) // sums of codes
      continue;
    got.insert(n);
    EXPECT_EQ(count(loop, body.call), 0) << what << ' ' << n;
    EXPECT_EQ(count(loop, body.stack), 0) << what << ' ' << n;
    ASSERT_TRUE(most.count(n)) << what << ' ' << n;
    // Where more is addressed, loads come one by one on ARM: of experts, and of
    // gate and up.
    bool isGeglu = spec.family == "linear_geglu";
    size_t single = spec.family.starts_with("experts")                  ? 16
                    : isGeglu && std::string(body.target) == "arm-neon" ? 12
                                                                        : 0;
    EXPECT_LE(loop.size(), most.at(n) + single) << what << ' ' << n;
  }
  EXPECT_EQ(got, want) << what;
}

TEST(Assembly, BodyProducts) {
  for (const BodyLoops &body : bodyLoops)
    for (const auto &[format, instructions] : body.instructions)
      for (const std::string family : products)
        for (RowClass rows : {RowClass::Few, RowClass::Many}) {
          if (family == "linear_ple" ||
              (family == "logits" && rows == RowClass::Many))
            continue;
          bool all = rows == RowClass::Few || family.starts_with("experts");
          const std::set<int> &want = all ? body.few : body.many;
          checkBodyLoops(body, product(family, rows, format), want);
        }
}

// Weights that may come from memory are fetched ahead in the loop itself, every
// line of codes; those of experts of many rows while the first 8 are
// multiplied.
TEST(Assembly, X86FetchesAhead) {
  for (const std::string family :
       {"linear", "linear_geglu", "logits", "experts_up", "experts_down"})
    for (RowClass rows : {RowClass::Few, RowClass::Many}) {
      for (const Block &loop :
           selfLoops(assemble(product(family, rows, "q4_bf"), "x86-avx512")))
        if (int n = count(loop, "vpdpbusd")) {
          bool cached =
              family.starts_with("experts") && rows == RowClass::Many && n < 64;
          EXPECT_EQ(count(loop, "prefetcht0"), cached ? 0 : 4) << family;
        }
    }
}

// Prefetches in a row fill the queue of lines that the first cache waits for:
// each has a dot product behind it, where a block has them to spare.
TEST(Assembly, X86SpreadsPrefetches) {
  for (const std::string family : {"linear", "linear_geglu", "logits"})
    for (const std::string format : {"q8_0", "q4_bf"}) {
      int spread = 0;
      for (const Block &loop : selfLoops(assemble(
               product(family, RowClass::Many, format), "x86-avx512"))) {
        Block marks;
        for (const std::string &line : loop)
          if (line.find("prefetch") != line.npos ||
              line.find("vpdpbusd") != line.npos)
            marks.push_back(line);
        const int lines = count(marks, "prefetcht0");
        if (lines == 0 || count(marks, "vpdpbusd") < 3 * lines)
          continue;
        ++spread;
        for (size_t i = 1; i < marks.size(); ++i)
          EXPECT_FALSE(marks[i - 1].find("prefetch") != std::string::npos &&
                       marks[i].find("prefetch") != std::string::npos)
              << family << " " << format;
      }
      EXPECT_GT(spread, 0) << family << " " << format;
    }
}

TEST(Assembly, F32UsesFusedMultiplyAdd) {
  for (const char *family : products) {
    KernelSpec spec = product(family, RowClass::Few, "f32");
    for (const char *target : {"x86-avx512", "x86-avx2"}) {
      std::vector<int> x86 =
          hotLoops(spec, target, "vfmadd231ps", "(%rsp)", "\tcall");
      EXPECT_FALSE(x86.empty()) << kernelSymbol(spec);
    }
    std::vector<int> arm = hotLoops(spec, "arm-neon", "fmla", "[sp", "\tbl\t");
    EXPECT_FALSE(arm.empty()) << kernelSymbol(spec);
  }
}

TEST(Assembly, Avx2Bf16Widens) {
  for (const char *family : products) {
    KernelSpec spec = product(family, RowClass::Few, "bf16");
    std::vector<int> sizes =
        hotLoops(spec, "x86-avx2", "vfmadd231ps", "(%rsp)", "\tcall");
    ASSERT_FALSE(sizes.empty()) << kernelSymbol(spec);
    EXPECT_EQ(sizes.back() % 4, 0)
        << kernelSymbol(spec); // 2 vectors x 2 of a pair
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

// What a worker's stack does not hold is refused, whatever the constants: rows
// of norms3 lie there.
TEST(Asm, Frames) {
  for (const Target &target : targets())
    for (int64_t k : {int64_t(5376), int64_t(262144)}) {
      if (target.device != Device::Cpu)
        continue; // no stack, and no rows in it
      KernelSpec spec{"norms3", RowClass::Few,
                      Constants()
                          .set("k", k)
                          .set("act", "q8")
                          .set("eps", 1e-6)
                          .set("factor", 0.5)};
      llvm::LLVMContext context;
      auto module = compileKernel(spec, target, context);
      ASSERT_TRUE(bool(module));
      optimizeModule(**module, target);
      Result<std::string> object = emitObject(**module, target);
      ASSERT_EQ(bool(object), k == 5376) << kernelSymbol(spec);
      if (object)
        continue;
      EXPECT_EQ(object.error().code, ExitCode::Unsupported);
      EXPECT_NE(object.error().message.find(kernelSymbol(spec)),
                std::string::npos)
          << object.error().message;
    }
}

} // namespace
