// See generate.h.
#include "runtime/app/generate.h"
#include "runtime/app/output.h"
#include "runtime/app/signals.h"
#include "runtime/host/clock.h"
#include "runtime/manifest_generated.h"

#include <algorithm>

namespace gm {

namespace mf = gemmac::manifest;

// A prompt that takes longer says how far it is.
enum : int64_t { SILENCE_NS = 1000000000 };

Generator::Generator(Program &program, const GenerateOptions &options)
    : program(program), options(options) {
  rows.resize(size_t(program.plan.batch));
  const mf::Sampling *s = program.manifest().sampling();
  if (!s || !s->suppress() || !s->suppress()->size())
    return;
  mask.assign(size_t(program.vocab() + 31) / 32, ~0u);
  for (int32_t id : *s->suppress())
    if (id >= 0 && id < program.vocab())
      mask[size_t(id) / 32] &= ~(1u << (id % 32));
}

bool Generator::is_stop(int32_t id) const {
  const mf::Sampling *s = program.manifest().sampling();
  return s && s->stop() &&
         std::find(s->stop()->begin(), s->stop()->end(), id) !=
             s->stop()->end();
}

void Generator::sink(void *self, const Group &g) {
  Generator &me = *static_cast<Generator *>(self);
  GenerateOptions &o = me.options;
  me.sampled =
      g.top_ids
          ? sample_top(g.top_ids, g.top_values, o.sampling, o.random)
          : sample_logits(g.logits, me.program.vocab(),
                          me.mask.empty() ? nullptr : me.mask.data(),
                          o.sampling, o.random, candidates(*me.program.engine));
}

// One step of at most a batch; the last row's token is sampled if `next`.
Status Generator::feed(const int32_t *ids, int64_t count, int32_t *next) {
  for (int64_t r = 0; r < count; ++r)
    rows[size_t(r)] = {ids[r], 0, int32_t(position + r),
                       options.no_kv_skip || (next && r == count - 1)};
  Job job;
  job.rows = rows.data();
  job.count = int32_t(count);
  job.output = !next                             ? Output::Hidden
               : top_is_enough(options.sampling) ? Output::Top
                                                 : Output::Logits;
  job.best = top_wanted(options.sampling);
  job.last_only = true;
  job.mask = mask.empty() ? nullptr : mask.data();
  job.sink = next ? sink : nullptr;
  job.user = this;
  if (Status s = step(*program.engine, job); !s.ok())
    return s;
  position += count;
  if (next && sampled == NOT_FINITE)
    return failure(RUN_ERROR,
                   "the logits at position %lld are not finite numbers",
                   (long long)position - 1);
  if (next && sampled < 0)
    return failure(RUN_ERROR,
                   "every token is suppressed, none can be generated");
  if (next)
    *next = sampled;
  return {};
}

Status Generator::run(const std::vector<int32_t> &prompt,
                      const std::function<bool(int32_t)> &give, End &end) {
  end = End::Length;
  if (Status s =
          check_length(size_t(position) + prompt.size(), program.plan.context);
      !s.ok())
    return s;
  if (options.most == 0 || prompt.empty())
    return {};
  int32_t next = -1;
  Notice progress("");
  const int64_t begin = now_ns();
  for (size_t at = 0; at < prompt.size();) {
    if (interrupted())
      return end = End::Interrupted, Status{};
    if (at && now_ns() - begin > SILENCE_NS)
      progress.change(
          "reading the prompt: " + std::to_string(100 * at / prompt.size()) +
          " % of " + std::to_string(prompt.size()) + " tokens");
    size_t n = std::min(prompt.size() - at, size_t(program.plan.batch));
    bool last = at + n == prompt.size();
    if (Status s = feed(prompt.data() + at, int64_t(n), last ? &next : nullptr);
        !s.ok())
      return s;
    at += n;
  }
  progress.show(false);
  for (int64_t given = 1;; ++given) {
    if (!give(next))
      return end = interrupted() ? End::Interrupted : End::Unread, Status{};
    if (!options.ignore_stop && is_stop(next))
      return end = End::Stop, Status{};
    if (given == options.most)
      return {};
    if (position == program.plan.context)
      return end = End::Context, Status{};
    if (interrupted())
      return end = End::Interrupted, Status{};
    if (Status s = feed(&next, 1, &next); !s.ok())
      return s;
  }
}

} // namespace gm
