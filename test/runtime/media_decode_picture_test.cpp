// Files of pictures become Pillow's pictures, byte by byte; hostile, cut and
// strange ones the right error.
#include "runtime/media/decode_picture.h"

#include "test/runtime/media_files.h"

using namespace gm::media;
using namespace media_files;
using media_cases::sha256;
using namespace std::string_literals;

namespace {

gm::Status decode(const std::vector<uint8_t> &bytes) {
  Picture picture;
  PictureRemarks remarks;
  return decode_picture(bytes, {}, picture, remarks);
}

// `bytes` fail with this code, and words that have `part` in them.
void expectFailure(const std::vector<uint8_t> &bytes, gm::Code code,
                   const char *part) {
  const gm::Status s = decode(bytes);
  EXPECT_EQ(s.code, code) << s.text;
  EXPECT_NE(std::string(s.text).find(part), std::string::npos) << s.text;
}

std::vector<uint8_t> front(const std::string &name, double share) {
  auto all = bytes(name);
  all.resize(size_t(double(all.size()) * share));
  return all;
}

uint32_t crc(std::string_view text) {
  uint32_t sum = ~0u;
  for (const char c : text) {
    sum ^= uint8_t(c);
    for (int bit = 0; bit < 8; ++bit)
      sum = sum >> 1 ^ (sum & 1 ? 0xEDB88320 : 0);
  }
  return ~sum;
}

std::string number(uint32_t value) {
  return {char(value >> 24), char(value >> 16), char(value >> 8), char(value)};
}

std::string chunk(const std::string &type, const std::string &data) {
  return number(uint32_t(data.size())) + type + data + number(crc(type + data));
}

std::string pngHead(uint32_t width, uint32_t height, int depth, int colour) {
  return "\x89PNG\r\n\x1a\n" +
         chunk("IHDR", number(width) + number(height) + char(depth) +
                           char(colour) + "\0\0\0"s);
}

} // namespace

TEST(DecodePicture, EqualsPillow) {
  for (const auto &row : cases()["pictures"]) {
    const std::string name = row["file"];
    const auto file = bytes(name);
    Picture picture;
    PictureRemarks remarks;
    ASSERT_OK(decode_picture(file, {}, picture, remarks)) << name;
    EXPECT_EQ(picture.height, row["height"]) << name;
    EXPECT_EQ(picture.width, row["width"]) << name;
    EXPECT_EQ(nlohmann::json(sha256(picture.rgb)), row["sha256_rgb"]) << name;
    EXPECT_EQ(remarks.transparent, row.value("transparent", false)) << name;
    EXPECT_EQ(remarks.animated, row.value("animated", false)) << name;
    EXPECT_EQ(remarks.damaged != "", name == "stray-bytes.jpg") << name;

    const PictureOptions object{.alpha = Alpha::White, .upright = false};
    ASSERT_OK(decode_picture(file, object, picture, remarks)) << name;
    EXPECT_EQ(nlohmann::json(sha256(picture.rgb)), row["sha256_rgb_as_object"])
        << name;
    EXPECT_FALSE(remarks.transparent) << name; // nothing of it is dropped
  }
  EXPECT_GE(cases()["pictures"].size(), 128u);
}

TEST(DecodePicture, AnimationsEqualPillow) {
  for (const auto &row : cases()["animations"])
    for (const bool white : {false, true}) {
      const std::string name = row["file"];
      const auto file = bytes(name);
      const PictureOptions options{.alpha = white ? Alpha::White : Alpha::Drop,
                                   .upright = !white};
      Animation animation;
      ASSERT_OK(read_animation(file, options, animation)) << name;
      EXPECT_EQ(nlohmann::json(animation.milliseconds), row["milliseconds"])
          << name;
      std::vector<std::string> hashes;
      PictureRemarks remarks;
      ASSERT_OK(
          decode_animation(file, options,
                           {[](int64_t) { return true; },
                            [&](int64_t frame, Picture &picture) -> gm::Status {
                              EXPECT_EQ(frame, int64_t(hashes.size()));
                              hashes.push_back(sha256(picture.rgb));
                              return {};
                            }},
                           remarks))
          << name;
      EXPECT_EQ(nlohmann::json(hashes),
                row[white ? "sha256_rgb_as_object" : "sha256_rgb"])
          << name;
      // One of them alone is the same.
      std::string last;
      ASSERT_OK(decode_animation(
          file, options,
          {[&](int64_t frame) { return frame + 1 == int64_t(hashes.size()); },
           [&](int64_t, Picture &picture) -> gm::Status {
             last = sha256(picture.rgb);
             return {};
           }},
          remarks));
      EXPECT_EQ(last, hashes.back()) << name;
    }
  EXPECT_GE(cases()["animations"].size(), 18u);
}

