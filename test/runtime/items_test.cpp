// How many items of a prompt a step takes.
#include "runtime/app/items.h"

#include <gtest/gtest.h>

using namespace gm;

namespace {

// Lengths of spans: n > 0 tokens, or a block of -n soft rows.
Items make(const std::vector<int32_t> &spans) {
  Items items;
  for (int32_t n : spans)
    for (int32_t left = std::abs(n); left > 0; --left)
      items.list.push_back(n > 0 ? Item{7} : Item{-1, left});
  return items;
}

std::vector<int64_t> steps(const Items &items, int64_t most) {
  std::vector<int64_t> sizes;
  for (size_t at = 0; at < items.size(); at += size_t(sizes.back()))
    sizes.push_back(
        step_items(&items.list[at], int64_t(items.size() - at), most));
  return sizes;
}

using Sizes = std::vector<int64_t>;

TEST(Items, TextIsCutAnywhere) {
  EXPECT_EQ(steps(make({10}), 4), (Sizes{4, 4, 2}));
  EXPECT_EQ(steps(make({1}), 512), (Sizes{1}));
}

TEST(Items, BlocksStayWhole) {
  EXPECT_EQ(steps(make({3, -4, 2}), 5), (Sizes{3, 5, 1}));
  EXPECT_EQ(steps(make({3, -4, 2}), 7), (Sizes{7, 2}));
  EXPECT_EQ(steps(make({3, -4, 2}), 1), (Sizes{1, 1, 1, 4, 1, 1}));
  EXPECT_EQ(steps(make({-9}), 4), (Sizes{9}));
  // Side by side, and of one row.
  EXPECT_EQ(steps(make({-3, -3, -1, -5}), 6), (Sizes{6, 6}));
  EXPECT_EQ(steps(make({-3, -3, -1, -5}), 5), (Sizes{3, 4, 5}));
}

TEST(Items, EndsArePositions) {
  Items items = make({1, -3});
  EXPECT_EQ(items.list[0].end_at(40), 0);
  EXPECT_EQ(items.list[1].end_at(41), 44);
  EXPECT_EQ(items.list[3].end_at(43), 44);
}

} // namespace
