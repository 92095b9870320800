// experts_up and experts_down against double in every format, for shared,
// disjoint, random and lopsided choices of experts; a row has the same bits
// whatever its row class, its neighbours and the ranges of units.
#include "test/codegen/kernels/quantized_data.h"

#include <algorithm>
#include <numeric>
#include <set>

using namespace gemmac;

namespace {

enum class Routing { Same, Different, Random, Lopsided };
constexpr Routing routings[] = {Routing::Same, Routing::Different,
                                Routing::Random, Routing::Lopsided};
constexpr int64_t experts = 24, top = 3;

// The `top` experts of row r, ascending.
std::vector<int32_t> choose(Routing routing, int64_t r, std::mt19937 &random) {
  std::set<int32_t> chosen;
  if (routing == Routing::Lopsided)
    chosen.insert(5); // a group of all rows
  for (int64_t j = 0; int64_t(chosen.size()) < top; ++j)
    chosen.insert(routing == Routing::Same        ? int32_t(4 + 7 * j)
                  : routing == Routing::Different ? (r * top + j) % experts
                                                  : random() % experts);
  return {chosen.begin(), chosen.end()};
}

// Rows of an activation encoding: their numbers and bytes.
struct RowData {
  std::vector<double> values;
  Bytes bytes;
};

RowData makeActivations(const std::string &act, int64_t rows, int64_t k,
                        std::mt19937 &random) {
  if (act == "q8") {
    Activations a(rows, k, random);
    return {a.values, a.bytes};
  }
  RowData data{randomNumbers(random, size_t(rows * k)), {}};
  data.bytes = makeRows(data.values, rows, k, act, rows);
  return data;
}

// `members` matrices of rows x k one after the other.
RowData makeStack(const std::string &target, const std::string &format,
                  int64_t members, int64_t rows, int64_t k,
                  std::mt19937 &random) {
  RowData stack;
  for (int64_t e = 0; e < members; ++e) {
    std::vector<double> values;
    Bytes bytes;
    if (isQuantized(format)) {
      Matrix m(format, rows, k, random, target);
      values = m.values, bytes = m.packed;
    } else {
      values = randomNumbers(random, size_t(rows * k));
      bytes = makeWeight(values, rows, k, matrixLayout(format));
    }
    stack.values.insert(stack.values.end(), values.begin(), values.end());
    stack.bytes.insert(stack.bytes.end(), bytes.begin(), bytes.end());
  }
  return stack;
}

// Both products of one shape and format.
class Mixture {
public:
  Mixture(const std::string &target, const std::string &format, int64_t k,
          int64_t f, std::mt19937 &random)
      : format(format), act(isQuantized(format) ? "q8" : format), k(k), f(f),
        slice(roundUp(f, 32)),
        up(makeStack(target, format, experts, 2 * slice, k, random)),
        down(makeStack(target, format, experts, k, f, random)),
        upFew(upSpec(RowClass::Few), target),
        upMany(upSpec(RowClass::Many), target),
        downFew(downSpec(RowClass::Few), target),
        downMany(downSpec(RowClass::Many), target),
        emulated(!runsHere(*findTarget(target))), random(random) {}

  void check(int64_t rows, Routing routing) {
    x = makeActivations(act, rows, k, random);
    weights = randomNumbers(random, size_t(rows * top));
    ids.clear();
    for (int64_t r = 0; r < rows; ++r)
      for (int32_t e : choose(routing, r, random))
        ids.push_back(e);
    SCOPED_TRACE(format + ", " + std::to_string(rows) + " rows, routing " +
                 std::to_string(int(routing)));
    hidden = runUp(upMany, 0, rows, 1);
    ASSERT_NO_FATAL_FAILURE(checkUp(rows));
    if (act != "q8") // the padding of a slice is garbage to `down`
      for (int64_t q = 0; q < rows * top; ++q)
        std::fill_n(hidden.begin() + (q * slice + f) * elementBytes(act),
                    (slice - f) * elementBytes(act), 0xff);
    result = runDown(downMany, 0, rows, 1);
    ASSERT_NO_FATAL_FAILURE(checkDown(rows));
    // Some rows alone, and the last ones together; few where runs are emulated.
    for (int64_t r = 0; r < rows;
         r += std::max<int64_t>(1, emulated ? rows : rows / 5))
      ASSERT_NO_FATAL_FAILURE(checkBits(r, 1));
    for (int64_t n = emulated ? 7 : 2; n <= std::min<int64_t>(rows, 8); ++n)
      ASSERT_NO_FATAL_FAILURE(checkBits(rows - n, n));
  }

private:
  KernelSpec spec(const char *family, RowClass rows) const {
    KernelSpec spec{family, rows, {}};
    spec.constants.set("experts", experts)
        .set("top", top)
        .set("format", format)
        .set("act", act);
    return spec;
  }
  KernelSpec upSpec(RowClass rows) const {
    KernelSpec s = spec("experts_up", rows);
    s.constants.set("k", k).set("f", f);
    return s;
  }
  KernelSpec downSpec(RowClass rows) const {
    KernelSpec s = spec("experts_down", rows);
    s.constants.set("k", f).set("n", k);
    return s;
  }

