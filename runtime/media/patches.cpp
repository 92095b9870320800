// See patches.h.
#include "runtime/media/patches.h"

#include "runtime/media/limits.h"

#include <algorithm>

namespace gm::media {

static Status check_multiples(const Picture &picture, int side, int pool) {
  if (Status s = check_sides(picture.height, picture.width); !s.ok())
    return s;
  if (side < 1 || side > kMostPatchSide)
    return failure(USAGE, "expects patches of 1 to %d pixels, got %d",
                   kMostPatchSide, side);
  if (pool < 1 || pool > 8)
    return failure(USAGE, "expects cells of 1 to 8 patches, got %d", pool);
  const int cell = side * pool;
  if (picture.height % cell || picture.width % cell)
    return failure(USAGE,
                   "expects sides that are multiples of %d, got %lld x "
                   "%lld",
                   cell, (long long)picture.width, (long long)picture.height);
  return {};
}

namespace {
// The patch at column x and row y, scaled.
struct Cutter {
  const Picture &picture;
  int side;
  float scaled[256];

  Cutter(const Picture &picture, int side) : picture(picture), side(side) {
    for (int byte = 0; byte < 256; ++byte)
      scaled[byte] = float(byte) * (1.0f / 255);
  }
  void cut(int64_t x, int64_t y, float *to) const {
    for (int py = 0; py < side; ++py) {
      const uint8_t *from =
          picture.rgb.data() + ((y * side + py) * picture.width + x * side) * 3;
      for (int b = 0; b < side * 3; ++b)
        *to++ = scaled[from[b]];
    }
  }
};
} // namespace

Status make_patches(const Picture &picture, int side, int64_t rows,
                    Patches &patches) {
  if (Status s = check_multiples(picture, side, 1); !s.ok())
    return s;
  const int64_t columns = picture.width / side;
  const int64_t count = picture.height / side * columns;
  const int64_t size = int64_t(side) * side * 3;
  if (rows == 0)
    rows = count;
  if (rows < count || rows > kMostPatchPixels * 3 / size)
    return failure(USAGE, "expects %lld to %lld rows of patches, got %lld",
                   (long long)count, (long long)(kMostPatchPixels * 3 / size),
                   (long long)rows);
  const Cutter cutter(picture, side);
  patches.count = count;
  patches.columns = columns;
  patches.rows = rows;
  patches.values.assign(size_t(rows * size), 0);
  patches.positions.assign(size_t(rows * 2), -1);
  for (int64_t i = 0; i < count; ++i) {
    const int64_t x = i % columns, y = i / columns;
    patches.positions[size_t(i * 2)] = int32_t(x);
    patches.positions[size_t(i * 2 + 1)] = int32_t(y);
    cutter.cut(x, y, patches.values.data() + i * size);
  }
  return {};
}

Status make_cells(const Picture &picture, int side, int pool, float *values,
                  int64_t stride, int32_t *positions) {
  if (Status s = check_multiples(picture, side, pool); !s.ok())
    return s;
  const Cutter cutter(picture, side);
  const int64_t across = picture.width / side / pool,
                cells = picture.height / side / pool * across;
  for (int64_t cell = 0; cell < cells; ++cell)
    for (int64_t i = 0; i < int64_t(pool) * pool; ++i) {
      const int64_t x = cell % across * pool + i % pool,
                    y = cell / across * pool + i / pool;
      cutter.cut(x, y, values);
      std::fill(values + int64_t(side) * side * 3, values + stride, 0.0f);
      values += stride;
      *positions++ = int32_t(x);
      *positions++ = int32_t(y);
    }
  return {};
}

} // namespace gm::media
