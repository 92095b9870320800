// See patches.h.
#include "runtime/media/patches.h"

#include "runtime/media/limits.h"

namespace gm::media {

Status make_patches(const Picture &picture, int side, int64_t rows,
                    Patches &patches) {
  if (Status s = check_sides(picture.height, picture.width); !s.ok())
    return s;
  if (side < 1 || side > 64)
    return failure(USAGE, "expects patches of 1 to 64 pixels, got %d", side);
  if (picture.height % side || picture.width % side)
    return failure(USAGE,
                   "expects sides that are multiples of %d, got %lld x "
                   "%lld",
                   side, (long long)picture.width, (long long)picture.height);
  const int64_t columns = picture.width / side;
  const int64_t count = picture.height / side * columns;
  const int64_t size = int64_t(side) * side * 3;
  if (rows == 0)
    rows = count;
  if (rows < count || rows > kMostPatchPixels * 3 / size)
    return failure(USAGE, "expects %lld to %lld rows of patches, got %lld",
                   (long long)count, (long long)(kMostPatchPixels * 3 / size),
                   (long long)rows);
  float scaled[256];
  for (int byte = 0; byte < 256; ++byte)
    scaled[byte] = float(byte) * (1.0f / 255);
  patches.count = count;
  patches.columns = columns;
  patches.rows = rows;
  patches.values.assign(size_t(rows * size), 0);
  patches.positions.assign(size_t(rows * 2), -1);
  float *to = patches.values.data();
  for (int64_t i = 0; i < count; ++i) {
    const int64_t x = i % columns, y = i / columns;
    patches.positions[size_t(i * 2)] = int32_t(x);
    patches.positions[size_t(i * 2 + 1)] = int32_t(y);
    for (int py = 0; py < side; ++py) {
      const uint8_t *from =
          picture.rgb.data() + ((y * side + py) * picture.width + x * side) * 3;
      for (int b = 0; b < side * 3; ++b)
        *to++ = scaled[from[b]];
    }
  }
  return {};
}

} // namespace gm::media
