// The plain C++ bodies: all cases through the JIT, those of devices in the
// emulator, and what inner loops look like on this machine.
#include "test/codegen/kernels/DeviceRunner.h"
#include "test/codegen/kernels/body_cases.h"
#include "test/codegen/kernels/body_data.h"
#include "test/codegen/kernels/body_jit.h"
#include "test/codegen/kernels/device_body.h"

#include "codegen/KernelCompiler.h"
#include "runtime/abi.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <sstream>

using namespace gemmac;
using namespace gemmac::test;

static bool runsCases(const Target &target) {
  return runsHere(target) || target.device == Device::Cuda;
}

// Whether the target has all bodies that the case asks for.
static bool hasBodies(const Case &c, const Target &target) {
  bool all = true;
  c.run([&](const KernelSpec &spec) -> void * {
    all &= hasBodyKernel(spec.family, target);
    return nullptr;
  });
  return all;
}

// Of devices the first runs the large cases: others have the same source.
static bool runsLarge(const Target &target) {
  for (const Target &other : targets())
    if (other.device == Device::Cuda)
      return target.device == Device::Cpu || other.name == target.name;
  return true;
}

// `areShared`: among devices.
static void runCases(const std::vector<Case> &cases, bool areShared = false) {
  int ran = 0;
  for (const Target &target : targets()) {
    if (!runsCases(target))
      continue;
    auto body = [&](const KernelSpec &spec) {
      return jitBody(spec, target.name);
    };
    for (size_t i = 0; i < cases.size(); ++i) {
      const Case &c = cases[i];
      // Not by i alone: cases of two families alternate.
      if (areShared && !isTurnOf(target, i + i / 2))
        continue;
      if (!hasBodies(c, target) || (c.isLarge && !runsLarge(target)))
        continue;
      ++ran;
      EXPECT_EQ(c.run(body), "") << target.name << ' ' << c.name;
      EXPECT_EQ(takeDeviceProblem(), "") << target.name << ' ' << c.name;
    }
  }
  if (!ran)
    GTEST_SKIP() << "this machine runs code for no target";
}

TEST(BodyKernels, Attend) { runCases(attendCases(), true); }
TEST(BodyKernels, Append) { runCases(appendCases(), true); }
TEST(BodyKernels, Top) { runCases(topCases(), true); }
TEST(BodyKernels, TopExperts) { runCases(topExpertsCases()); }
TEST(BodyKernels, MoeSort) { runCases(moeSortCases()); }

// Bodies of devices have the C signature of CPUs' here; memory is carried there
// and back, and only memory that is known.
TEST(BodyKernels, DevicesBehindTheSignature) {
  KernelSpec spec{
      "norm", RowClass::Many,
      Constants().set("k", int64_t(64)).set("eps", 1e-6).set("act", "f32")};
  for (const char *target : {"cuda-sm80", "cuda-sm90"}) {
    auto norm = reinterpret_cast<void (*)(const float *, const float *, float *,
                                          int32_t, int32_t, int32_t)>(
        jitBody(spec, target));
    Array<float> x(3 * 64), w(64, 2);
    for (size_t i = 0; i < x.size(); ++i)
      x[i] = i % 2 ? -3 : 3;
    Buffer y(x.size() * sizeof(float));
    norm(x.data(), w.data(), y.as<float>(), 3, 1, 2);
    EXPECT_EQ(takeDeviceProblem(), "");
    EXPECT_TRUE(y.intact());
    for (int i = 0; i < 64; ++i) {
      EXPECT_NE(y.as<float>()[i], y.as<float>()[i]);
      EXPECT_NEAR(y.as<float>()[64 + i], i % 2 ? -2 : 2, 1e-5);
      EXPECT_NE(y.as<float>()[128 + i], y.as<float>()[128 + i]);
    }
    norm(x.data(), x.data(), w.data() + w.size(), 3, 0, 1);
    EXPECT_EQ(takeDeviceProblem(),
              "norm_f32_1em06_k64_many: operand y lies in no Array or Buffer");
  }
}

