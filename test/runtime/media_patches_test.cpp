// Pictures resized and cut into patches, against the reference's bytes and
// plain loops.
#include "runtime/media/limits.h"
#include "runtime/media/patches.h"
#include "runtime/media/resize.h"
#include "runtime/media/target_size.h"

#include "test/runtime/media_cases.h"

#include <cmath>

using namespace gm::media;
using namespace media_cases;

namespace {

Picture pictureOf(const Tensors &tensors, const std::string &name) {
  auto shape = tensors.shape(name);
  return {shape[0], shape[1], tensors.values<uint8_t>(name)};
}

Picture noisePicture(int64_t height, int64_t width) {
  Picture picture{height, width, {}};
  for (float x : noise(height * width * 3))
    picture.rgb.push_back(uint8_t((x + 1) * 128));
  return picture;
}

// docs/model/vision.md#2.3 with integers and nothing else: one axis of a
// picture (n, lanes) -> (m, lanes).
std::vector<uint8_t> plainPass(const std::vector<uint8_t> &in, int64_t n,
                               int64_t m) {
  if (n == m)
    return in;
  const int64_t lanes = int64_t(in.size()) / n;
  const double scale = double(n) / double(m), fs = std::max(scale, 1.0);
  std::vector<uint8_t> out;
  for (int64_t i = 0; i < m; ++i) {
    const double c = (double(i) + 0.5) * scale;
    const int64_t lo = std::max<int64_t>(0, int64_t(c - 2 * fs + 0.5));
    const int64_t hi = std::min(n, int64_t(c + 2 * fs + 0.5));
    std::vector<double> w;
    double sum = 0;
    for (int64_t j = lo; j < hi; ++j) {
      const double t = std::fabs((double(j) - c + 0.5) / fs);
      w.push_back(t < 1   ? 1.5 * t * t * t - 2.5 * t * t + 1
                  : t < 2 ? -0.5 * t * t * t + 2.5 * t * t - 4 * t + 2
                          : 0);
      sum += w.back();
    }
    for (int64_t lane = 0; lane < lanes; ++lane) {
      int64_t all = 1 << 21;
      for (int64_t j = lo; j < hi; ++j)
        all += int64_t(std::trunc(w[size_t(j - lo)] / sum * 4194304 +
                                  (w[size_t(j - lo)] < 0 ? -0.5 : 0.5))) *
               in[size_t(j * lanes + lane)];
      out.push_back(uint8_t(std::clamp<int64_t>(all >> 22, 0, 255)));
    }
  }
  return out;
}

// Columns become rows.
Picture turned(const Picture &from) {
  Picture to{from.width, from.height, {}};
  for (int64_t x = 0; x < from.width; ++x)
    for (int64_t y = 0; y < from.height; ++y)
      for (int c = 0; c < 3; ++c)
        to.rgb.push_back(from.rgb[size_t((y * from.width + x) * 3 + c)]);
  return to;
}

Picture plainResize(Picture picture, int64_t height, int64_t width,
                    bool columnsFirst) {
  for (bool columns : {columnsFirst, !columnsFirst})
    if (columns) {
      picture.rgb = plainPass(picture.rgb, picture.height, height);
      picture.height = height;
    } else {
      Picture side = turned(picture);
      side.rgb = plainPass(side.rgb, side.height, width);
      side.height = width;
      picture = turned(side);
    }
  return picture;
}

// Cells of 2 x 2 patches of 3 pixels: the patches of make_patches in another
// order, rows apart with 0 between.
TEST(Cells, HaveRowsApart) {
  const Picture picture = noisePicture(12, 18); // 4 x 6 patches
  Patches patches;
  ASSERT_OK(make_patches(picture, 3, 0, patches));
  const int64_t values = 27, stride = 32;
  std::vector<float> rows(24 * stride, NAN);
  std::vector<int32_t> position(48);
  ASSERT_OK(make_cells(picture, 3, 2, rows.data(), stride, position.data()));
  for (int64_t r = 0; r < 24; ++r) {
    const int64_t cell = r / 4, x = cell % 3 * 2 + r % 2,
                  y = cell / 3 * 2 + r % 4 / 2;
    EXPECT_EQ(position[size_t(2 * r)], x);
    EXPECT_EQ(position[size_t(2 * r + 1)], y);
    for (int64_t i = 0; i < stride; ++i)
      EXPECT_EQ(rows[size_t(r * stride + i)],
                i < values ? patches.values[size_t((y * 6 + x) * values + i)]
                           : 0.0f);
  }
}

} // namespace

TEST(Resize, HasTheReferencesBytes) {
  const Tensors tensors("vision.safetensors");
  for (const auto &row : cases()["images"]) {
    const Picture picture = pictureOf(tensors, row["image"]);
    TargetSize size;
    ASSERT_OK(target_size(picture.height, picture.width,
                          row["budget"].get<int64_t>(), size));
    EXPECT_EQ(size.height, row["target_height"]);
    EXPECT_EQ(size.width, row["target_width"]);
    EXPECT_EQ(size.soft_tokens, row["soft_tokens"]);
    Picture to;
    ASSERT_OK(resize(picture, size.height, size.width, to));
    EXPECT_EQ(nlohmann::json(sha256(to.rgb)), row["sha256_pil"]) << row;
  }
}