TEST(DecodePicture, OthersAreFilmsOfOneFrame) {
  const auto file = bytes("exif6.jpg");
  Animation animation;
  ASSERT_OK(read_animation(file, {}, animation));
  EXPECT_EQ(animation.height, 29);
  EXPECT_EQ(animation.width, 37);
  EXPECT_EQ(animation.milliseconds, std::vector<int64_t>{0});
  int taken = 0;
  PictureRemarks remarks;
  const auto take = [&](int64_t frame, Picture &picture) -> gm::Status {
    EXPECT_EQ(frame, 0);
    EXPECT_EQ(picture.height, 37);
    ++taken;
    return {};
  };
  ASSERT_OK(decode_animation(file, {}, {[](int64_t) { return true; }, take},
                             remarks));
  ASSERT_OK(decode_animation(file, {}, {[](int64_t) { return false; }, take},
                             remarks));
  EXPECT_EQ(taken, 1);
  EXPECT_EQ(read_animation(bytes("animated.png"), {}, animation).code,
            gm::UNSUPPORTED);
}

TEST(DecodePicture, ATakerEndsAFilm) {
  for (const char *name : {"animated.webp", "animated1.gif", "plain.gif"}) {
    int taken = 0;
    PictureRemarks remarks;
    const gm::Status s =
        decode_animation(bytes(name), {},
                         {[](int64_t) { return true; },
                          [&](int64_t, Picture &) {
                            ++taken;
                            return gm::failure(gm::RUN_ERROR, "enough");
                          }},
                         remarks);
    EXPECT_STREQ(s.text, "enough");
    EXPECT_EQ(taken, 1) << name;
  }
}

TEST(DecodePicture, CutFilesAreErrors) {
  for (const auto &row : cases()["pictures"]) {
    const std::string name = row["file"];
    // A film whose first frame is whole is a good picture; Pillow, too, misses
    // nothing where a GIF ends early.
    if (row.value("animated", false))
      continue;
    for (double share : {0.2, 0.5, 0.8}) {
      const gm::Status s = decode(front(name, share));
      EXPECT_EQ(s.code, gm::BAD_INPUT) << name << " " << share;
      EXPECT_NE(std::string(s.text).find("picture"), std::string::npos);
    }
  }
  // Every length of some: an error or the same picture, nothing else.
  for (const char *name : {"one-pixel.png", "grey-progressive.jpg",
                           "lossless.webp", "part-clear.gif"}) {
    const auto whole = bytes(name);
    for (size_t length = 0; length < whole.size(); ++length) {
      Picture picture, full;
      PictureRemarks remarks;
      const Bytes some(whole.data(), length);
      if (!decode_picture(some, {}, picture, remarks).ok())
        continue;
      ASSERT_OK(decode_picture(whole, {}, full, remarks));
      EXPECT_EQ(picture.rgb, full.rgb) << name << " " << length;
      EXPECT_GT(length + 20, whole.size()) << name;
    }
  }
  for (const char *name : {"animated.webp", "animated2.gif"}) {
    Animation animation;
    const gm::Status s = read_animation(front(name, 0.7), {}, animation);
    EXPECT_EQ(s.code, gm::BAD_INPUT) << name;
  }
}

