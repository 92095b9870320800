// See picture.h.
#include "runtime/media/picture.h"

#include "runtime/media/limits.h"

#include <cstring>
#include <utility>

namespace gm::media {
namespace {

// Fields of a TIFF block, whose byte order its first two bytes say.
class Tiff {
public:
  Tiff(const uint8_t *bytes, size_t count)
      : bytes(bytes), count(count), big(count && bytes[0] == 'M') {}
  bool has(size_t at, size_t width) const {
    return at <= count && width <= count - at;
  }
  uint32_t byte(size_t at) const { return bytes[at]; }
  uint32_t word(size_t at) const { // 2 bytes
    return big ? bytes[at] << 8 | bytes[at + 1]
               : bytes[at + 1] << 8 | bytes[at];
  }
  uint32_t number(size_t at) const { // 4 bytes
    return big ? word(at) << 16 | word(at + 2) : word(at + 2) << 16 | word(at);
  }

private:
  const uint8_t *bytes;
  size_t count;
  bool big;
};

// Entries of other types are passed over.
bool is_type(uint32_t type) { return (type >= 1 && type <= 13) || type == 16; }

// What the entry for it at `at` says, 1 if that is no orientation.
int orientation_of(const Tiff &tiff, size_t at) {
  uint32_t value = 0;
  switch (tiff.word(at + 2)) { // whole numbers of any width, signed or not
  case 1:
  case 6:
    value = tiff.byte(at + 8);
    break;
  case 3:
  case 8:
    value = tiff.word(at + 8);
    break;
  case 4:
  case 9:
  case 13:
    value = tiff.number(at + 8);
    break;
  }
  return tiff.number(at + 4) == 1 && value >= 1 && value <= 8 ? int(value) : 1;
}

} // namespace

Status check_sides(int64_t height, int64_t width) {
  if (height < 1 || width < 1 || height > kMostSide || width > kMostSide)
    return failure(USAGE,
                   "a picture of %lld x %lld pixels: expects sides of 1 to "
                   "%lld",
                   (long long)width, (long long)height, (long long)kMostSide);
  if (height * width > kMostPixels)
    return failure(USAGE,
                   "a picture of %lld x %lld pixels: expects at most %lld in "
                   "all, make it smaller",
                   (long long)width, (long long)height, (long long)kMostPixels);
  return {};
}

Status to_rgb(const Pixels &from, Alpha alpha, Picture &picture) {
  if (Status s = check_sides(from.height, from.width); !s.ok())
    return s;
  if (from.channels < 1 || from.channels > 4)
    return failure(USAGE, "expects 1 to 4 channels of a picture, got %d",
                   from.channels);
  const int channels = from.channels;
  if (from.stride < from.width * channels)
    return failure(USAGE, "expects rows of at least %lld bytes, got %lld",
                   (long long)(from.width * channels), (long long)from.stride);
  picture.height = from.height;
  picture.width = from.width;
  picture.rgb.resize(size_t(from.height * from.width * 3));
  const bool colour = channels >= 3, transparent = channels % 2 == 0;
  uint8_t *to = picture.rgb.data();
  for (int64_t y = 0; y < from.height; ++y) {
    const uint8_t *row = from.data + y * from.stride;
    if (channels == 3) {
      memcpy(to, row, size_t(from.width) * 3);
      to += from.width * 3;
      continue;
    }
    for (int64_t x = 0; x < from.width; ++x, row += channels)
      for (int c = 0; c < 3; ++c) {
        uint8_t value = row[colour ? c : 0];
        if (transparent && alpha == Alpha::White)
          value = over_white(value, row[channels - 1]);
        *to++ = value;
      }
  }
  return {};
}

void turn_upright(Picture &picture, int orientation) {
  if (orientation < 2 || orientation > 8)
    return;
  const int64_t height = picture.height, width = picture.width;
  // Where pixel (y, x) of the upright picture lies: transposed from 5 on, then
  // each axis forward or backward.
  const bool swap = orientation >= 5;
  const bool back_x = orientation == 2 || orientation == 3 ||
                      orientation == 7 || orientation == 8;
  const bool back_y = orientation == 3 || orientation == 4 ||
                      orientation == 6 || orientation == 7;
  Picture up;
  up.height = swap ? width : height;
  up.width = swap ? height : width;
  up.rgb.resize(picture.rgb.size());
  uint8_t *to = up.rgb.data();
  for (int64_t y = 0; y < up.height; ++y)
    for (int64_t x = 0; x < up.width; ++x, to += 3) {
      int64_t at_x = swap ? y : x, at_y = swap ? x : y;
      if (back_x)
        at_x = width - 1 - at_x;
      if (back_y)
        at_y = height - 1 - at_y;
      memcpy(to, picture.rgb.data() + (at_y * width + at_x) * 3, 3);
    }
  picture = std::move(up);
}

int exif_orientation(const uint8_t *bytes, size_t count, int absent) {
  if (count >= 6 && memcmp(bytes, "Exif\0\0", 6) == 0) {
    bytes += 6;
    count -= 6;
  }
  if (count < 8 || (memcmp(bytes, "II*\0", 4) && memcmp(bytes, "MM\0*", 4)))
    return absent;
  const Tiff tiff(bytes, count);
  size_t at = tiff.number(4); // the first directory: entries of 12 bytes
  if (!tiff.has(at, 2))
    return absent;
  const uint32_t entries = tiff.word(at);
  at += 2;
  int orientation = absent;
  for (uint32_t i = 0; i < entries && tiff.has(at, 12); ++i, at += 12)
    if (tiff.word(at) == 0x112 && is_type(tiff.word(at + 2)))
      orientation = orientation_of(tiff, at);
  return orientation;
}

} // namespace gm::media
