// See batch.h.
#include "runtime/serve/batch.h"
#include "runtime/abi.h"
#include "runtime/manifest_generated.h"

#include <algorithm>

namespace gm {

Batch::Batch(const Program &program)
    : plan(program.plan),
      has_blocks(program.manifest().model()->image_blocks()) {}

void Batch::add(Running &r, int64_t count, int32_t soft_first) {
  const std::vector<Item> &prompt = r.prompt();
  const bool reading = r.reading();
  const bool draws = !reading || r.at + count == int64_t(prompt.size());
  const int64_t wanted = reading && r.asked.scored ? count : draws;
  for (int64_t i = 0; i < count; ++i) {
    const Item item = reading ? prompt[size_t(r.at + i)] : Item{r.next};
    rows.push_back({item.id < 0 ? item.id + soft_first : item.id, r.slot,
                    int32_t(r.at + i), i >= count - wanted,
                    has_blocks ? item.end_at(r.at + i) : 0});
  }
  parts.push_back({&r, count, int32_t(wanted), draws});
}

// About `budget` rows of a prompt, at most `room`; false: it has to wait for
// another step.
bool Batch::add_prompt(Running &r, int64_t budget, int64_t room,
                       Status &status) {
  const Item *items = &r.prompt()[size_t(r.at)];
  const int64_t left = int64_t(r.prompt().size()) - r.at,
                most = std::min(budget, plan.slot_rows);
  int64_t n = has_blocks ? step_items(items, left, most) : std::min(left, most);
  if (n > room || (n > budget && prompt_rows))
    return false;
  // Whole tiles.
  if (const int64_t end = (r.at + n) / GM_TILE_ROWS * GM_TILE_ROWS;
      !has_blocks && n < left && end > r.at)
    n = end - r.at;
  int32_t soft_first = 0;
  if (std::any_of(items, items + n,
                  [](const Item &item) { return item.id < 0; })) {
    if (soft)
      return false;
    if (r.asked.prompt.bring) {
      status = r.asked.prompt.bring(items, n, soft_first);
      if (!status.ok())
        return true;
    }
    soft = r.asked.prompt.soft;
    soft_count = r.asked.prompt.soft_count;
  }
  add(r, n, soft_first);
  prompt_rows += n;
  return true;
}

void Batch::compose(const std::vector<std::unique_ptr<Running>> &active,
                    std::vector<Unread> &unread) {
  parts.clear();
  rows.clear();
  soft = nullptr;
  soft_count = 0;
  prompt_rows = 0;
  const auto first =
      std::find_if(active.begin(), active.end(),
                   [](const auto &r) { return !r->ended && r->reading(); });
  int64_t room = plan.rows, least = 0;
  if (first != active.end())
    least =
        has_blocks
            ? step_items(&(*first)->prompt()[size_t((*first)->at)],
                         int64_t((*first)->prompt().size()) - (*first)->at, 1)
            : 1;
  size_t begin = turn;
  for (size_t i = 0; i < active.size(); ++i) {
    Running &r = *active[(begin + i) % active.size()];
    if (r.ended || r.reading())
      continue;
    if (room == least) {
      turn = (begin + i) % active.size();
      break;
    }
    add(r, 1, 0);
    --room;
  }
  allowed = std::min(
      room, std::max<int64_t>(pace.rows(plan.batch) - int64_t(rows.size()),
                              Pace::LEAST));
  for (int64_t budget = allowed; const auto &r : active) {
    if (r->ended || !r->reading())
      continue;
    Status status;
    const auto before = int64_t(rows.size());
    if (budget <= 0 || !add_prompt(*r, budget, room, status))
      break;
    const int64_t n = int64_t(rows.size()) - before;
    budget -= n;
    room -= n;
    if (!status.ok())
      unread.push_back({r.get(), status});
  }
}

// A step that had room for more rows than there were says nothing of more.
void Batch::took(int64_t ns) {
  if (prompt_rows && (2 * prompt_rows >= allowed || ns > Pace::TARGET_NS))
    pace.add(int64_t(rows.size()), ns);
}

} // namespace gm
