// See resize.h. Both passes are one loop over tiles of 12 lanes: along rows the
// channels of 4 rows, along columns 12 neighbouring bytes. Lanes are doubles,
// because the widest product of weight and sample that every x86-64 and ARMv8
// does in vectors is that of doubles, and the sums are integers that fit.
#include "runtime/media/resize.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

namespace gm::media {
namespace {

constexpr int kLanes = 12;
constexpr int kBits = 22; // of a weight's fraction

// Keys' cubic with a = -0.5. The order of operations is Pillow's: it decides
// the last bit of a weight.
double cubic(double x) {
  constexpr double a = -0.5;
  x = std::fabs(x);
  if (x < 1)
    return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2)
    return (((x - 5) * x + 8) * x - 4) * a;
  return 0;
}

// How `to` samples are made of `from`.
struct Filter {
  struct Span {
    int64_t begin = 0, count = 0, weights = 0;
  };
  std::vector<Span> spans;     // per output
  std::vector<double> weights; // whole numbers

  Filter(int64_t from, int64_t to) : spans(size_t(to)) {
    const double scale = double(from) / double(to);
    const double wide = std::max(scale, 1.0), support = 2 * wide;
    const double narrow = 1 / wide;
    for (int64_t i = 0; i < to; ++i) {
      const double center = (double(i) + 0.5) * scale;
      const int64_t begin =
          std::max<int64_t>(0, int64_t(center - support + 0.5));
      const int64_t end = std::min(from, int64_t(center + support + 0.5));
      spans[size_t(i)] = {begin, end - begin, int64_t(weights.size())};
      double sum = 0;
      for (int64_t j = begin; j < end; ++j) {
        weights.push_back(cubic((double(j) - center + 0.5) * narrow));
        sum += weights.back();
      }
      for (size_t j = weights.size() - size_t(end - begin); j < weights.size();
           ++j) {
        double w = weights[j] / sum * double(1 << kBits);
        weights[j] = std::trunc(w < 0 ? w - 0.5 : w + 0.5);
      }
    }
  }
};

// The outputs of `filter` for 12 lanes, a few at a time, so that their samples
// stay in the nearest cache: load(begin, end, to) puts samples (end - begin,
// 12) there, store(i, lanes) takes output i.
template <typename Load, typename Store>
void apply(const Filter &filter, std::vector<double> &tile, Load load,
           Store store) {
  constexpr int64_t most = 256; // samples, but for one output as many as it has
  const std::vector<Filter::Span> &spans = filter.spans;
  for (size_t i = 0; i < spans.size();) {
    const int64_t begin = spans[i].begin;
    size_t next = i + 1;
    while (next < spans.size() &&
           spans[next].begin + spans[next].count - begin <= most)
      ++next;
    const int64_t end = spans[next - 1].begin + spans[next - 1].count;
    if (tile.size() < size_t((end - begin) * kLanes))
      tile.resize(size_t((end - begin) * kLanes));
    load(begin, end, tile.data());
    for (; i < next; ++i) {
      double sum[kLanes];
      for (double &s : sum)
        s = 1 << (kBits - 1);
      const double *x = tile.data() + (spans[i].begin - begin) * kLanes;
      const double *w = filter.weights.data() + spans[i].weights;
      for (int64_t j = 0; j < spans[i].count; ++j, x += kLanes)
        for (int lane = 0; lane < kLanes; ++lane)
          sum[lane] += w[j] * x[lane];
      uint8_t lanes[kLanes];
      for (int lane = 0; lane < kLanes; ++lane)
        lanes[lane] = uint8_t(std::clamp(int32_t(sum[lane]) >> kBits, 0, 255));
      store(int64_t(i), lanes);
    }
  }
}

// in (height, from, 3) -> out (height, to, 3)
void along_rows(const uint8_t *in, int64_t height, int64_t from, int64_t to,
                uint8_t *out) {
  const Filter filter(from, to);
  std::vector<double> tile;
  for (int64_t y = 0; y < height; y += 4) {
    const int rows = int(std::min<int64_t>(4, height - y));
    const auto load = [&](int64_t begin, int64_t end, double *lanes) {
      for (int r = 0; r < rows; ++r) {
        const uint8_t *row = in + ((y + r) * from + begin) * 3;
        double *lane = lanes + r * 3;
        for (int64_t x = begin; x < end; ++x, row += 3, lane += kLanes)
          for (int c = 0; c < 3; ++c)
            lane[c] = row[c];
      }
    };
    const auto store = [&](int64_t x, const uint8_t *lanes) {
      for (int r = 0; r < rows; ++r)
        memcpy(out + ((y + r) * to + x) * 3, lanes + r * 3, 3);
    };
    apply(filter, tile, load, store);
  }
}

// in (from, bytes) -> out (to, bytes)
void along_columns(const uint8_t *in, int64_t from, int64_t bytes, int64_t to,
                   uint8_t *out) {
  const Filter filter(from, to);
  std::vector<double> tile;
  for (int64_t x = 0; x < bytes; x += kLanes) {
    const int lanes = int(std::min<int64_t>(kLanes, bytes - x));
    const auto load = [&](int64_t begin, int64_t end, double *to_lanes) {
      for (int64_t y = begin; y < end; ++y, to_lanes += kLanes)
        for (int lane = 0; lane < lanes; ++lane)
          to_lanes[lane] = in[y * bytes + x + lane];
    };
    const auto store = [&](int64_t y, const uint8_t *from_lanes) {
      memcpy(out + y * bytes + x, from_lanes, size_t(lanes));
    };
    apply(filter, tile, load, store);
  }
}

// Pillow's choice since version 13, and it shows: a pass rounds to bytes, so
// the order decides bits.
bool columns_first(const Picture &from, int64_t height, int64_t width) {
  return from.height > height &&
         from.height - height > 2 * (from.width - width);
}

// One pass; the other axis keeps its size.
Picture pass(const Picture &from, int64_t height, int64_t width) {
  Picture to{height, width, std::vector<uint8_t>(size_t(height * width * 3))};
  if (width != from.width)
    along_rows(from.rgb.data(), height, from.width, width, to.rgb.data());
  else
    along_columns(from.rgb.data(), from.height, width * 3, height,
                  to.rgb.data());
  return to;
}

} // namespace

Status resize(const Picture &from, int64_t height, int64_t width, Picture &to) {
  const bool columns = columns_first(from, height, width);
  const int64_t between_height = columns ? height : from.height;
  const int64_t between_width = columns ? from.width : width;
  // Of the three pictures the one in between is never the largest.
  if (Status s = check_sides(from.height, from.width); !s.ok())
    return s;
  if (Status s = check_sides(height, width); !s.ok())
    return s;
  const Picture *last = &from;
  Picture between;
  if (between_height != from.height || between_width != from.width) {
    between = pass(from, between_height, between_width);
    last = &between;
  }
  if (height != last->height || width != last->width)
    to = pass(*last, height, width);
  else if (last == &between)
    to = std::move(between);
  else if (&to != &from)
    to = from;
  return {};
}

} // namespace gm::media
