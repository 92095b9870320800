// Attention of pictures (families heads_q, heads_kv, attend_all), against loops
// in double.
#include "test/codegen/kernels/TowerTest.h"

using namespace gemmac;

namespace {

class Picture : public TowerTest {
protected:
  struct Shape {
    int64_t heads, hd;
    int64_t columns() const { return heads * hd; }
    int64_t lanes() const { return roundUp(hd, 32); }
  };

  static Constants constants(const Shape &s, const std::string &cache) {
    return Constants()
        .set("heads", s.heads)
        .set("hd", s.hd)
        .set("cache", cache);
  }

  // Of rows in pages.
  static int64_t pageBytes(const std::string &cache, const Shape &s) {
    return keyPageBytes(cache, s.heads, s.lanes());
  }
  static Bytes pages(int64_t rows, const std::string &cache, const Shape &s) {
    return makeNan(roundUp(rows, pageKeys) / pageKeys * pageBytes(cache, s));
  }
  static size_t placeOf(bool isKey, int64_t row, int64_t head, int64_t d,
                        const std::string &cache, const Shape &s) {
    const int64_t key = row % pageKeys;
    return size_t(row / pageKeys * pageBytes(cache, s) +
                  (isKey ? test::keyAddress(cache, s.lanes(), head, key, d)
                         : test::valueAddress(cache, s.lanes(), head, key, d)));
  }

  struct Turned {
    Numbers table; // [rows][hd / 2][2]
    Bytes bytes;
  };
  Turned turns(int64_t rows, const Shape &s) {
    Turned t;
    for (int64_t i = 0; i < rows * s.hd / 2; ++i) {
      const double angle = double(random() % 6283) / 1000;
      t.table.push_back(float(std::cos(angle)));
      t.table.push_back(float(std::sin(angle)));
    }
    t.bytes = vector(t.table);
    return t;
  }

  // Norm times `w` (none: 1) of a head within bounds, turned by a row of a
  // table if there is one.
  static Numbers head(const double *x, const Numbers &w, const Numbers &bounds,
                      const double *table, int64_t hd) {
    Numbers n(static_cast<size_t>(hd));
    for (int64_t i = 0; i < hd; ++i)
      n[size_t(i)] = clip(x[i], bounds);
    const double scale = inverseRms(n.data(), hd, eps);
    for (int64_t i = 0; i < hd; ++i)
      n[size_t(i)] *= scale * (w.empty() ? 1 : w[size_t(i)]);
    for (int64_t i = 0; table && i < hd / 2; ++i) {
      const int64_t a = i / (hd / 4) * (hd / 2) + i % (hd / 4), b = a + hd / 4;
      const double x = n[size_t(a)], y = n[size_t(b)];
      n[size_t(a)] = x * table[2 * i] - y * table[2 * i + 1];
      n[size_t(b)] = y * table[2 * i] + x * table[2 * i + 1];
    }
    return n;
  }

