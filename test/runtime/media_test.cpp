// Target sizes of pictures and what becomes of decoders' pixels, against the
// reference's.
#include "runtime/media/limits.h"
#include "runtime/media/picture.h"
#include "runtime/media/target_size.h"

#include "test/runtime/media_cases.h"

using namespace gm::media;
using namespace media_cases;

TEST(TargetSize, EqualsTheReference) {
  int count = 0;
  for (const auto &row : cases()["target_sizes"]) {
    TargetSize size;
    ASSERT_OK(target_size(row[0], row[1], row[2].get<int64_t>(), size)) << row;
    EXPECT_EQ(size.height, row[3]) << row;
    EXPECT_EQ(size.width, row[4]) << row;
    EXPECT_EQ(size.soft_tokens, row[5]) << row;
    ++count;
  }
  EXPECT_EQ(count, 495);
}

// docs/model/vision.md#2.2
TEST(TargetSize, FollowsTheRuleForOtherPatches) {
  struct {
    int64_t patch, patches, pool, height, width, toHeight, toWidth;
  } rows[] = {
      {16, 256, 1, 256, 256, 256, 256},  {16, 256, 1, 512, 512, 256, 256},
      {10, 200, 1, 50, 10000, 10, 2000}, {10, 200, 1, 25, 10000, 10, 2000},
      {16, 2304, 6, 2785, 34, 6144, 96}, {10, 200, 1, 25, 20000, 10, 2000},
      {4, 64, 2, 50, 1000, 8, 128},      {5, 100, 3, 100, 100, 45, 45},
      {5, 20, 3, 5, 100, 15, 30}};
  for (const auto &row : rows) {
    TargetSize size;
    ASSERT_OK(target_size(row.height, row.width,
                          SizeRule{row.patch, row.pool, row.patches}, size));
    EXPECT_EQ(size.height, row.toHeight);
    EXPECT_EQ(size.width, row.toWidth);
  }
}

TEST(TargetSize, RefusesWhatFitsInNoWay) {
  TargetSize size;
  EXPECT_EQ(target_size(5, 5, SizeRule{16, 3, 4}, size).code, gm::BAD_INPUT);
  EXPECT_EQ(target_size(0, 5, 70, size).code, gm::USAGE);
  EXPECT_EQ(target_size(5, kMostSide + 1, 70, size).code, gm::USAGE);
  EXPECT_EQ(target_size(kMostSide, kMostSide, 70, size).code, gm::USAGE);
  EXPECT_EQ(target_size(5, 5, 71, size).code, gm::USAGE);
  EXPECT_EQ(target_size(5, 5, SizeRule{16, 0, 4}, size).code, gm::USAGE);
  // Within bounds every shape fits every budget.
  for (int64_t budget : kBudgets)
    for (int64_t side : {int64_t(1), int64_t(2), int64_t(1023), kMostSide}) {
      ASSERT_OK(target_size(side, 1, budget, size));
      EXPECT_LE(size.soft_tokens, budget);
      EXPECT_GE(size.soft_tokens, 1);
    }
}

// Orientation and transparency, of files as their decoders give them.
TEST(Decoded, BecomeTheReferencesPictures) {
  const Tensors tensors("vision.safetensors");
  for (const auto &row : cases()["files"]) {
    const std::string name = row["file"];
    const auto shape = tensors.shape(name);
    const auto bytes = tensors.values<uint8_t>(name);
    const Pixels pixels{bytes.data(), shape[0], shape[1], int(shape[2]),
                        shape[1] * shape[2]};
    Picture picture;
    ASSERT_OK(to_rgb(pixels, Alpha::White, picture));
    EXPECT_EQ(nlohmann::json(sha256(picture.rgb)), row["sha256_rgb_as_object"])
        << name;
    ASSERT_OK(to_rgb(pixels, Alpha::Drop, picture));
    turn_upright(picture, row["orientation"]);
    EXPECT_EQ(nlohmann::json(sha256(picture.rgb)), row["sha256_rgb"]) << name;
  }
  EXPECT_EQ(cases()["files"].size(), 4u);
}

