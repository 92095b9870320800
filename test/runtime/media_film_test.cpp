// Films: which frames are seen, their stamps, and the reader of Y4M streams,
// which must survive any bytes (test/fuzz/fuzz_media.cpp tries more of them).
#include "runtime/media/limits.h"
#include "runtime/media/y4m.h"

#include "test/runtime/media_cases.h"

#include <cmath>

using namespace gm::media;
using gm::Status;

namespace {

// Text, at most `most` bytes at a time; `fail`: an error instead of its end.
class TextSource : public ByteSource {
public:
  explicit TextSource(std::string text, size_t most = 1 << 20,
                      bool fail = false)
      : text(std::move(text)), most(most), fail(fail) {}
  int64_t read(uint8_t *to, size_t count) override {
    count = std::min({count, most, text.size() - at});
    memcpy(to, text.data() + at, count);
    at += count;
    largest = std::max(largest, count);
    return count || !fail ? int64_t(count) : -1;
  }
  size_t largest = 0;

private:
  std::string text;
  size_t most, at = 0;
  bool fail;
};

std::string frame(size_t bytes, char value) {
  return "FRAME\n" + std::string(bytes, value);
}

// How a stream ends: what open or the first bad frame says.
Status outcome(const std::string &text, bool fail = false) {
  TextSource source(text, 7, fail);
  Y4mReader reader(source);
  Status status = reader.open();
  Picture picture;
  for (bool more = true; status.ok() && more;)
    status = reader.next(picture, more);
  return status;
}

// RGB of one frame of one colour.
std::vector<uint8_t> colour(const std::string &header, uint8_t y, uint8_t u,
                            uint8_t v, Matrix matrix = Matrix::Guess) {
  TextSource source("YUV4MPEG2 W1 H1 C444 " + header + "\nFRAME\n" +
                    std::string{char(y), char(u), char(v)});
  Y4mReader reader(source, matrix);
  EXPECT_TRUE(reader.open().ok());
  Picture picture;
  bool more = false;
  EXPECT_TRUE(reader.next(picture, more).ok());
  EXPECT_TRUE(more);
  return picture.rgb;
}

using Rgb = std::vector<uint8_t>;

} // namespace

TEST(Film, ChoosesFramesAsTheReference) {
  std::vector<int64_t> frames;
  ASSERT_OK(film_frames(100, frames));
  ASSERT_EQ(frames.size(), 32u);
  const int64_t first[] = {0, 3, 6, 9, 12, 15, 18, 21, 25};
  EXPECT_TRUE(std::equal(first, first + 9, frames.begin()));
  EXPECT_EQ(frames.back(), 96);
  ASSERT_OK(film_frames(32, frames));
  for (int64_t i = 0; i < 32; ++i)
    EXPECT_EQ(frames[size_t(i)], i);
  ASSERT_OK(film_frames(3, frames));
  EXPECT_EQ(frames, (std::vector<int64_t>{0, 1, 2}));
  ASSERT_OK(film_frames(0, frames));
  EXPECT_TRUE(frames.empty());
  ASSERT_OK(film_frames(7, frames, 2));
  EXPECT_EQ(frames, (std::vector<int64_t>{0, 3}));
  ASSERT_OK(film_frames(kMostFrames, frames));
  EXPECT_EQ(frames.back(), kMostFrames / 32 * 31);
  EXPECT_EQ(film_frames(-1, frames).code, gm::USAGE);
  EXPECT_EQ(film_frames(kMostFrames + 1, frames).code, gm::USAGE);
  EXPECT_EQ(film_frames(5, frames, 0).code, gm::USAGE);
}

TEST(Film, StampsFrames) {
  EXPECT_EQ(time_stamp(7325, {2, 1}), "61:02");
  EXPECT_EQ(time_stamp(0, {}), "00:00");
  EXPECT_EQ(time_stamp(23, {}), "00:00");
  EXPECT_EQ(time_stamp(24, {}), "00:01");
  EXPECT_EQ(time_stamp(21, {25, 1}), "00:00");
  EXPECT_EQ(time_stamp(29970, {30000, 1001}), "16:39");
  EXPECT_EQ(time_stamp(30000, {30000, 1001}), "16:41"); // 1001 s exactly
  EXPECT_EQ(time_stamp(29999, {30000, 1001}), "16:40");
  EXPECT_EQ(time_stamp(100, {1, 60}), "100:00");
  EXPECT_FALSE(check_rate({0, 1}).ok());
  EXPECT_FALSE(check_rate({1, int64_t(1) << 31}).ok());
  EXPECT_TRUE(check_rate({30000, 1001}).ok());
}

