// The families that devices alone have (targets/DeviceKernels.cpp) against the
// plain kernels that they stand for, in the same row class: every result has
// the same bits, in every format, for 1 to 8 rows. Targets share the formats
// (isTurnOf).
#include "test/codegen/kernels/DeviceRunner.h"
#include "test/codegen/kernels/quantized_data.h"

#include "runtime/abi.h"

using namespace gemmac;

namespace {

constexpr int64_t rowCounts[] = {1, 2, 5, 8};
constexpr double eps = 1e-6;

struct Encodings {
  std::string format, act;
};
const Encodings encodings[] = {{"f32", "f32"},   {"bf16", "f32"},
                               {"bf16", "bf16"}, {"q8_0", "q8"},
                               {"q4_0", "q8"},   {"q4_bf", "q8"}};

class DeviceFamilies : public KernelTest {
protected:
  void SetUp() override {
    KernelTest::SetUp();
    if (findTarget(GetParam())->device != Device::Cuda)
      GTEST_SKIP() << "families of devices";
  }

  using Buffers = std::map<std::string, Bytes *>;
  using Integers = std::map<std::string, int32_t>;
  // All units of a kernel of class `few` (or `many`), made once for all tests.
  void call(const std::string &family, const Constants &constants,
            const Buffers &buffers, Integers integers, int64_t units,
            RowClass rows = RowClass::Few) {
    const KernelSpec spec{family, rows, constants};
    ASSERT_EQ(checkSpec(spec), "") << family;
    static std::map<std::string, std::unique_ptr<KernelRunner>> runners;
    std::unique_ptr<KernelRunner> &runner =
        runners[GetParam() + ' ' + kernelSymbol(spec)];
    if (!runner)
      runner = std::make_unique<KernelRunner>(spec, GetParam());
    integers["begin"] = 0;
    integers["end"] = int32_t(units);
    runner->run(buffers, integers);
  }

  Bytes rowsF32(int64_t columns) {
    std::vector<double> values = randomNumbers(random, size_t(8 * columns));
    return makeRows(values, 8, columns, "f32", 8);
  }
  Bytes vectorOf(int64_t columns) {
    std::vector<double> values = randomNumbers(random, size_t(columns));
    return makeRows(values, 1, columns, "f32", 1);
  }
  // Members of a stack one after the other.
  Bytes matrixOf(const std::string &format, int64_t rows, int64_t k,
                 int64_t members = 1) {
    Bytes all;
    for (int64_t i = 0; i < members; ++i) {
      Bytes one;
      if (isQuantized(format)) {
        one = Matrix(format, rows, k, random, GetParam()).packed;
      } else {
        std::vector<double> values = randomNumbers(random, size_t(rows * k));
        one = makeWeight(values, rows, k, matrixLayout(format));
      }
      all.insert(all.end(), one.begin(), one.end());
    }
    return all;
  }
  static Bytes space(const std::string &encoding, int64_t columns) {
    return makeNan(8 * rowBytes(encoding, columns));
  }
  static int32_t strideOf(const std::string &encoding, int64_t columns) {
    return int32_t(rowStride(encoding, columns));
  }
  static int64_t unitsOf(int64_t columns, int64_t unit) {
    return roundUp(columns, unit) / unit;
  }
  // Columns that are there of the first rows.
  static void expectSame(const Bytes &got, const Bytes &want, int64_t rows,
                         const std::string &encoding, int64_t columns,
                         const char *what) {
    const int64_t bytes = rowBytes(encoding, columns),
                  used = isQuantized(encoding)
                             ? bytes
                             : columns * elementBytes(encoding);
    for (int64_t r = 0; r < rows; ++r)
      ASSERT_TRUE(std::equal(got.begin() + r * bytes,
                             got.begin() + r * bytes + used,
                             want.begin() + r * bytes))
          << what << ", row " << r << " of " << rows;
  }

  static Constants product(const Encodings &e, int64_t k) {
    return Constants{{"k", k}, {"format", e.format}, {"act", e.act}};
  }
  // The encodings that this target takes in its turn; the next ones in the next
  // `round`.
  static std::vector<Encodings> encodingsOf(size_t round) {
    std::vector<Encodings> own;
    for (size_t i = 0; i < std::size(encodings); ++i)
      if (isTurnOf(*findTarget(GetParam()), i + round))
        own.push_back(encodings[i]);
    return own;
  }
  // Formats and sizes: those of plain formats need not be multiples of 32, so
  // two targets run these in different sizes.
  template <class F>
  void forAll(F f) {
    size_t round = 0;
    for (int64_t k : {int64_t(160), int64_t(72)})
      for (const Encodings &e : encodingsOf(round++)) {
        if (k % 32 && isQuantized(e.act))
          continue;
        SCOPED_TRACE(e.format + " and " + e.act + ", k " + std::to_string(k));
        for (int64_t rows : rowCounts)
          ASSERT_NO_FATAL_FAILURE(f(e, k, rows));
      }
  }