TEST(Decoded, OfEveryKindAndStride) {
  const uint8_t bytes[] = {10, 0, 20, 128, 99, 99, 30, 255, 40, 1, 99, 99};
  Picture picture;
  // Grey and alpha, 2 x 2, rows 6 bytes apart.
  ASSERT_OK(to_rgb({bytes, 2, 2, 2, 6}, Alpha::White, picture));
  EXPECT_EQ(picture.rgb, (std::vector<uint8_t>{255, 255, 255, 137, 137, 137, //
                                               30, 30, 30, 254, 254, 254}));
  ASSERT_OK(to_rgb({bytes, 2, 1, 3, 6}, Alpha::White, picture));
  EXPECT_EQ(picture.rgb, (std::vector<uint8_t>{10, 0, 20, 30, 255, 40}));
  ASSERT_OK(to_rgb({bytes, 1, 2, 1, 2}, Alpha::Drop, picture));
  EXPECT_EQ(picture.rgb, (std::vector<uint8_t>{10, 10, 10, 0, 0, 0}));
  ASSERT_OK(to_rgb({bytes, 1, 1, 4, 4}, Alpha::White, picture));
  // (10 128 + 255 127 + 127) / 255, and so on.
  EXPECT_EQ(picture.rgb, (std::vector<uint8_t>{132, 127, 137}));
  EXPECT_EQ(to_rgb({bytes, 2, 2, 5, 10}, Alpha::Drop, picture).code, gm::USAGE);
  EXPECT_EQ(to_rgb({bytes, 2, 2, 3, 5}, Alpha::Drop, picture).code, gm::USAGE);
  EXPECT_EQ(
      to_rgb({bytes, 1 << 15, 1 << 15, 1, 1 << 15}, Alpha::Drop, picture).code,
      gm::USAGE);
}

TEST(Orientation, AllEight) {
  // 1 2 3 over 4 5 6 as it lies, and upright for each number.
  const std::vector<int> upright[9] = {
      {1, 2, 3, 4, 5, 6}, {1, 2, 3, 4, 5, 6}, {3, 2, 1, 6, 5, 4},
      {6, 5, 4, 3, 2, 1}, {4, 5, 6, 1, 2, 3}, {1, 4, 2, 5, 3, 6},
      {4, 1, 5, 2, 6, 3}, {6, 3, 5, 2, 4, 1}, {3, 6, 2, 5, 1, 4}};
  for (int orientation = 0; orientation <= 9; ++orientation) {
    Picture picture{2, 3, {}};
    for (int i = 1; i <= 6; ++i)
      picture.rgb.insert(picture.rgb.end(), {uint8_t(i), 0, uint8_t(i + 100)});
    turn_upright(picture, orientation);
    const bool quarter = orientation >= 5 && orientation <= 8;
    EXPECT_EQ(picture.height, quarter ? 3 : 2);
    EXPECT_EQ(picture.width, quarter ? 2 : 3);
    for (int i = 0; i < 6; ++i) {
      const int value = upright[orientation == 9 ? 0 : orientation][size_t(i)];
      EXPECT_EQ(picture.rgb[size_t(i * 3)], value) << orientation;
      EXPECT_EQ(picture.rgb[size_t(i * 3 + 2)], value + 100);
    }
  }
}

TEST(Orientation, IsReadFromExif) {
  auto of = [](std::string text) {
    return exif_orientation(reinterpret_cast<const uint8_t *>(text.data()),
                            text.size());
  };
  using namespace std::string_literals;
  const std::string big = "MM\0*\0\0\0\x08\0\x02"
                          "\x01\x0F\0\x02\0\0\0\x04"
                          "abc\0"
                          "\x01\x12\0\x03\0\0\0\x01\0\x06\0\0"s;
  const std::string little = "II*\0\x08\0\0\0\x01\0"
                             "\x12\x01\x03\0\x01\0\0\0\x08\0\0\0"s;
  EXPECT_EQ(of(big), 6);
  EXPECT_EQ(of("Exif\0\0"s + big), 6);
  EXPECT_EQ(of(little), 8);
  for (size_t cut = 0; cut < big.size(); ++cut)
    EXPECT_EQ(of(big.substr(0, cut)), 1) << cut;
  auto changed = [&](size_t at, char byte) {
    std::string text = little;
    text[at] = byte;
    return of(text);
  };
  EXPECT_EQ(changed(18, 9), 1);      // no such orientation
  EXPECT_EQ(changed(18, 0), 1);      // nor that
  EXPECT_EQ(changed(12, 4), 8);      // of 4 bytes
  EXPECT_EQ(changed(12, 1), 8);      // of 1 byte
  EXPECT_EQ(changed(12, 2), 1);      // text
  EXPECT_EQ(changed(12, 9), 8);      // with a sign
  EXPECT_EQ(changed(14, 2), 1);      // two of them
  EXPECT_EQ(changed(7, '\xFF'), 1);  // a directory far away
  EXPECT_EQ(changed(9, '\xFF'), 8);  // more entries than there are bytes
  EXPECT_EQ(changed(10, '\x13'), 1); // another field
  // A number that is none says 1, an entry of no known type says nothing.
  auto otherwise = [&](size_t at, char byte) {
    std::string text = little;
    text[at] = byte;
    return exif_orientation(reinterpret_cast<const uint8_t *>(text.data()),
                            text.size(), 5);
  };
  EXPECT_EQ(otherwise(18, 9), 1);
  EXPECT_EQ(otherwise(12, 0x70), 5);
  EXPECT_EQ(otherwise(10, 0x13), 5);
  EXPECT_EQ(otherwise(0, 'X'), 5);
}
