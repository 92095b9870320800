// The families that work row by row: values against double, untouched padding,
// and the same bits whatever the row class, the neighbours and the range.
#include "codegen/KernelJit.h"
#include "test/codegen/kernels/DeviceRunner.h"
#include "test/codegen/kernels/KernelRunner.h"

#include <cmath>
#include <cstring>
#include <sys/mman.h>

using namespace gemmac;

namespace {

class Rows : public KernelTest {
protected:
  static constexpr double eps = 1e-6;

  // Emulated runs are slow: the first two of the sizes.
  std::vector<int64_t> some(std::vector<int64_t> sizes) const {
    if (arm())
      sizes.resize(2);
    return sizes;
  }

  std::vector<double> numbers(int64_t count) {
    return randomNumbers(random, size_t(count));
  }
  Bytes vector(std::vector<double> &values) {
    return makeWeight(values, 1, int64_t(values.size()), rowsLayout("f32"));
  }
};
GEMMAC_ALL_TARGETS(Rows);

double inverseRms(const double *x, int64_t k, double eps) {
  double sum = 0;
  for (int64_t i = 0; i < k; ++i)
    sum += x[i] * x[i];
  return 1 / std::sqrt(sum / double(k) + eps);
}

// Terms up to about 3 are added; bf16 rounds the result once more.
double tolerance(const std::string &encoding, double value) {
  return 5e-7 + (encoding == "bf16" ? 1.0 / 256 : 2e-6) * std::abs(value);
}

// Runs `rows` rows of a row family through both classes, in two ranges, and
// checks that all give the same results; leaves them in `buffers`.
void runBoth(const KernelSpec &spec, const std::string &target,
             std::map<std::string, Bytes *> buffers,
             const std::vector<std::string> &results, int64_t rows) {
  std::map<std::string, Bytes> before;
  for (const std::string &name : results)
    before[name] = *buffers.at(name);
  std::vector<std::map<std::string, Bytes>> got;
  for (RowClass cls : {RowClass::Few, RowClass::Many}) {
    if (cls == RowClass::Many && findFamily(spec.family)->axesOf(cls).empty())
      continue;
    for (const std::string &name : results)
      *buffers.at(name) = before[name];
    KernelSpec copy = spec;
    copy.rows = cls;
    KernelRunner runner(copy, target);
    int32_t middle = cls == RowClass::Few ? 0 : int32_t(rows / 3);
    runner.run(buffers, {{"rows", rows}, {"begin", 0}, {"end", middle}});
    runner.run(buffers,
               {{"rows", rows}, {"begin", middle}, {"end", int32_t(rows)}});
    auto &result = got.emplace_back();
    for (const std::string &name : results)
      result[name] = *buffers.at(name);
  }
  for (auto &result : got)
    EXPECT_EQ(result, got[0]) << spec.family << ": few and many differ";
}

// Rows beyond the last and columns beyond k stay as they were.
void expectPadding(const Bytes &bytes, int64_t rows, int64_t k,
                   const std::string &encoding) {
  int64_t stride = rowBytes(encoding, k), used = k * elementBytes(encoding);
  for (int64_t i = 0; i < int64_t(bytes.size()); ++i)
    if (i / stride >= rows || i % stride >= used)
      ASSERT_EQ(bytes[size_t(i)], 0xff)
          << "byte " << i << " of the padding was written";
}

TEST_P(Rows, Norm) {
  for (std::string act : {"f32", "bf16"})
    for (int64_t k : some({20, 1536, 1, 64, 100, 256})) {
      int64_t rows = 5;
      auto xs = numbers(rows * k), ws = numbers(k);
      Bytes x = makeRows(xs, rows, k, "f32", 8), w = vector(ws),
            y = makeNan(8 * rowBytes(act, k));
      KernelSpec spec{"norm", RowClass::Few, {}};
      spec.constants.set("k", k).set("eps", eps).set("act", act);
      runBoth(spec, GetParam(), {{"x", &x}, {"w", &w}, {"y", &y}}, {"y"}, rows);
      for (int64_t r = 0; r < rows; ++r)
        for (int64_t j = 0; j < k; ++j) {
          double want = xs[r * k + j] * inverseRms(&xs[r * k], k, eps) * ws[j];
          ASSERT_NEAR(readElement(y, r, j, rowStride(act, k), act), want,
                      tolerance(act, want))
              << act << " k " << k << " row " << r << " column " << j;
        }
      expectPadding(y, rows, k, act);
    }
}

TEST_P(Rows, QuantCopyTake) {
  for (std::string family : {"quant f32", "quant bf16", "copy f32", "take f32"})
    for (int64_t k : some({20, 96, 1536})) {
      auto [name, act] = std::pair(family.substr(0, family.find(' ')),
                                   family.substr(family.find(' ') + 1));
      int64_t rows = 7, sources = name == "take" ? 30 : rows;
      auto xs = numbers(sources * k);
      std::vector<int32_t> index = {29, 0, 3, 3, 17, 8, 1};
      Bytes x = makeRows(xs, sources, k, "f32", roundUp(sources, 8)),
            ids = makeInts(index), y = makeNan(8 * rowBytes(act, k));
      KernelSpec spec{name, RowClass::Few, {}};
      spec.constants.set("k", k);
      std::map<std::string, Bytes *> buffers = {{"x", &x}, {"y", &y}};
      if (name == "quant")
        spec.constants.set("act", act);
      if (name == "take")
        buffers["index"] = &ids;
      runBoth(spec, GetParam(), buffers, {"y"}, rows);
      for (int64_t r = 0; r < rows; ++r)
        for (int64_t j = 0; j < k; ++j) {
          double value = xs[(name == "take" ? index[r] : r) * k + j];
          double want =
              act == "bf16" ? fromBf16(roundToBf16(float(value))) : value;
          ASSERT_EQ(readElement(y, r, j, rowStride(act, k), act), want)
              << family << " k " << k;
        }
      expectPadding(y, rows, k, act);
    }
}

// Rounding is to nearest even, also at ties and where it changes the exponent.
TEST_P(Rows, QuantTies) {
  std::vector<float> cases = {
      1.00390625f,   1.01171875f, -1.00390625f, 1.0039063f,     0.99999994f,
      3.3895314e38f, 0.0f,        -0.0f,        1.1754944e-38f, 65535.0f};
  std::vector<double> values(cases.begin(), cases.end());
  int64_t k = int64_t(values.size());
  Bytes x = makeRows(values, 1, k, "f32", 8),
        y = makeNan(8 * rowBytes("bf16", k));
  KernelSpec spec{"quant", RowClass::Few, {}};
  spec.constants.set("k", k).set("act", "bf16");
  runBoth(spec, GetParam(), {{"x", &x}, {"y", &y}}, {"y"}, 1);
  for (int64_t j = 0; j < k; ++j) {
    uint16_t bits;
    memcpy(&bits, &y[size_t(2 * j)], 2);
    EXPECT_EQ(bits, roundToBf16(cases[size_t(j)])) << cases[size_t(j)];
  }
}

TEST_P(Rows, AddNorm) {
  for (int64_t scaled : {0, 1})
    for (bool inPlace : {true, false})
      for (int64_t k : some({20, 64, 100, 1536})) {
        int64_t rows = 4;
        auto hs = numbers(rows * k), ys = numbers(rows * k), ws = numbers(k),
             ss = numbers(1);
        Bytes h = makeRows(hs, rows, k, "f32", 8),
              y = makeRows(ys, rows, k, "f32", 8);
        Bytes w = vector(ws), s = vector(ss),
              separate = makeNan(int64_t(h.size()));
        Bytes &out = inPlace ? h : separate;
        KernelSpec spec{"add_norm", RowClass::Few, {}};
        spec.constants.set("k", k).set("eps", eps).set("scaled", scaled);
        std::map<std::string, Bytes *> buffers = {
            {"h", &h}, {"y", &y}, {"w", &w}, {"out", &out}};
        if (scaled)
          buffers["scale"] = &s;
        runBoth(spec, GetParam(), buffers, {"out"}, rows);
        for (int64_t r = 0; r < rows; ++r)
          for (int64_t j = 0; j < k; ++j) {
            double want = hs[r * k + j] + ys[r * k + j] *
                                              inverseRms(&ys[r * k], k, eps) *
                                              ws[j];
            want *= scaled ? ss[0] : 1;
            ASSERT_NEAR(readElement(out, r, j, rowStride("f32", k), "f32"),
                        want, tolerance("f32", want))
                << "k " << k << " row " << r << " column " << j;
          }
        expectPadding(out, rows, k, "f32");
      }
}

TEST_P(Rows, Norms3) {
  double factor = 0.125;
  for (std::string act : {"f32", "bf16"})
    for (int64_t k : some({20, 96, 2816})) {
      int64_t rows = 3;
      auto xs = numbers(rows * k);
      Bytes x = makeRows(xs, rows, k, "f32", 8);
      std::map<std::string, Bytes *> buffers = {{"x", &x}};
      std::map<std::string, std::vector<double>> ws;
      std::map<std::string, Bytes> weights, results;
      for (std::string name : {"dense", "router", "experts"}) {
        ws[name] = numbers(k);
        buffers["w_" + name] = &(weights[name] = vector(ws[name]));
        buffers[name] = &(results[name] = makeNan(
                              8 * rowBytes(name == "router" ? "f32" : act, k)));
      }
      KernelSpec spec{"norms3", RowClass::Few, {}};
      spec.constants.set("k", k)
          .set("eps", eps)
          .set("act", act)
          .set("factor", factor);
      runBoth(spec, GetParam(), buffers, {"dense", "router", "experts"}, rows);
      for (auto &[name, result] : results) {
        std::string encoding = name == "router" ? "f32" : act;
        for (int64_t r = 0; r < rows; ++r)
          for (int64_t j = 0; j < k; ++j) {
            double want =
                xs[r * k + j] * inverseRms(&xs[r * k], k, eps) * ws[name][j];
            want *= name == "router" ? factor : 1;
            ASSERT_NEAR(
                readElement(result, r, j, rowStride(encoding, k), encoding),
                want, tolerance(encoding, want))
                << name << ' ' << act << " k " << k << " row " << r
                << " column " << j;
          }
        expectPadding(result, rows, k, encoding);
      }
    }
}

TEST_P(Rows, AddNorm3) {
  for (int64_t scaled : {0, 1})
    for (int64_t k : some({20, 96, 2816})) {
      int64_t rows = 3;
      auto hs = numbers(rows * k), ds = numbers(rows * k),
           es = numbers(rows * k), wd = numbers(k), we = numbers(k),
           ws = numbers(k), ss = numbers(1);
      Bytes h = makeRows(hs, rows, k, "f32", 8),
            d = makeRows(ds, rows, k, "f32", 8),
            e = makeRows(es, rows, k, "f32", 8);
      Bytes bd = vector(wd), be = vector(we), bw = vector(ws), bs = vector(ss);
      std::map<std::string, Bytes *> buffers = {
          {"h", &h},          {"dense", &d}, {"experts", &e}, {"w_dense", &bd},
          {"w_experts", &be}, {"w", &bw},    {"out", &h}};
      if (scaled)
        buffers["scale"] = &bs;
      KernelSpec spec{"add_norm3", RowClass::Few, {}};
      spec.constants.set("k", k).set("eps", eps).set("scaled", scaled);
      runBoth(spec, GetParam(), buffers, {"out"}, rows);
      for (int64_t r = 0; r < rows; ++r) {
        std::vector<double> sum(size_t(k), 0.0);
        for (int64_t j = 0; j < k; ++j)
          sum[j] = ds[r * k + j] * inverseRms(&ds[r * k], k, eps) * wd[j] +
                   es[r * k + j] * inverseRms(&es[r * k], k, eps) * we[j];
        for (int64_t j = 0; j < k; ++j) {
          double want =
              hs[r * k + j] + sum[j] * inverseRms(sum.data(), k, eps) * ws[j];
          want *= scaled ? ss[0] : 1;
          ASSERT_NEAR(readElement(h, r, j, rowStride("f32", k), "f32"), want,
                      tolerance("f32", want))
              << "k " << k << " row " << r << " column " << j;
        }
      }
      expectPadding(h, rows, k, "f32");
    }
}

TEST_P(Rows, Embed) {
  for (std::string format : {"f32", "bf16"})
    for (int64_t k : some({20, 33, 96})) {
      int64_t vocab = 75, rows = 6;
      double scale = float(std::sqrt(double(k)));
      auto ts = numbers(vocab * k);
      std::vector<int32_t> ids = {74, 0, 16, 15, 33, 33};
      Bytes table = makeWeight(ts, vocab, k, matrixLayout(format)),
            id = makeInts(ids), y = makeNan(8 * rowBytes("f32", k));
      KernelSpec spec{"embed", RowClass::Few, {}};
      spec.constants.set("k", k).set("format", format).set("scale", scale);
      runBoth(spec, GetParam(), {{"ids", &id}, {"table", &table}, {"y", &y}},
              {"y"}, rows);
      for (int64_t r = 0; r < rows; ++r)
        for (int64_t j = 0; j < k; ++j)
          ASSERT_EQ(readElement(y, r, j, rowStride("f32", k), "f32"),
                    float(ts[ids[r] * k + j] * scale))
              << format << " k " << k << " row " << r << " column " << j;
      expectPadding(y, rows, k, "f32");
    }
}

TEST_P(Rows, SoftRows) {
  for (int64_t k : some({20, 33, 96})) {
    const int64_t rows = 6;
    auto xs = numbers(rows * k), ss = numbers(3 * k);
    std::vector<int32_t> from = {-1, 2, 0, -1, 2, 1};
    Bytes x = makeRows(xs, rows, k, "f32", 8), index = makeInts(from),
          soft = makeRows(ss, 3, k, "f32", 3),
          y = makeNan(8 * rowBytes("f32", k));
    KernelSpec spec{"soft_rows", RowClass::Few, {}};
    spec.constants.set("k", k);
    runBoth(spec, GetParam(),
            {{"x", &x}, {"from", &index}, {"soft", &soft}, {"y", &y}}, {"y"},
            rows);
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t j = 0; j < k; ++j)
        ASSERT_EQ(readElement(y, r, j, rowStride("f32", k), "f32"),
                  float(from[r] < 0 ? xs[r * k + j] : ss[from[r] * k + j]))
            << "k " << k << " row " << r << " column " << j;
    expectPadding(y, rows, k, "f32");
  }
}