  std::vector<Shape> shapes() const {
    std::vector<Shape> all = {{3, 72}, {2, 64}, {2, 4}, {1, 20}, {5, 128}};
    if (arm())
      all.resize(2);
    return all;
  }
};
GEMMAC_ALL_TARGETS(Picture);

TEST_P(Picture, Queries) {
  for (const Shape &s : shapes())
    for (std::string cache : {"bf16", "f32"})
      for (const Numbers &bounds :
           {Numbers(), Numbers{-0.5, 0.25}, Numbers{-infinity, infinity}}) {
        const int64_t rows = 8;
        Call c{{"heads_q", RowClass::Many, constants(s, cache)}, rows};
        c.spec.constants.set("eps", eps)
            .set("clipped", int64_t(!bounds.empty()));
        ASSERT_EQ(checkSpec(c.spec), "");
        Numbers x = numbers(rows * s.columns()), w = numbers(s.hd);
        Turned t = turns(rows, s);
        c.bytes = {{"x", rowsOf(x, s.columns())},
                   {"rope", t.bytes},
                   {"w", vector(w)},
                   {"q", space(rows, s.heads * s.lanes(), cache)}};
        if (!bounds.empty())
          c.bytes["lo"] = vector({bounds[0]}),
          c.bytes["hi"] = vector({bounds[1]});
        run(c, {"q"}, int32_t(rows));
        Numbers want;
        for (int64_t i = 0; i < rows * s.heads; ++i) {
          Numbers one = head(&x[size_t(i * s.hd)], w, bounds,
                             &t.table[size_t(i / s.heads * s.hd)], s.hd);
          one.resize(size_t(s.lanes()));
          want.insert(want.end(), one.begin(), one.end());
        }
        expectRows(c["q"], want, s.heads * s.lanes(), cache, "heads_q");
      }
}

// Pages of all sizes: one row, a whole page, some of a second.
TEST_P(Picture, KeysAndValues) {
  for (const Shape &s : shapes())
    for (std::string cache : {"bf16", "f32"})
      for (int64_t rows : {1, 64, 71}) {
        const Numbers clipK = rows == 1 ? Numbers() : Numbers{-0.5, 0.25},
                      clipV = rows == 1 ? Numbers() : Numbers{-infinity, 0.75};
        Call c{{"heads_kv", RowClass::Many, constants(s, cache)}, rows};
        c.spec.constants.set("eps", eps)
            .set("clipped", int64_t(!clipK.empty()));
        ASSERT_EQ(checkSpec(c.spec), "");
        Numbers kx = numbers(rows * s.columns()),
                vx = numbers(rows * s.columns()), w = numbers(s.hd);
        Turned t = turns(rows, s);
        c.bytes = {{"kx", rowsOf(kx, s.columns())},
                   {"vx", rowsOf(vx, s.columns())},
                   {"rope", t.bytes},
                   {"w", vector(w)},
                   {"k", pages(rows, cache, s)},
                   {"v", pages(rows, cache, s)}};
        for (size_t i = 0; i < clipK.size(); ++i) {
          c.bytes[i ? "k_hi" : "k_lo"] = vector({clipK[i]});
          c.bytes[i ? "v_hi" : "v_lo"] = vector({clipV[i]});
        }
        run(c, {"k", "v"}, int32_t(rows));
        for (int64_t row = 0; row < roundUp(rows, pageKeys); ++row)
          for (int64_t h = 0; h < s.heads; ++h) {
            Numbers k, v;
            if (row < rows) {
              const size_t at = size_t((row * s.heads + h) * s.hd);
              k = head(&kx[at], w, clipK, &t.table[size_t(row * s.hd)], s.hd);
              v = head(&vx[at], {}, clipV, nullptr, s.hd);
            }
            k.resize(size_t(s.lanes())), v.resize(size_t(s.lanes()));
            for (int64_t d = 0; d < s.lanes(); ++d) {
              const double gotK = test::get(
                               cache,
                               &c["k"][placeOf(true, row, h, d, cache, s)]),
                           gotV = test::get(
                               cache,
                               &c["v"][placeOf(false, row, h, d, cache, s)]);
              ASSERT_NEAR(gotK, k[size_t(d)], tolerance(cache, k[size_t(d)]))
                  << cache << " k row " << row << " head " << h << " lane "
                  << d;
              ASSERT_NEAR(gotV, v[size_t(d)], tolerance(cache, v[size_t(d)]))
                  << cache << " v row " << row << " head " << h << " lane "
                  << d;
            }
          }
      }
}

TEST_P(Picture, Attention) {
  struct Item {
    Shape s;
    int64_t rows;
    std::string cache;
  };
  std::vector<Item> items = {
      {{2, 72}, 75, "bf16"}, {{1, 64}, 300, "f32"},  {{3, 32}, 1, "bf16"},
      {{2, 20}, 64, "f32"},  {{1, 72}, 77, "f32"},   {{1, 64}, 257, "bf16"},
      {{5, 96}, 17, "bf16"}, {{2, 72}, 530, "bf16"}, {{1, 256}, 5, "bf16"}};
  if (arm())
    items.resize(4);
  for (const auto &[s, rows, cache] : items) {
    Call c{{"attend_all", RowClass::Many, constants(s, cache)}, rows};
    const int64_t lanes = s.lanes();
    // q as rows; what is behind hd is 0, keys behind the last row are 0.
    std::vector<Numbers> x(3);
    for (Numbers &values : x)
      values = numbers(rows * s.columns(), 2);
    Numbers q(size_t(rows * s.heads * lanes));
    Bytes k = pages(rows, cache, s), v = k;
    for (int64_t row = 0; row < roundUp(rows, pageKeys); ++row)
      for (int64_t h = 0; h < s.heads; ++h)
        for (int64_t d = 0; d < lanes; ++d) {
          const bool is = row < rows && d < s.hd;
          const size_t at = size_t((row * s.heads + h) * s.hd + d);
          test::put(cache, &k[placeOf(true, row, h, d, cache, s)],
                    is ? float(x[1][at]) : 0);
          test::put(cache, &v[placeOf(false, row, h, d, cache, s)],
                    is ? float(x[2][at]) : 0);
          if (is)
            for (int i : {1, 2})
              x[size_t(i)][at] = test::rounded(cache, float(x[size_t(i)][at]));
          if (is)
            q[size_t((row * s.heads + h) * lanes + d)] = x[0][at];
        }
    c.bytes = {{"q", rowsOf(q, s.heads * lanes, cache)}, {"k", k}, {"v", v}};
    std::vector<int32_t> tiles;
    for (int64_t row = 0, n; row < rows; row += n) {
      n = std::min(rows - row, row == 16 ? 3 : tileRows); // one is short
      tiles.insert(tiles.end(), {int32_t(row), int32_t(n), 0, int32_t(row)});
    }
    c.bytes["tile"] = makeInts(tiles);
    Numbers want(size_t(rows * s.columns()));
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t h = 0; h < s.heads; ++h) {
        Numbers weight;
        double top = -1e300, sum = 0;
        for (int64_t j = 0; j < rows; ++j) {
          double score = 0;
          for (int64_t d = 0; d < s.hd; ++d)
            score += q[size_t((r * s.heads + h) * lanes + d)] *
                     x[1][size_t((j * s.heads + h) * s.hd + d)];
          weight.push_back(score);
          top = std::max(top, score);
        }
        for (double &w : weight)
          sum += w = std::exp(w - top);
        for (int64_t j = 0; j < rows; ++j)
          for (int64_t d = 0; d < s.hd; ++d)
            want[size_t((r * s.heads + h) * s.hd + d)] +=
                weight[size_t(j)] / sum *
                x[2][size_t((j * s.heads + h) * s.hd + d)];
      }
    // Errors of scores of about 30 are relative errors of weights.
    checkActs(c, want, s.columns(), int32_t(tiles.size() / 4 * s.heads),
              "attend_all rows " + std::to_string(rows), 8);
  }
}

} // namespace
