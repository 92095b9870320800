// The head in two matrices: logits and embed have the bits of q8_0, and
// top_scan finds what sorting all logits finds, bit for bit, also where the
// bits that it does not scan decide.
#include "codegen/Quantize.h"
#include "runtime/abi.h"
#include "test/codegen/kernels/quantized_data.h"

#include <numeric>

using namespace gemmac;

namespace {

const char *const target = "x86-avx512"; // alone scans

// Each body is compiled once.
KernelRunner &runner(const KernelSpec &spec, const std::string &on = target) {
  static std::map<std::string, KernelRunner> runners;
  return runners.try_emplace(on + kernelSymbol(spec), spec, on).first->second;
}

struct Head {
  int64_t vocab, k;
  Bytes whole, split, low;

  // `code(row, column)` of random scales.
  template <class Code>
  Head(int64_t vocab, int64_t k, std::mt19937 &random, Code code)
      : vocab(vocab), k(k) {
    const int64_t rows = roundUp(vocab, 16), bytes = k / 32 * 34;
    Bytes source(size_t(rows * bytes));
    for (int64_t r = 0; r < vocab; ++r)
      for (int64_t b = 0; b < k / 32; ++b) {
        uint8_t *to = &source[size_t(r * bytes + b * 34)];
        const uint16_t scale = uint16_t(0x2000 + random() % 0x400); // 2^-7
        memcpy(to, &scale, 2);
        for (int64_t i = 0; i < 32; ++i)
          to[2 + i] = uint8_t(int8_t(code(r, b * 32 + i)));
      }
    for (auto [packed, layout] : {std::pair(&whole, &matrixLayout("q8_0")),
                                  {&split, &matrixLayout(splitFormat)},
                                  {&low, &matrixLayout(lowFormat)}}) {
      const int64_t group = layout->bytes(16, k);
      packed->resize(size_t(layout->bytes(vocab, k)));
      for (int64_t r = 0; r < rows; r += 16) {
        QuantRow from[16];
        StoredError errors[16];
        for (int64_t i = 0; i < 16 && r + i < vocab; ++i)
          from[i] = {SourceType::Q8_0, &source[size_t((r + i) * bytes)]};
        packQuantized(*layout, from, k, &(*packed)[size_t(r / 16 * group)],
                      errors);
      }
    }
  }

  KernelSpec spec(const std::string &family, const char *format,
                  double cap) const {
    KernelSpec spec{family, RowClass::Few, {}};
    spec.constants.set("k", k).set("format", format);
    if (family == "embed")
      spec.constants.set("scale", 1.5);
    else
      spec.constants.set("act", "q8").set("cap", cap);
    return spec;
  }

  Bytes logits(const char *format, double cap, const Activations &x,
               RowClass rows = RowClass::Few,
               const std::string &on = target) const {
    Bytes xs = x.bytes, w = format == splitFormat ? split : whole, l = low;
    Bytes y = makeNan(roundUp(x.rows, 8) * rowBytes("f32", vocab));
    std::map<std::string, Bytes *> buffers = {{"x", &xs}, {"w", &w}, {"y", &y}};
    if (format == splitFormat)
      buffers["low"] = &l;
    KernelSpec body = spec("logits", format, cap);
    body.rows = rows;
    runner(body, on).run(buffers, {{"rows", int32_t(x.rows)},
                                   {"stride", int32_t(rowStride("f32", vocab))},
                                   {"begin", 0},
                                   {"end", int32_t(roundUp(vocab, 16) / 16)}});
    return y;
  }
};

class TopScan : public testing::Test {
protected:
  void SetUp() override {
    std::string reason = KernelRunner::whyNot(target);
    if (!reason.empty())
      GTEST_SKIP() << reason;
  }