  // Rows [first, first + rows) of `from`, the space after them is NaN.
  static Bytes part(const Bytes &from, int64_t first, int64_t rows,
                    int64_t bytes) {
    Bytes p(from.begin() + first * bytes,
            from.begin() + (first + rows) * bytes);
    p.resize(size_t(roundUp(rows, 8) * bytes), 0xff);
    return p;
  }
  std::vector<int32_t> idsOf(int64_t first, int64_t rows) const {
    return {ids.begin() + first * top, ids.begin() + (first + rows) * top};
  }
  static std::vector<int32_t> orderOf(const std::vector<int32_t> &ids) {
    std::vector<int32_t> order(ids.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](int a, int b) {
      return ids[size_t(a)] < ids[size_t(b)];
    });
    return order;
  }

  Bytes runUp(KernelRunner &runner, int64_t first, int64_t rows, int64_t cut) {
    std::vector<int32_t> chosen = idsOf(first, rows);
    Bytes xs = part(x.bytes, first, rows, rowBytes(act, k)),
          is = makeInts(chosen), order = makeInts(orderOf(chosen)),
          y = makeNan(roundUp(rows, 8) * rowBytes(act, top * slice));
    for (auto [begin, end] : {std::pair(int64_t(0), cut), {cut, slice / 32}})
      runner.run({{"x", &xs},
                  {"ids", &is},
                  {"order", &order},
                  {"w", &up.bytes},
                  {"y", &y}},
                 {{"rows", int32_t(rows)},
                  {"begin", int32_t(begin)},
                  {"end", int32_t(end)}});
    return y;
  }

  Bytes runDown(KernelRunner &runner, int64_t first, int64_t rows,
                int64_t cut) {
    std::vector<int32_t> chosen = idsOf(first, rows);
    Bytes xs = part(hidden, first, rows, rowBytes(act, top * slice)),
          is = makeInts(chosen), order = makeInts(orderOf(chosen)),
          y = makeNan(roundUp(rows, 8) * rowBytes("f32", k));
    std::vector<double> ws(weights.begin() + first * top,
                           weights.begin() + (first + rows) * top);
    Bytes factors = makeRows(ws, rows, top, "f32", roundUp(rows, 8));
    std::copy(ws.begin(), ws.end(), weights.begin() + first * top);
    for (auto [begin, end] :
         {std::pair(int64_t(0), cut), {cut, roundUp(k, 16) / 16}})
      runner.run({{"x", &xs},
                  {"ids", &is},
                  {"weights", &factors},
                  {"order", &order},
                  {"w", &down.bytes},
                  {"y", &y}},
                 {{"rows", int32_t(rows)},
                  {"stride", int32_t(rowStride("f32", k))},
                  {"begin", int32_t(begin)},
                  {"end", int32_t(end)}});
    return y;
  }