TEST_P(Rows, PleFinish) {
  for (std::string format : {"f32", "bf16"})
    for (int64_t p : some({16, 40, 256})) {
      int64_t layers = 5, rows = 3, width = layers * p;
      double tokenScale = 16, scale = float(std::sqrt(0.5));
      auto cs = numbers(rows * width), ts = numbers(rows * width),
           ws = numbers(p);
      Bytes c = makeRows(cs, rows, width, "f32", 8), w = vector(ws),
            y = makeNan(int64_t(c.size()));
      Bytes t = makeWeight(ts, rows, width, rowsLayout(format));
      for (RowClass cls : {RowClass::Few, RowClass::Many}) {
        KernelSpec spec{"ple_finish", cls, {}};
        spec.constants.set("p", p).set("eps", eps).set("format", format);
        spec.constants.set("token_scale", tokenScale).set("scale", scale);
        KernelRunner runner(spec, GetParam());
        Bytes result = y;
        int32_t units = int32_t(cls == RowClass::Few ? layers : rows);
        for (auto [begin, end] : {std::pair(0, 2), {2, units}})
          runner.run(
              {{"context", &c}, {"token", &t}, {"w", &w}, {"y", &result}},
              {{"rows", rows},
               {"layers", layers},
               {"begin", begin},
               {"end", end}});
        for (int64_t r = 0; r < rows; ++r)
          for (int64_t j = 0; j < width; ++j) {
            double rms = inverseRms(&cs[r * width + j / p * p], p, eps);
            double want = (cs[r * width + j] * rms * ws[j % p] +
                           ts[r * width + j] * tokenScale) *
                          scale;
            ASSERT_NEAR(
                readElement(result, r, j, rowStride("f32", width), "f32"), want,
                tolerance("f32", want))
                << format << " p " << p << " row " << r << " column " << j;
          }
        expectPadding(result, rows, width, "f32");
      }
    }
}

