// Any bytes as a Y4M stream, in pieces of any size, and as an EXIF block. What
// is accepted must keep its promises.
#include "runtime/media/limits.h"
#include "runtime/media/y4m.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

using namespace gm;
using namespace gm::media;

namespace {

void require(bool good) {
  if (!good)
    std::abort();
}

class Pieces : public ByteSource {
public:
  Pieces(const uint8_t *data, size_t size, size_t most)
      : data(data), size(size), most(most) {}
  int64_t read(uint8_t *to, size_t count) override {
    count = std::min({count, most, size});
    if (count) {
      std::memcpy(to, data, count);
      data += count;
      size -= count;
    }
    return int64_t(count);
  }

private:
  const uint8_t *data;
  size_t size, most;
};

// Frames, and how it ended; every `step`-th frame is skipped.
std::pair<int64_t, int> film(const uint8_t *data, size_t size, size_t most,
                             int64_t step) {
  Pieces pieces(data, size, most);
  Y4mReader reader(pieces);
  Status status = reader.open();
  Picture picture;
  if (status.ok()) {
    require(reader.width() >= 1 && reader.height() >= 1 &&
            reader.width() * reader.height() <= kMostFramePixels);
    require(check_rate(reader.rate()).ok());
  }
  for (bool more = true; status.ok() && more;) {
    const bool skip = step && reader.frames_read() % step == 0;
    status = skip ? reader.skip(more) : reader.next(picture, more);
    if (status.ok() && more && !skip)
      require(picture.width == reader.width() &&
              picture.height == reader.height() &&
              int64_t(picture.rgb.size()) ==
                  picture.width * picture.height * 3);
  }
  require(status.ok() || status.text[0]);
  return {reader.frames_read(), status.code};
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  const auto whole = film(data, size, size_t(1) << 20, 0);
  require(film(data, size, 3, 2) == whole);
  require(film(data, size, size_t(1) << 20, 1) == whole);
  const int orientation = exif_orientation(data, size);
  require(orientation >= 1 && orientation <= 8);
  return 0;
}
