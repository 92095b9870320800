// How large a picture is when the towers see it, and how many soft tokens it
// becomes (docs/model/vision.md#2.1). Pure arithmetic; knows no pixels.
#pragma once

#include "runtime/gemma.h"

namespace gm::media {

// Soft tokens that a picture may become at most.
inline constexpr int64_t kBudgets[] = {70, 140, 280, 560, 1120};
bool is_budget(int64_t soft_tokens);

// Patches are patch x patch pixels; pool x pool of them become a soft token.
struct SizeRule {
  int64_t patch = 16, pool = 3, max_patches = 2520;
};
SizeRule rule_of(int64_t budget);

struct TargetSize {
  int64_t height = 0, width = 0; // pixels, multiples of patch * pool
  int64_t soft_tokens = 0;       // at most max_patches / pool^2
};

// The largest size of the picture's own shape that the rule allows, up or down,
// in double as the reference computes it. USAGE for sides out of bounds
// (picture.h); BAD_INPUT where the shape fits in no way, which no budget of the
// list lets happen: one side becomes a row of soft tokens, the other at most
// `budget` of them.
Status target_size(int64_t height, int64_t width, const SizeRule &rule,
                   TargetSize &size);
// By one of kBudgets; USAGE for another.
Status target_size(int64_t height, int64_t width, int64_t budget,
                   TargetSize &size);

} // namespace gm::media
