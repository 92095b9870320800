// Kernels of quantised weights and activations: values against double, the same
// bits of a row in every row class, tile and unit range, and the stored blocks.
#include "test/codegen/kernels/quantized_data.h"

using namespace gemmac;

namespace {

class Quantized : public KernelTest {};
GEMMAC_ALL_TARGETS(Quantized);

const char *const formats[] = {"q8_0", "q4_0", "q4_bf"};

struct Case {
  std::string family;
  const Matrix &w;
  const Activations &x;
  // linear_ple: per-layer inputs, of which columns from `column` on are used.
  std::vector<double> ple = {};
  // f32: the product rounds the rows to 16 bits itself.
  std::string act = "q8";
  static constexpr int64_t column = 7;
  int64_t pleWidth() const { return w.rows + column; }
  bool isPle() const { return family == "linear_ple"; }
  int64_t unit() const { return result() == "q8" ? 32 : 16; }
  int64_t outputs() const {
    return family == "linear_geglu" ? w.rows / 2 : w.rows;
  }
  std::string result() const {
    return family == "linear_geglu" || isPle() ? "q8" : "f32";
  }
  int64_t stride() const { return rowStride(result(), outputs()); }

  KernelSpec spec(RowClass rows) const {
    KernelSpec spec{family, rows, {}};
    spec.constants.set("k", w.k).set("format", w.format).set("act", act);
    if (family == "logits")
      spec.constants.set("cap", 30.0);
    return spec;
  }

  Bytes run(KernelRunner &runner, int64_t first, int64_t rows, bool few,
            int64_t cut) const {
    int64_t space = few ? 8 : roundUp(rows, 8);
    int64_t units = outputs() / unit();
    Bytes xs = x.slice(first, rows, space), ws = w.packed;
    if (act == "f32") {
      std::vector<double> part(x.values.begin() + first * w.k,
                               x.values.begin() + (first + rows) * w.k);
      xs = makeRows(part, rows, w.k, act, space);
    }
    Bytes y = makeNan(space * rowBytes(result(), outputs()));
    std::map<std::string, Bytes *> buffers = {
        {"x", &xs}, {"w", &ws}, {"y", &y}};
    std::map<std::string, int32_t> integers = {{"rows", int32_t(rows)},
                                               {"stride", int32_t(stride())}};
    Bytes ples;
    if (isPle()) {
      std::vector<double> part(ple.begin() + first * pleWidth(),
                               ple.begin() + (first + rows) * pleWidth());
      ples = makeRows(part, rows, pleWidth(), "f32", space);
      buffers["ple"] = &ples;
      integers["ple_stride"] = int32_t(rowStride("f32", pleWidth()));
      integers["column"] = column;
    }
    for (auto [begin, end] : {std::pair(int64_t(0), cut), {cut, units}}) {
      integers["begin"] = int32_t(begin);
      integers["end"] = int32_t(end);
      runner.run(buffers, integers);
    }
    return y;
  }

  double dot(int64_t r, int64_t o) const {
    double sum = 0;
    for (int64_t i = 0; i < w.k; ++i)
      sum += x.values[size_t(r * w.k + i)] * w.values[size_t(o * w.k + i)];
    return sum;
  }
  double expected(int64_t r, int64_t o) const {
    if (family == "linear_geglu") {
      int64_t gate = o / 32 * 64 + o % 32;
      return geluOf(dot(r, gate)) * dot(r, gate + 32);
    }
    double sum = dot(r, o);
    if (isPle())
      return geluOf(sum) * ple[size_t(r * pleWidth() + column + o)];
    return family == "logits" ? 30 * std::tanh(sum / 30) : sum;
  }

  // Eight times the standard deviation of rounding to 16 bits, and f32 sums.
  double nearOfWide(int64_t r, int64_t o) const {
    double variance = 0, size = 0;
    for (int64_t b = 0; b < w.k; b += 32) {
      const double *a = &x.values[size_t(r * w.k + b)],
                   *c = &w.values[size_t(o * w.k + b)];
      double peak = 0, squares = 0;
      for (int64_t i = 0; i < 32; ++i) {
        peak = std::max(peak, std::abs(a[i]));
        squares += c[i] * c[i];
        size += std::abs(a[i] * c[i]);
      }
      variance += peak * peak / 32512 / 32512 / 12 * squares;
    }
    return 8 * std::sqrt(variance) + 1e-6 * size + 1e-30;
  }

