// The towers' families that work row by row, against loops in double.
#include "test/codegen/kernels/TowerTest.h"

using namespace gemmac;

namespace {

class TowerRows : public TowerTest {
protected:
  Call call(const std::string &family, int64_t k, int64_t rows) {
    Call c{{family, RowClass::Many, {}}, rows};
    c.spec.constants.set("k", k);
    return c;
  }
  // Columns, rows. The first of them where runs are emulated, and for bounds
  // that are infinite.
  std::vector<std::pair<int64_t, int64_t>>
  sizes(const Numbers &bounds = {}) const {
    std::vector<std::pair<int64_t, int64_t>> all = {
        {36, 5}, {64, 1}, {1, 3}, {160, 8}, {4304, 2}, {6912, 3}};
    const bool finite = std::none_of(bounds.begin(), bounds.end(),
                                     [](double x) { return std::isinf(x); });
    if (arm() || !finite)
      all.resize(2);
    return all;
  }
  // Constant `clipped` and the bounds `names` (lower, upper, ...) of value
  // `bounds`; nothing if those are empty.
  void clipAt(Call &c, const std::vector<std::string> &names,
              const Numbers &bounds) {
    c.spec.constants.set("clipped", int64_t(!bounds.empty()));
    for (size_t i = 0; i < bounds.size(); ++i)
      c.bytes[names[i]] = vector({bounds[i]});
  }
  template <class F>
  Numbers map(size_t count, F f) {
    Numbers y(count);
    for (size_t i = 0; i < count; ++i)
      y[i] = f(i);
    return y;
  }
};
GEMMAC_ALL_TARGETS(TowerRows);

TEST_P(TowerRows, Affine) {
  for (auto [k, rows] : sizes()) {
    Call c = call("affine", k, rows);
    Numbers x = numbers(rows * k);
    c.spec.constants.set("factor", 2.0).set("offset", -1.0);
    c.bytes = {{"x", rowsOf(x, k)}, {"y", space(rows, k)}};
    run(c, {"y"}, int32_t(rows));
    expectRows(c["y"], map(x.size(), [&](size_t i) { return 2 * x[i] - 1; }), k,
               "f32", "affine");
  }
}

TEST_P(TowerRows, Clip) {
  for (const Numbers &bounds :
       {Numbers{-0.5, 0.25}, Numbers{-infinity, infinity},
        Numbers{-infinity, 0.125}})
    for (auto [k, rows] : sizes(bounds)) {
      Call c = call("clip", k, rows);
      Numbers x = numbers(rows * k);
      c.bytes = {{"x", rowsOf(x, k)},
                 {"lo", vector({bounds[0]})},
                 {"hi", vector({bounds[1]})}};
      checkActs(c, map(x.size(), [&](size_t i) { return clip(x[i], bounds); }),
                k, int32_t(rows), "clip");
    }
}

TEST_P(TowerRows, BiasAndStandardize) {
  for (auto [k, rows] : sizes())
    for (std::string family : {"bias", "standardize"}) {
      Call c = call(family, k, rows);
      Numbers x = numbers(rows * k), b = numbers(k), s = numbers(k, 3);
      const bool scaled = family == "standardize";
      c.bytes = {{"x", rowsOf(x, k)}, {"b", vector(b)}};
      if (scaled)
        c.bytes["s"] = vector(s);
      c.same = {{"y", "x"}};
      run(c, {"y"}, int32_t(rows));
      expectRows(c["y"],
                 map(x.size(),
                     [&, k = size_t(k)](size_t i) {
                       return scaled ? (x[i] - b[i % k]) * s[i % k]
                                     : x[i] + b[i % k];
                     }),
                 k, "f32", family);
    }
}

TEST_P(TowerRows, AddPositions) {
  for (std::string format : {"f32", "bf16"})
    for (int64_t apart : {1, 2}) // [2][P] and [P][2]
      for (auto [k, rows] : sizes()) {
        const int64_t places = 37, second = apart == 1 ? places : 1;
        Call c = call("add_positions", k, rows);
        c.spec.constants.set("format", format);
        Numbers x = numbers(rows * k), t = numbers(2 * places * k);
        std::vector<int32_t> at;
        for (int64_t i = 0; i < 2 * rows; ++i)
          at.push_back(int32_t(random() % places));
        at[0] = 0, at[1] = places - 1;
        c.bytes = {
            {"x", rowsOf(x, k)},
            {"position", makeInts(at)},
            {"table", makeWeight(t, 2 * places, k, matrixLayout(format))}};
        c.same = {{"out", "x"}};
        c.scalars = {{"apart", apart}, {"second", second}};
        run(c, {"out"}, int32_t(rows));
        expectRows(
            c["out"],
            map(x.size(),
                [&, k = k](size_t i) {
                  const size_t r = i / size_t(k), j = i % size_t(k);
                  return x[i] + t[size_t(at[2 * r] * apart * k) + j] +
                         t[size_t((at[2 * r + 1] * apart + second) * k) + j];
                }),
            k, "f32", "add_positions");
      }
}

// The mean may be much larger than what is around it.
TEST_P(TowerRows, LayerNorm) {
  for (int64_t biased : {0, 1})
    for (auto [mean, deviation] : {std::pair{0.0, 1.0}, {3.0, 1.0}, {0.7, 0.0}})
      for (auto [k, rows] : sizes()) {
        Call c = call("layer_norm", k, rows);
        c.spec.constants.set("eps", 1e-5).set("biased", biased);
        Numbers x = numbers(rows * k), w = numbers(k), b = numbers(k);
        for (double &number : x)
          number = float(number * deviation + mean);
        c.bytes = {{"x", rowsOf(x, k)}, {"w", vector(w)}};
        if (biased)
          c.bytes["b"] = vector(b);
        Numbers want;
        for (int64_t r = 0; r < rows; ++r) {
          double sum = 0;
          Numbers z;
          for (int64_t j = 0; j < k; ++j)
            sum += x[size_t(r * k + j)];
          for (int64_t j = 0; j < k; ++j)
            z.push_back(x[size_t(r * k + j)] - sum / double(k));
          const double scale = inverseRms(z.data(), k, 1e-5);
          for (int64_t j = 0; j < k; ++j)
            want.push_back(z[size_t(j)] * scale * w[size_t(j)] +
                           (biased ? b[size_t(j)] : 0));
        }
        checkActs(c, want, k, int32_t(rows), "layer_norm", 4);
      }
}

TEST_P(TowerRows, PlainNorm) {
  for (auto [k, rows] : sizes()) {
    Call c = call("plain_norm", k, rows);
    c.spec.constants.set("eps", eps);
    Numbers x = numbers(rows * k);
    c.bytes = {{"x", rowsOf(x, k)}};
    checkActs(c,
              map(x.size(),
                  [&, k = k](size_t i) {
                    return x[i] *
                           inverseRms(&x[i / size_t(k) * size_t(k)], k, eps);
                  }),
              k, int32_t(rows), "plain_norm");
  }
}

TEST_P(TowerRows, Pool) {
  for (int64_t n : {9, 1})
    for (auto [k, rows] : sizes()) {
      Call c = call("pool", k, rows);
      c.spec.constants.set("n", n).set("factor", std::sqrt(double(k)));
      Numbers x = numbers(n * rows * k);
      c.bytes = {{"x", rowsOf(x, k)}, {"y", space(rows, k)}};
      run(c, {"y"}, int32_t(rows));
      expectRows(
          c["y"],
          map(size_t(rows * k),
              [&, k = k](size_t i) {
                double sum = 0;
                for (int64_t m = 0; m < n; ++m)
                  sum += x[(i / size_t(k) * size_t(n) + size_t(m)) * size_t(k) +
                           i % size_t(k)];
                return sum / double(n) * std::sqrt(double(k));
              }),
          k, "f32", "pool", 8);
    }
}

TEST_P(TowerRows, ResidualAndAdd) {
  for (const Numbers &bounds :
       {Numbers(), Numbers{-0.5, 0.25}, Numbers{-infinity, infinity}})
    for (auto [k, rows] : sizes(bounds))
      for (std::string family : {"residual", "add"}) {
        Call c = call(family, k, rows);
        const bool norm = family == "residual";
        Numbers h = numbers(rows * k), y = numbers(rows * k), w = numbers(k);
        c.bytes = {{"h", rowsOf(h, k)}, {"y", rowsOf(y, k)}};
        if (norm) {
          c.spec.constants.set("eps", eps).set("factor", 0.5);
          c.bytes["w"] = vector(w);
        }
        clipAt(c, {"lo", "hi"}, bounds);
        c.same = {{"out", "h"}};
        run(c, {"out"}, int32_t(rows));
        Numbers z = map(y.size(), [&](size_t i) { return clip(y[i], bounds); });
        expectRows(c["out"],
                   map(h.size(),
                       [&, k = k](size_t i) {
                         const size_t row = i / size_t(k) * size_t(k);
                         return h[i] +
                                (norm ? z[i] * inverseRms(&z[row], k, eps) *
                                            w[i - row] * 0.5
                                      : z[i]);
                       }),
                   k, "f32", family);
      }
}

TEST_P(TowerRows, Silu) {
  for (const Numbers &bounds : {Numbers(), Numbers{-2, 3, -0.1, 1.5},
                                Numbers{-infinity, infinity, -infinity, 2}})
    for (auto [k, rows] : sizes(bounds)) {
      Call c = call("silu", k, rows);
      clipAt(c, {"lo", "hi", "in_lo", "in_hi"}, bounds);
      Numbers x = numbers(rows * k, 4);
      x[0] = -200;
      c.bytes["x"] = rowsOf(x, k);
      checkActs(c,
                map(x.size(),
                    [&](size_t i) {
                      return clip(silu(clip(x[i], bounds)), bounds, 2);
                    }),
                k, int32_t(rows), "silu");
    }
}

TEST_P(TowerRows, Geglu) {
  for (const Numbers &bounds :
       {Numbers(), Numbers{-1, 2, -0.5, 3, -0.1, 4},
        Numbers{-infinity, 2, -1, infinity, -infinity, infinity}})
    for (auto [k, rows] : sizes(bounds)) {
      Call c = call("geglu", k, rows);
      clipAt(c, {"g_lo", "g_hi", "u_lo", "u_hi", "in_lo", "in_hi"}, bounds);
      Numbers g = numbers(rows * k, 4), u = numbers(rows * k, 4);
      c.bytes["g"] = rowsOf(g, k), c.bytes["u"] = rowsOf(u, k);
      checkActs(c,
                map(g.size(),
                    [&](size_t i) {
                      return clip(gelu(clip(g[i], bounds)) *
                                      clip(u[i], bounds, 2),
                                  bounds, 4);
                    }),
                k, int32_t(rows), "geglu", 2);
    }
}

TEST_P(TowerRows, Glu) {
  for (const Numbers &bounds : {Numbers(), Numbers{-1, 2}})
    for (auto [k, rows] : sizes(bounds)) {
      Call c = call("glu", k, rows);
      clipAt(c, {"lo", "hi"}, bounds);
      Numbers x = numbers(rows * 2 * k, 4);
      c.bytes["x"] = rowsOf(x, 2 * k), c.bytes["y"] = space(rows, k);
      run(c, {"y"}, int32_t(rows));
      expectRows(c["y"],
                 map(size_t(rows * k),
                     [&, k = size_t(k)](size_t i) {
                       const double *row = &x[i / k * 2 * k];
                       return clip(row[i % k], bounds) *
                              sigmoid(clip(row[k + i % k], bounds));
                     }),
                 k, "f32", "glu");
    }
}

} // namespace