// A launch may have more units than the step: those do nothing.
TEST(BodyKernels, DevicesEndWithTheStep) {
  constexpr int heads = 2, hd = 32;
  for (const char *target : {"cuda-sm80", "cuda-sm90"})
    for (auto [rows, window] : {std::pair<RowClass, int64_t>(RowClass::Few, 0),
                                {RowClass::Few, 8},
                                {RowClass::Many, 0}}) {
      KernelSpec spec{"attend", rows,
                      Constants()
                          .set("heads", int64_t(heads))
                          .set("hd", int64_t(hd))
                          .set("group", int64_t(1))
                          .set("window", window)
                          .set("cache", "f32")
                          .set("act", "f32")};
      auto runner = DeviceRunner::create(spec, *findTarget(target));
      ASSERT_TRUE(bool(runner)) << runner.error().message;
      Array<float> q(2 * heads * hd), k(heads * 64 * hd), v(k);
      Array<gm_tile> tiles = {{0, 1, 0, 0}, {1, 1, 0, 1}};
      Array<gm_split> pieces = {{0, 0, 1, 0}, {1, 0, 2, 0}};
      Array<int32_t> table = {0};
      const size_t row =
          rows == RowClass::Few ? heads * (hd + 2) : size_t(heads * hd);
      Array<float> y(2 * row, -1);
      auto memory = [](auto &array) {
        return DeviceRunner::Memory{array.data(),
                                    array.size() * sizeof(array[0]), 0};
      };
      EXPECT_EQ((*runner)->run({memory(q), memory(tiles), memory(pieces),
                                memory(k), memory(v), memory(table), memory(y)},
                               {0, 1, 2, 3, 4, 5, 6},
                               {{"begin", 0},
                                {"end", 2 * heads},
                                {"rows", 2},
                                {"max_splits", 1},
                                {"page_stride", 1},
                                {"tiles", 1},
                                {"splits_local", window ? 1 : 2},
                                {"splits_global", window ? 2 : 1}}),
                "");
      for (size_t i = 0; i < 2 * row; ++i)
        EXPECT_EQ(y[i] == -1, i >= row) << kernelSymbol(spec) << ' ' << i;
    }
}

TEST(BodyKernels, Arm) {
#ifdef BODY_ARM_COMMAND
  EXPECT_EQ(system(BODY_ARM_COMMAND), 0);
#else
  GTEST_SKIP() << "no qemu-aarch64 or no cross libc";
#endif
}

// Of CPUs; bodies of devices are those of every family (families_test).
TEST(BodyKernels, EveryTargetHasThem) {
  for (const Target &target : targets())
    for (const char *family :
         {"append", "attend", "attend_all", "attend_blocks", "conv2d",
          "depthwise", "heads_kv", "heads_q", "merge", "moe_sort", "rel_attend",
          "rel_positions", "rope_q", "soft_rows", "top", "top_experts",
          "top_merge", "top_scan"}) {
      EXPECT_TRUE(findFamily(family)) << family;
      EXPECT_TRUE(target.device != Device::Cpu || hasBodyKernel(family, target))
          << family << " for " << target.name;
    }
  EXPECT_FALSE(hasBodyKernel("linear", x86Avx512()));
}

