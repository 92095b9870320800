// Runs a kernel body for tests, on this machine, (ARM) under qemu or (CUDA) in
// the emulator of the driver, with guard bytes around every buffer.
#pragma once

#include "targets/Kernels.h"
#include "targets/Layouts.h"
#include "targets/Target.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace gemmac {

using Bytes = std::vector<uint8_t>;
class KernelJit;
class DeviceRunner;

class KernelRunner {
public:
  // Compiles the body; a failure is a test failure.
  KernelRunner(const KernelSpec &spec, const std::string &targetName);
  ~KernelRunner();

  // Calls the body. Operands by parameter name (the same Bytes under two names
  // = the same memory; left out or null = null pointer); integers by name,
  // `rows`, `begin`, `end` included. Fails the test if a guard byte was
  // changed.
  void run(const std::map<std::string, Bytes *> &buffers,
           const std::map<std::string, int32_t> &integers);

  // Why kernels for this target cannot run here; empty if they can.
  static std::string whyNot(const std::string &targetName);

private:
  void runEmulated(std::vector<Bytes> &storage,
                   const std::vector<int64_t> &which,
                   const std::vector<int32_t> &integers);

  KernelSpec spec;
  const Target &target;
  std::unique_ptr<KernelJit> jit;
  std::unique_ptr<DeviceRunner> device;
  std::string program; // for the emulator
};

//---- test data

uint16_t roundToBf16(float f);
float fromBf16(uint16_t bits);

// Numbers in [-1, 1]; no subnormals (vdpbf16ps flushes them).
std::vector<double> randomNumbers(std::mt19937 &random, size_t count);

// `rows` x `columns` numbers as activation rows (rowStride apart) of an
// encoding with space for `space` rows; everything else is NaN. The numbers are
// replaced by what was stored.
Bytes makeRows(std::vector<double> &values, int64_t rows, int64_t columns,
               const std::string &encoding, int64_t space);
// A buffer of `bytes` bytes that holds NaN in any encoding.
Bytes makeNan(int64_t bytes);
// Packed weights of a layout, padded with zeros; rounds the numbers.
Bytes makeWeight(std::vector<double> &values, int64_t rows, int64_t columns,
                 const Layout &layout);
Bytes makeInts(const std::vector<int32_t> &values);

// Element (row, column) of rows `stride` elements apart.
double readElement(const Bytes &bytes, int64_t row, int64_t column,
                   int64_t stride, const std::string &encoding);

// Tests over all targets; skips with the reason where one cannot run.
class KernelTest : public testing::TestWithParam<std::string> {
protected:
  void SetUp() override {
    std::string reason = KernelRunner::whyNot(GetParam());
    if (!reason.empty())
      GTEST_SKIP() << reason;
  }
  bool arm() const { return GetParam() == "arm-neon"; }
  bool cuda() const { return findTarget(GetParam())->device == Device::Cuda; }
  std::mt19937 random{7};
};
// "x86-avx2" as it may stand in the name of a test.
inline std::string testName(const testing::TestParamInfo<std::string> &info) {
  std::string name = info.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}
inline std::vector<std::string> targetNames() {
  std::vector<std::string> names;
  for (const Target &target : targets())
    names.push_back(target.name);
  return names;
}
#define GEMMAC_ALL_TARGETS(suite)                                              \
  INSTANTIATE_TEST_SUITE_P(Targets, suite, testing::ValuesIn(targetNames()),   \
                           testName)

} // namespace gemmac
