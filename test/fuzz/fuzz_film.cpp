// Any bytes as a film in a file: an error, or as many frames as it says it has,
// of one size where it is Y4M, and those that are wanted of them.
#include "runtime/app/film_source.h"

#include <cstdlib>
#include <cstring>
#include <sys/mman.h>
#include <unistd.h>

using namespace gm;

namespace {

constexpr int64_t kMostPixelsHere = 1 << 18, kMostFramesHere = 20;

void require(bool good) {
  if (!good)
    std::abort();
}

// Small files may hold frames that take minutes, within the limits.
bool is_large(const uint8_t *data, size_t size) {
  media::Animation animation;
  return media::read_animation({data, size}, {}, animation).ok() &&
         animation.height * animation.width > kMostPixelsHere;
}

// Frames whose numbers are multiples of `step`.
void watch(const std::string &path, int64_t step) {
  media::PictureOptions options;
  options.most_pixels = kMostPixelsHere;
  FilmSource film;
  Status s = film.open(path, options);
  require(s.ok() == !s.text[0]);
  if (!s.ok())
    return;
  require(film.frames() >= 1 && film.rate().num >= 1 && film.rate().den >= 1);
  std::vector<int64_t> wanted;
  for (int64_t i = 0; i < std::min(film.frames(), kMostFramesHere); i += step)
    wanted.push_back(i);
  size_t taken = 0;
  s = film.read(wanted, options, [&](media::Picture &picture) -> Status {
    ++taken;
    require(picture.height >= 1 && picture.width >= 1 &&
            int64_t(picture.rgb.size()) == picture.height * picture.width * 3);
    return {};
  });
  require(s.ok() == !s.text[0] && taken <= wanted.size());
  require(!s.ok() || taken == wanted.size());
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (is_large(data, size))
    return 0;
  static const int file = memfd_create("film", 0);
  static const std::string path = "/proc/self/fd/" + std::to_string(file);
  require(file >= 0 && ftruncate(file, 0) == 0 &&
          pwrite(file, data, size, 0) == ssize_t(size));
  watch(path, 1);
  watch(path, 3);
  return 0;
}