namespace {

struct Loop {
  int dots = 0, fmas = 0, broadcasts = 0, instructions = 0, spills = 0,
      calls = 0;
};

bool has(const std::string &line, const char *what) {
  return line.find(what) != std::string::npos;
}

// The innermost loops of a function: from a label to a jump back to it, with no
// other such pair inside.
std::vector<Loop> innerLoops(const std::string &assembly) {
  std::vector<std::string> lines;
  std::map<std::string, size_t> labels;
  std::vector<std::pair<size_t, size_t>> ranges;
  std::istringstream stream(assembly);
  for (std::string line; std::getline(stream, line); lines.push_back(line)) {
    if (line.rfind(".L", 0) == 0)
      labels[line.substr(0, line.find(':'))] = lines.size();
    size_t target = line.find(".L");
    if (line.rfind("\tj", 0) == 0 && target != std::string::npos)
      if (auto it = labels.find(
              line.substr(target, line.find_first_of(" \t#", target) - target));
          it != labels.end())
        ranges.push_back({it->second, lines.size()});
  }
  std::vector<Loop> loops;
  for (auto [from, to] : ranges) {
    bool inner = true;
    for (auto [a, b] : ranges)
      inner &= !(from <= a && b <= to && (a != from || b != to));
    Loop loop;
    for (size_t i = from; i <= to && inner; ++i) {
      bool code = lines[i].rfind("\t", 0) == 0 && lines[i][1] != '.' &&
                  lines[i][1] != '#';
      loop.instructions += code;
      loop.dots += has(lines[i], "vdpbf16ps") || has(lines[i], "vpdpbusd");
      loop.fmas += has(lines[i], "vfmadd");
      loop.broadcasts +=
          has(lines[i], "vbroadcastss") || has(lines[i], "vpbroadcastd");
      loop.spills += has(lines[i], "%zmm") && has(lines[i], "(%rsp)");
      loop.calls += has(lines[i], "\tcall");
    }
    if (inner)
      loops.push_back(loop);
  }
  return loops;
}

} // namespace

// Scores and weighted values of eight pairs: 16 dots, 8 broadcasts, 2 loads and
// a few more; no inner loop of attend spills or calls.
TEST(BodyKernels, AttendInnerLoops) {
  for (const char *family : {"attend", "attend_blocks"})
    for (const char *cache : {"bf16", "q8"})
      for (RowClass rows : {RowClass::Few, RowClass::Many})
        for (int64_t hd : {256, 512}) {
          KernelSpec spec = {family, rows, {}};
          spec.constants.set("heads", int64_t(8))
              .set("hd", hd)
              .set("group", int64_t(8));
          spec.constants.set("window", int64_t(512))
              .set("cache", cache)
              .set("act", "bf16");
          int hot = 0;
          for (const Loop &loop :
               innerLoops(bodyAssembly(spec, "x86-avx512"))) {
            EXPECT_EQ(loop.calls, 0) << kernelSymbol(spec);
            if (!loop.dots)
              continue;
            EXPECT_EQ(loop.spills, 0) << kernelSymbol(spec);
            if (loop.dots == 16) {
              ++hot;
              EXPECT_LE(loop.instructions, 34) << kernelSymbol(spec);
              EXPECT_LE(loop.broadcasts, 8) << kernelSymbol(spec);
            }
          }
          EXPECT_EQ(hot, 2) << kernelSymbol(spec);
        }
}

// Scores and values of eight rows with a word of two bf16: 32 f32 products, 16
// broadcasts, 2 loads and 4 steps that widen them; nothing spills.
TEST(BodyKernels, AttendAllInnerLoops) {
  for (int64_t hd : {64, 72}) {
    KernelSpec spec = {"attend_all", RowClass::Many, {}};
    spec.constants.set("heads", int64_t(16)).set("hd", hd);
    spec.constants.set("cache", "bf16").set("act", "bf16");
    int hot = 0;
    for (const Loop &loop : innerLoops(bodyAssembly(spec, "x86-avx512"))) {
      EXPECT_EQ(loop.calls, 0) << kernelSymbol(spec);
      if (loop.fmas != 32)
        continue;
      ++hot;
      EXPECT_EQ(loop.spills, 0) << kernelSymbol(spec);
      EXPECT_LE(loop.instructions, 58) << kernelSymbol(spec);
      EXPECT_LE(loop.broadcasts, 16) << kernelSymbol(spec);
    }
    EXPECT_EQ(hot, 2) << kernelSymbol(spec);
  }
}

// The symbol is the only definition that others can see.
TEST(BodyKernels, Symbols) {
  KernelSpec spec = {"top", RowClass::Few, {}};
  std::string assembly = bodyAssembly(spec, "arm-neon");
  EXPECT_TRUE(has(assembly, ("\t.globl\t" + kernelSymbol(spec)).c_str()));
  EXPECT_FALSE(has(assembly, "gm_"));
}
