// The pages of the caches: which are free, and which sequence holds which. A
// sequence is a slot or a checkpoint. Pages may be shared; who writes into one
// gets it alone first, so what others hold never changes.
#pragma once

#include "runtime/abi.h"
#include "runtime/gemma.h"

#include <cstdint>

namespace gm {

// Free and shared pages of one pool. Prefers runs of 4 pages (one attention
// split), in which a sequence goes on with the next page.
class Pool {
public:
  // `holders`: one count per page, all 0. `scatter` as in Options.
  void reset(int32_t *holders, int64_t pages, uint64_t scatter);
  // A page with one holder, behind `previous` (-1: none) if that is free; -1
  // if none is left.
  int32_t take(int32_t previous);
  void share(int32_t page) { ++holders[page]; }
  void drop(int32_t page);
  bool shared(int32_t page) const { return holders[page] > 1; }
  int64_t left() const { return free; }

private:
  bool run_is_free(int64_t first) const;
  int64_t find(int32_t previous); // one is free

  int32_t *holders = nullptr;
  int64_t pages = 0, free = 0;
  int64_t at = 0; // where the search goes on, a multiple of 4
  Random order;   // state 0: in runs
};

// What a sequence holds: pages of positions [64 * first, 64 * end) of each
// kind; global ones from 0 on. Their numbers stand in the page tables.
struct Sequence {
  int64_t length; // valid rows, from position 0 on
  int64_t stamp;  // last job that has rows of it
  int32_t first[2], end[2];
};

} // namespace gm