TEST(Y4m, ReadsWhatItsHeaderSays) {
  for (size_t most : {size_t(1), size_t(5), size_t(1) << 20}) {
    TextSource source("YUV4MPEG2 W3 H5 F30000:1001 Ip A1:1 C420jpeg "
                      "XYSCSS=420JPEG XCOLORRANGE=LIMITED\n" +
                          frame(15 + 2 * 6, 16) + "FRAME Ip\n" +
                          std::string(15 + 2 * 6, 64) + frame(27, 64),
                      most);
    Y4mReader reader(source);
    ASSERT_OK(reader.open());
    EXPECT_EQ(reader.width(), 3);
    EXPECT_EQ(reader.height(), 5);
    EXPECT_EQ(reader.rate().num, 30000);
    EXPECT_EQ(reader.rate().den, 1001);
    Picture picture;
    bool more = false;
    ASSERT_OK(reader.skip(more));
    EXPECT_TRUE(more);
    ASSERT_OK(reader.next(picture, more));
    EXPECT_TRUE(more);
    EXPECT_EQ(picture.width, 3);
    EXPECT_EQ(picture.height, 5);
    EXPECT_EQ(picture.rgb.size(), 45u);
    ASSERT_OK(reader.next(picture, more));
    ASSERT_OK(reader.next(picture, more));
    EXPECT_FALSE(more);
    EXPECT_EQ(reader.frames_read(), 3);
  }
}

TEST(Y4m, TakesTheKnownRateWhereNoneIsNamed) {
  for (const char *rate : {"", " F0:0"}) {
    TextSource source(std::string("YUV4MPEG2 W1 H1") + rate + "\n");
    Y4mReader reader(source);
    ASSERT_OK(reader.open());
    EXPECT_EQ(reader.rate().num, 24);
    EXPECT_EQ(reader.rate().den, 1);
  }
}

TEST(Y4m, ConvertsColours) {
  EXPECT_EQ(colour("", 16, 128, 128), (Rgb{0, 0, 0}));
  EXPECT_EQ(colour("", 235, 128, 128), (Rgb{255, 255, 255}));
  EXPECT_EQ(colour("", 255, 128, 128), (Rgb{255, 255, 255}));
  EXPECT_EQ(colour("", 0, 128, 128), (Rgb{0, 0, 0}));
  EXPECT_EQ(colour("XCOLORRANGE=FULL", 77, 128, 128), (Rgb{77, 77, 77}));
  // Primaries of BT.601 and BT.709 in limited range.
  EXPECT_EQ(colour("", 81, 90, 240), (Rgb{254, 0, 0}));
  EXPECT_EQ(colour("", 145, 54, 34), (Rgb{0, 255, 1}));
  EXPECT_EQ(colour("", 41, 240, 110), (Rgb{0, 0, 255}));
  EXPECT_EQ(colour("", 63, 102, 240, Matrix::Bt709), (Rgb{255, 1, 0}));
  EXPECT_EQ(colour("", 32, 240, 118, Matrix::Bt709), (Rgb{1, 0, 255}));
}

// Every pixel against the formula in double, for each way of sampling chroma.
TEST(Y4m, EqualsPlainLoops) {
  struct {
    const char *kind;
    int64_t across, down;
  } kinds[] = {{"420", 2, 2}, {"420mpeg2", 2, 2}, {"420paldv", 2, 2},
               {"422", 2, 1}, {"411", 4, 1},      {"444", 1, 1},
               {"mono", 0, 0}};
  for (auto [kind, across, down] : kinds) {
    const int64_t width = 7, height = 5;
    const int64_t narrow = across ? (width + across - 1) / across : 0;
    const int64_t low = across ? (height + down - 1) / down : 0;
    std::string planes;
    for (float x : media_cases::noise(width * height + 2 * narrow * low))
      planes.push_back(char(uint8_t((x + 1) * 128)));
    TextSource source("YUV4MPEG2 W7 H5 C" + std::string(kind) + "\nFRAME\n" +
                      planes);
    Y4mReader reader(source);
    ASSERT_OK(reader.open());
    Picture picture;
    bool more = false;
    ASSERT_OK(reader.next(picture, more));
    for (int64_t y = 0; y < height; ++y)
      for (int64_t x = 0; x < width; ++x) {
        auto at = [&](int64_t i) { return double(uint8_t(planes[size_t(i)])); };
        const double luma = (at(y * width + x) - 16) * 255 / 219;
        double u = 0, v = 0;
        if (across) {
          const int64_t i = width * height + y / down * narrow + x / across;
          u = (at(i) - 128) * 255 / 224;
          v = (at(i + narrow * low) - 128) * 255 / 224;
        }
        const double rgb[] = {luma + 1.402 * v,
                              luma - 0.714136 * v - 0.344136 * u,
                              luma + 1.772 * u};
        for (int c = 0; c < 3; ++c)
          ASSERT_NEAR(picture.rgb[size_t((y * width + x) * 3 + c)],
                      std::clamp(rgb[c], 0.0, 255.0), 0.51)
              << kind << " " << x << " " << y << " " << c;
      }
  }
}

