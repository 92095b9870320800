// See pages.h; and the operations on slots and checkpoints of gemma.h.
#include "runtime/core/engine.h"
#include "runtime/manifest_generated.h"

#include <algorithm>
#include <cstring>

namespace gm {

enum : int64_t { RUN = GM_SPLIT_KEYS / GM_PAGE_KEYS };

void Pool::reset(int32_t *counts, int64_t n, uint64_t scatter) {
  holders = counts;
  pages = free = n;
  at = 0;
  order.state = scatter;
}

bool Pool::run_is_free(int64_t first) const {
  for (int64_t i = first; i < std::min(first + RUN, pages); ++i)
    if (holders[i])
      return false;
  return true;
}

int64_t Pool::find(int32_t previous) {
  if (order.state) {
    int64_t page = int64_t(order.next() % uint64_t(pages));
    while (holders[page])
      page = (page + 1) % pages;
    return page;
  }
  int64_t next = previous + 1;
  if (previous >= 0 && next % RUN && next < pages && !holders[next])
    return next;
  for (int64_t tried = 0; tried < pages; tried += RUN) {
    int64_t first = at;
    at = at + RUN < pages ? at + RUN : 0;
    if (run_is_free(first))
      return first;
  }
  return std::find(holders, holders + pages, 0) - holders;
}

int32_t Pool::take(int32_t previous) {
  if (!free)
    return -1;
  int64_t page = find(previous);
  holders[page] = 1;
  --free;
  return int32_t(page);
}

void Pool::drop(int32_t page) {
  if (--holders[page] == 0)
    ++free;
}

namespace {

int32_t page_of(int64_t position) { return int32_t(position / GM_PAGE_KEYS); }
int32_t pages_of(int64_t rows) { return page_of(rows + GM_PAGE_KEYS - 1); }

int32_t &number(Engine &e, int kind, int32_t sequence, int32_t index) {
  return e.page[kind][sequence * e.plan.page_stride + index];
}

// The first page of each kind that a row at `position` reads.
int32_t first_seen(const Engine &e, int kind, int64_t position) {
  return kind == GM_GLOBAL
             ? 0
             : page_of(std::max<int64_t>(0, position - e.window + 1));
}

// Gives up the pages from `end` on.
void cut(Engine &e, int32_t sequence, int kind, int32_t end) {
  Sequence &s = e.sequence[sequence];
  while (s.end[kind] > std::max(end, s.first[kind]))
    e.pool[kind].drop(number(e, kind, sequence, --s.end[kind]));
  if (end == 0)
    s.first[kind] = s.end[kind] = 0;
}

// Calls `use` for every array of keys or values of a kind: where its page 0
// lies and how many bytes a page has.
template <typename Use>
void each_array(const Engine &e, int kind, Use use) {
  const gm_ctx &c = e.step[BODY].ctx;
  uint8_t *base = c.cache[kind];
  if (const auto *caches = e.file->manifest->caches())
    for (const gemmac::manifest::Cache *cache : *caches)
      if (cache->global() == (kind == GM_GLOBAL))
        for (uint64_t bytes : {cache->k_page(), cache->v_page()}) {
          use(base, bytes);
          base += bytes * uint64_t(c.pool_pages[kind]);
        }
}

void copy_page(Engine &e, int kind, int32_t from, int32_t to) {
  each_array(e, kind, [&](uint8_t *base, uint64_t bytes) {
    e.backend->copy(base + uint64_t(to) * bytes, base + uint64_t(from) * bytes,
                    bytes);
  });
}

Status check_continue(const Engine &e, const char *what, int64_t index,
                      int32_t sequence, int64_t length) {
  if (length >= 0 && can_continue(e, sequence, length))
    return {};
  return failure(RUN_ERROR,
                 "%s %lld has %lld rows and cannot go back to %lld: %s", what,
                 (long long)index, (long long)e.sequence[sequence].length,
                 (long long)length,
                 length > 0 && is_inner(e, sequence, length)
                     ? "that is inside a block of images"
                     : "the sliding window's keys are gone");
}

// `to` gives up what it holds and holds what a row behind the first `length`
// ones of `from` sees, which can continue there.
void share(Engine &e, int32_t from, int32_t to, int64_t length) {
  Sequence &s = e.sequence[to];
  for (int kind : {GM_LOCAL, GM_GLOBAL}) {
    cut(e, to, kind, 0);
    s.first[kind] = std::min(first_seen(e, kind, length), pages_of(length));
    s.end[kind] = pages_of(length);
    for (int32_t i = s.first[kind]; i < s.end[kind]; ++i)
      e.pool[kind].share(number(e, kind, to, i) = number(e, kind, from, i));
  }
  s.length = length;
  if (e.inner_words)
    memcpy(e.inner + to * e.inner_words, e.inner + from * e.inner_words,
           size_t(e.inner_words) * sizeof *e.inner);
}

Status check_sequence(int32_t index, int64_t count, const char *what) {
  if (index >= 0 && index < count)
    return {};
  return failure(RUN_ERROR, "%s %d is outside 0..%lld", what, index,
                 (long long)count - 1);
}

} // namespace

// Pages that rows [position, position + rows) of a slot need beyond those it
// can keep, less those that it gives up.
int64_t pages_wanted(Engine &e, int32_t slot, int64_t position, int64_t rows) {
  const Sequence &s = e.sequence[slot];
  int32_t kept = std::min(s.end[GM_GLOBAL], pages_of(position));
  int64_t wanted = pages_of(position + rows) - kept;
  for (int32_t i = kept; i < s.end[GM_GLOBAL]; ++i)
    wanted -= !e.pool[GM_GLOBAL].shared(number(e, GM_GLOBAL, slot, i));
  if (position % GM_PAGE_KEYS &&
      e.pool[GM_GLOBAL].shared(number(e, GM_GLOBAL, slot, page_of(position))))
    ++wanted;
  return wanted;
}

// Local pages cannot run out: the pool has room for all that slots and
// checkpoints may hold.
void own_pages(Engine &e, int32_t slot, int64_t position, int64_t rows) {
  Sequence &s = e.sequence[slot];
  for (int kind : {GM_LOCAL, GM_GLOBAL}) {
    Pool &pool = e.pool[kind];
    cut(e, slot, kind, pages_of(position));
    for (int32_t i = page_of(position); i < pages_of(position + rows); ++i) {
      int32_t &page = number(e, kind, slot, i);
      if (i < s.end[kind] && !pool.shared(page))
        continue;
      int32_t previous = i > s.first[kind] ? number(e, kind, slot, i - 1) : -1;
      if (i < s.end[kind]) { // shared, and some of its keys stay
        pool.drop(page);
        int32_t fresh = pool.take(previous);
        copy_page(e, kind, page, fresh);
        page = fresh;
        continue;
      }
      while (kind == GM_LOCAL &&
             i - s.first[kind] >= e.plan.ring / GM_PAGE_KEYS)
        pool.drop(number(e, kind, slot, s.first[kind]++));
      page = pool.take(previous);
      s.end[kind] = i + 1;
    }
  }
  s.length = position + rows;
}

bool can_continue(const Engine &e, int32_t slot, int64_t position) {
  const Sequence &s = e.sequence[slot];
  return position <= s.length && !is_inner(e, slot, position) &&
         (position == 0 ||
          first_seen(e, GM_LOCAL, position) >= s.first[GM_LOCAL]);
}

int64_t slot_length(const Engine &e, int32_t slot) {
  return slot >= 0 && slot < e.plan.slots ? e.sequence[slot].length : 0;
}

int64_t pages_left(const Engine &e) { return e.pool[GM_GLOBAL].left(); }

Status slot_truncate(Engine &e, int32_t slot, int64_t length) {
  if (Status s = check_sequence(slot, e.plan.slots, "slot"); !s.ok())
    return s;
  if (Status s = check_continue(e, "slot", slot, slot, length); !s.ok())
    return s;
  for (int kind : {GM_LOCAL, GM_GLOBAL})
    cut(e, slot, kind, pages_of(length));
  e.sequence[slot].length = length;
  return {};
}

Status slot_fork(Engine &e, int32_t from, int32_t to, int64_t length) {
  for (int32_t slot : {from, to})
    if (Status s = check_sequence(slot, e.plan.slots, "slot"); !s.ok())
      return s;
  if (length == -1)
    length = e.sequence[from].length;
  if (from == to)
    return slot_truncate(e, to, length);
  if (Status s = check_continue(e, "slot", from, from, length); !s.ok())
    return s;
  share(e, from, to, length);
  return {};
}

Status checkpoint(Engine &e, Keep what, int32_t index, int32_t slot,
                  int64_t length) {
  if (Status s = check_sequence(index, e.plan.checkpoints, "checkpoint");
      !s.ok())
    return s;
  if (Status s = check_sequence(slot, e.plan.slots, "slot"); !s.ok())
    return s;
  const int32_t kept = int32_t(e.plan.slots) + index;
  if (what == Keep::Drop) {
    for (int kind : {GM_LOCAL, GM_GLOBAL})
      cut(e, kept, kind, e.sequence[kept].length = 0);
    return {};
  }
  const int32_t from = what == Keep::Save ? slot : kept;
  if (length == -1)
    length = e.sequence[from].length;
  if (Status s =
          check_continue(e, what == Keep::Save ? "slot" : "checkpoint",
                         what == Keep::Save ? slot : index, from, length);
      !s.ok())
    return s;
  share(e, from, what == Keep::Save ? kept : slot, length);
  return {};
}

bool can_restore(const Engine &e, int32_t index, int64_t position) {
  return index >= 0 && index < e.plan.checkpoints &&
         can_continue(e, int32_t(e.plan.slots) + index, position);
}

// Pages from the one on that holds the first new row are each one's own then;
// of that one every holder asks for a copy, the last to go on included.
int64_t pages_after(const Engine &e, const Growth *list, int32_t count) {
  auto at = [&](const Growth &g, int64_t i) {
    return e.page[GM_GLOBAL][g.sequence * e.plan.page_stride + i];
  };
  int64_t pages = 0;
  for (int32_t g = 0; g < count; ++g) {
    const int64_t full = list[g].rows / GM_PAGE_KEYS;
    pages += pages_of(list[g].total) - full;
    for (int64_t i = 0; i < pages_of(list[g].rows); ++i) {
      int holders = 0; // before this one, as far as that counts the same
      for (int32_t o = 0; o < g; ++o)
        holders += pages_of(list[o].rows) > i &&
                   (list[o].rows / GM_PAGE_KEYS > i) == (i < full) &&
                   at(list[o], i) == at(list[g], i);
      pages += i < full ? holders == 0 : holders == 1;
    }
  }
  return e.plan.pages[GM_GLOBAL] - pages;
}

int64_t checkpoint_length(const Engine &e, int32_t index) {
  return index >= 0 && index < e.plan.checkpoints
             ? e.sequence[e.plan.slots + index].length
             : 0;
}

//===- slots outside of the engine ----------------------------------------===//

SlotState slot_state(const Engine &e, int32_t slot) {
  const Sequence &s = e.sequence[slot];
  return {s.length, int64_t(s.first[GM_LOCAL]) * GM_PAGE_KEYS};
}

uint64_t piece_bytes(const Engine &e, int kind, int64_t array) {
  uint64_t found = 0;
  each_array(e, kind, [&](uint8_t *, uint64_t bytes) {
    if (array-- == 0)
      found = bytes;
  });
  return found;
}

Status slot_allocate(Engine &e, int32_t slot, int64_t rows, int64_t first) {
  if (Status s = check_sequence(slot, e.plan.slots, "slot"); !s.ok())
    return s;
  const int32_t end = pages_of(rows), seen = first_seen(e, GM_LOCAL, rows);
  if (rows < 0 || rows > e.plan.context || first < 0 || first % GM_PAGE_KEYS ||
      page_of(first) > std::min(seen, end))
    return failure(BAD_INPUT,
                   "%lld rows with keys of sliding layers from %lld on are no "
                   "state of a slot",
                   (long long)rows, (long long)first);
  for (int kind : {GM_LOCAL, GM_GLOBAL})
    cut(e, slot, kind, 0);
  Sequence &s = e.sequence[slot];
  s.length = 0;
  if (end > e.pool[GM_GLOBAL].left())
    return failure(RESOURCES, "%d pages are needed, but %lld are left", end,
                   (long long)e.pool[GM_GLOBAL].left());
  s.first[GM_LOCAL] =
      std::max(page_of(first), end - int32_t(e.plan.ring / GM_PAGE_KEYS));
  for (int kind : {GM_LOCAL, GM_GLOBAL}) {
    int32_t previous = -1;
    for (int32_t i = s.first[kind]; i < end; ++i)
      previous = number(e, kind, slot, i) = e.pool[kind].take(previous);
    s.end[kind] = end;
  }
  if (e.inner_words)
    memset(e.inner + slot * e.inner_words, 0,
           size_t(e.inner_words) * sizeof *e.inner);
  s.length = rows;
  return {};
}

Status slot_piece(Engine &e, int32_t slot, const SlotPiece &piece,
                  uint8_t *data, bool put) {
  const int kind = piece.kind;
  const auto page = uint64_t(number(e, kind, slot, int32_t(piece.page)));
  int64_t left = piece.array;
  Status status;
  each_array(e, kind, [&](uint8_t *base, uint64_t bytes) {
    if (left-- == 0)
      status = put ? e.backend->store(base + page * bytes, data, bytes)
                   : e.backend->fetch(data, base + page * bytes, bytes);
  });
  return status;
}

} // namespace gm