  static double dot(const std::vector<double> &w, int64_t row, const double *v,
                    int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; ++i)
      sum += w[size_t(row * n + i)] * v[i];
    return sum;
  }

  // The hidden values of pair q, and the scales of their blocks (q8).
  std::vector<double> hiddenOf(int64_t q, std::vector<double> *scales) const {
    if (act == "q8")
      return decodeRow(hidden, q, slice, slice, scales);
    std::vector<double> values;
    for (int64_t o = 0; o < f; ++o)
      values.push_back(readElement(hidden, q, o, slice, act));
    return values;
  }

  void checkUp(int64_t rows) const {
    double round = act == "bf16" ? 1.0 / 256 : 1e-6,
           sums = act == "q8" ? 2e-5 : 2e-6;
    for (int64_t q = 0; q < rows * top; ++q) {
      std::vector<double> scales, got = hiddenOf(q, &scales);
      const double *row = &x.values[size_t(q / top * k)];
      for (int64_t o = 0; o < f; ++o) {
        int64_t gate = ids[size_t(q)] * 2 * slice + o / 32 * 64 + o % 32;
        double want = geluOf(dot(up.values, gate, row, k)) *
                      dot(up.values, gate + 32, row, k);
        double near = sums * (1 + std::abs(want)) +
                      (scales.empty() ? round * std::abs(want)
                                      : 0.501 * scales[size_t(o)]);
        ASSERT_NEAR(got[size_t(o)], want, near)
            << "pair " << q << " output " << o;
      }
    }
  }

  void checkDown(int64_t rows) const {
    std::vector<std::vector<double>> values;
    for (int64_t q = 0; q < rows * top; ++q)
      values.push_back(hiddenOf(q, nullptr));
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t o = 0; o < k; ++o) {
        double want = 0, size = 1;
        for (int64_t q = r * top; q < (r + 1) * top; ++q) {
          double product =
              weights[size_t(q)] * dot(down.values, ids[size_t(q)] * k + o,
                                       values[size_t(q)].data(), f);
          want += product;
          size += std::abs(product);
        }
        ASSERT_NEAR(readElement(result, r, o, rowStride("f32", k), "f32"), want,
                    8e-6 * size)
            << "row " << r << " output " << o;
      }
  }

  // `rows` rows alone, in class few, have the bits that they have among all.
  void checkBits(int64_t first, int64_t rows) {
    auto same = [&](const Bytes &part, const Bytes &all, int64_t bytes) {
      return std::equal(part.begin(), part.begin() + rows * bytes,
                        all.begin() + first * bytes);
    };
    Bytes a = runUp(upFew, first, rows, rows % 2);
    if (act != "q8")
      for (int64_t q = 0; q < rows * top; ++q)
        std::fill_n(a.begin() + (q * slice + f) * elementBytes(act),
                    (slice - f) * elementBytes(act), 0xff);
    ASSERT_TRUE(same(a, hidden, rowBytes(act, top * slice)))
        << rows << " rows from " << first << " of experts_up";
    ASSERT_TRUE(same(runDown(downFew, first, rows, rows % 3), result,
                     rowBytes("f32", k)))
        << rows << " rows from " << first << " of experts_down";
  }

  const std::string format, act;
  const int64_t k, f, slice;
  RowData up, down;
  KernelRunner upFew, upMany, downFew, downMany;
  const bool emulated;
  std::mt19937 &random;
  RowData x;
  std::vector<double> weights;
  std::vector<int32_t> ids;
  Bytes hidden, result;
};

class Experts : public KernelTest {
protected:
  void check(const std::string &format, int64_t k, int64_t f,
             const std::vector<int64_t> &rows) {
    Mixture mixture(GetParam(), format, k, f, random);
    for (int64_t n : rows)
      for (Routing routing : routings) {
        if ((arm() || cuda()) &&
            (n == 8 || (routing == Routing::Same) != (n == 1)))
          continue; // an emulated run takes long
        ASSERT_NO_FATAL_FAILURE(mixture.check(n, routing));
      }
  }
};
GEMMAC_ALL_TARGETS(Experts);

TEST_P(Experts, F32) {
  check("f32", 64, 64, {1, 8});
  check("f32", 48, 40, {5, 21});
}

TEST_P(Experts, Bf16) {
  check("bf16", 64, 64, {1, 8});
  check("bf16", 48, 40, {5, 21});
}

// 448 outputs of `down`: more than one step of units.
TEST_P(Experts, Quantized) {
  for (const char *format : {"q8_0", "q4_0", "q4_bf"})
    check(format, arm() || cuda() ? 96 : 448, 64, {1, 8, 21});
}

TEST_P(Experts, ManyRows) {
  if (arm())
    GTEST_SKIP() << "the same code as with 21 rows, slowly";
  const int64_t rows = cuda() ? 128 : 512;
  check("q4_bf", 64, 96, {rows});
  check("bf16", 64, 32, {rows});
}

} // namespace
