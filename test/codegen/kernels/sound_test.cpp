// The families of sounds (conv2d, depthwise, rel_positions, rel_attend),
// against loops in double.
#include "test/codegen/kernels/TowerTest.h"

using namespace gemmac;

namespace {

class Sound : public TowerTest {};
GEMMAC_ALL_TARGETS(Sound);

struct Stage {
  int64_t g, in, out, bins, rows;
};

// A sound of rows of four frames each, of which the last row has `real`; at
// stage g = 2 half of them are left.
TEST_P(Sound, Conv2d) {
  std::vector<Stage> stages = {{4, 1, 128, 128, 3}, {2, 128, 32, 64, 4},
                               {4, 3, 16, 6, 5},    {2, 5, 48, 2, 1},
                               {2, 7, 16, 34, 6},   {4, 1, 32, 20, 1}};
  if (arm())
    stages = {stages[2], stages[4]};
  for (const Stage &s : stages)
    for (int real : {1, 2, 3, 4}) {
      Call c{{"conv2d", RowClass::Many, {}}, s.rows};
      c.spec.constants.set("g", s.g)
          .set("channels_in", s.in)
          .set("channels_out", s.out)
          .set("bins", s.bins)
          .set("eps", eps);
      ASSERT_EQ(checkSpec(c.spec), "");
      const int64_t frame = s.bins * s.in;
      Numbers x = numbers(s.rows * s.g * frame), w = numbers(s.out * s.in * 9),
              norm = numbers(s.out);
      std::vector<int32_t> frames(size_t(s.rows), 4);
      frames.back() = real;
      const int64_t left = (real * s.g + 3) / 4;
      for (int64_t i = ((s.rows - 1) * s.g + left) * frame;
           i < int64_t(x.size()); ++i)
        x[size_t(i)] = 0;
      const int64_t columns = s.g / 2 * (s.bins / 2) * s.out;
      c.bytes = {{"x", rowsOf(x, s.g * frame)},
                 {"frames", makeInts(frames)},
                 {"w", vector(w)},
                 {"norm", vector(norm)},
                 {"y", space(s.rows, columns)}};
      run(c, {"y"}, int32_t(s.rows));
      Numbers want;
      for (int64_t t = 0; t < s.rows * s.g / 2; ++t)
        for (int64_t b = 0; b < s.bins / 2; ++b) {
          Numbers y;
          double sum = 0;
          for (int64_t o = 0; o < s.out; ++o) {
            double z = 0;
            for (int64_t i = 0; i < s.in; ++i)
              for (int64_t dy = 0; dy < 3; ++dy)
                for (int64_t dx = 0; dx < 3; ++dx) {
                  const int64_t f = 2 * t + dy - 1, bin = 2 * b + dx - 1;
                  if (f >= 0 && bin >= 0)
                    z += w[size_t(((o * s.in + i) * 3 + dy) * 3 + dx)] *
                         x[size_t(f * frame + bin * s.in + i)];
                }
            y.push_back(z), sum += z;
          }
          for (double &z : y)
            z -= sum / double(s.out);
          const double scale = inverseRms(y.data(), s.out, eps);
          const bool exists = t < (s.rows - 1) * s.g / 2 + (left + 1) / 2;
          for (int64_t o = 0; o < s.out; ++o)
            want.push_back(
                exists ? std::max(0.0, y[size_t(o)] * scale * norm[size_t(o)])
                       : 0);
        }
      expectRows(c["y"], want, columns, "f32", "conv2d", 4);
    }
}

TEST_P(Sound, Depthwise) {
  struct Size {
    int64_t k, rows, taps;
  };
  std::vector<Size> sizes = {
      {64, 7, 5}, {36, 3, 8}, {1024, 9, 5}, {1, 2, 1}, {160, 12, 5}};
  if (arm())
    sizes.resize(2);
  for (const auto &[k, rows, taps] : sizes)
    for (const Numbers &bounds :
         {Numbers(), Numbers{0.1, 1}, Numbers{-infinity, infinity}}) {
      if (k > 64 && bounds.empty()) // sizes do not differ in that
        continue;
      Call c{{"depthwise", RowClass::Many, {}}, rows};
      c.spec.constants.set("k", k).set("taps", taps).set("eps", eps);
      c.spec.constants.set("clipped", int64_t(!bounds.empty()));
      Numbers x = numbers(rows * k), w = numbers(k * taps), norm = numbers(k);
      c.bytes = {{"x", rowsOf(x, k)}, {"w", vector(w)}, {"norm", vector(norm)}};
      if (!bounds.empty())
        c.bytes["lo"] = vector({bounds[0]}),
        c.bytes["hi"] = vector({bounds[1]});
      Numbers want;
      for (int64_t r = 0; r < rows; ++r) {
        Numbers z(size_t(k), 0.0);
        for (int64_t j = 0; j < k; ++j)
          for (int64_t i = std::max<int64_t>(0, taps - 1 - r); i < taps; ++i)
            z[size_t(j)] +=
                w[size_t(j * taps + i)] * x[size_t((r - taps + 1 + i) * k + j)];
        const double scale = inverseRms(z.data(), k, eps);
        for (int64_t j = 0; j < k; ++j)
          want.push_back(
              clip(silu(z[size_t(j)] * scale * norm[size_t(j)]), bounds));
      }
      checkActs(c, want, k, int32_t(rows), "depthwise", 2);
    }
}

// The rows of the step do not matter, 1 included.
TEST_P(Sound, RelPositions) {
  for (std::string format : {"f32", "bf16"})
    for (int64_t k : arm() ? std::vector<int64_t>{36}
                           : std::vector<int64_t>{36, 4, 96, 1024})
      for (int64_t window : {12, 13, 1, 64}) {
        Call c{{"rel_positions", RowClass::Many, {}}, 1};
        c.spec.constants.set("k", k)
            .set("window", window)
            .set("format", format);
        ASSERT_EQ(checkSpec(c.spec), "");
        Numbers w = numbers(k * k);
        c.bytes = {{"w", makeWeight(w, k, k, matrixLayout(format))},
                   {"y", space(64, k)}};
        run(c, {"y"}, int32_t(roundUp(k, groupRows) / groupRows));
        Numbers want, size;
        for (int64_t d = 0; d < window; ++d)
          for (int64_t o = 0; o < k; ++o) {
            double y = 0;
            for (int64_t j = 0; j < k; ++j) {
              const double omega = std::exp(
                  -double(j % (k / 2)) * std::log(10000.0) / double(k / 2 - 1));
              y += w[size_t(o * k + j)] * (j < k / 2
                                               ? std::sin(double(d) * omega)
                                               : std::cos(double(d) * omega));
            }
            want.push_back(y);
          }
        // Sums of k numbers up to 1.
        expectRows(c["y"], want, k, "f32", "rel_positions", k / 32 + 1);
      }
}

struct Window {
  int64_t heads, hd, window, rows;
};

TEST_P(Sound, RelAttend) {
  std::vector<Window> shapes = {{2, 16, 12, 15},
                                {1, 20, 17, 18},
                                {8, 128, 12, 30},
                                {3, 32, 64, 70},
                                {2, 48, 1, 1}};
  if (arm())
    shapes.resize(2);
  for (const auto &[heads, hd, window, rows] : shapes)
    for (bool clipped : {false, true}) {
      if (!clipped && heads > 2) // shapes do not differ in that
        continue;
      const int64_t k = heads * hd;
      Call c{{"rel_attend", RowClass::Many, {}}, rows};
      c.spec.constants.set("heads", heads).set("hd", hd).set("window", window);
      c.spec.constants.set("cap", 50.0).set("clipped", int64_t(clipped));
      Numbers q = numbers(rows * k, 3), ks = numbers(rows * k, 3),
              v = numbers(rows * k), r = numbers(window * k),
              scale = numbers(hd, 4);
      scale[0] = -100;
      c.bytes = {{"q", rowsOf(q, k)},
                 {"k", rowsOf(ks, k)},
                 {"v", rowsOf(v, k)},
                 {"positions", rowsOf(r, k)},
                 {"scale", vector(scale)}};
      Numbers clips[4];
      if (clipped) {
        const Numbers all[] = {
            {-2, 2.5}, {-infinity, 2}, {-0.5, 0.75}, {0, infinity}};
        const char *names[] = {"q", "k", "v", "in"};
        for (int i = 0; i < 4; ++i) {
          clips[i] = all[i];
          c.bytes[std::string(names[i]) + "_lo"] = vector({all[i][0]});
          c.bytes[std::string(names[i]) + "_hi"] = vector({all[i][1]});
        }
      }
      Numbers want;
      for (int64_t t = 0; t < rows; ++t)
        for (int64_t h = 0; h < heads; ++h) {
          Numbers weight;
          double sum = 0, top = -1e300;
          for (int64_t d = 0; d < std::min(window, t + 1); ++d) {
            double s = 0;
            for (int64_t i = 0; i < hd; ++i)
              s += clip(q[size_t(t * k + h * hd + i)], clips[0]) /
                   std::sqrt(double(hd)) / std::log(2.0) *
                   std::log1p(std::exp(scale[size_t(i)])) *
                   (clip(ks[size_t((t - d) * k + h * hd + i)], clips[1]) *
                        std::log(1 + std::exp(1.0)) / std::log(2.0) +
                    r[size_t(d * k + h * hd + i)]);
            weight.push_back(50 * std::tanh(s / 50));
            top = std::max(top, weight.back());
          }
          for (double &w : weight)
            sum += w = std::exp(w - top);
          for (int64_t i = 0; i < hd; ++i) {
            double y = 0;
            for (size_t d = 0; d < weight.size(); ++d)
              y += weight[d] / sum *
                   clip(v[size_t((t - int64_t(d)) * k + h * hd + i)], clips[2]);
            want.push_back(clip(y, clips[3]));
          }
        }
      checkActs(c, want, k, int32_t(rows), "rel_attend", 16);
    }
}

} // namespace
