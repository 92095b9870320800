// What a prompt is made of before its rows have positions: tokens, and rows
// that encoders of images and sound made; and how many of them a step takes.
// Must not know where they come from.
#pragma once

#include "runtime/gemma.h"

#include <algorithm>
#include <cstdint>
#include <functional>
#include <vector>

namespace gm {

struct Item {
  int32_t id; // -1-j: row j of Items::soft
  // How many rows of its block of images come from this one on, itself
  // included; 0: it stands in none. Models without blocks take no notice.
  int32_t left = 0;

  // Row::end of this item at a position.
  int32_t end_at(int64_t position) const {
    return left ? int32_t(position) + left : 0;
  }
};

struct Items {
  std::vector<Item> list;
  const float *soft = nullptr; // as in Job
  int32_t soft_count = 0;
  // Where soft rows are made as steps need them, in less room than all take:
  // called before a step of these items, which may become fewer (never a part
  // of a block, at least one). The row of `first` then stands first in `soft`.
  std::function<Status(const Item *items, int64_t &count, int32_t &first)>
      bring;

  Items() = default;
  explicit Items(const std::vector<int32_t> &ids) {
    for (int32_t id : ids)
      list.push_back({id});
  }
  size_t size() const { return list.size(); }
};

// How many of `count` items the next step takes: at most `most`, and blocks
// only whole, so more if the first block alone is longer (Options::block makes
// room for it). A place in front of a block or behind it may be asked for, such
// as that of a checkpoint; none inside.
inline int64_t step_items(const Item *items, int64_t count, int64_t most) {
  int64_t n = std::min(count, most);
  while (n > 0 && n < count && items[n - 1].left > 1)
    --n;
  return n ? n : std::min<int64_t>(count, items[0].left);
}

} // namespace gm