  // `x` rounded to an encoding.
  void round(Bytes &x, Bytes &y, const std::string &act, int64_t k,
             const Integers &n) {
    call("quant", {{"k", k}, {"act", act}}, {{"x", &x}, {"y", &y}}, n,
         n.at("rows"));
  }
  void normed(Bytes &x, Bytes &w, Bytes &y, const std::string &act, int64_t k,
              const Integers &n) {
    call("norm", {{"k", k}, {"eps", eps}, {"act", act}},
         {{"x", &x}, {"w", &w}, {"y", &y}}, n, n.at("rows"));
  }
  void added(Bytes &h, Bytes &y, Bytes &post, Bytes *scale, Bytes &out,
             int64_t k, const Integers &n) {
    Buffers buffers = {{"h", &h}, {"y", &y}, {"w", &post}, {"out", &out}};
    if (scale)
      buffers["scale"] = scale;
    call("add_norm", {{"k", k}, {"eps", eps}, {"scaled", int64_t(!!scale)}},
         buffers, n, n.at("rows"));
  }
};
GEMMAC_ALL_TARGETS(DeviceFamilies);

constexpr int64_t outputs = 80;

TEST_P(DeviceFamilies, NormLinear) {
  forAll([&](const Encodings &e, int64_t k, int64_t rows) {
    Bytes h = rowsF32(k), norm = vectorOf(k),
          w = matrixOf(e.format, outputs, k), x = space(e.act, k),
          want = space("f32", outputs), got = want;
    const Integers n = {{"rows", int32_t(rows)},
                        {"stride", strideOf("f32", outputs)}};
    normed(h, norm, x, e.act, k, n);
    call("linear", product(e, k), {{"x", &x}, {"w", &w}, {"y", &want}}, n,
         unitsOf(outputs, 16));
    call("norm_linear", product(e, k).set("eps", eps),
         {{"h", &h}, {"w", &w}, {"norm", &norm}, {"y", &got}}, n,
         unitsOf(outputs, 16));
    expectSame(got, want, rows, "f32", outputs, "z");
  });
}

// add_norm_linear and add_norm_geglu.
TEST_P(DeviceFamilies, AddNormProducts) {
  forAll([&](const Encodings &e, int64_t k, int64_t rows) {
    for (const bool isGated : {false, true})
      for (const bool isScaled : {false, true}) {
        const std::string result = isGated ? e.act : "f32";
        const int64_t unit = isGated ? 32 : 16,
                      columns = isGated ? 96 : outputs;
        Bytes h = rowsF32(k), y = rowsF32(k), post = vectorOf(k),
              norm = vectorOf(k), scale = vectorOf(1),
              w = matrixOf(e.format, isGated ? 2 * columns : columns, k),
              x = space(e.act, k), want = space(result, columns), got = want,
              wantOut = space("f32", k), out = wantOut;
        const Integers n = {{"rows", int32_t(rows)},
                            {"stride", strideOf(result, columns)}};
        added(h, y, post, isScaled ? &scale : nullptr, wantOut, k, n);
        normed(wantOut, norm, x, e.act, k, n);
        call(isGated ? "linear_geglu" : "linear", product(e, k),
             {{"x", &x}, {"w", &w}, {"y", &want}}, n, unitsOf(columns, unit));
        Buffers buffers = {{"h", &h},       {"y", &y},       {"w", &w},
                           {"post", &post}, {"norm", &norm}, {"z", &got},
                           {"out", &out}};
        if (isScaled)
          buffers["scale"] = &scale;
        call(isGated ? "add_norm_geglu" : "add_norm_linear",
             product(e, k).set("eps", eps).set("scaled", int64_t(isScaled)),
             buffers, n, unitsOf(columns, unit));
        expectSame(got, want, rows, result, columns, "z");
        expectSame(out, wantOut, rows, "f32", k, "out");
      }
  });
}

TEST_P(DeviceFamilies, AddNorm3Linear) {
  forAll([&](const Encodings &e, int64_t k, int64_t rows) {
    for (const bool isScaled : {false, true}) {
      Bytes h = rowsF32(k), dense = rowsF32(k), experts = rowsF32(k),
            wDense = vectorOf(k), wExperts = vectorOf(k), post = vectorOf(k),
            norm = vectorOf(k), scale = vectorOf(1),
            w = matrixOf(e.format, outputs, k), x = space(e.act, k),
            want = space("f32", outputs), got = want, wantOut = space("f32", k),
            out = wantOut;
      const Integers n = {{"rows", int32_t(rows)},
                          {"stride", strideOf("f32", outputs)}};
      const auto scaled = int64_t(isScaled);
      Buffers plain = {{"h", &h},
                       {"dense", &dense},
                       {"experts", &experts},
                       {"w_dense", &wDense},
                       {"w_experts", &wExperts},
                       {"w", &post},
                       {"out", &wantOut}};
      Buffers buffers = {
          {"h", &h},       {"dense", &dense},    {"experts", &experts},
          {"w", &w},       {"w_dense", &wDense}, {"w_experts", &wExperts},
          {"post", &post}, {"norm", &norm},      {"z", &got},
          {"out", &out}};
      if (isScaled)
        plain["scale"] = buffers["scale"] = &scale;
      call("add_norm3", {{"k", k}, {"eps", eps}, {"scaled", scaled}}, plain, n,
           rows);
      normed(wantOut, norm, x, e.act, k, n);
      call("linear", product(e, k), {{"x", &x}, {"w", &w}, {"y", &want}}, n,
           unitsOf(outputs, 16));
      call("add_norm3_linear",
           product(e, k).set("eps", eps).set("scaled", scaled), buffers, n,
           unitsOf(outputs, 16));
      expectSame(got, want, rows, "f32", outputs, "z");
      expectSame(out, wantOut, rows, "f32", k, "out");
    }
  });
}

TEST_P(DeviceFamilies, AddLinearPle) {
  constexpr int64_t width = 64, all = 4 * width;
  forAll([&](const Encodings &e, int64_t k, int64_t rows) {
    for (const bool isScaled : {false, true}) {
      Bytes h = rowsF32(k), y = rowsF32(k), ple = rowsF32(all),
            post = vectorOf(k), scale = vectorOf(1),
            w = matrixOf(e.format, width, k), x = space(e.act, k),
            want = space(e.act, width), got = want, wantOut = space("f32", k),
            out = wantOut;
      const Integers n = {{"rows", int32_t(rows)},
                          {"stride", strideOf(e.act, width)},
                          {"ple_stride", strideOf("f32", all)},
                          {"column", int32_t(2 * width)}};
      const int64_t units = unitsOf(width, e.act == "q8" ? 32 : 16);
      added(h, y, post, isScaled ? &scale : nullptr, wantOut, k, n);
      if (e.act == "f32")
        x = wantOut;
      else
        round(wantOut, x, e.act, k, n);
      call("linear_ple", product(e, k),
           {{"x", &x}, {"ple", &ple}, {"w", &w}, {"y", &want}}, n, units);
      Buffers buffers = {{"h", &h},       {"y", &y},   {"ple", &ple}, {"w", &w},
                         {"post", &post}, {"z", &got}, {"out", &out}};
      if (isScaled)
        buffers["scale"] = &scale;
      call("add_linear_ple",
           product(e, k).set("eps", eps).set("scaled", int64_t(isScaled)),
           buffers, n, units);
      expectSame(got, want, rows, e.act, width, "z");
      expectSame(out, wantOut, rows, "f32", k, "out");
    }
  });
}

TEST_P(DeviceFamilies, MergeLinear) {
  constexpr int64_t heads = 5, hd = 32, k = heads * hd, most = 4;
  for (const Encodings &e : encodingsOf(0))
    for (const int64_t rows : rowCounts) {
      SCOPED_TRACE(e.format + " and " + e.act);
      std::vector<double> values =
          randomNumbers(random, size_t(8 * most * heads * (hd + 2)));
      Bytes partials = makeRows(values, 8, most * heads * (hd + 2), "f32", 8);
      std::vector<int32_t> counts;
      const int64_t slot = heads * (hd + 2);
      for (int64_t r = 0; r < 8; ++r) {
        counts.push_back(int32_t(1 + r % most));
        for (int64_t part = 0; part < most; ++part)
          for (int64_t head = 0; head < heads; ++head) {
            float l = 1 + float(head), lowest = -1e30f;
            uint8_t *at =
                &partials[size_t(((r * most + part) * slot + heads * hd) * 4)];
            memcpy(at + (heads + head) * 4, &l, 4);
            if (part == 1 && head == 2) // no visible key
              memcpy(at + head * 4, &lowest, 4);
          }
      }
      Bytes parts = makeInts(counts), w = matrixOf(e.format, outputs, k),
            x = space(e.act, k), want = space("f32", outputs), got = want;
      const Integers n = {{"rows", int32_t(rows)},
                          {"max_splits", int32_t(most)},
                          {"stride", strideOf("f32", outputs)}};
      call("merge", {{"heads", heads}, {"hd", hd}, {"act", e.act}},
           {{"partials", &partials}, {"parts", &parts}, {"y", &x}}, n, k / 32);
      call("linear", product(e, k), {{"x", &x}, {"w", &w}, {"y", &want}}, n,
           unitsOf(outputs, 16));
      call("merge_linear", product(e, k).set("hd", hd),
           {{"partials", &partials}, {"parts", &parts}, {"w", &w}, {"y", &got}},
           n, unitsOf(outputs, 16));
      ASSERT_NO_FATAL_FAILURE(expectSame(got, want, rows, "f32", outputs, "y"));
    }
}

// The dense width is no multiple of 32 where formats allow it, and the experts
// are more than the units of the router have.
TEST_P(DeviceFamilies, AddNorms3Geglu) {
  constexpr int64_t experts = 40;
  forAll([&](const Encodings &e, int64_t k, int64_t rows) {
    for (const bool isScaled : {false, true}) {
      const int64_t f = isQuantized(e.act) ? 64 : 72, padded = roundUp(f, 32);
      Bytes h = rowsF32(k), y = rowsF32(k), post = vectorOf(k),
            wDense = vectorOf(k), wRouter = vectorOf(k), wExperts = vectorOf(k),
            scale = vectorOf(1), w = matrixOf(e.format, 2 * padded, k),
            router = matrixOf("f32", experts, k), x = space(e.act, k),
            routed = space("f32", k), want = space(e.act, f), got = want,
            wantLogits = space("f32", experts), logits = wantLogits,
            wantRows = space(e.act, k), rowsOut = wantRows,
            wantOut = space("f32", k), out = wantOut;
      const Integers n = {{"rows", int32_t(rows)},
                          {"stride", strideOf(e.act, f)},
                          {"units", int32_t(padded / 32)}};
      Integers ofRouter = n;
      ofRouter["stride"] = strideOf("f32", experts);
      const double factor = 0.37;
      added(h, y, post, isScaled ? &scale : nullptr, wantOut, k, n);
      call("norms3",
           {{"k", k}, {"eps", eps}, {"act", e.act}, {"factor", factor}},
           {{"x", &wantOut},
            {"w_dense", &wDense},
            {"w_router", &wRouter},
            {"w_experts", &wExperts},
            {"dense", &x},
            {"router", &routed},
            {"experts", &wantRows}},
           n, rows);
      call("linear_geglu", product(e, k), {{"x", &x}, {"w", &w}, {"y", &want}},
           n, padded / 32);
      call("linear", product({"f32", "f32"}, k),
           {{"x", &routed}, {"w", &router}, {"y", &wantLogits}}, ofRouter,
           unitsOf(experts, 16));
      Buffers buffers = {{"h", &h},
                         {"y", &y},
                         {"w", &w},
                         {"router", &router},
                         {"post", &post},
                         {"w_dense", &wDense},
                         {"w_router", &wRouter},
                         {"w_experts", &wExperts},
                         {"z", &got},
                         {"logits", &logits},
                         {"experts", &rowsOut},
                         {"out", &out}};
      if (isScaled)
        buffers["scale"] = &scale;
      call("add_norms3_geglu",
           product(e, k)
               .set("eps", eps)
               .set("scaled", int64_t(isScaled))
               .set("factor", factor)
               .set("experts", experts),
           buffers, n, padded / 32 + unitsOf(experts, 16));
      expectSame(got, want, rows, e.act, f, "z");
      expectSame(logits, wantLogits, rows, "f32", experts, "logits");
      expectSame(rowsOut, wantRows, rows, e.act, k, "experts");
      expectSame(out, wantOut, rows, "f32", k, "out");
    }
  });
}

// top_experts_up and experts_down_linear, which the dense matrix of another
// format and size joins.
TEST_P(DeviceFamilies, Experts) {
  constexpr int64_t experts = 24, top = 6;
  forAll([&](const Encodings &e, int64_t k, int64_t rows) {
    const int64_t f = isQuantized(e.act) ? 64 : 40, slice = roundUp(f, 32),
                  denseK = isQuantized(e.act) ? 96 : 56;
    const Constants counts = {{"experts", experts}, {"top", top}};
    auto of = [&](int64_t inner) {
      return Constants(counts)
          .set("k", inner)
          .set("format", e.format)
          .set("act", e.act);
    };
    Bytes h = rowsF32(k), hDense = rowsF32(denseK), ones = vectorOf(k),
          onesDense = vectorOf(denseK), x = space(e.act, k),
          g = space(e.act, denseK), logits = rowsF32(experts),
          perExpert = vectorOf(experts),
          up = matrixOf(e.format, 2 * slice, k, experts),
          down = matrixOf(e.format, k, f, experts),
          wantWeights = space("f32", top), weights = wantWeights,
          wantIds = makeNan(8 * top * 4), ids = wantIds,
          order = makeNan(8 * top * 4), want = space(e.act, top * slice),
          got = want;
    const Integers n = {{"rows", int32_t(rows)},
                        {"stride", strideOf("f32", k)}};
    normed(h, ones, x, e.act, k, n);
    normed(hDense, onesDense, g, e.act, denseK, n);
    call("top_experts", counts,
         {{"logits", &logits},
          {"per_expert", &perExpert},
          {"weights", &wantWeights},
          {"ids", &wantIds}},
         n, rows);
    call("moe_sort", counts, {{"ids", &wantIds}, {"order", &order}}, n, 1);
    call("experts_up", of(k).set("f", f),
         {{"x", &x},
          {"ids", &wantIds},
          {"order", &order},
          {"w", &up},
          {"y", &want}},
         n, slice / 32);
    call("top_experts_up", of(k).set("f", f),
         {{"x", &x},
          {"logits", &logits},
          {"w", &up},
          {"per_expert", &perExpert},
          {"y", &got},
          {"weights", &weights},
          {"ids", &ids}},
         n, slice / 32);
    expectSame(weights, wantWeights, rows, "f32", top, "weights");
    ASSERT_TRUE(
        std::equal(ids.begin(), ids.begin() + rows * top * 4, wantIds.begin()))
        << "ids";
    expectSame(got, want, rows, e.act, top * slice, "experts' rows");

    for (const Encodings &dense : encodings) {
      if (dense.act != e.act)
        continue;
      SCOPED_TRACE("dense " + dense.format);
      Bytes w = matrixOf(dense.format, k, denseK), wantSum = space("f32", k),
            sum = wantSum, wantDense = wantSum, denseOut = wantSum;
      call("experts_down", of(f).set("n", k),
           {{"x", &want},
            {"ids", &wantIds},
            {"weights", &wantWeights},
            {"order", &order},
            {"w", &down},
            {"y", &wantSum}},
           n, unitsOf(k, 16));
      call("linear", product(dense, denseK),
           {{"x", &g}, {"w", &w}, {"y", &wantDense}}, n, unitsOf(k, 16));
      call("experts_down_linear",
           of(f)
               .set("n", k)
               .set("dense_k", denseK)
               .set("dense_format", dense.format),
           {{"x", &want},
            {"ids", &wantIds},
            {"weights", &wantWeights},
            {"g", &g},
            {"w", &down},
            {"dense", &w},
            {"y", &sum},
            {"z", &denseOut}},
           n, 2 * unitsOf(k, 16));
      expectSame(sum, wantSum, rows, "f32", k, "sum");
      expectSame(denseOut, wantDense, rows, "f32", k, "dense");
    }
  });
}

// rope_attend and append_attend, behind 304 keys that are in the cache.
TEST_P(DeviceFamilies, Attention) {
  constexpr int64_t heads = 4, group = 2, kvHeads = heads / group, hd = 64,
                    pairs = 32, before = 304, most = 3,
                    columns = (heads + 2 * kvHeads) * hd;
  constexpr int32_t pageCount = 6;
  for (const char *cache : {"f32", "bf16", "q8"})
    for (const int64_t window : {int64_t(0), int64_t(64)}) {
      SCOPED_TRACE(std::string(cache) + ", window " + std::to_string(window));
      const Constants appended = {{"heads", kvHeads},
                                  {"hd", hd},
                                  {"pairs", pairs},
                                  {"eps", eps},
                                  {"cache", cache}};
      const Constants attended = {{"heads", heads},
                                  {"hd", hd},
                                  {"group", group},
                                  {"window", window},
                                  {"cache", cache}};
      const Constants joined =
          Constants(attended).set("pairs", pairs).set("eps", eps);
      auto space = [&](int64_t bytes) { return makeNan(pageCount * bytes); };
      auto ropeOf = [&](int64_t n) {
        std::vector<double> values =
            randomNumbers(random, size_t(n * pairs * 2));
        return makeRows(values, 1, n * pairs * 2, "f32", 1);
      };
      Bytes k = space(keyPageBytes(cache, kvHeads, hd)),
            v = space(valuePageBytes(cache, kvHeads, hd)),
            pages = makeInts({3, 0, 5, 1, 4, 2}), w = vectorOf(hd),
            kW = vectorOf(hd);
      Integers n = {{"rows", before},
                    {"max_splits", most},
                    {"page_stride", pageCount},
                    {"stride", strideOf("f32", columns)},
                    {"column", 0},
                    {"k_column", heads * hd},
                    {"v_column", (heads + kvHeads) * hd}};
      {
        std::vector<double> values =
            randomNumbers(random, size_t(before * columns));
        Bytes x = makeRows(values, before, columns, "f32", before),
              rope = ropeOf(before);
        std::vector<int32_t> tiles;
        for (int32_t at = 0; at < before; at += GM_TILE_ROWS)
          tiles.insert(tiles.end(), {at, GM_TILE_ROWS, 0, at});
        Bytes tile = makeInts(tiles);
        call("append", appended,
             {{"x", &x},
              {"rope", &rope},
              {"tile", &tile},
              {"w", &kW},
              {"k_pool", &k},
              {"v_pool", &v},
              {"pages", &pages}},
             n, before / GM_TILE_ROWS, RowClass::Many);
      }
      for (const int64_t rows : rowCounts) {
        SCOPED_TRACE(std::to_string(rows) + " rows");
        n["rows"] = int32_t(rows);
        const int32_t end = int32_t(before + rows),
                      first = window ? int32_t(before - window + 1) : 0;
        std::vector<int32_t> splits;
        int32_t part = 0;
        for (int32_t at = 0; at < end; at += GM_SPLIT_KEYS)
          if (std::min<int32_t>(at + GM_SPLIT_KEYS, end) > first)
            splits.insert(splits.end(),
                          {0, std::max(at, first),
                           std::min<int32_t>(at + GM_SPLIT_KEYS, end), part++});
        Bytes x = rowsF32(columns), rope = ropeOf(rows),
              tile = makeInts({0, int32_t(rows), 0, int32_t(before)}),
              pieces = makeInts(splits),
              q = makeNan(8 * heads * rowBytes(cache, hd)), oldK = k, oldV = v,
              y = makeNan(8 * most * partialBytes(heads, hd)), want = y,
              apart = y, together = y;
        call("append", appended,
             {{"x", &x},
              {"rope", &rope},
              {"tile", &tile},
              {"w", &kW},
              {"k_pool", &k},
              {"v_pool", &v},
              {"pages", &pages}},
             n, 1);
        call("rope_q", Constants(appended).set("heads", heads),
             {{"x", &x}, {"rope", &rope}, {"w", &w}, {"q", &q}}, n, rows);
        const int64_t units = part * kvHeads;
        call("attend", Constants(attended).set("act", "f32"),
             {{"q", &q},
              {"tile", &tile},
              {"splits", &pieces},
              {"k_pool", &k},
              {"v_pool", &v},
              {"pages", &pages},
              {"y", &want}},
             n, units);
        Buffers buffers = {
            {"x", &x},           {"rope", &rope},   {"tile", &tile},
            {"splits", &pieces}, {"w", &w},         {"k_pool", &k},
            {"v_pool", &v},      {"pages", &pages}, {"y", &apart}};
        call("rope_attend", joined, buffers, n, units);
        buffers["k_w"] = &kW;
        buffers["k_pool"] = &oldK;
        buffers["v_pool"] = &oldV;
        buffers["y"] = &together;
        call("append_attend", joined, buffers, n, units);
        const int64_t bytes = rows * most * partialBytes(heads, hd);
        EXPECT_TRUE(
            std::equal(want.begin(), want.begin() + bytes, apart.begin()))
            << "rope_attend";
        EXPECT_TRUE(
            std::equal(want.begin(), want.begin() + bytes, together.begin()))
            << "append_attend";
        EXPECT_TRUE(k == oldK && v == oldV) << "what append_attend stores";
        EXPECT_NE(want, y);
      }
    }
}

} // namespace
