// What slots and checkpoints hold, token by token: where a prompt can begin
// behind what was computed before, what is kept for later prompts, and what of
// it goes when room is needed (the least recently used). Used on the thread
// that owns the engine; must not know who asks, nor steps.
#pragma once

#include "runtime/app/items.h"
#include "runtime/gemma.h"

#include <cstdint>
#include <vector>

namespace gm {

class Prefixes {
public:
  Prefixes(Engine &engine, const Plan &plan);

  // Where a prompt may begin.
  struct Place {
    int32_t slot = -1;   // idle; -1: there is none
    int32_t source = -1; // whose rows it takes: a slot, or slots + checkpoint
    int64_t rows = 0;    // of the source; fewer than the prompt has
    // How much of the prompt any sequence begins with, can it go on there or
    // not: prompts part here.
    int64_t parting = 0;
  };
  // `slot`: in this one; -1: in any.
  Place find(const std::vector<Item> &prompt, int32_t slot = -1) const;
  // Makes the slot hold what the place says, and busy.
  Status take(const Place &place);
  // The tokens of a busy slot go on with `item`, whose row is computed.
  void push(int32_t slot, const Item &item) {
    held[size_t(slot)].ids.push_back(item.id);
  }
  // The slot is idle; its tokens stay until room is needed.
  void release(int32_t slot);
  // Nothing is known of the rows of a slot any more.
  void forget(int32_t slot);

  bool is_busy(int32_t slot) const { return held[size_t(slot)].busy; }
  // An idle slot becomes busy and keeps what it holds.
  void hold(int32_t slot) { held[size_t(slot)].busy = true; }
  const std::vector<int32_t> &ids(int32_t slot) const {
    return held[size_t(slot)].ids;
  }
  // A busy slot was made to hold the rows of `ids`.
  void set(int32_t slot, const std::vector<int32_t> &ids) {
    held[size_t(slot)].ids = ids;
  }

  // A checkpoint of the first `rows` of a slot, if the slot can still go back
  // there and none is as long and equal.
  void keep(int32_t slot, int64_t rows);
  // Gives up the idle slot or the checkpoint that was used longest ago; false:
  // there is none.
  bool drop();

  bool any_idle() const;
  int64_t length(int32_t slot) const {
    return int64_t(held[size_t(slot)].ids.size());
  }

private:
  struct Held {
    std::vector<int32_t> ids;
    uint64_t used = 0; // when; larger: later
    bool busy = false; // slots
  };

  bool is_slot(int32_t sequence) const { return sequence < slots; }
  bool can_begin(int32_t sequence, int64_t rows) const;
  int64_t usable(int32_t sequence, const std::vector<Item> &prompt,
                 int64_t common) const;
  int32_t oldest_idle(int32_t but) const;
  int32_t checkpoint_for(uint64_t used) const;
  void save(int32_t slot, int32_t kept, int64_t rows);
  void clear(int32_t sequence);

  Engine &engine;
  const int32_t slots;
  std::vector<Held> held; // slots, then checkpoints
  uint64_t now = 0;
};

// How many items of two prompts are equal from the first on.
int64_t common_items(const std::vector<Item> &a, const std::vector<Item> &b);

} // namespace gm
