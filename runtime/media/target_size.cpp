// See target_size.h.
#include "runtime/media/target_size.h"

#include "runtime/media/picture.h"

#include <algorithm>
#include <cmath>

namespace gm::media {

bool is_budget(int64_t soft_tokens) {
  return std::find(std::begin(kBudgets), std::end(kBudgets), soft_tokens) !=
         std::end(kBudgets);
}

SizeRule rule_of(int64_t budget) {
  SizeRule rule;
  rule.max_patches = budget * rule.pool * rule.pool;
  return rule;
}

Status target_size(int64_t height, int64_t width, const SizeRule &rule,
                   TargetSize &size) {
  if (Status s = check_sides(height, width); !s.ok())
    return s;
  constexpr int64_t most = 1 << 15; // keeps products within 64 bits
  if (rule.patch < 1 || rule.pool < 1 || rule.max_patches < 1 ||
      rule.patch > 1024 || rule.pool > 64 || rule.max_patches > most)
    return failure(USAGE, "expects patches, pooling and most patches of 1 to "
                          "1024, 64 and 32768");
  const int64_t side = rule.patch * rule.pool;
  const int64_t most_pixels = rule.max_patches * rule.patch * rule.patch;
  const int64_t most_side = rule.max_patches / (rule.pool * rule.pool) * side;
  const double factor =
      std::sqrt(double(most_pixels) / (double(height) * double(width)));
  auto cells = [&](int64_t pixels) {
    return int64_t(std::floor(factor * double(pixels) / double(side)));
  };
  int64_t h = cells(height) * side, w = cells(width) * side;
  if (h == 0 && w == 0)
    return failure(BAD_INPUT,
                   "a picture of %lld x %lld pixels becomes smaller than %lld "
                   "x %lld",
                   (long long)width, (long long)height, (long long)side,
                   (long long)side);
  if (h == 0) {
    h = side;
    w = std::min(width / height * side, most_side);
  } else if (w == 0) {
    w = side;
    h = std::min(height / width * side, most_side);
  }
  if (h * w > most_pixels || h == 0 || w == 0)
    return failure(BAD_INPUT,
                   "a picture of %lld x %lld pixels becomes %lld x %lld: "
                   "expects 1 to %lld pixels",
                   (long long)width, (long long)height, (long long)w,
                   (long long)h, (long long)most_pixels);
  size = {h, w, (h / side) * (w / side)};
  return {};
}

Status target_size(int64_t height, int64_t width, int64_t budget,
                   TargetSize &size) {
  if (!is_budget(budget))
    return failure(USAGE,
                   "expects 70, 140, 280, 560 or 1120 soft tokens for a "
                   "picture, got %lld",
                   (long long)budget);
  return target_size(height, width, rule_of(budget), size);
}

} // namespace gm::media