  void check(const Bytes &y, int64_t first, int64_t rows) const {
    for (int64_t r = 0; r < rows; ++r) {
      std::vector<double> scales, got;
      if (result() == "q8")
        got = decodeRow(y, r, stride(), outputs(), &scales);
      for (int64_t o = 0; o < outputs(); ++o) {
        double want = expected(first + r, o);
        double near = act == "f32" ? nearOfWide(first + r, o)
                                   : 2e-5 * (1 + std::abs(want));
        double value = scales.empty() ? readElement(y, r, o, stride(), "f32")
                                      : got[size_t(o)];
        if (!scales.empty())
          near += 0.501 * scales[size_t(o)];
        ASSERT_NEAR(value, want, near) << family << ' ' << w.format << " row "
                                       << first + r << " output " << o;
      }
    }
  }

  void test(const std::string &target, bool whole) const {
    int64_t bytes = rowBytes(result(), outputs());
    KernelRunner few(spec(RowClass::Few), target);
    std::vector<Bytes> alone;
    for (int64_t r = 0; r < x.rows; ++r)
      alone.push_back(run(few, r, 1, true, 0));
    check(alone[0], 0, 1);
    auto compare = [&](const Bytes &y, int64_t rows) {
      for (int64_t r = 0; r < rows; ++r)
        ASSERT_TRUE(!memcmp(&y[size_t(r * bytes)], alone[size_t(r)].data(),
                            size_t(bytes)))
            << family << ' ' << w.format << " row " << r << " of " << rows;
    };
    for (int64_t rows = 2; rows <= 8; ++rows) {
      Bytes y = run(few, 0, rows, true, rows % 3);
      check(y, 0, rows);
      compare(y, rows);
    }
    if (!whole)
      return;
    KernelRunner many(spec(RowClass::Many), target);
    for (int64_t rows : {int64_t(1), int64_t(5), x.rows})
      compare(run(many, 0, rows, false, 1), rows);
  }
};

TEST_P(Quantized, Linear) {
  for (const char *format : formats)
    for (auto [k, n] : {std::pair(32, 48), {96, 64}, {1536, 112}}) {
      Matrix w(format, n, k, random, GetParam());
      Activations x(arm() || cuda() ? 9 : 19, k, random);
      Case{"linear", w, x}.test(GetParam(), true);
    }
}

// Sizes of the released towers that blocks divide (4304 is stored in bf16).
TEST_P(Quantized, TowerSizes) {
  for (int64_t k : {768, 1152, 640, 6912}) {
    Matrix w("q8_0", 48, k, random, GetParam());
    Activations x(9, k, random);
    Case{"linear", w, x}.test(GetParam(), true);
  }
}

// The longest rows that are staged in parts, and blocks that ranges of k do not
// divide.
TEST_P(Quantized, LongRows) {
  for (int64_t k : {15360, 2112}) {
    Matrix w("q4_bf", 16, k, random, GetParam());
    Activations x(9, k, random);
    const Case c{"linear", w, x};
    KernelRunner few(c.spec(RowClass::Few), GetParam()),
        many(c.spec(RowClass::Many), GetParam());
    const Bytes all = c.run(many, 0, 9, false, 0),
                part = c.run(few, 0, 8, true, 0),
                last = c.run(few, 8, 1, true, 0);
    c.check(all, 0, 9);
    const size_t row = size_t(rowBytes("f32", 16));
    EXPECT_FALSE(memcmp(all.data(), part.data(), 8 * row)) << k;
    EXPECT_FALSE(memcmp(&all[8 * row], last.data(), row)) << k;
  }
}

// All codes at the ends of their ranges: no sum on the way saturates.
TEST_P(Quantized, LargestSums) {
  for (const char *format : formats) {
    Matrix w(format, 48, 64, random, GetParam());
    Activations x(8, 64, random);
    const int least = w.format == "q8_0" ? -127 : -8,
              most = -least - (least == -8);
    memset(w.packed.data(), 0, w.packed.size());
    for (int64_t r = 0; r < 48; ++r)
      for (int64_t b = 0; b < 2; ++b) {
        uint16_t one = w.format == "q4_bf" ? 0x3f80 : 0x3c00;
        memcpy(w.block(r, b) + w.blockBytes() - 32 + r % 16 * 2, &one, 2);
        for (int64_t i = 0; i < 32; ++i) {
          int code = r % 4 == 0   ? least
                     : r % 4 == 1 ? most
                     : i % 2      ? least
                                  : most;
          w.place(r, b, i, code);
          w.values[size_t(r * 64 + b * 32 + i)] = code;
        }
      }
    for (int64_t r = 0; r < 8; ++r)
      for (int64_t b = 0; b < 2; ++b) {
        uint8_t *to = &x.bytes[size_t((r * 2 + b) * 40)];
        float scale = 1;
        int32_t sum = 0;
        for (int64_t i = 0; i < 32; ++i) {
          int code = r % 3 == 0 ? 127 : r % 3 == 1 ? -127 : i % 2 ? 127 : -127;
          to[i] = uint8_t(int8_t(code));
          sum += code;
          x.values[size_t(r * 64 + b * 32 + i)] = code;
        }
        memcpy(to + 32, &scale, 4);
        const int32_t start = startOf(sum);
        memcpy(to + 36, &start, 4);
      }
    Case{"linear", w, x}.test(GetParam(), false);
  }
}

TEST_P(Quantized, Logits) {
  for (const char *format : formats) {
    Matrix w(format, 64, 96, random, GetParam());
    Activations x(8, 96, random);
    Case{"logits", w, x}.test(GetParam(), false);
  }
}

// f32 rows: 256 times more exact than int8 ones, over blocks of any size.
TEST_P(Quantized, WideLogits) {
  for (auto [k, n] : {std::pair(32, 48), {96, 176}, {1536, 144}}) {
    Matrix w("q8_0", n, k, random, GetParam());
    Activations x(8, k, random);
    std::vector<double> noise = randomNumbers(random, x.values.size());
    for (size_t i = 0; i < noise.size(); ++i)
      x.values[i] =
          float(0.02 * noise[i] * std::ldexp(1.0, int(i / 32 % 7) - 6));
    for (int64_t i = 0; i < 32; ++i) // a block of zeros
      x.values[size_t(x.values.size() - 32 + size_t(i))] = 0;
    Case{.family = "logits", .w = w, .x = x, .act = "f32"}.test(GetParam(),
                                                                false);
  }
}

// Weights and activations at the ends of their ranges, with every low byte.
TEST_P(Quantized, LargestWideSums) {
  Matrix w("q8_0", 48, 64, random, GetParam());
  memset(w.packed.data(), 0, w.packed.size());
  for (int64_t r = 0; r < 48; ++r)
    for (int64_t b = 0; b < 2; ++b) {
      uint16_t small = 0x0400; // 2^-14
      memcpy(w.block(r, b) + 512 + r % 16 * 2, &small, 2);
      for (int64_t i = 0; i < 32; ++i) {
        int code = r % 3 == 0 ? -127 : r % 3 == 1 ? 127 : i % 2 ? -127 : 127;
        w.place(r, b, i, code);
        w.values[size_t(r * 64 + b * 32 + i)] = code / 16384.0;
      }
    }
  Activations x(8, 64, random);
  for (size_t i = 0; i < x.values.size(); ++i) {
    int code = i % 32 == 0 ? 32512 : 32512 - int(i * 37 % 256);
    x.values[i] =
        (i / 64 % 3 == 0 || (i / 64 % 3 == 1 && i % 2) ? -code : code) /
        double(1 << 15);
  }
  Case{.family = "logits", .w = w, .x = x, .act = "f32"}.test(GetParam(),
                                                              false);
}

TEST_P(Quantized, Geglu) {
  for (const char *format : formats) {
    Matrix w(format, 192, 96, random, GetParam());
    Activations x(arm() ? 9 : 17, 96, random);
    Case{"linear_geglu", w, x}.test(GetParam(), true);
  }
}

TEST_P(Quantized, LinearPle) {
  for (const char *format : formats)
    for (auto [k, n] : {std::pair(96, 96), {1536, 64}}) {
      Matrix w(format, n, k, random, GetParam());
      Activations x(arm() || cuda() ? 9 : 17, k, random);
      Case c{"linear_ple", w, x};
      c.ple = randomNumbers(random, size_t(x.rows * c.pleWidth()));
      for (double &value : c.ple) // as the kernel reads them
        value = float(value);
      c.test(GetParam(), true);
    }
}

TEST_P(Quantized, Embed) {
  for (const char *format : formats) {
    const int64_t k = 96;
    Matrix w(format, 48, k, random, GetParam());
    KernelSpec spec{"embed", RowClass::Few, {}};
    spec.constants.set("k", k).set("format", format).set("scale", 2.0);
    KernelRunner runner(spec, GetParam());
    Bytes ids = makeInts({47, 0, 17}), y = makeNan(8 * rowBytes("f32", k));
    runner.run({{"ids", &ids}, {"table", &w.packed}, {"y", &y}},
               {{"rows", 3}, {"begin", 0}, {"end", 3}});
    for (int64_t j = 0; j < k; ++j)
      for (auto [r, id] : {std::pair(0, 47), {1, 0}, {2, 17}})
        ASSERT_EQ(readElement(y, r, j, k, "f32"),
                  2 * w.values[size_t(id * k + j)])
            << format << ' ' << id << ' ' << j;
  }
}

// Every code is the nearest one, the largest of a block is 127 in magnitude.
TEST_P(Quantized, Producers) {
  for (int64_t k : {32, 96, 1536, 8192}) {
    const int64_t rows = 5;
    std::vector<double> x = randomNumbers(random, size_t(rows * k)),
                        w = randomNumbers(random, size_t(k));
    for (int64_t i = 0; i < 32; ++i) // a block of zeros
      x[size_t(k + i)] = 0;
    Bytes xs = makeRows(x, rows, k, "f32", 8),
          ws = makeWeight(w, 1, k, rowsLayout("f32"));
    for (std::string family : {"quant", "norm", "norms3"}) {
      KernelSpec spec{family, RowClass::Few, {}};
      spec.constants.set("k", k).set("act", "q8");
      if (family != "quant")
        spec.constants.set("eps", 1e-6);
      if (family == "norms3")
        spec.constants.set("factor", 0.5);
      Bytes few;
      for (RowClass cls : {RowClass::Few, RowClass::Many}) {
        spec.rows = cls;
        KernelRunner runner(spec, GetParam());
        Bytes y = makeNan(8 * rowBytes("q8", k)), other = y,
              router = makeNan(8 * rowBytes("f32", k));
        std::map<std::string, Bytes *> buffers = {{"x", &xs}};
        if (family == "norms3")
          buffers = {{"x", &xs},          {"w_dense", &ws},
                     {"w_router", &ws},   {"dense", &y},
                     {"router", &router}, {"w_experts", &ws},
                     {"experts", &other}};
        else
          buffers["y"] = &y;
        if (family == "norm")
          buffers["w"] = &ws;
        runner.run(buffers, {{"rows", rows}, {"begin", 0}, {"end", 2}});
        runner.run(buffers, {{"rows", rows}, {"begin", 2}, {"end", rows}});
        if (cls == RowClass::Few)
          few = y;
        ASSERT_EQ(y, few) << family;
        if (family == "norms3")
          ASSERT_EQ(y, other);
        for (int64_t r = 0; r < rows; ++r) {
          double sum = 0;
          for (int64_t j = 0; j < k; ++j)
            sum += x[size_t(r * k + j)] * x[size_t(r * k + j)];
          double rms = 1 / std::sqrt(sum / double(k) + 1e-6);
          std::vector<double> scales, got = decodeRow(y, r, k, k, &scales);
          for (int64_t j = 0; j < k; ++j) {
            double want = x[size_t(r * k + j)];
            if (family != "quant")
              want *= rms * w[size_t(j)];
            ASSERT_NEAR(got[size_t(j)], want, 0.501 * scales[size_t(j)] + 1e-12)
                << family << " k " << k << " row " << r << " column " << j;
            // No scale is larger than the block needs.
            double largest = 0;
            for (int64_t i = j / 32 * 32; i < j / 32 * 32 + 32; ++i)
              largest = std::max(largest, std::abs(got[size_t(i)]));
            ASSERT_NEAR(scales[size_t(j)] * 127, largest, 1e-12);
          }
        }
      }
    }
  }
}

// merge writes the bytes that quant makes of its f32 result.
TEST_P(Quantized, Merge) {
  const int64_t heads = 3, hd = 64, rows = 2, splits = 4, k = heads * hd;
  std::vector<double> numbers =
      randomNumbers(random, size_t(rows * splits * heads * (hd + 2)));
  for (size_t i = 0; i < numbers.size(); ++i)
    if (i % size_t(heads * (hd + 2)) >= size_t(heads * (hd + 1)))
      numbers[i] = 1 + std::abs(numbers[i]); // sums of weights
  Bytes partials(numbers.size() * 4), parts = makeInts({4, 2});
  for (size_t i = 0; i < numbers.size(); ++i) {
    float f = float(numbers[i]);
    memcpy(&partials[i * 4], &f, 4);
  }
  std::map<std::string, Bytes> y;
  for (const char *act : {"f32", "q8"}) {
    KernelSpec spec{"merge", RowClass::Few, {}};
    spec.constants.set("heads", heads).set("hd", hd).set("act", act);
    y[act] = makeNan(8 * rowBytes(act, k));
    KernelRunner(spec, GetParam())
        .run({{"partials", &partials}, {"parts", &parts}, {"y", &y[act]}},
             {{"rows", rows},
              {"max_splits", splits},
              {"begin", 0},
              {"end", k / 32}});
  }
  KernelSpec spec{"quant", RowClass::Few, {}};
  spec.constants.set("k", k).set("act", "q8");
  Bytes want = makeNan(8 * rowBytes("q8", k));
  KernelRunner(spec, GetParam())
      .run({{"x", &y["f32"]}, {"y", &want}},
           {{"rows", rows}, {"begin", 0}, {"end", rows}});
  EXPECT_EQ(y["q8"], want);
}

} // namespace