  // Scans in several calls and compares with all logits, sorted.
  void check(const Head &head, double cap, const Activations &x, int32_t best,
             const std::vector<uint32_t> *mask) {
    const int32_t parts = 7, rows = int32_t(x.rows);
    Bytes xs = x.bytes, w = head.split, low = head.low;
    Bytes masks, bests = makeInts({best});
    const int64_t words = (head.vocab + 31) / 32;
    if (mask)
      masks.assign(
          reinterpret_cast<const uint8_t *>(mask->data()),
          reinterpret_cast<const uint8_t *>(mask->data() + mask->size()));
    Bytes values = makeNan(8 * parts * GM_TOP * 4), ids = values,
          topIds = makeNan(8 * GM_TOP * 4), topValues = topIds;
    KernelRunner &scan = runner(head.spec("top_scan", splitFormat, cap));
    for (auto [begin, end] : {std::pair(0, 2), {2, 2}, {2, 6}, {6, parts}})
      scan.run({{"x", &xs},
                {"mask", mask ? &masks : nullptr},
                {"best", &bests},
                {"w", &w},
                {"low", &low},
                {"values", &values},
                {"ids", &ids}},
               {{"rows", rows},
                {"vocab", int32_t(head.vocab)},
                {"parts", parts},
                {"begin", begin},
                {"end", end}});
    runner({"top_merge", RowClass::Few, {}})
        .run({{"values", &values},
              {"ids", &ids},
              {"top_ids", &topIds},
              {"top_values", &topValues}},
             {{"rows", rows}, {"parts", parts}, {"begin", 0}, {"end", 1}});
    const Bytes all = head.logits("q8_0", cap, x);
    for (int32_t r = 0; r < rows; ++r) {
      auto logit = [&](int32_t id) {
        return readElement(all, r, id, rowStride("f32", head.vocab), "f32");
      };
      std::vector<int32_t> order;
      for (int32_t id = 0; id < head.vocab; ++id)
        if (logit(id) == logit(id) &&
            (!mask || (*mask)[size_t(r * words + id / 32)] >> (id % 32) & 1))
          order.push_back(id);
      std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
        return logit(a) > logit(b);
      });
      for (int32_t i = 0; i < best; ++i) {
        const bool isThere = size_t(i) < order.size();
        int32_t id;
        memcpy(&id, &topIds[size_t(r * GM_TOP + i) * 4], 4);
        ASSERT_EQ(id, isThere ? order[size_t(i)] : -1)
            << "k " << head.k << " cap " << cap << " row " << r << " of "
            << rows << " place " << i;
        if (isThere)
          ASSERT_EQ(readElement(topValues, r, i, GM_TOP, "f32"), logit(id));
      }
    }
  }

  std::mt19937 random{11};
};

int anyCode(std::mt19937 &random) { return int(random() % 255) - 127; }

TEST_F(TopScan, FindsTheBest) {
  for (int64_t k : {32, 96, 1536})
    for (double cap : {0.0, 30.0, 0.5}) {
      Head head(1005, k, random,
                [&](int64_t, int64_t) { return anyCode(random); });
      for (auto [rows, best] :
           {std::pair(1, 1), {1, 64}, {2, 3}, {3, 64}, {4, 1}, {5, 64}, {8, 7}})
        check(head, cap, Activations(rows, k, random), best, nullptr);
    }
}

TEST_F(TopScan, Masked) {
  Head head(1005, 96, random,
            [&](int64_t, int64_t) { return anyCode(random); });
  std::vector<uint32_t> mask(8 * 32);
  for (uint32_t &m : mask)
    m = uint32_t(random() & random() & random());
  for (int32_t best : {1, 64})
    check(head, 30, Activations(5, 96, random), best, &mask);
  std::fill(mask.begin(), mask.end(), 0); // nothing is allowed, or one
  mask[20] = 1u << 7;
  check(head, 30, Activations(2, 96, random), 2, &mask);
}

// All rows share their first five bits; the other three agree in sign with the
// activations as far as the row's number says: the bound is nearly reached.
TEST_F(TopScan, OtherBitsDecide) {
  const int64_t k = 1536, vocab = 512;
  Activations x(1, k, random);
  std::vector<int> first(static_cast<size_t>(k));
  for (int &c : first)
    c = int(random() % 31) * 8 - 120;
  Head head(vocab, k, random, [&](int64_t row, int64_t column) {
    const bool up = x.values[size_t(column)] > 0;
    const bool agrees = int64_t(random() % vocab) <= (row * 7 + 3) % vocab;
    return first[size_t(column)] + (up == agrees ? 7 : 0);
  });
  for (int32_t best : {1, 5, 64})
    check(head, 0, x, best, nullptr);
  // Squares of these scales are no f32 numbers: the bound must stay.
  for (int64_t block = 0; block < k / 32; ++block) {
    float scale;
    memcpy(&scale, &x.bytes[size_t(block * 40 + 32)], 4);
    scale *= 1e-24f;
    memcpy(&x.bytes[size_t(block * 40 + 32)], &scale, 4);
  }
  for (int32_t best : {1, 5, 64})
    check(head, 0, x, best, nullptr);
}

