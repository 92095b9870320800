// What the tests of the towers' families share: operands by name, calls whose
// units are divided in several ways, and comparisons with loops in double.
#pragma once

#include "test/codegen/kernels/DeviceRunner.h"
#include "test/codegen/kernels/KernelRunner.h"
#include "test/codegen/kernels/body_data.h"

#include <cmath>
#include <limits>

namespace gemmac {

using Numbers = std::vector<double>;

class TowerTest : public KernelTest {
protected:
  // Targets that share a device's bodies take turns, test by test.
  void SetUp() override {
    KernelTest::SetUp();
    const std::string name =
        testing::UnitTest::GetInstance()->current_test_info()->name();
    size_t turn = 0;
    for (char letter : name.substr(0, name.find('/')))
      turn += size_t(letter);
    if (!IsSkipped() && !isTurnOf(*findTarget(GetParam()), turn))
      GTEST_SKIP() << "another target's turn";
  }

  // Operands of one call. `rows` of the step; buffers have space for more.
  struct Call {
    KernelSpec spec;
    int64_t rows;
    std::map<std::string, Bytes> bytes = {};
    std::map<std::string, std::string> same = {}; // results in place of inputs
    std::map<std::string, int32_t> scalars = {};

    Bytes &operator[](const std::string &name) {
      auto it = same.find(name);
      return bytes[it == same.end() ? name : it->second];
    }
  };

  Numbers numbers(int64_t count, double size = 1) {
    Numbers x = randomNumbers(random, size_t(count));
    for (double &number : x)
      number = float(number * size);
    return x;
  }
  static Bytes vector(Numbers values) {
    return makeWeight(values, 1, int64_t(values.size()), rowsLayout("f32"));
  }
  // Rows of f32; of `columns` columns.
  static Bytes rowsOf(Numbers &values, int64_t columns,
                      const std::string &encoding = "f32") {
    const int64_t rows = int64_t(values.size()) / columns;
    return makeRows(values, rows, columns, encoding, roundUp(rows, 8));
  }
  static Bytes space(int64_t rows, int64_t columns,
                     const std::string &encoding = "f32") {
    return makeNan(roundUp(rows, 8) * rowBytes(encoding, columns));
  }

  // Runs all units at once, then divided among workers in an order of their
  // own: the same bits. The results stay in the call.
  void run(Call &call, const std::vector<std::string> &results, int32_t units) {
    KernelRunner runner(call.spec, GetParam());
    auto once = [&](int32_t begin, int32_t end) {
      std::map<std::string, Bytes *> buffers;
      for (const Parameter &parameter : kernelParameters(call.spec))
        if (parameter.pointer)
          buffers[parameter.name] = &call[parameter.name];
      std::map<std::string, int32_t> integers = call.scalars;
      integers["rows"] = int32_t(call.rows);
      integers["begin"] = begin, integers["end"] = end;
      runner.run(buffers, integers);
    };
    const std::map<std::string, Bytes> before = call.bytes;
    once(0, units);
    std::map<std::string, Bytes> whole;
    for (const std::string &name : results)
      whole[name] = call[name];
    call.bytes = before;
    const int32_t a = units / 3, b = units - units / 4;
    once(b, units), once(a, b), once(a, a), once(0, a);
    for (const std::string &name : results)
      EXPECT_EQ(whole[name] == call[name], true)
          << kernelSymbol(call.spec) << ": " << name
          << " depends on the division of units";
  }

  // f32 sums of some terms; bf16 rounds the result once more.
  static double tolerance(const std::string &encoding, double value) {
    return 1e-6 + (encoding == "bf16" ? 1.0 / 256 : 3e-6) * std::abs(value);
  }
  void expectRows(const Bytes &got, const Numbers &want, int64_t columns,
                  const std::string &encoding, const std::string &what,
                  double slack = 1) {
    for (int64_t i = 0; i < int64_t(want.size()); ++i) {
      const double x = readElement(got, i / columns, i % columns,
                                   rowStride(encoding, columns), encoding);
      ASSERT_NEAR(x, want[size_t(i)],
                  slack * tolerance(encoding, want[size_t(i)]))
          << what << ' ' << encoding << " of " << columns << ": row "
          << i / columns << " column " << i % columns;
    }
  }
  // Rows of encoding q8 are the f32 result in blocks, but for codes half way:
  // the f32 may have another last bit inside the body.
  void expectBlocks(const Bytes &got, const Bytes &f32, int64_t rows,
                    int64_t columns, const std::string &what) {
    const float *x = reinterpret_cast<const float *>(f32.data());
    for (int64_t i = 0; i < rows * columns;
         i += blockValues, x += blockValues) {
      ActivationBlock block;
      memcpy(&block, &got[size_t(i / blockValues) * sizeof block],
             sizeof block);
      float largest = 0;
      for (int64_t j = 0; j < blockValues; ++j)
        largest = std::max(largest, std::abs(x[j]));
      ASSERT_NEAR(block.scale, largest / 127, 1e-6 * largest) << what;
      int32_t sum = 0;
      for (int64_t j = 0; j < blockValues; ++j) {
        const double code = block.scale > 0 ? x[j] / block.scale : 0;
        ASSERT_NEAR(block.codes[j], code, 0.501)
            << what << " q8 of " << columns << ": row " << i / columns
            << " column " << i % columns + j;
        sum += block.codes[j];
      }
      ASSERT_EQ(block.start, startOf(sum)) << what;
    }
  }
  // Result `y` of a family with constant `act`, in every encoding.
  void checkActs(Call call, const Numbers &want, int64_t columns, int32_t units,
                 const std::string &what, double slack = 1) {
    Bytes exact;
    for (const std::string act : {"f32", "bf16", "q8"}) {
      call.spec.constants.set("act", act);
      const std::string wrong = checkSpec(call.spec);
      if (act == "q8" && !wrong.empty()) // no whole blocks
        continue;
      ASSERT_EQ(wrong, "");
      call.bytes["y"] = space(call.rows, columns, act);
      run(call, {"y"}, units);
      if (act == "q8")
        expectBlocks(call["y"], exact, call.rows, columns, what);
      else
        expectRows(call["y"], want, columns, act, what, slack);
      if (act == "f32")
        exact = call["y"];
    }
  }

  static double clip(double x, const Numbers &bounds, size_t i = 0) {
    return bounds.empty() ? x : std::min(std::max(x, bounds[i]), bounds[i + 1]);
  }
  static double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }
  static double silu(double x) { return x * sigmoid(x); }
  static double gelu(double x) {
    return 0.5 * x *
           (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
  }
  static double inverseRms(const double *x, int64_t k, double eps) {
    double sum = 0;
    for (int64_t i = 0; i < k; ++i)
      sum += x[i] * x[i];
    return 1 / std::sqrt(sum / double(k) + eps);
  }

  static constexpr double infinity = std::numeric_limits<double>::infinity();
  static constexpr double eps = 1e-6;
};

} // namespace gemmac