TEST(DecodePicture, SizesAreCheckedBeforeMemoryIsAskedFor) {
  const PictureOptions few{.most_pixels = 29 * 37 - 1};
  for (const char *name : {"rgb16.png", "420.jpg", "lossy.webp", "plain.gif"}) {
    Picture picture;
    PictureRemarks remarks;
    const gm::Status s = decode_picture(bytes(name), few, picture, remarks);
    EXPECT_EQ(s.code, gm::USAGE) << name;
    EXPECT_NE(std::string(s.text).find("37 x 29 pixels: expects at most 1072"),
              std::string::npos)
        << s.text;
  }
  expectFailure(of(pngHead(8193, 8192, 8, 2) + chunk("IDAT", "")), gm::USAGE,
                "8193 x 8192");
  expectFailure(of(pngHead(65536, 1, 8, 2) + chunk("IDAT", "")), gm::USAGE,
                "65536 x 1");
  auto jpeg = bytes("420.jpg");
  expectFailure(changed(jpeg, "\x08\0\x1d\0\x25"s, "\x08\xff\xdc\xff\xdc"),
                gm::USAGE, "65500 x 65500");
  expectFailure(changed(jpeg, "\x08\0\x1d\0\x25"s, "\x08\xff\xff\xff\xff"),
                gm::USAGE, "a JPEG picture that is too large");
  auto gif = bytes("plain.gif");
  expectFailure(changed(gif, "GIF89a\x25\0\x1d\0"s, "GIF89a\xff\xff\xff\xff"s),
                gm::USAGE, "65535 x 65535");
  // A frame of a film may have fewer.
  gif = changed(gif, "GIF89a\x25\0\x1d\0"s, "GIF89a\0\x1f\0\x1f"s);
  Animation animation;
  ASSERT_OK(decode(gif));
  const gm::Status s = read_animation(gif, {}, animation);
  EXPECT_EQ(s.code, gm::USAGE);
  EXPECT_NE(std::string(s.text).find("frames of 7936 x 7936"),
            std::string::npos);
}

TEST(DecodePicture, BrokenPng) {
  const auto good = bytes("rgb8-key.png");
  expectFailure(changed(good, "IDAT", "IDAX"), gm::BAD_INPUT, "broken PNG");
  auto flipped = good;
  flipped[flipped.size() - 40] ^= 1;
  expectFailure(flipped, gm::BAD_INPUT, "broken PNG picture: ");
  expectFailure(of(pngHead(3, 3, 8, 3) + chunk("IDAT", "x")), gm::BAD_INPUT,
                "broken PNG picture: ");
  expectFailure(of(pngHead(3, 3, 3, 2) + chunk("IDAT", "x")), gm::BAD_INPUT,
                "broken PNG picture: ");
  expectFailure(of(pngHead(3, 3, 8, 2)), gm::BAD_INPUT, "cut");
  expectFailure(of("\x89PNG\r\n\x1a\n"), gm::BAD_INPUT, "cut");
}

TEST(DecodePicture, BrokenAndStrangeJpeg) {
  const auto good = bytes("444.jpg");
  expectFailure(changed(good, "\xff\xc0\0\x11\x08"s, "\xff\xc0\0\x11\x0c"s),
                gm::UNSUPPORTED, "precision 12");
  expectFailure(changed(good, "\xff\xc0"s, "\xff\xc3"s), gm::UNSUPPORTED,
                "0xc3");
  expectFailure(changed(good, "\xff\xc4"s, "\xff\xc0"s), gm::BAD_INPUT,
                "broken JPEG picture: ");
  const std::string two = "\xff\xd8\xff\xc0\0\x0e\x08\0\5\0\5\2\1\x11\0\2\x11\0"
                          "\xff\xda\0\x0a\2\1\0\2\0\0\x3f\0"s;
  expectFailure(of(two), gm::UNSUPPORTED, "2 channels");
  // More passes than any picture needs.
  const auto progressive = bytes("grey-progressive.jpg");
  std::string many(progressive.begin(), progressive.end());
  const size_t scan = many.rfind("\xff\xda"s);
  const std::string again = many.substr(scan, many.size() - 2 - scan);
  for (int i = 0; i < 1000; ++i)
    many.insert(scan, again);
  expectFailure(of(many), gm::BAD_INPUT, "more than 1000 scans");
}

