// Cases of append and rope_q: norm and rotation in double, page layouts of
// targets/Layouts.h, and that nothing else is touched.
#include "test/codegen/kernels/body_cases.h"
#include "test/codegen/kernels/body_data.h"

#include "runtime/abi.h"

namespace gemmac::test {
namespace {

struct Shape {
  std::string cache;
  int heads, hd, pairs;
};

const double eps = 1e-6;

KernelSpec specOf(const char *family, const Shape &s, RowClass rows) {
  Constants c;
  c.set("heads", int64_t(s.heads))
      .set("hd", int64_t(s.hd))
      .set("pairs", int64_t(s.pairs));
  c.set("eps", eps).set("cache", s.cache);
  return {family, rows, c};
}

// A head's norm times w (or not), rotated by the row's table (or not).
std::vector<double> reference(const Shape &s, const float *x, const float *w,
                              const float *rope) {
  std::vector<double> y(s.hd);
  double sum = 0;
  for (int d = 0; d < s.hd; ++d)
    sum += double(x[d]) * x[d];
  for (int d = 0; d < s.hd; ++d)
    y[d] = x[d] / std::sqrt(sum / s.hd + eps) * (w ? w[d] : 1);
  for (int i = 0; rope && i < s.pairs; ++i) {
    double c = rope[2 * i], t = rope[2 * i + 1], a = y[i], b = y[i + s.hd / 2];
    y[i] = a * c - b * t;
    y[i + s.hd / 2] = b * c + a * t;
  }
  return y;
}

bool near(const Shape &s, double got, double want) {
  double scale = std::max(1.0, std::abs(want));
  return std::abs(got - want) <= (s.cache == "f32" ? 1e-6 : 0.00392) * scale;
}

struct Rows {
  Rows(const Shape &s, int rows, int columns, uint64_t seed)
      : stride(int(roundUp(columns, 32)) + 32), x(size_t(stride) * rows * 4),
        rope(size_t(rows) * s.pairs * 8), w(size_t(s.hd) * 4) {
    Random random(seed);
    for (int r = 0; r < rows; ++r)
      for (int i = 0; i < columns; ++i)
        x.as<float>()[r * stride + i] = random.normal() * (r + 1);
    for (int i = 0; i < rows * s.pairs; ++i) {
      double angle = random.uniform() * 6.28;
      rope.as<float>()[2 * i] = float(std::cos(angle));
      rope.as<float>()[2 * i + 1] = float(std::sin(angle));
    }
    for (int d = 0; d < s.hd; ++d)
      w.as<float>()[d] = 1 + random.normal() / 4;
  }
  const float *row(int r) { return x.as<float>() + r * stride; }
  const float *turn(const Shape &s, int r) {
    return rope.as<float>() + r * s.pairs * 2;
  }
  int stride;
  Buffer x, rope, w;
};

using RopeQ = void (*)(const void *, const void *, const void *, void *,
                       int32_t, int32_t, int32_t, int32_t, int32_t);

std::string runRopeQ(const Lookup &find, const Shape &s, RowClass rowClass,
                     int rows) {
  auto f = RopeQ(find(specOf("rope_q", s, rowClass)));
  if (!f)
    return "";
  const int column = 32, bytes = int(elementBytes(s.cache));
  Rows in(s, rows, column + s.heads * s.hd, 5);
  Buffer q(size_t(roundUp(rows, 8) * s.heads * s.hd * bytes)), one(q.bytes);
  for (auto [a, b] :
       {std::pair(rows / 2, rows), std::pair(0, rows / 2), std::pair(1, 1)})
    f(in.x.data(), in.rope.data(), in.w.data(), q.data(), rows, in.stride,
      column, a, b);
  f(in.x.data(), in.rope.data(), in.w.data(), one.data(), rows, in.stride,
    column, 0, rows);
  if (!q.intact() ||
      memcmp(q.data(), one.data(), size_t(rows) * s.heads * s.hd * bytes))
    return "rope_q depends on the division of rows or writes outside";
  for (int r = 0; r < rows; ++r)
    for (int h = 0; h < s.heads; ++h) {
      std::vector<double> want = reference(s, in.row(r) + column + h * s.hd,
                                           in.w.as<float>(), in.turn(s, r));
      for (int d = 0; d < s.hd; ++d) {
        double got =
            get(s.cache,
                q.data() + ((int64_t(r) * s.heads + h) * s.hd + d) * bytes);
        if (!near(s, got, want[d]))
          return text("rope_q row %d head %d dim %d: expects %.8g, got %.8g", r,
                      h, d, want[d], got);
      }
    }
  return "";
}

using Append = void (*)(const void *, const void *, const gm_tile *,
                        const void *, uint8_t *, uint8_t *, const int32_t *,
                        int32_t, int32_t, int32_t, int32_t, int32_t, int32_t,
                        int32_t);

// `shared`: V comes from the raw keys (K = V layers).
std::string runAppend(const Lookup &find, const Shape &s, RowClass rowClass,
                      bool shared) {
  auto f = Append(find(specOf("append", s, rowClass)));
  if (!f)
    return "";
  const std::vector<gm_tile> tiles = {
      {0, 3, 1, 61}, {3, 16, 0, 128}, {19, 1, 2, 95}};
  const int rows = 20, kColumn = 64,
            vColumn = shared ? kColumn : kColumn + s.heads * s.hd;
  const int stride = 4, pages = 9;
  std::vector<int32_t> table = {5, 3, 8, 1, 2, 7, 0, 6, 5, 4, 3, 2};
  for (int32_t &entry : table)
    entry += firstPage;
  Rows in(s, rows, kColumn + 2 * s.heads * s.hd, 11);
  const int64_t page = cachePageBytes(s.cache, s.heads, s.hd);
  Buffer k(size_t(pages * page)), v(size_t(pages * page));
  for (auto [a, b] : {std::pair(1, 3), std::pair(0, 1), std::pair(2, 2)})
    f(in.x.data(), in.rope.data(), tiles.data(), in.w.data(),
      poolOf(k.data(), page), poolOf(v.data(), page), table.data(), stride,
      rows, in.stride, kColumn, vColumn, a, b);
  std::vector<uint8_t> touched(pages * page, 0), touchedV(touched);
  const int bytes = int(elementBytes(s.cache));
  for (const gm_tile &t : tiles)
    for (int i = 0; i < t.rows; ++i)
      for (int h = 0; h < s.heads; ++h) {
        const int r = t.row0 + i, p = t.pos0 + i;
        const int64_t base =
            (table[t.slot * stride + p / 64] - firstPage) * page;
        const float *from = in.row(r) + h * s.hd;
        std::vector<double> wantK =
            reference(s, from + kColumn, in.w.as<float>(), in.turn(s, r));
        std::vector<double> wantV =
            reference(s, from + vColumn, nullptr, nullptr);
        for (int d = 0; d < s.hd; ++d) {
          int64_t atK = base + keyAddress(s.cache, s.hd, h, p % 64, d);
          int64_t atV = base + valueAddress(s.cache, s.hd, h, p % 64, d);
          double gotK = get(s.cache, k.data() + atK),
                 gotV = get(s.cache, v.data() + atV);
          if (!near(s, gotK, wantK[d]) || !near(s, gotV, wantV[d]))
            return text("append row %d head %d dim %d: expects k %.8g, v %.8g, "
                        "got %.8g, %.8g",
                        r, h, d, wantK[d], wantV[d], gotK, gotV);
          std::fill_n(&touched[atK], bytes, 1);
          std::fill_n(&touchedV[atV], bytes, 1);
        }
      }
  for (size_t i = 0; i < touched.size(); ++i)
    if ((!touched[i] && k.data()[i] != 0xff) ||
        (!touchedV[i] && v.data()[i] != 0xff))
      return "append touches other keys";
  return k.intact() && v.intact() ? "" : "append writes outside the pools";
}

} // namespace

std::vector<Case> appendCases() {
  std::vector<Case> cases;
  for (const char *f : {"bf16", "f32"})
    for (Shape s :
         {Shape{f, 1, 256, 128}, Shape{f, 2, 512, 64}, Shape{f, 3, 32, 4},
          Shape{f, 4, 64, 32}, Shape{f, 1, 96, 11}}) {
      std::string name =
          text("%s heads %d hd %d pairs %d", f, s.heads, s.hd, s.pairs);
      cases.push_back({"rope_q " + name, [=](const Lookup &find) {
                         std::string e = runRopeQ(find, s, RowClass::Few, 8);
                         return e.empty()
                                    ? runRopeQ(find, s, RowClass::Many, 19)
                                    : e;
                       }});
      cases.push_back(
          {"append " + name, [=](const Lookup &find) {
             std::string e = runAppend(find, s, RowClass::Few, false);
             return e.empty() ? runAppend(find, s, RowClass::Many, true) : e;
           }});
    }
  return cases;
}

} // namespace gemmac::test