TEST(Y4m, RefusesWhatIsNone) {
  for (const char *text :
       {"", "\n", "RIFF", "YUV4MPEG2", "YUV4MPEG\n", "YUV4MPEG25 W1 H1\n",
        "YUV4MPEG2 W1\n", "YUV4MPEG2 W0 H1\n", "YUV4MPEG2 Wx H1\n",
        "YUV4MPEG2 W-1 H1\n", "YUV4MPEG2 W H1\n", "YUV4MPEG2 W99999999999 H1\n",
        "YUV4MPEG2 W1 H1 F5\n", "YUV4MPEG2 W1 H1 F5:\n",
        "YUV4MPEG2 W1 H1 F9999999999:1\n"})
    EXPECT_EQ(outcome(text).code, gm::BAD_INPUT) << text;
  EXPECT_EQ(outcome("YUV4MPEG2 W1 H1 X" + std::string(5000, 'x')).code,
            gm::BAD_INPUT);
  for (const char *kind : {"420p10", "444alpha", "mono16", "nonsense", ""})
    EXPECT_EQ(outcome("YUV4MPEG2 W1 H1 C" + std::string(kind) + "\n").code,
              gm::UNSUPPORTED)
        << kind;
  for (const char *size :
       {"W65536 H1", "W1 H9999999999", "W65535 H65535", "W8192 H8192"})
    EXPECT_EQ(outcome("YUV4MPEG2 " + std::string(size) + "\n").code, gm::USAGE)
        << size;
  EXPECT_TRUE(outcome("YUV4MPEG2  W1  H1 \n").ok());
}

TEST(Y4m, RefusesBrokenFrames) {
  const std::string header = "YUV4MPEG2 W4 H4\n";
  EXPECT_TRUE(outcome(header + frame(24, 1)).ok());
  Status status = outcome(header + frame(24, 1) + frame(23, 1));
  EXPECT_EQ(status.code, gm::BAD_INPUT);
  EXPECT_STREQ(status.text, "frame 1 of the film ends after 23 of 24 bytes");
  status = outcome(header + frame(25, 'a'));
  EXPECT_EQ(status.code, gm::BAD_INPUT);
  EXPECT_EQ(outcome(header + "FRAMES\n").code, gm::BAD_INPUT);
  EXPECT_STREQ(outcome(header + "\x01odd\n").text,
               "expects frame 0 of the film, got ?odd");
  EXPECT_EQ(outcome(header + "FRAME" + std::string(2000, ' ')).code,
            gm::BAD_INPUT);
  EXPECT_EQ(outcome(header + "FRAME\nxyz", true).code, gm::RUN_ERROR);
  EXPECT_EQ(outcome("YUV4", true).code, gm::RUN_ERROR);
}

TEST(Y4m, EndsFilmsThatDoNot) {
  std::string text = "YUV4MPEG2 W1 H1 Cmono\n";
  for (int64_t i = 0; i <= kMostFrames; ++i)
    text += "FRAME\nx";
  TextSource source(text);
  Y4mReader reader(source);
  ASSERT_OK(reader.open());
  bool more = true;
  Status status;
  while (status.ok() && more)
    status = reader.skip(more);
  EXPECT_EQ(status.code, gm::BAD_INPUT);
  EXPECT_EQ(reader.frames_read(), kMostFrames);
}

// A header alone makes the reader ask for a step at a time, not for the frame.
TEST(Y4m, AsksForMemoryAsBytesCome) {
  TextSource source("YUV4MPEG2 W7680 H4320\nFRAME\n" + std::string(100, 'x'));
  Y4mReader reader(source);
  ASSERT_OK(reader.open());
  Picture picture;
  bool more = false;
  EXPECT_EQ(reader.next(picture, more).code, gm::BAD_INPUT);
  EXPECT_LE(source.largest, size_t(1) << 20);
  EXPECT_TRUE(picture.rgb.empty());
}
