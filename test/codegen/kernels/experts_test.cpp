// experts_up and experts_down against double, with shared and disjoint choices
// of experts, and the same bits in both row classes.
#include "test/codegen/kernels/KernelRunner.h"

#include <algorithm>
#include <cmath>
#include <numeric>

using namespace gemmac;

namespace {

double geluOf(double x) {
  return 0.5 * x *
         (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
}

// A stack of experts and the choices of some rows.
struct Mixture {
  static constexpr int64_t experts = 6, top = 3;
  std::string format;
  int64_t k, f, rows;
  std::vector<double> x, gate, up, down, weights;
  std::vector<int32_t> ids, order;
  Bytes wUp, wDown;

  Mixture(const std::string &format, int64_t k, int64_t f, int64_t rows,
          bool same, std::mt19937 &random)
      : format(format), k(k), f(f), rows(rows) {
    x = randomNumbers(random, size_t(rows * k));
    gate = randomNumbers(random, size_t(experts * f * k));
    up = randomNumbers(random, size_t(experts * f * k));
    down = randomNumbers(random, size_t(experts * k * f));
    weights = randomNumbers(random, size_t(rows * top));
    for (int64_t r = 0; r < rows; ++r) {
      std::vector<int32_t> choice(experts);
      std::iota(choice.begin(), choice.end(), 0);
      if (!same)
        std::shuffle(choice.begin(), choice.end(), random);
      std::sort(choice.begin(), choice.begin() + top);
      ids.insert(ids.end(), choice.begin(), choice.begin() + top);
    }
    order.resize(ids.size());
    std::iota(order.begin(), order.end(), 0);
    std::sort(order.begin(), order.end(), [&](int a, int b) {
      return std::pair(ids[size_t(a)], a) < std::pair(ids[size_t(b)], b);
    });
    pack();
  }

  void pack() {
    int64_t padded = roundUp(f, 32);
    for (int64_t e = 0; e < experts; ++e) {
      std::vector<double> both(size_t(2 * padded * k), 0.0),
          one(down.begin() + e * k * f, down.begin() + (e + 1) * k * f);
      for (int half = 0; half < 2; ++half)
        for (int64_t o = 0; o < f; ++o)
          std::copy_n((half ? up : gate).begin() + (e * f + o) * k, k,
                      both.begin() + (o / 32 * 64 + half * 32 + o % 32) * k);
      Bytes a = makeWeight(both, 2 * padded, k, matrixLayout(format));
      Bytes b = makeWeight(one, k, f, matrixLayout(format));
      for (int half = 0; half < 2; ++half)
        for (int64_t o = 0; o < f; ++o)
          std::copy_n(both.begin() + (o / 32 * 64 + half * 32 + o % 32) * k, k,
                      (half ? up : gate).begin() + (e * f + o) * k);
      std::copy(one.begin(), one.end(), down.begin() + e * k * f);
      wUp.insert(wUp.end(), a.begin(), a.end());
      wDown.insert(wDown.end(), b.begin(), b.end());
    }
  }

  Constants constants() const {
    return Constants()
        .set("experts", experts)
        .set("top", top)
        .set("format", format)
        .set("act", format);
  }
  double dot(const std::vector<double> &w, int64_t row, const double *v,
             int64_t n) const {
    double sum = 0;
    for (int64_t i = 0; i < n; ++i)
      sum += w[size_t(row * n + i)] * v[i];
    return sum;
  }
};

class Experts : public KernelTest {
protected:
  Bytes runUp(Mixture &m, RowClass cls) {
    int64_t width = m.top * roundUp(m.f, 32), space = roundUp(m.rows, 8);
    Bytes x = makeRows(m.x, m.rows, m.k, m.format, space);
    Bytes y = makeNan(space * rowBytes(m.format, width)), ids = makeInts(m.ids),
          order = makeInts(m.order);
    KernelSpec spec{"experts_up", cls,
                    m.constants().set("k", m.k).set("f", m.f)};
    KernelRunner runner(spec, GetParam());
    int32_t units = int32_t(roundUp(m.f, 32) / 32);
    for (auto [begin, end] : {std::pair(0, 1), {1, units}})
      runner.run({{"x", &x},
                  {"ids", &ids},
                  {"order", &order},
                  {"w", &m.wUp},
                  {"y", &y}},
                 {{"rows", m.rows}, {"begin", begin}, {"end", end}});
    return y;
  }

  Bytes runDown(Mixture &m, RowClass cls, Bytes &hidden) {
    int64_t stride = rowStride("f32", m.k), space = roundUp(m.rows, 8);
    Bytes y = makeNan(space * stride * 4), ids = makeInts(m.ids),
          order = makeInts(m.order);
    Bytes weights = makeRows(m.weights, m.rows, m.top, "f32", space);
    KernelSpec spec{"experts_down", cls,
                    m.constants().set("k", m.f).set("n", m.k)};
    KernelRunner runner(spec, GetParam());
    int32_t units = int32_t(roundUp(m.k, 16) / 16);
    for (auto [begin, end] : {std::pair(0, 1), {1, units}})
      runner.run({{"x", &hidden},
                  {"ids", &ids},
                  {"weights", &weights},
                  {"order", &order},
                  {"w", &m.wDown},
                  {"y", &y}},
                 {{"rows", m.rows},
                  {"stride", stride},
                  {"begin", begin},
                  {"end", end}});
    return y;
  }

  void check(Mixture &m) {
    double round = m.format == "bf16" ? 1.0 / 256 : 1e-6, sums = 2e-6;
    int64_t slice = roundUp(m.f, 32);
    Bytes up = runUp(m, RowClass::Few);
    ASSERT_EQ(up, runUp(m, RowClass::Many)) << "few and many differ";
    for (int64_t q = 0; q < m.rows * m.top; ++q)
      for (int64_t o = 0; o < m.f; ++o) {
        const double *x = &m.x[size_t(q / m.top * m.k)];
        int64_t row = m.ids[size_t(q)] * m.f + o;
        double want =
            geluOf(m.dot(m.gate, row, x, m.k)) * m.dot(m.up, row, x, m.k);
        ASSERT_NEAR(readElement(up, q, o, slice, m.format), want,
                    round * std::abs(want) + sums * (1 + std::abs(want)))
            << m.format << " pair " << q << " output " << o;
      }
    // The padding of a slice is garbage to `down`.
    for (int64_t q = 0; q < m.rows * m.top; ++q)
      std::fill_n(up.begin() + (q * slice + m.f) * elementBytes(m.format),
                  (slice - m.f) * elementBytes(m.format), 0xff);
    Bytes y = runDown(m, RowClass::Few, up);
    ASSERT_EQ(y, runDown(m, RowClass::Many, up)) << "few and many differ";
    for (int64_t r = 0; r < m.rows; ++r)
      for (int64_t o = 0; o < m.k; ++o) {
        double want = 0, size = 1;
        for (int64_t j = 0; j < m.top; ++j) {
          std::vector<double> hidden;
          for (int64_t i = 0; i < m.f; ++i)
            hidden.push_back(
                readElement(up, r * m.top + j, i, slice, m.format));
          double part = m.weights[size_t(r * m.top + j)] *
                        m.dot(m.down, m.ids[size_t(r * m.top + j)] * m.k + o,
                              hidden.data(), m.f);
          want += part;
          size += std::abs(part);
        }
        ASSERT_NEAR(readElement(y, r, o, rowStride("f32", m.k), "f32"), want,
                    sums * 4 * size)
            << m.format << " row " << r << " output " << o;
      }
  }
};
GEMMAC_BOTH_TARGETS(Experts);

TEST_P(Experts, Values) {
  for (std::string format : {"f32", "bf16"})
    for (auto [k, f] : {std::pair(64, 64), {48, 40}})
      for (bool same : {false, true}) {
        Mixture m(format, k, f, 5, same, random);
        ASSERT_NO_FATAL_FAILURE(check(m));
      }
}

TEST_P(Experts, ManyRows) {
  Mixture m("bf16", 96, 64, 21, false, random);
  check(m);
}

} // namespace