// A table of more than 2^31 elements: offsets are 64 bits wide. Sparse memory,
// of which one row is touched.
TEST(RowsAlone, EmbedBeyondFourGigabytes) {
  std::string reason = KernelRunner::whyNot("x86-avx512");
  if (!reason.empty())
    GTEST_SKIP() << reason;
  int64_t k = 8960, vocab = 262144,
          bytes = matrixLayout("bf16").bytes(vocab, k);
  void *table = mmap(nullptr, size_t(bytes), PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (table == MAP_FAILED)
    GTEST_SKIP() << "no address space for a sparse table of " << bytes
                 << " bytes";
  int32_t id = int32_t(vocab - 3);
  for (int64_t j = 0; j < k; ++j) {
    uint16_t bits = roundToBf16(float(j + 1));
    memcpy((char *)table + matrixLayout("bf16").address(id, j, k), &bits, 2);
  }
  KernelSpec spec{"embed", RowClass::Few, {}};
  spec.constants.set("k", k).set("format", "bf16").set("scale", 2.0);
  auto kernel = KernelJit::create(spec, *findTarget("x86-avx512"));
  ASSERT_TRUE(bool(kernel)) << kernel.error().message;
  std::vector<float> y(size_t(8 * k), -1.0f);
  void *pointers[] = {&id, table, y.data()};
  int32_t integers[] = {1, 0, 1};
  (*kernel)->call(pointers, integers);
  for (int64_t j = 0; j < k; ++j)
    ASSERT_EQ(y[size_t(j)], 2 * fromBf16(roundToBf16(float(j + 1)))) << j;
  munmap(table, size_t(bytes));
}

// The same on devices, whose memory holds one group of rows of the table: an
// offset of 32 bits would lead elsewhere.
TEST(RowsAlone, EmbedBeyondFourGigabytesOnDevices) {
  const int64_t k = 8960, id = 262144 - 3, group = id / groupRows;
  int ran = 0;
  for (const Target &target : targets()) {
    if (target.device != Device::Cuda)
      continue;
    ++ran;
    for (const char *format : {"f32", "bf16", "q8_0"}) {
      const Layout &layout = matrixLayout(format, target.dot);
      const int64_t bytes = layout.bytes(groupRows, k);
      ASSERT_GT(group * bytes, int64_t(1) << 31) << format;
      Bytes rows(static_cast<size_t>(bytes), 0);
      for (int64_t j = 0; j < k; ++j) {
        uint8_t *at = &rows[size_t(layout.address(id % groupRows, j, k))];
        const float value = float(j % 128);
        const uint16_t half = roundToBf16(value), one = 0x3c00; // 1 in f16
        if (layout.format == "q8_0") { // `at` is the block
          const int64_t i = j % blockValues, row = id % groupRows;
          at[(i / stepValues * groupRows + row) * stepValues + i % stepValues] =
              uint8_t(int(value) + (layout.signedCodes ? 0 : 128));
          memcpy(at + layout.scalesAt + row * 2, &one, 2);
        } else if (layout.format == "bf16") {
          memcpy(at, &half, 2);
        } else {
          memcpy(at, &value, 4);
        }
      }
      KernelSpec spec{"embed", RowClass::Few, {}};
      spec.constants.set("k", k).set("format", format).set("scale", 2.0);
      auto kernel = DeviceRunner::create(spec, target);
      ASSERT_TRUE(bool(kernel)) << kernel.error().message;
      int32_t number = int32_t(id);
      std::vector<float> y(size_t(k), -1.0f);
      const std::string problem =
          (*kernel)->run({{&number, sizeof number, 0},
                          {rows.data(), rows.size(), size_t(-group * bytes)},
                          {y.data(), y.size() * sizeof(float), 0}},
                         {0, 1, 2}, {{"rows", 1}, {"begin", 0}, {"end", 1}});
      ASSERT_EQ(problem, "") << format;
      for (int64_t j = 0; j < k; ++j)
        ASSERT_EQ(y[size_t(j)], 2 * float(j % 128)) << format << ' ' << j;
    }
  }
  if (!ran)
    GTEST_SKIP() << "no target is a device";
}

} // namespace
