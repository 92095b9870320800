// Any bytes as a picture and as a film through every codec: an error, or what
// keeps its promises. The codecs are Debian's and run as they are; what they
// are given and what they leave is watched.
#include "runtime/media/decode_picture.h"

#include <cstdlib>

using namespace gm;
using namespace gm::media;

namespace {

constexpr int64_t kMostPixelsHere = 1 << 18, kMostFramesHere = 20;

void require(bool good) {
  if (!good)
    std::abort();
}

void check(const Picture &picture) {
  require(picture.height >= 1 && picture.width >= 1 &&
          int64_t(picture.rgb.size()) == picture.height * picture.width * 3);
}

// The same pixels or the same failure in any order of white and turning.
void still(Bytes bytes, Alpha alpha, bool upright) {
  Picture picture;
  PictureRemarks remarks;
  const Status s = decode_picture(
      bytes,
      {.alpha = alpha, .upright = upright, .most_pixels = kMostPixelsHere},
      picture, remarks);
  require(s.ok() == !s.text[0]);
  if (!s.ok())
    return;
  check(picture);
  require(picture.height * picture.width <= kMostPixelsHere);
  require(alpha == Alpha::Drop || !remarks.transparent);
}

void film(Bytes bytes) {
  const PictureOptions options{.most_pixels = kMostPixelsHere};
  Animation animation;
  const Status s = read_animation(bytes, options, animation);
  require(s.ok() == !s.text[0]);
  if (!s.ok())
    return;
  require(!animation.milliseconds.empty());
  if (animation.height * animation.width > kMostPixelsHere ||
      int64_t(animation.milliseconds.size()) > kMostFramesHere)
    return;
  int64_t next = 0;
  PictureRemarks remarks;
  const Status all =
      decode_animation(bytes, options,
                       {[](int64_t) { return true; },
                        [&](int64_t frame, Picture &picture) -> Status {
                          require(frame == next++);
                          check(picture);
                          return {};
                        }},
                       remarks);
  require(!all.ok() || next == int64_t(animation.milliseconds.size()));
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  const Bytes bytes(data, size);
  still(bytes, Alpha::Drop, true);
  still(bytes, Alpha::White, false);
  film(bytes);
  return 0;
}
