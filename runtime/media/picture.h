// A decoded picture as the processors see it: RGB, upright, without
// transparency (docs/model/vision.md#2). Decoders hand over what they read;
// palettes are resolved and 16 bits cut to 8 there. Knows no files and no
// codecs.
#pragma once

#include "runtime/gemma.h"

#include <vector>

namespace gm::media {

// uint8 (height, width, 3), RGB, row major, without gaps.
struct Picture {
  int64_t height = 0, width = 0; // pixels
  std::vector<uint8_t> rgb;
};

// Bytes of a decoder, uint8 (height, width, channels), channel fastest; row y
// begins at data + y * stride.
struct Pixels {
  const uint8_t *data = nullptr;
  int64_t height = 0, width = 0; // pixels
  int channels = 3;              // 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA
  int64_t stride = 0;            // bytes, at least width * channels
};

// USAGE for sides that are not 1 to kMostSide, or more than kMostPixels of
// them.
Status check_sides(int64_t height, int64_t width);

enum class Alpha {
  // The colours below it show: what the reference does with files, URLs and
  // base64.
  Drop,
  // Over white, per channel (s a + 255 (255 - a) + 127) div 255: what it does
  // with picture objects of its caller.
  White,
};

inline uint8_t over_white(unsigned colour, unsigned alpha) {
  return uint8_t((colour * alpha + 255 * (255 - alpha) + 127) / 255);
}

// RGB of what a decoder read; grey is replicated. USAGE for sizes that are out
// of bounds, channels that are not 1 to 4, a stride that is too short.
Status to_rgb(const Pixels &from, Alpha alpha, Picture &picture);

// Turns the picture upright; `orientation` is the number that EXIF has for how
// it lies: 1 upright, 2 mirrored, 3 upside down, 4 upside down and mirrored, 5
// transposed, 6 to be turned a quarter clockwise, 7 transposed over the other
// diagonal, 8 to be turned a quarter counter-clockwise. Others mean 1, as they
// do to the reference. 5 to 8 exchange height and width.
void turn_upright(Picture &picture, int orientation);

// The orientation that an EXIF block says (TIFF, with or without the "Exif\0\0"
// of JPEG before it): 1 to 8, 1 for a number that is none; the last of several,
// a whole number of any width, as Pillow reads it. `absent` if it has none or
// the bytes are broken. Reads nothing outside of the bytes, and none of them
// twice.
int exif_orientation(const uint8_t *bytes, size_t count, int absent = 1);

} // namespace gm::media
