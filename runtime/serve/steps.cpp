// See work.h: one step of the scheduler, from the rows of all sequences to the
// tokens that their listeners get.
#include "runtime/abi.h"
#include "runtime/host/clock.h"
#include "runtime/manifest_generated.h"
#include "runtime/serve/work.h"

#include <algorithm>

namespace gm {

static bool is_finite(const float *row, int64_t count) {
  float sum = 0; // stays 0 but for values that are not finite
  for (int64_t i = 0; i < count; ++i)
    sum += row[i] * 0;
  return sum == 0;
}

void Scheduler::Work::step_once() {
  std::vector<Batch::Unread> unread;
  batch.compose(active, unread);
  for (const Batch::Unread &u : unread)
    end(*u.of, Finish::Failed, u.status);
  if (batch.rows.empty())
    return;
  Job job;
  job.rows = batch.rows.data();
  job.count = int32_t(batch.rows.size());
  job.soft = batch.soft;
  job.soft_count = batch.soft_count;
  job.ask = ask_for_all();
  make_pages();
  // Rows of prompts may be more than there are outputs: one after another.
  const bool scores =
      std::any_of(batch.parts.begin(), batch.parts.end(),
                  [](const Batch::Part &p) { return p.of->asked.scored; });
  if (scores)
    job.ask = {Output::Hidden};
  const int64_t begin = now_ns();
  const Status s = step(engine, job);
  if (scores && s.ok())
    score_all();
  const int64_t ns = now_ns() - begin;
  batch.took(ns);
  ++counted.steps;
  counted.longest_step_ns = std::max(counted.longest_step_ns, ns);
  // Rows that are not finite are a matter of their sequences; there are results
  // then. All else is the engine's: what its slots hold is not known any more.
  if (!s.ok() && !results(engine).rows) {
    for (const Batch::Part &part : batch.parts)
      end(*part.of, Finish::Failed, s);
    if (++failures < 2)
      return;
    std::lock_guard lock(mutex);
    broken = s;
    return;
  }
  failures = 0;
  advance();
  draw_all(s, scores);
}

// What serves all wanted rows; `masks` has a row for each if one needs it.
Ask Scheduler::Work::ask_for_all() {
  Ask ask;
  ask.best = 1;
  masks.clear();
  int64_t wanted = 0;
  bool masked = rules.mask();
  for (const Batch::Part &part : batch.parts)
    if (part.draws) {
      const Running &r = *part.of;
      ++wanted;
      masked |= r.asked.constraint && !r.asked.constraint->is_free();
      if (r.draw.output() == Output::Logits || r.asked.logprobs >= 0)
        ask.output = Output::Logits;
      ask.best = std::max(ask.best, r.draw.best());
      ask.logsumexp |= r.asked.logprobs >= 0;
    }
  if (!wanted)
    ask.output = Output::Hidden;
  if (!masked || !wanted)
    return ask;
  masks.resize(size_t(wanted * rules.words()), ~0u);
  uint32_t *mask = masks.data();
  for (const Batch::Part &part : batch.parts)
    if (part.draws) {
      if (rules.mask())
        std::copy_n(rules.mask(), rules.words(), mask);
      if (part.of->asked.constraint)
        part.of->asked.constraint->allow(mask);
      mask += rules.words();
    }
  ask.mask = masks.data();
  return ask;
}

// Idle slots and checkpoints give up what the step needs; admission saw to it
// that this is enough.
void Scheduler::Work::make_pages() {
  auto pages = [](int64_t rows) {
    return (rows + GM_PAGE_KEYS - 1) / GM_PAGE_KEYS;
  };
  int64_t most = 0; // with a copy of each shared page that is written
  for (const Batch::Part &p : batch.parts)
    most += pages(p.of->at + p.rows) - p.of->at / GM_PAGE_KEYS;
  while (pages_left(engine) < most && prefixes.drop())
    ;
}

// The rows of the step are in the slots.
void Scheduler::Work::advance() {
  for (const Batch::Part &part : batch.parts) {
    Running &r = *part.of;
    for (int64_t i = 0; i < part.rows; ++i)
      prefixes.push(r.slot,
                    r.reading() ? r.prompt()[size_t(r.at + i)] : Item{r.next});
    r.at += part.rows;
    for (; !r.marks.empty() && r.marks[0] <= r.at;
         r.marks.erase(r.marks.begin()))
      prefixes.keep(r.slot, r.marks[0]);
  }
}

// `again`: the step's results were of no use for drawing.
void Scheduler::Work::draw_all(const Status &stepped, bool again) {
  drawn.clear();
  unclear.clear();
  int32_t row = 0; // the part's last wanted one
  size_t mask = 0;
  for (const Batch::Part &part : batch.parts) {
    row += part.wanted - 1;
    if (!part.draws) {
      ++row;
      continue;
    }
    const uint32_t *allowed = masks.empty() ? nullptr : &masks[mask];
    mask += size_t(rules.words());
    const Results &g = results(engine);
    if (again && stepped.ok())
      unclear.push_back({part.of, row, allowed});
    else if (stepped.ok() || is_finite(g.hidden + row * g.hidden_stride,
                                       program.manifest().model()->hidden()))
      draw(*part.of, row, allowed, false);
    else
      end(*part.of, Finish::Failed,
          failure(RUN_ERROR,
                  "the model's state is not finite at position %lld: a weight "
                  "or an intermediate result is NaN or infinite",
                  (long long)part.of->at - 1));
    ++row;
  }
  // These end the results of the others.
  for (const auto &[r, at, allowed] : unclear) {
    Ask ask;
    ask.output = Output::Logits;
    ask.logsumexp = r->asked.logprobs >= 0;
    if (Status s = head(engine, ask, at, 1); !s.ok())
      end(*r, Finish::Failed, s);
    else
      draw(*r, at, allowed, true);
  }
  for (const auto &[r, token] : drawn)
    give(*r, token);
}

// Of result `at`: the logprobs of d.id and of the `best` best.
void Scheduler::Work::add_logprobs(const Results &g, int32_t at, int32_t best,
                                   Drawn &d) {
  const float *logits = g.logits + at * g.logits_stride;
  auto logprob = [&](float logit) {
    return float(double(logit) - double(g.logsumexp[at]));
  };
  d.logprob = logprob(logits[d.id]);
  scratch.best.clear();
  if (best)
    best_of(logits, rules.vocab, nullptr, best, scratch.best);
  for (const Candidate &c : scratch.best)
    d.likely.push_back({c.id, logprob(c.value)});
}

// What the rows of scored prompts say of the tokens behind them.
void Scheduler::Work::score_all() {
  Ask ask = {Output::Logits};
  ask.logsumexp = true;
  int32_t row = 0;
  for (const Batch::Part &part : batch.parts) {
    Running &r = *part.of;
    const int32_t first = row;
    row += part.wanted;
    if (!r.asked.scored || !r.reading() || r.ended)
      continue;
    const std::vector<Item> &prompt = r.prompt();
    const int64_t count =
        std::min<int64_t>(part.wanted, int64_t(prompt.size()) - 1 - r.at);
    for (int64_t i = 0; i < count; i += plan.outputs) {
      const auto n = int32_t(std::min(count - i, plan.outputs));
      if (Status s = head(engine, ask, first + int32_t(i), n); !s.ok()) {
        end(r, Finish::Failed, s);
        break;
      }
      for (int32_t j = 0; j < n; ++j) {
        const int32_t id = prompt[size_t(r.at + i + j + 1)].id;
        Drawn d = {id, 0, {}};
        if (id >= 0 && id < rules.vocab)
          add_logprobs(results(engine), j, r.asked.logprobs, d);
        r.asked.listener->scored(d);
      }
    }
  }
}

// From the results of wanted row `row`; `again`: they are of this row alone.
void Scheduler::Work::draw(Running &r, int32_t row, const uint32_t *mask,
                           bool again) {
  const Results &g = results(engine);
  const int32_t at = again ? 0 : row;
  Drawn d = {r.draw.next(g, at, rules, mask, scratch), 0, {}};
  if (d.id == Draw::NEEDS_LOGITS && !again)
    return unclear.push_back({&r, row, mask});
  if (d.id == NOT_FINITE)
    return end(r, Finish::Failed,
               failure(RUN_ERROR,
                       "the logits at position %lld are not finite numbers",
                       (long long)r.at - 1));
  if (d.id < 0)
    return end(r, Finish::Failed,
               failure(RUN_ERROR, "no token is allowed at position %lld",
                       (long long)r.at));
  if (r.asked.logprobs >= 0)
    add_logprobs(g, at, r.asked.logprobs, d);
  drawn.push_back({&r, std::move(d)});
}

void Scheduler::Work::give(Running &r, const Drawn &d) {
  if (!r.first)
    r.first = now_ns();
  ++r.usage.generated;
  ++counted.generated_tokens;
  if (r.asked.constraint && !r.asked.constraint->accept(d.id))
    return end(r, Finish::Failed,
               failure(RUN_ERROR, "the grammar allowed token %d and refuses it",
                       d.id));
  if (!r.asked.listener->drawn(d))
    return end(r, Finish::Cancelled);
  if (!r.asked.ignore_stop && rules.is_stop(d.id))
    return end(r, Finish::Stop);
  if (r.usage.generated == r.asked.most)
    return end(r, Finish::Length);
  if (r.at == room)
    return end(r, Finish::Context);
  r.next = d.id;
}

} // namespace gm
