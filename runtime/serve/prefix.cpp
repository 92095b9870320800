// See prefix.h.
#include "runtime/serve/prefix.h"

#include <algorithm>

namespace gm {

namespace {

// Fewer rows than these are computed again rather than kept.
enum : int64_t { LEAST = 16 };

// Not inside a block of images of the prompt, back from `rows`.
int64_t whole(const std::vector<Item> &prompt, int64_t rows) {
  while (rows > 0 && prompt[size_t(rows) - 1].left > 1)
    --rows;
  return rows;
}

} // namespace

int64_t common_items(const std::vector<Item> &a, const std::vector<Item> &b) {
  const size_t most = std::min(a.size(), b.size());
  size_t n = 0;
  while (n < most && a[n].id == b[n].id)
    ++n;
  return int64_t(n);
}

Prefixes::Prefixes(Engine &engine, const Plan &plan)
    : engine(engine), slots(int32_t(plan.slots)),
      held(size_t(plan.slots + plan.checkpoints)) {}

bool Prefixes::can_begin(int32_t sequence, int64_t rows) const {
  return is_slot(sequence) ? can_continue(engine, sequence, rows)
                           : can_restore(engine, sequence - slots, rows);
}

// How much a prompt can take of a sequence with which it has `common` items:
// where the keys of a sliding window are gone, they are so for all before.
int64_t Prefixes::usable(int32_t sequence, const std::vector<Item> &prompt,
                         int64_t common) const {
  const int64_t rows =
      whole(prompt, std::min(common, int64_t(prompt.size()) - 1));
  return rows > 0 && can_begin(sequence, rows) ? rows : 0;
}

// Empty ones first; `but`: only if there is no other.
int32_t Prefixes::oldest_idle(int32_t but) const {
  int32_t best = -1;
  auto rank = [&](int32_t s) {
    return std::pair(s == but,
                     held[size_t(s)].ids.empty() ? 0 : held[size_t(s)].used);
  };
  for (int32_t s = 0; s < slots; ++s)
    if (!held[size_t(s)].busy && (best < 0 || rank(s) < rank(best)))
      best = s;
  return best;
}

bool Prefixes::any_idle() const { return oldest_idle(-1) >= 0; }

Prefixes::Place Prefixes::find(const std::vector<Item> &prompt,
                               int32_t slot) const {
  Place place;
  for (int32_t q = 0; q < int32_t(held.size()); ++q) {
    const std::vector<int32_t> &ids = held[size_t(q)].ids;
    const size_t most = std::min(ids.size(), prompt.size());
    size_t common = 0;
    while (common < most && ids[common] == prompt[common].id)
      ++common;
    place.parting = std::max(place.parting, int64_t(common));
    const int64_t rows = usable(q, prompt, int64_t(common));
    // Of equal ones that which has least behind it: its own conversation.
    if (rows > place.rows ||
        (rows && rows == place.rows &&
         ids.size() < held[size_t(place.source)].ids.size())) {
      place.rows = rows;
      place.source = q;
    }
  }
  // An idle slot goes on itself if that is most of what it holds; else it
  // keeps what it has as long as there is another one.
  const int32_t source = place.source;
  const bool idle =
      source >= 0 && is_slot(source) && !held[size_t(source)].busy;
  if (slot >= 0)
    place.slot = is_busy(slot) ? -1 : slot;
  else if (idle && 2 * place.rows >= length(source))
    place.slot = source;
  else
    place.slot = oldest_idle(idle ? source : -1);
  return place;
}

Status Prefixes::take(const Place &place) {
  Held &slot = held[size_t(place.slot)];
  Status s;
  if (place.source >= 0)
    held[size_t(place.source)].used = ++now;
  if (place.slot != place.source && !slot.ids.empty())
    if (int32_t kept = checkpoint_for(slot.used);
        kept >= 0 && kept != place.source)
      save(place.slot, kept, length(place.slot));
  if (place.source < 0)
    s = slot_truncate(engine, place.slot, 0);
  else if (is_slot(place.source))
    s = slot_fork(engine, place.source, place.slot, place.rows);
  else
    s = checkpoint(engine, Keep::Restore, place.source - slots, place.slot,
                   place.rows);
  if (!s.ok())
    return s;
  if (place.source < 0)
    slot.ids.clear();
  else if (place.source == place.slot)
    slot.ids.resize(size_t(place.rows));
  else
    slot.ids.assign(held[size_t(place.source)].ids.begin(),
                    held[size_t(place.source)].ids.begin() +
                        ptrdiff_t(place.rows));
  slot.busy = true;
  slot.used = ++now;
  return {};
}

void Prefixes::release(int32_t slot) {
  held[size_t(slot)].busy = false;
  held[size_t(slot)].used = ++now;
}

void Prefixes::forget(int32_t slot) {
  clear(slot);
  held[size_t(slot)].busy = false;
}

// Position 0 is always one to go back to, so this cannot fail.
void Prefixes::clear(int32_t sequence) {
  held[size_t(sequence)].ids.clear();
  Status s = is_slot(sequence)
                 ? slot_truncate(engine, sequence, 0)
                 : checkpoint(engine, Keep::Drop, sequence - slots, 0);
  (void)s;
}

// The checkpoint that makes room for what was used at `used`: an empty one, or
// the oldest that is older; -1: there is none.
int32_t Prefixes::checkpoint_for(uint64_t used) const {
  int32_t best = -1;
  for (int32_t q = slots; q < int32_t(held.size()); ++q) {
    if (held[size_t(q)].ids.empty())
      return q;
    if (held[size_t(q)].used < used &&
        (best < 0 || held[size_t(q)].used < held[size_t(best)].used))
      best = q;
  }
  return best;
}

void Prefixes::save(int32_t slot, int32_t kept, int64_t rows) {
  if (!checkpoint(engine, Keep::Save, kept - slots, slot, rows).ok())
    return;
  Held &to = held[size_t(kept)];
  const Held &from = held[size_t(slot)];
  to.ids.assign(from.ids.begin(), from.ids.begin() + ptrdiff_t(rows));
  to.used = from.used;
}

void Prefixes::keep(int32_t slot, int64_t rows) {
  const Held &from = held[size_t(slot)];
  if (rows < LEAST || rows > length(slot) || !can_begin(slot, rows))
    return;
  for (int32_t q = slots; q < int32_t(held.size()); ++q)
    if (Held &h = held[size_t(q)];
        int64_t(h.ids.size()) == rows &&
        std::equal(h.ids.begin(), h.ids.end(), from.ids.begin())) {
      h.used = ++now;
      return;
    }
  const int32_t kept = checkpoint_for(++now);
  if (kept < 0)
    return;
  save(slot, kept, rows);
  held[size_t(kept)].used = now;
}

bool Prefixes::drop() {
  int32_t oldest = -1;
  for (int32_t q = 0; q < int32_t(held.size()); ++q)
    if (const Held &h = held[size_t(q)];
        !h.busy && !h.ids.empty() &&
        (oldest < 0 || h.used < held[size_t(oldest)].used))
      oldest = q;
  if (oldest >= 0)
    clear(oldest);
  return oldest >= 0;
}

} // namespace gm
