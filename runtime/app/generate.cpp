// See generate.h.
#include "runtime/app/generate.h"
#include "runtime/app/output.h"
#include "runtime/app/signals.h"
#include "runtime/host/clock.h"
#include "runtime/manifest_generated.h"

#include <algorithm>

namespace gm {

// A prompt that takes longer says how far it is.
enum : int64_t { SILENCE_NS = 1000000000 };

Generator::Generator(Program &program, const GenerateOptions &options)
    : program(program), options(options),
      has_blocks(program.manifest().model()->image_blocks()),
      rules(program.manifest()), draw(options.sampling, options.random) {
  rows.resize(size_t(program.plan.rows));
  scratch.candidates = candidates(*program.engine);
}

// Ids that may come next; null: all.
const uint32_t *Generator::allowed() {
  if (!constraint || constraint->is_free())
    return rules.mask();
  now.assign(size_t(rules.words()), ~0u);
  if (rules.mask())
    std::copy_n(rules.mask(), rules.words(), now.begin());
  constraint->allow(now.data());
  return now.data();
}

// Whether nothing may follow, not even a stop id: a program may have none.
bool Generator::complete() {
  if (!constraint || constraint->is_free())
    return false;
  allowed();
  return std::all_of(now.begin(), now.end(),
                     [](uint32_t word) { return word == 0; });
}

// One step of at most a batch or a block; the last row's token is sampled if
// `next`.
Status Generator::feed(const Items &items, size_t first, int64_t count,
                       int32_t *next) {
  for (int64_t r = 0; r < count; ++r) {
    const Item &item = items.list[first + size_t(r)];
    rows[size_t(r)] = {item.id < 0 ? item.id + soft_first : item.id, 0,
                       int32_t(position + r),
                       options.no_kv_skip || (next && r == count - 1),
                       has_blocks ? item.end_at(position + r) : 0};
  }
  Job job;
  job.rows = rows.data();
  job.count = int32_t(count);
  job.soft = items.soft;
  job.soft_count = items.soft_count;
  job.ask.output = next ? draw.output() : Output::Hidden;
  job.ask.best = draw.best();
  const uint32_t *mask = next ? allowed() : nullptr;
  job.ask.mask = mask;
  job.last_only = true;
  if (Status s = step(*program.engine, job); !s.ok())
    return s;
  position += count;
  if (next)
    *next = draw.next(results(*program.engine), 0, rules, mask, scratch);
  if (next && *next == NOT_FINITE)
    return failure(RUN_ERROR,
                   "the logits at position %lld are not finite numbers",
                   (long long)position - 1);
  if (next && *next < 0)
    return failure(RUN_ERROR,
                   "every token is suppressed, none can be generated");
  if (next && constraint && !constraint->accept(*next))
    return failure(RUN_ERROR,
                   "the grammar does not allow the token %d that was drawn",
                   *next);
  return {};
}

Status Generator::rewind(int64_t tokens) {
  Engine &e = *program.engine;
  if (!can_continue(e, 0, tokens)) {
    int64_t kept = checkpoint_length(e, 0);
    tokens = kept <= tokens ? kept : 0;
    if (tokens)
      if (Status s = checkpoint(e, Keep::Restore, 0, 0); !s.ok())
        return s;
  }
  // A checkpoint of other text would hold pages for nothing.
  if (checkpoint_length(e, 0) > tokens)
    if (Status s = checkpoint(e, Keep::Drop, 0, 0); !s.ok())
      return s;
  position = tokens;
  return slot_truncate(e, 0, tokens);
}

// Reads the prompt; samples behind it.
Status Generator::read(const Items &prompt, int64_t keep, int32_t &next) {
  Notice progress("");
  const int64_t begin = now_ns();
  if (!program.plan.checkpoints)
    keep = -1;
  for (size_t at = 0; at < prompt.size() && !interrupted();) {
    if (position == keep)
      if (Status s = checkpoint(*program.engine, Keep::Save, 0, 0); !s.ok())
        return s;
    int64_t started = now_ns();
    if (at && started - begin > SILENCE_NS)
      progress.change(
          "reading the prompt: " + std::to_string(100 * at / prompt.size()) +
          " % of " + std::to_string(prompt.size()) + " tokens");
    const int64_t most = pace.rows(program.plan.batch);
    int64_t n = int64_t(prompt.size() - at);
    n = has_blocks ? step_items(&prompt.list[at], n, most) : std::min(n, most);
    if (position < keep)
      n = std::min(n, keep - position);
    if (prompt.bring) {
      if (Status s = prompt.bring(&prompt.list[at], n, soft_first); !s.ok())
        return s;
      started = now_ns();
    }
    bool last = at + size_t(n) == prompt.size();
    if (Status s = feed(prompt, at, n, last ? &next : nullptr); !s.ok())
      return s;
    at += size_t(n);
    pace.add(n, now_ns() - started);
  }
  progress.show(false);
  if (position != keep || next < 0)
    return {};
  return checkpoint(*program.engine, Keep::Save, 0, 0);
}

Status Generator::run(const Items &prompt,
                      const std::function<bool(int32_t)> &give, End &end,
                      int64_t keep) {
  end = End::Length;
  if (Status s =
          check_length(size_t(position) + prompt.size(), program.plan.context);
      !s.ok())
    return s;
  if (options.most == 0 || prompt.list.empty())
    return {};
  int32_t next = -1;
  constraint = options.constraint ? options.constraint->clone() : nullptr;
  soft_first = 0;
  if (Status s = read(prompt, keep, next); !s.ok())
    return s;
  if (next < 0)
    return end = End::Interrupted, Status{};
  for (int64_t given = 1;; ++given) {
    if (!give(next))
      return end = interrupted() ? End::Interrupted : End::Unread, Status{};
    if (!options.ignore_stop && is_stop(next))
      return end = End::Stop, Status{};
    if (complete())
      return end = End::Stop, Status{};
    if (given == options.most)
      return {};
    if (position == program.plan.context)
      return end = End::Context, Status{};
    if (interrupted())
      return end = End::Interrupted, Status{};
    if (Status s = feed(Items({next}), 0, 1, &next); !s.ok())
      return s;
  }
}

} // namespace gm
