// Which frames of a film a model sees and what stands before each
// (docs/model/vision.md#8.2). A frame is a picture of its own, with a budget of
// 70. Knows no pixels.
#pragma once

#include "runtime/gemma.h"

#include <string>
#include <vector>

namespace gm::media {

inline constexpr int64_t kFilmFrames = 32;
inline constexpr int64_t kFilmBudget = 70; // soft tokens per frame

// Frames a second, num / den; 24 where a film does not say.
struct FrameRate {
  int64_t num = 24, den = 1;
};

// Which of the `total` frames are seen: N = min(most, total) of them, the i-th
// is floor(i total / N), so all of them where there are no more than `most`
// (the reference refuses fewer than 32). USAGE for a total that is not 0 to
// kMostFrames, or `most` that is not 1 to kMostFrames.
Status film_frames(int64_t total, std::vector<int64_t> &frames,
                   int64_t most = kFilmFrames);

// "mm:ss" of floor(frame / rate) seconds, exactly; two digits each at least,
// minutes go on behind 59. The rate must be check_rate's, the frame 0 to
// kMostFrames.
std::string time_stamp(int64_t frame, FrameRate rate);

// USAGE unless both numbers are 1 to 2^31 - 1.
Status check_rate(FrameRate rate);

} // namespace gm::media
