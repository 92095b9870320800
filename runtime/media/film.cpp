// See film.h.
#include "runtime/media/film.h"

#include "runtime/media/limits.h"

#include <algorithm>
#include <cstdio>

namespace gm::media {

Status film_frames(int64_t total, std::vector<int64_t> &frames, int64_t most) {
  if (total < 0 || total > kMostFrames || most < 1 || most > kMostFrames)
    return failure(USAGE,
                   "expects a film of at most %lld frames, 1 or more of them "
                   "to be seen, got %lld and %lld",
                   (long long)kMostFrames, (long long)total, (long long)most);
  const int64_t count = std::min(most, total);
  frames.resize(size_t(count));
  for (int64_t i = 0; i < count; ++i)
    frames[size_t(i)] = i * total / count;
  return {};
}

std::string time_stamp(int64_t frame, FrameRate rate) {
  const int64_t seconds = frame * rate.den / rate.num;
  char text[48];
  snprintf(text, sizeof text, "%02lld:%02lld", (long long)(seconds / 60),
           (long long)(seconds % 60));
  return text;
}

Status check_rate(FrameRate rate) {
  constexpr int64_t most = 0x7FFFFFFF;
  if (rate.num < 1 || rate.den < 1 || rate.num > most || rate.den > most)
    return failure(USAGE,
                   "expects frames a second as two numbers of 1 to %lld, got "
                   "%lld and %lld",
                   (long long)most, (long long)rate.num, (long long)rate.den);
  return {};
}

} // namespace gm::media
