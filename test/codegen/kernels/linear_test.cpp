// linear, logits, linear_geglu, linear_ple: values against double, and the same
// bits of a row in every row class, tile and unit range.
#include "test/codegen/kernels/KernelRunner.h"

#include <cmath>
#include <cstring>

using namespace gemmac;

namespace {

class Linear : public KernelTest {};
GEMMAC_ALL_TARGETS(Linear);

double geluOf(double x) {
  return 0.5 * x *
         (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
}

// One matrix product family with its data: n outputs, up to `most` rows.
struct Product {
  std::string family, format, act;
  int64_t k, n, most;
  double cap = 0;
  std::vector<double> x, w, up, ple;
  Bytes weights, pleRows;
  static constexpr int64_t pleColumn = 5;

  // `act`: that of the format unless said.
  Product(const std::string &family, const std::string &format, int64_t k,
          int64_t n, int64_t most, std::mt19937 &random,
          const std::string &act = "")
      : family(family), format(format), act(act.empty() ? format : act), k(k),
        n(n), most(most) {
    x = randomNumbers(random, size_t(most * k));
    w = randomNumbers(random, size_t(n * k));
    if (gegluLike()) {
      up = randomNumbers(random, size_t(n * k));
      interleave();
    } else {
      weights = makeWeight(w, n, k, matrixLayout(format));
    }
    ple = randomNumbers(random, size_t(most * pleWidth()));
    pleRows = makeRows(ple, most, pleWidth(), "f32", roundUp(most, 8));
  }

  bool gegluLike() const { return family == "linear_geglu"; }
  int64_t pleWidth() const { return pleColumn + roundUp(n, 16); }
  std::string result() const {
    return family == "linear_geglu" || family == "linear_ple" ? act : "f32";
  }
  int64_t units() const { return (n + unit() - 1) / unit(); }
  int64_t unit() const { return gegluLike() ? 32 : 16; }
  int64_t stride() const { return rowStride(result(), n); }

  // gate and up alternate in blocks of 32 rows, the last padded with zeros.
  void interleave() {
    int64_t padded = roundUp(n, 32);
    std::vector<double> both(size_t(2 * padded * k), 0.0);
    for (int64_t o = 0; o < n; ++o)
      for (int64_t i = 0; i < k; ++i) {
        int64_t row = o / 32 * 64 + o % 32;
        both[size_t(row * k + i)] = w[size_t(o * k + i)];
        both[size_t((row + 32) * k + i)] = up[size_t(o * k + i)];
      }
    weights = makeWeight(both, 2 * padded, k, matrixLayout(format));
    for (int64_t o = 0; o < n; ++o)
      for (int64_t i = 0; i < k; ++i) {
        int64_t row = o / 32 * 64 + o % 32;
        w[size_t(o * k + i)] = both[size_t(row * k + i)];
        up[size_t(o * k + i)] = both[size_t((row + 32) * k + i)];
      }
  }

  KernelSpec spec(RowClass rows) const {
    KernelSpec spec{family, rows, {}};
    spec.constants.set("k", k).set("format", format).set("act", act);
    if (family == "logits")
      spec.constants.set("cap", cap);
    return spec;
  }

  // Rows [first, first + rows) through the body, in unit ranges that end at
  // `cuts`; y starts as NaN.
  Bytes run(KernelRunner &runner, RowClass cls, int64_t first, int64_t rows,
            std::vector<int64_t> cuts = {}) {
    int64_t space = cls == RowClass::Few ? 8 : roundUp(rows, 8);
    std::vector<double> slice(x.begin() + first * k,
                              x.begin() + (first + rows) * k);
    Bytes xs = makeRows(slice, rows, k, act, space);
    std::copy(slice.begin(), slice.end(), x.begin() + first * k); // as rounded
    Bytes y = makeNan(space * stride() * elementBytes(result()));
    Bytes pleSlice(pleRows.begin() + first * rowBytes("f32", pleWidth()),
                   pleRows.end());
    pleSlice.resize(size_t(space * rowBytes("f32", pleWidth())), 0xff);
    std::map<std::string, Bytes *> buffers = {
        {"x", &xs}, {"w", &weights}, {"y", &y}};
    std::map<std::string, int32_t> integers = {{"rows", rows},
                                               {"stride", stride()}};
    if (family == "linear_ple") {
      buffers["ple"] = &pleSlice;
      integers["ple_stride"] = int32_t(rowStride("f32", pleWidth()));
      integers["column"] = pleColumn;
    }
    cuts.push_back(units());
    int64_t begin = 0;
    for (int64_t end : cuts) {
      integers["begin"] = int32_t(begin);
      integers["end"] = int32_t(end);
      runner.run(buffers, integers);
      begin = end;
    }
    return y;
  }

  // `factor`: of the errors of sums, what another one multiplies them by.
  double expected(int64_t r, int64_t o, double &factor) const {
    double sum = 0, other = 0;
    for (int64_t i = 0; i < k; ++i) {
      sum += x[size_t(r * k + i)] * w[size_t(o * k + i)];
      if (gegluLike())
        other += x[size_t(r * k + i)] * up[size_t(o * k + i)];
    }
    factor = 1;
    if (gegluLike()) {
      factor = std::max({1.0, std::abs(geluOf(sum)), std::abs(other)});
      return geluOf(sum) * other;
    }
    if (family == "linear_ple")
      return geluOf(sum) * ple[size_t(r * pleWidth() + pleColumn + o)];
    return family == "logits" && cap > 0 ? cap * std::tanh(sum / cap) : sum;
  }

  void check(const Bytes &y, int64_t first, int64_t rows) const {
    // f32 sums of k products of numbers up to 1; bf16 results round once more.
    double sums = 1e-7 * std::sqrt(double(k)) * 8,
           round = result() == "bf16" ? 1.0 / 256 : 3e-7;
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t o = 0; o < n; ++o) {
        double factor, want = expected(first + r, o, factor);
        ASSERT_NEAR(readElement(y, r, o, stride(), result()), want,
                    sums * (factor + std::abs(want)) + round * std::abs(want))
            << family << ' ' << format << " k " << k << " n " << n << " row "
            << r << " output " << o;
      }
  }

  bool sameRow(const Bytes &a, int64_t ra, const Bytes &b, int64_t rb) const {
    int64_t size = elementBytes(result());
    return !memcmp(&a[size_t(ra * stride() * size)],
                   &b[size_t(rb * stride() * size)], size_t(n * size));
  }
};

// Values for every row count, and bits equal to those of one row alone.
void testProduct(Product &p, const std::string &target, bool whole) {
  KernelRunner few(p.spec(RowClass::Few), target);
  std::vector<Bytes> alone;
  for (int64_t r = 0; r < p.most; ++r)
    alone.push_back(p.run(few, RowClass::Few, r, 1));
  p.check(alone[0], 0, 1);
  for (int64_t rows = 2; rows <= 8; ++rows) {
    std::vector<int64_t> cuts =
        rows % 2 ? std::vector<int64_t>{}
                 : std::vector<int64_t>{0, 1, p.units() / 2 + 1};
    if (cuts.size() && cuts.back() > p.units())
      cuts = {1};
    Bytes y = p.run(few, RowClass::Few, 0, rows, cuts);
    p.check(y, 0, rows);
    for (int64_t r = 0; r < rows; ++r)
      ASSERT_TRUE(p.sameRow(y, r, alone[size_t(r)], 0))
          << p.family << " few, row " << r << " of " << rows;
  }
  if (!whole)
    return;
  KernelRunner many(p.spec(RowClass::Many), target);
  for (int64_t rows : {1, 3, 8, 9, 17, 40, 150})
    if (rows <= p.most) {
      Bytes y = p.run(many, RowClass::Many, 0, rows, {1});
      for (int64_t r = 0; r < rows; ++r)
        ASSERT_TRUE(p.sameRow(y, r, alone[size_t(r)], 0))
            << p.family << " many, row " << r << " of " << rows;
    }
}

TEST_P(Linear, F32) {
  for (auto [k, n] : {std::pair(96, 64), {33, 20}, {512, 160}}) {
    Product p("linear", "f32", k, n, arm() ? 9 : 40, random);
    testProduct(p, GetParam(), true);
  }
}

TEST_P(Linear, Bf16) {
  for (auto [k, n] : {std::pair(96, 64), {35, 20}, {1, 16}, {1536, 272}}) {
    Product p("linear", "bf16", k, cuda() ? std::min(n, 64) : n,
              arm() || (cuda() && k == 1536) ? 9 : 40, random);
    testProduct(p, GetParam(), true);
  }
}

// Weights are widened, rows are not rounded. Halide 21.0.0 would add the two
// products of a pair in an order that the schedule decides
// (findings/halide-sum-order.sh).
TEST_P(Linear, WidenedBf16) {
  for (auto [k, n] : {std::pair(96, 64), {35, 20}, {1, 16}, {1152, 272}}) {
    Product p("linear", "bf16", k, cuda() ? std::min(n, 64) : n, arm() ? 9 : 40,
              random, "f32");
    testProduct(p, GetParam(), true);
  }
  Product p("linear_geglu", "bf16", 96, 80, 9, random, "f32");
  testProduct(p, GetParam(), true);
}

// More rows than are taken at once: f32 rows of 1,536 columns 64 at a time.
TEST_P(Linear, RowsAtOnce) {
  Product p("linear", "f32", 1536, 48, arm() ? 9 : 150, random);
  testProduct(p, GetParam(), true);
}

TEST_P(Linear, Logits) {
  for (std::string format : {"f32", "bf16"})
    for (double cap : arm() ? std::vector<double>{30.0}
                            : std::vector<double>{0.0, 30.0, 0.5}) {
      Product p("logits", format, 64, 48, 8, random);
      p.cap = cap;
      testProduct(p, GetParam(), false);
    }
}

TEST_P(Linear, Geglu) {
  for (std::string format : {"f32", "bf16"})
    for (auto [k, n] : {std::pair(96, 64), {34, 40}}) {
      Product p("linear_geglu", format, k, n, arm() ? 9 : 17, random);
      testProduct(p, GetParam(), true);
    }
}

TEST_P(Linear, Ple) {
  for (std::string format : {"f32", "bf16"})
    for (auto [k, n] : {std::pair(96, 64), {40, 24}}) {
      Product p("linear_ple", format, k, n, arm() ? 9 : 17, random);
      testProduct(p, GetParam(), true);
    }
}

// Whether the compiler contracts alike in both classes is its choice for every
// k: a row has the bits of the other class at those of E2B, E4B, 12B, 26B-A4B
// and 31B: hidden sizes, widths of the feed-forward blocks, heads times head
// size, width of the per-layer embeddings.
TEST_P(Linear, RealSizes) {
  struct Sizes {
    std::string family, format;
    std::vector<int64_t> k;
  };
  const Sizes all[] = {{"linear",
                        "bf16",
                        {1536, 2560, 3840, 2816, 5376, 6144, 12288, 10240,
                         15360, 2112, 21504, 2048, 4096, 8192, 16384, 256}},
                       {"linear", "f32", {1536, 2560, 3840, 2816, 5376}},
                       {"linear_geglu", "bf16", {1536, 2560, 3840, 2816, 5376}},
                       {"linear_ple", "bf16", {1536, 2560}}};
  for (const Sizes &sizes : all)
    for (int64_t k : sizes.k) {
      if (cuda() && k != sizes.k[0] && k != 2816)
        continue; // an emulated run takes long
      Product p(sizes.family, sizes.format, k, 32, 9, random);
      KernelRunner few(p.spec(RowClass::Few), GetParam());
      KernelRunner many(p.spec(RowClass::Many), GetParam());
      Bytes y = p.run(many, RowClass::Many, 0, 9);
      for (int64_t first : {0, 8}) {
        int64_t rows = first ? 1 : 8;
        Bytes part = p.run(few, RowClass::Few, first, rows);
        for (int64_t r = 0; r < rows; ++r)
          ASSERT_TRUE(p.sameRow(part, r, y, first + r))
              << sizes.family << ' ' << sizes.format << " k " << k << " row "
              << first + r;
      }
    }
}

// Sizes of the released towers: widths, a feed-forward block whose k is no
// multiple of 32, a row of the 12B's pixels and of its sound; outputs whose
// last unit is half full. f32 and bf16; q8_0 is in quantized_test.cpp.
TEST_P(Linear, TowerSizes) {
  for (std::string format : {"f32", "bf16"})
    for (auto [family, k, n] : {std::tuple("linear", 768, 40),
                                {"linear", 1152, 40},
                                {"linear", 640, 40},
                                {"linear", 6912, 40},
                                {"linear", 4304, 48},
                                {"linear_geglu", 768, 48},
                                {"linear_geglu", 1152, 48}}) {
      if (cuda() && (k == 6912 || k == 1152))
        continue; // an emulated run takes long
      Product p(family, format, k, n, arm() || cuda() ? 9 : 17, random);
      KernelRunner many(p.spec(RowClass::Many), GetParam());
      const Bytes y = p.run(many, RowClass::Many, 0, p.most, {1});
      p.check(y, 0, p.most);
      KernelRunner few(p.spec(RowClass::Few), GetParam());
      const Bytes part = p.run(few, RowClass::Few, 0, 3);
      for (int64_t r = 0; r < 3; ++r)
        ASSERT_TRUE(p.sameRow(part, r, y, r))
            << family << ' ' << format << " k " << k << " row " << r;
    }
}

// No units, or no rows: nothing is touched.
TEST_P(Linear, NothingToDo) {
  Product p("linear", "f32", 32, 32, 8, random);
  KernelRunner runner(p.spec(RowClass::Few), GetParam());
  Bytes x = makeNan(8 * 32 * 4), y = makeNan(8 * 32 * 4), before = y;
  for (auto [rows, begin, end] : {std::tuple(3, 1, 1), {0, 0, 2}}) {
    runner.run(
        {{"x", &x}, {"w", &p.weights}, {"y", &y}},
        {{"rows", rows}, {"stride", 32}, {"begin", begin}, {"end", end}});
    EXPECT_EQ(y, before);
  }
}

} // namespace