TEST(DecodePicture, BrokenWebp) {
  auto bad = bytes("lossless.webp");
  bad[20] = 0; // the signature of VP8L
  expectFailure(bad, gm::BAD_INPUT, "WebP picture that is broken or cut");
  expectFailure(of("RIFF\x04\0\0\0WEBP"s), gm::BAD_INPUT, "broken or cut");
  auto film = bytes("animated-alpha.webp");
  std::string text(film.begin(), film.end());
  // The codes of the last frame.
  const size_t last = text.rfind("VP8L");
  for (size_t i = last + 14; i < last + 60; ++i)
    film[i] ^= 0x5A;
  PictureRemarks remarks;
  ASSERT_OK(decode(film));
  const gm::Status s =
      decode_animation(film, {},
                       {[](int64_t) { return false; },
                        [](int64_t, Picture &) { return gm::Status(); }},
                       remarks);
  EXPECT_STREQ(s.text, "a WebP picture whose frame 2 is broken or cut");
}

TEST(DecodePicture, BrokenGif) {
  const std::string head = "GIF89a\4\0\4\0\x80\0\0\1\2\3\4\5\6"s;
  expectFailure(of(head + ";"), gm::BAD_INPUT, "without a frame");
  expectFailure(of(head), gm::BAD_INPUT, "without a frame");
  expectFailure(of("GIF89a\4\0"s), gm::BAD_INPUT, "broken GIF");
  expectFailure(of(head + ",\0\0\0\0\0\0\4\0\0\2\2\x44\1\0;"s), gm::BAD_INPUT,
                "frame 0 has no pixels");
  expectFailure(of(head + ",\0\0\0\0\4\0\4\0\0\x0f\2\x44\1\0;"s), gm::BAD_INPUT,
                "broken GIF");
  // A code that was not defined.
  expectFailure(of(head + ",\0\0\0\0\4\0\4\0\0\2\2\xfc\xff\0;"s), gm::BAD_INPUT,
                "broken GIF");
  expectFailure(of(head + ",\0\0\0\0\4\0\4\0\0\2\2\x44"s), gm::BAD_INPUT,
                "cut");
}

TEST(DecodePicture, OtherKindsAreRefusedByName) {
  const struct {
    std::string begin;
    gm::Code code;
    const char *name;
  } rows[] = {
      {"BM\x36\1\0\0\0\0\0\0\x36"s, gm::UNSUPPORTED, "a BMP picture"},
      {"II*\0\x08\0\0\0"s, gm::UNSUPPORTED, "a TIFF picture"},
      {"MM\0*\0\0\0\x08"s, gm::UNSUPPORTED, "a TIFF picture"},
      {"\0\0\0\x18"s + "ftypheic", gm::UNSUPPORTED, "a HEIC picture"},
      {"\0\0\0\x1c"s + "ftypavif", gm::UNSUPPORTED, "an AVIF picture"},
      {"\0\0\0\x0cjP  \r\n\x87\n"s, gm::UNSUPPORTED, "a JPEG 2000 picture"},
      {"\xff\x0a\0\0"s, gm::UNSUPPORTED, "a JPEG XL picture"},
      {"<?xml version=\"1.0\"?>\n<svg/>", gm::UNSUPPORTED, "an SVG drawing"},
      {"\n <svg width=\"3\"/>", gm::UNSUPPORTED, "an SVG drawing"},
      {"%PDF-1.7", gm::UNSUPPORTED, "a PDF document"},
      {"P6\n3 3\n255\n", gm::UNSUPPORTED, "a PNM picture"},
      {"\0\0\0\x18"s + "ftypisom", gm::UNSUPPORTED, "an MP4 film"},
      {"YUV4MPEG2 W3 H3\n", gm::UNSUPPORTED, "a Y4M film"},
      {"RIFF\0\0\0\0WAVE"s, gm::BAD_INPUT, "a WAV sound, expects a picture"},
      {"<!DOCTYPE html>", gm::BAD_INPUT, "a web page"},
      {"version https://git-lfs.github.com/spec/v1", gm::BAD_INPUT,
       "a Git LFS pointer"},
      {"PK\3\4", gm::BAD_INPUT, "a ZIP archive"},
      {"hello", gm::BAD_INPUT, "no picture of a known kind"},
      {"", gm::BAD_INPUT, "no picture of a known kind"},
  };
  for (const auto &row : rows)
    expectFailure(of(row.begin), row.code, row.name);
}