// Equal rows: the lowest ids win. Zeros, and a row of NaN.
TEST_F(TopScan, TiesAndNothing) {
  Head equal(300, 64, random, [](int64_t, int64_t c) { return c % 2 ? 9 : 5; });
  check(equal, 30, Activations(2, 64, random), 64, nullptr);
  Head zero(300, 64, random, [](int64_t, int64_t) { return 0; });
  Activations x(3, 64, random);
  check(zero, 30, x, 4, nullptr);
  const float nothing = std::nanf("");
  memcpy(&x.bytes[size_t(rowBytes("q8", 64) + 32)], &nothing, 4);
  Head any(300, 64, random, [&](int64_t, int64_t) { return anyCode(random); });
  check(any, 30, x, 4, nullptr);
}

TEST_F(TopScan, LogitsHaveTheSameBits) {
  for (int64_t k : {32, 1536}) {
    Head head(80, k, random, [&](int64_t, int64_t) { return anyCode(random); });
    for (int rows : {1, 2, 3, 8}) {
      Activations x(rows, k, random);
      Bytes split = head.logits(splitFormat, 30, x),
            whole = head.logits("q8_0", 30, x);
      split.resize(size_t(rows * rowBytes("f32", 80)));
      whole.resize(split.size());
      EXPECT_EQ(split, whole) << k << ' ' << rows;
    }
  }
}

// Of all targets whose heads lie in two matrices.
TEST(Embed, HasTheSameBits) {
  std::mt19937 random(7);
  int ran = 0;
  for (const Target &on : targets()) {
    if (!on.scansHead || !KernelRunner::whyNot(on.name).empty())
      continue;
    ++ran;
    for (int64_t k : {32, 1536}) {
      Head head(80, k, random,
                [&](int64_t, int64_t) { return anyCode(random); });
      Bytes ids = makeInts({79, 0, 33}), y[2];
      for (bool isSplit : {false, true}) {
        y[isSplit] = makeNan(8 * rowBytes("f32", k));
        Bytes table = isSplit ? head.split : head.whole, low = head.low;
        std::map<std::string, Bytes *> buffers = {
            {"ids", &ids}, {"table", &table}, {"y", &y[isSplit]}};
        if (isSplit)
          buffers["low"] = &low;
        runner(head.spec("embed", isSplit ? splitFormat : "q8_0", 0), on.name)
            .run(buffers, {{"rows", 3}, {"begin", 0}, {"end", 3}});
      }
      EXPECT_EQ(y[0], y[1]) << on.name << ' ' << k;
    }
  }
  if (!ran)
    GTEST_SKIP() << "this machine runs no target that scans its head";
}

// Both row classes of CUDA targets give the two matrices the bits of the one.
TEST(DeviceLogits, SplitHeadHasTheSameBits) {
  std::mt19937 random{7};
  Head head(80, 160, random, [&](int64_t, int64_t) { return anyCode(random); });
  for (const std::string &on : targetNames()) {
    if (findTarget(on)->device != Device::Cuda)
      continue;
    for (int rows : {1, 3, 8}) {
      Activations x(rows, 160, random);
      const Bytes few = head.logits(splitFormat, 30, x, RowClass::Few, on),
                  many = head.logits(splitFormat, 30, x, RowClass::Many, on),
                  whole = head.logits("q8_0", 30, x, RowClass::Few, on);
      for (const Bytes *other : {&many, &whole})
        for (int64_t r = 0; r < rows; ++r)
          EXPECT_FALSE(memcmp(&few[size_t(r * rowBytes("f32", 80))],
                              &(*other)[size_t(r * rowBytes("f32", 80))],
                              80 * 4))
              << on << ' ' << rows << " rows, row " << r;
    }
  }
}

// The stored bound is not below the norm of what the scan leaves out, and not
// far above.
TEST_F(TopScan, Bounds) {
  const int64_t k = 1536;
  Head head(32, k, random, [&](int64_t, int64_t) { return anyCode(random); });
  const Layout &layout = matrixLayout(splitFormat);
  for (int64_t r = 0; r < 32; ++r) {
    double squares = 0;
    for (int64_t b = 0; b < k / 32; ++b) {
      const uint8_t *whole = &head.whole[size_t((r / 16 * (k / 32) + b) * 544)];
      uint16_t scale;
      memcpy(&scale, whole + 512 + r % 16 * 2, 2);
      for (int i = 0; i < 32; ++i) {
        double rest = (whole[i / 4 * 64 + r % 16 * 4 + i % 4] & 7) - 4;
        squares += std::pow(rest * double(halfToFloat(scale)), 2);
      }
    }
    float bound;
    memcpy(&bound,
           &head.split[size_t((r / 16 + 1) * layout.bytes(16, k) - 64 +
                              r % 16 * 4)],
           4);
    EXPECT_GE(double(bound), std::sqrt(squares));
    EXPECT_LE(double(bound), std::sqrt(squares) * 1.001);
  }
}

} // namespace
