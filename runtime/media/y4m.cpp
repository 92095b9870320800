// See y4m.h.
#include "runtime/media/y4m.h"

#include "runtime/media/limits.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string_view>

namespace gm::media {
namespace {

constexpr size_t kMostHeader = 4096, kMostFrameHeader = 1024; // bytes
constexpr size_t kBuffer = 1 << 16, kStep = 1 << 20;

struct Colours {
  std::string_view name;
  int across, down;
};
// Where chroma lies between luma samples is not looked at.
constexpr Colours kColours[] = {
    {"420", 2, 2}, {"420jpeg", 2, 2}, {"420mpeg2", 2, 2}, {"420paldv", 2, 2},
    {"411", 4, 1}, {"422", 2, 1},     {"444", 1, 1},      {"mono", 0, 0},
};

// Text from a stream, for a message.
std::string shown(std::string_view text) {
  std::string out(text.substr(0, 40));
  for (char &c : out)
    if (c < 32 || c > 126)
      c = '?';
  return out;
}

// A whole number of at most 10 digits.
bool read_number(std::string_view text, int64_t &number) {
  if (text.empty() || text.size() > 10)
    return false;
  number = 0;
  for (char c : text) {
    if (c < '0' || c > '9')
      return false;
    number = number * 10 + (c - '0');
  }
  return true;
}

uint8_t to_byte(int64_t value) {
  return uint8_t(std::clamp<int64_t>((value + 32768) >> 16, 0, 255));
}

} // namespace

int Y4mReader::byte() {
  if (begin == end) {
    buffer.resize(kBuffer);
    const int64_t came = source.read(buffer.data(), buffer.size());
    if (came <= 0)
      return came == 0 ? -1 : -2;
    begin = 0;
    end = size_t(came);
  }
  return buffer[begin++];
}

Status Y4mReader::line(std::string &text, size_t most, bool &ended) {
  text.clear();
  ended = false;
  for (;;) {
    const int c = byte();
    if (c == -2)
      return failure(RUN_ERROR, "the film cannot be read on");
    if (c == '\n')
      return {};
    if (c == -1) {
      ended = text.empty();
      if (ended)
        return {};
      return failure(BAD_INPUT, "the film ends within a line of frame %lld",
                     (long long)frames);
    }
    if (text.size() == most)
      return failure(BAD_INPUT,
                     "a line of frame %lld of the film has more than %zu bytes",
                     (long long)frames, most);
    text.push_back(char(c));
  }
}

Status Y4mReader::field(const std::string &text) {
  const std::string_view value = std::string_view(text).substr(1);
  const auto bad = [&] {
    return failure(BAD_INPUT, "the film's header has %s", shown(text).c_str());
  };
  switch (text[0]) {
  case 'W':
    return read_number(value, columns) ? Status() : bad();
  case 'H':
    return read_number(value, rows) ? Status() : bad();
  case 'F': {
    const size_t colon = value.find(':');
    FrameRate rate;
    if (colon == value.npos || !read_number(value.substr(0, colon), rate.num) ||
        !read_number(value.substr(colon + 1), rate.den))
      return bad();
    if (rate.num == 0 || rate.den == 0) // unknown
      return {};
    frame_rate = rate;
    return check_rate(rate).ok() ? Status() : bad();
  }
  case 'C':
    for (const Colours &known : kColours)
      if (value == known.name) {
        layout = {known.across, known.down};
        return {};
      }
    return failure(UNSUPPORTED,
                   "the film has pixels of kind %s: expects 8 bits without "
                   "transparency (ffmpeg -pix_fmt yuv420p)",
                   shown(value).c_str());
  case 'X':
    if (value.starts_with("COLORRANGE="))
      full_range = value == "COLORRANGE=FULL";
    return {};
  default: // interlacing, shape of pixels, what is yet to come
    return {};
  }
}

Status Y4mReader::open() {
  constexpr std::string_view magic = "YUV4MPEG2";
  std::string text;
  bool ended = false;
  if (Status s = line(text, kMostHeader, ended); !s.ok())
    return s;
  if (ended || !std::string_view(text).starts_with(magic) ||
      (text.size() > magic.size() && text[magic.size()] != ' '))
    return failure(BAD_INPUT, "expects a film that begins with YUV4MPEG2 "
                              "(ffmpeg -f yuv4mpegpipe)");
  for (size_t at = magic.size(); at < text.size();) {
    const size_t next = std::min(text.find(' ', at), text.size());
    if (next > at)
      if (Status s = field(text.substr(at, next - at)); !s.ok())
        return s;
    at = next + 1;
  }
  if (rows < 1 || columns < 1)
    return failure(BAD_INPUT, "the film's header names no width and height");
  if (Status s = check_sides(rows, columns); !s.ok())
    return s;
  if (rows * columns > kMostFramePixels)
    return failure(USAGE,
                   "a film of %lld x %lld pixels: expects at most %lld in all, "
                   "make it smaller",
                   (long long)columns, (long long)rows,
                   (long long)kMostFramePixels);
  if (matrix == Matrix::Guess)
    matrix = columns >= 1280 || rows > 576 ? Matrix::Bt709 : Matrix::Bt601;
  frame_bytes = rows * columns;
  if (layout.across)
    frame_bytes += 2 * ((columns + layout.across - 1) / layout.across) *
                   ((rows + layout.down - 1) / layout.down);
  return {};
}

Status Y4mReader::begin_frame(bool &more) {
  std::string text;
  bool ended = false;
  if (Status s = line(text, kMostFrameHeader, ended); !s.ok())
    return s;
  more = !ended;
  if (ended)
    return {};
  if (text != "FRAME" && !text.starts_with("FRAME "))
    return failure(BAD_INPUT, "expects frame %lld of the film, got %s",
                   (long long)frames, shown(text).c_str());
  if (frames == kMostFrames)
    return failure(BAD_INPUT, "expects a film of at most %lld frames",
                   (long long)kMostFrames);
  return {};
}

Status Y4mReader::read_planes(bool keep) {
  std::vector<uint8_t> passing;
  if (!keep)
    passing.resize(size_t(std::min<int64_t>(kBuffer, frame_bytes)));
  for (int64_t at = 0; at < frame_bytes;) {
    uint8_t *to = passing.data();
    size_t room = passing.size();
    if (keep) {
      room = kStep;
      if (size_t(at) + room > planes.size())
        planes.resize(std::min(size_t(at) + room, size_t(frame_bytes)));
      to = planes.data() + at;
    }
    room = std::min(room, size_t(frame_bytes - at));
    int64_t came = 0;
    if (begin < end) {
      came = int64_t(std::min(room, end - begin));
      memcpy(to, buffer.data() + begin, size_t(came));
      begin += size_t(came);
    } else {
      came = source.read(to, room);
    }
    if (came < 0)
      return failure(RUN_ERROR, "the film cannot be read on");
    if (came == 0)
      return failure(BAD_INPUT,
                     "frame %lld of the film ends after %lld of "
                     "%lld bytes",
                     (long long)frames, (long long)at, (long long)frame_bytes);
    at += came;
  }
  ++frames;
  return {};
}

void Y4mReader::to_rgb(Picture &frame) const {
  // Y' = kr R + kg G + kb B; Cb and Cr are B - Y' and R - Y', scaled.
  const double kr = matrix == Matrix::Bt709 ? 0.2126 : 0.299;
  const double kb = matrix == Matrix::Bt709 ? 0.0722 : 0.114;
  const double kg = 1 - kr - kb;
  const double luma = full_range ? 1 : 255.0 / 219;
  const double chroma = full_range ? 1 : 255.0 / 224;
  const auto whole = [](double x) { return int64_t(std::lround(x * 65536)); };
  const int64_t black = full_range ? 0 : 16, scale = whole(luma);
  const int64_t red = whole(2 * (1 - kr) * chroma);
  const int64_t blue = whole(2 * (1 - kb) * chroma);
  const int64_t green_r = whole(2 * (1 - kr) * kr / kg * chroma);
  const int64_t green_b = whole(2 * (1 - kb) * kb / kg * chroma);

  frame.height = rows;
  frame.width = columns;
  frame.rgb.resize(size_t(rows * columns * 3));
  const int across = layout.across, down = layout.down;
  const int64_t narrow = across ? (columns + across - 1) / across : 0;
  const int64_t low = across ? (rows + down - 1) / down : 0;
  const uint8_t *y_plane = planes.data();
  const uint8_t *u_plane = y_plane + rows * columns;
  const uint8_t *v_plane = u_plane + narrow * low;
  uint8_t *to = frame.rgb.data();
  for (int64_t y = 0; y < rows; ++y) {
    const int64_t row = across ? y / down * narrow : 0;
    for (int64_t x = 0; x < columns; ++x) {
      const int64_t value = (*y_plane++ - black) * scale;
      int64_t u = 0, v = 0;
      if (across) {
        u = u_plane[row + x / across] - 128;
        v = v_plane[row + x / across] - 128;
      }
      *to++ = to_byte(value + red * v);
      *to++ = to_byte(value - green_r * v - green_b * u);
      *to++ = to_byte(value + blue * u);
    }
  }
}

Status Y4mReader::next(Picture &frame, bool &more) {
  if (Status s = begin_frame(more); !s.ok() || !more)
    return s;
  if (Status s = read_planes(true); !s.ok())
    return s;
  to_rgb(frame);
  return {};
}

Status Y4mReader::skip(bool &more) {
  if (Status s = begin_frame(more); !s.ok() || !more)
    return s;
  return read_planes(false);
}

} // namespace gm::media