// The order of the passes is part of the bytes.
TEST(Resize, ChoosesTheFirstAxisAsPillowDoes) {
  for (const auto &row : cases()["resized"]) {
    Picture to;
    ASSERT_OK(resize(noisePicture(row[0], row[1]), row[2], row[3], to));
    EXPECT_EQ(nlohmann::json(sha256(to.rgb)), row[4]) << row;
  }
}

TEST(Resize, EqualsPlainLoops) {
  for (auto [height, width, toHeight, toWidth] :
       {std::array<int64_t, 4>{7, 5, 3, 11},
        {5, 13, 9, 4},
        {1, 1, 6, 7},
        {64, 9, 64, 5},
        {9, 64, 31, 64},
        {211, 3, 2, 96},
        {3, 2000, 4, 1}}) {
    const Picture from = noisePicture(height, width);
    const bool columns =
        height > toHeight && height - toHeight > 2 * (width - toWidth);
    Picture to;
    ASSERT_OK(resize(from, toHeight, toWidth, to));
    EXPECT_EQ(to.rgb, plainResize(from, toHeight, toWidth, columns).rgb);
    EXPECT_EQ(to.height, toHeight);
    EXPECT_EQ(to.width, toWidth);
  }
}

TEST(Resize, LeavesASizeAlone) {
  Picture from = noisePicture(6, 9);
  const std::vector<uint8_t> before = from.rgb;
  ASSERT_OK(resize(from, 6, 9, from));
  EXPECT_EQ(from.rgb, before);
}

TEST(Resize, RefusesWhatIsTooLargeBeforeItAllocates) {
  const Picture from = noisePicture(2, 4);
  Picture to;
  EXPECT_EQ(resize(from, 0, 4, to).code, gm::USAGE);
  EXPECT_EQ(resize(from, kMostSide + 1, 4, to).code, gm::USAGE);
  EXPECT_EQ(resize(from, 40000, 40000, to).code, gm::USAGE);
  EXPECT_TRUE(to.rgb.empty());
}

TEST(Patches, EqualTheReference) {
  const Tensors tensors("vision.safetensors");
  Patches patches;
  ASSERT_OK(make_patches(pictureOf(tensors, "patches.image"), kTowerPatch, 630,
                         patches));
  EXPECT_EQ(patches.count, 54);
  EXPECT_EQ(patches.columns, 9);
  ASSERT_EQ(patches.rows, 630);
  ASSERT_EQ(patches.values.size(), 630u * 768);
  // Every 27th row is kept: the first, one in the middle, the padding.
  const auto values = tensors.values<float>("patches.values");
  ASSERT_EQ(values.size(), 3u * 768);
  for (size_t i = 0; i < values.size(); ++i)
    ASSERT_EQ(patches.values[i / 768 * 27 * 768 + i % 768], values[i]) << i;
  const auto positions = tensors.values<int32_t>("patches.positions");
  ASSERT_EQ(positions.size(), 110u);
  EXPECT_TRUE(std::equal(positions.begin(), positions.end(),
                         patches.positions.begin()));
  EXPECT_EQ(patches.positions.back(), -1);
  EXPECT_EQ(patches.values.back(), 0);
}

// Without padding, wide patches are the towers' put together.
TEST(Patches, OfTheUnifiedModelAreNineOfTheTowers) {
  const Picture picture = noisePicture(96, 144);
  Patches wide, small;
  ASSERT_OK(make_patches(picture, kUnifiedPatch, 0, wide));
  ASSERT_OK(make_patches(picture, kTowerPatch, 0, small));
  ASSERT_EQ(wide.rows, 6);
  ASSERT_EQ(small.rows, 54);
  for (int64_t i = 0; i < 6; ++i) {
    const int64_t x = wide.positions[size_t(i * 2)],
                  y = wide.positions[size_t(i * 2 + 1)];
    EXPECT_EQ(x, i % 3);
    EXPECT_EQ(y, i / 3);
    for (int64_t py = 0; py < 48; ++py)
      for (int64_t b = 0; b < 144; ++b) {
        const int64_t patch = (y * 3 + py / 16) * 9 + x * 3 + b / 48;
        ASSERT_EQ(wide.values[size_t(i * 6912 + py * 144 + b)],
                  small.values[size_t(patch * 768 + py % 16 * 48 + b % 48)]);
      }
  }
}

TEST(Patches, RefuseWhatDoesNotFit) {
  const Picture picture = noisePicture(32, 48);
  Patches patches;
  EXPECT_EQ(make_patches(picture, 48, 0, patches).code, gm::USAGE);
  EXPECT_EQ(make_patches(picture, 0, 0, patches).code, gm::USAGE);
  EXPECT_EQ(make_patches(picture, 16, 5, patches).code, gm::USAGE);
  EXPECT_EQ(make_patches(picture, 16, int64_t(1) << 60, patches).code,
            gm::USAGE);
}

// From the pixels of decoders to the size of a budget.
TEST(Resize, OfDecodedFiles) {
  const Tensors tensors("vision.safetensors");
  for (const auto &row : cases()["files"]) {
    const auto shape = tensors.shape(row["file"]);
    const auto bytes = tensors.values<uint8_t>(row["file"]);
    Picture picture;
    ASSERT_OK(to_rgb(
        {bytes.data(), shape[0], shape[1], int(shape[2]), shape[1] * shape[2]},
        Alpha::Drop, picture));
    turn_upright(picture, row["orientation"]);
    ASSERT_OK(
        resize(picture, row["target_height"], row["target_width"], picture));
    EXPECT_EQ(nlohmann::json(sha256(picture.rgb)), row["sha256_b70_pil"])
        << row;
  }
}
