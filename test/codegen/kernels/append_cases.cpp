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

// `block`: the lanes that share a scale with lane `d`.
bool near(const Shape &s, double got, const std::vector<double> &want, int d,
          int64_t block) {
  if (s.cache == "q8") {
    double largest = 0;
    for (int64_t i = d / block * block; i < d / block * block + block; ++i)
      largest = std::max(largest, std::abs(want[i]));
    return std::abs(got - want[d]) <= 0.501 * largest / 127 + 1e-6;
  }
  double scale = std::max(1.0, std::abs(want[d]));
  return std::abs(got - want[d]) <= (s.cache == "f32" ? 1e-6 : 0.00392) * scale;
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

// Sums with every block of a head start where its codes say.
bool startsFit(const uint8_t *q, const Shape &s, int64_t head) {
  for (int64_t b = 0; b < s.hd / blockValues; ++b) {
    const uint8_t *block =
        q + (head * s.hd / blockValues + b) * sizeof(ActivationBlock);
    int32_t start, sum = 0;
    memcpy(&start, block + 36, 4);
    for (int64_t i = 0; i < blockValues; ++i)
      sum += int8_t(block[i]);
    if (start != startOf(sum))
      return false;
  }
  return true;
}

using RopeQ = void (*)(const void *, const void *, const void *, void *,
                       int32_t, int32_t, int32_t, int32_t, int32_t);

std::string runRopeQ(const Lookup &find, const Shape &s, RowClass rowClass,
                     int rows) {
  auto f = RopeQ(find(specOf("rope_q", s, rowClass)));
  if (!f)
    return "";
  const int column = 32;
  Rows in(s, rows, column + s.heads * s.hd, 5);
  const int64_t bytes = encodedBytes(s.cache, s.heads * s.hd); // of a row
  Buffer q(size_t(roundUp(rows, 8) * bytes)), one(q.bytes);
  for (auto [a, b] :
       {std::pair(rows / 2, rows), std::pair(0, rows / 2), std::pair(1, 1)})
    f(in.x.data(), in.rope.data(), in.w.data(), q.data(), rows, in.stride,
      column, a, b);
  f(in.x.data(), in.rope.data(), in.w.data(), one.data(), rows, in.stride,
    column, 0, rows);
  if (!q.intact() || memcmp(q.data(), one.data(), size_t(rows * bytes)))
    return "rope_q depends on the division of rows or writes outside";
  for (int r = 0; r < rows; ++r)
    for (int h = 0; h < s.heads; ++h) {
      std::vector<double> want = reference(s, in.row(r) + column + h * s.hd,
                                           in.w.as<float>(), in.turn(s, r));
      for (int d = 0; d < s.hd; ++d) {
        double got =
            getQuery(s.cache, q.data(), s.hd, int64_t(r) * s.heads + h, d);
        if (!near(s, got, want, d, keyBlock(s.hd)))
          return text("rope_q row %d head %d dim %d: expects %.8g, got %.8g", r,
                      h, d, want[d], got);
      }
      if (s.cache == "q8" && !startsFit(q.data(), s, r * s.heads + h))
        return text("rope_q row %d head %d: the sum of the codes is wrong", r,
                    h);
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
  const Array<gm_tile> tiles = {{0, 3, 1, 61}, {3, 16, 0, 128}, {19, 1, 2, 95}};
  const int rows = 20, kColumn = 64,
            vColumn = shared ? kColumn : kColumn + s.heads * s.hd;
  const int stride = 4, pages = 9;
  Array<int32_t> table = {5, 3, 8, 1, 2, 7, 0, 6, 5, 4, 3, 2};
  for (int32_t &entry : table)
    entry += firstPage;
  Rows in(s, rows, kColumn + 2 * s.heads * s.hd, 11);
  const int64_t kPage = keyPageBytes(s.cache, s.heads, s.hd),
                vPage = valuePageBytes(s.cache, s.heads, s.hd);
  Buffer k(size_t(pages * kPage)), v(size_t(pages * vPage));
  for (auto [a, b] : {std::pair(1, 3), std::pair(0, 1), std::pair(2, 2)})
    f(in.x.data(), in.rope.data(), tiles.data(), in.w.data(),
      poolOf(k.data(), kPage), poolOf(v.data(), vPage), table.data(), stride,
      rows, in.stride, kColumn, vColumn, a, b);
  std::vector<uint8_t> touched(pages * kPage, 0), touchedV(pages * vPage, 0);
  const bool q8 = s.cache == "q8";
  const int bytes = q8 ? 1 : int(elementBytes(s.cache));
  for (const gm_tile &t : tiles)
    for (int i = 0; i < t.rows; ++i)
      for (int h = 0; h < s.heads; ++h) {
        const int r = t.row0 + i, p = t.pos0 + i;
        const int64_t page = table[t.slot * stride + p / 64] - firstPage;
        uint8_t *kAt = k.data() + page * kPage, *vAt = v.data() + page * vPage;
        const float *from = in.row(r) + h * s.hd;
        std::vector<double> wantK =
            reference(s, from + kColumn, in.w.as<float>(), in.turn(s, r));
        std::vector<double> wantV =
            reference(s, from + vColumn, nullptr, nullptr);
        for (int d = 0; d < s.hd; ++d) {
          double gotK = getKey(s.cache, kAt, s.hd, h, p % 64, d),
                 gotV = getValue(s.cache, vAt, s.hd, h, p % 64, d);
          if (!near(s, gotK, wantK, d, keyBlock(s.hd)) ||
              !near(s, gotV, wantV, d, s.hd))
            return text("append row %d head %d dim %d: expects k %.8g, v %.8g, "
                        "got %.8g, %.8g",
                        r, h, d, wantK[d], wantV[d], gotK, gotV);
          std::fill_n(
              &touched[page * kPage + keyAddress(s.cache, s.hd, h, p % 64, d)],
              bytes, 1);
          std::fill_n(&touchedV[page * vPage +
                                valueAddress(s.cache, s.hd, h, p % 64, d)],
                      bytes, 1);
          if (!q8)
            continue;
          std::fill_n(
              &touched[page * kPage + keyScaleAddress(s.hd, h, p % 64, d)], 4,
              1);
          std::fill_n(
              &touchedV[page * vPage + valueScaleAddress(s.hd, h, p % 64)], 4,
              1);
        }
      }
  for (size_t i = 0; i < touched.size(); ++i)
    if (!touched[i] && k.data()[i] != 0xff)
      return "append touches other keys";
  for (size_t i = 0; i < touchedV.size(); ++i)
    if (!touchedV[i] && v.data()[i] != 0xff)
      return "append touches other values";
  return k.intact() && v.intact() ? "" : "append writes outside the pools";
}

} // namespace

std::vector<Case> appendCases() {
  std::vector<Case> cases;
  for (const char *f : {"bf16", "f32", "q8"})
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
