// A scheduler that runs one sequence at a time, until there is one that
// batches.
#include "runtime/app/signals.h"
#include "runtime/host/clock.h"
#include "runtime/manifest_generated.h"
#include "runtime/serve/scheduler.h"

#include <algorithm>
#include <cmath>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <set>
#include <thread>

namespace gm {

struct Scheduler::Work {
  Program &program;
  int64_t queue;
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<std::pair<int64_t, Sequence>> waiting;
  std::set<int64_t> cancelled;
  int64_t next = 1, current = 0;
  bool ends = false, closed = false;
  SchedulerStats stats = {};
  std::thread thread;

  bool is_cancelled(int64_t number) {
    std::lock_guard lock(mutex);
    return ends || cancelled.count(number);
  }
  bool is_stop(int32_t id) const {
    auto *s = program.manifest().sampling();
    return s && s->stop() &&
           std::find(s->stop()->begin(), s->stop()->end(), id) !=
               s->stop()->end();
  }
  Status run_one(int64_t number, Sequence &q, Finish &why, Usage &usage);
  void run();
};

Status Scheduler::Work::run_one(int64_t number, Sequence &q, Finish &why,
                                Usage &usage) {
  Engine &engine = *program.engine;
  if (Status s = slot_truncate(engine, 0, 0); !s.ok())
    return s;
  const int64_t vocab = program.vocab();
  std::vector<int32_t> ids = q.prompt;
  std::map<int32_t, int> seen;
  Random random{q.seed};
  int64_t at = 0, begin = now_ns();
  usage.prompt = int64_t(ids.size());
  for (;;) {
    std::vector<Row> rows;
    const int64_t n =
        std::min<int64_t>(int64_t(ids.size()) - at, program.plan.batch);
    const bool last = at + n == int64_t(ids.size());
    for (int64_t i = 0; i < n; ++i)
      rows.push_back(
          {ids[size_t(at + i)], 0, int32_t(at + i), last && i == n - 1});
    Job job;
    job.rows = rows.data();
    job.count = int32_t(n);
    job.ask.output = last ? Output::Logits : Output::Hidden;
    job.last_only = true;
    if (is_cancelled(number))
      return why = Finish::Cancelled, Status();
    if (Status s = step(engine, job); !s.ok())
      return s;
    ++stats.steps;
    at += n;
    if (!last)
      continue;
    if (!usage.generated)
      usage.prompt_ns = now_ns() - begin, begin = now_ns();
    std::vector<float> logits(results(engine).logits,
                              results(engine).logits + vocab);
    Drawn drawn;
    std::vector<float> plain = logits;
    for (auto [id, bias] : q.bias)
      logits[size_t(id)] += bias;
    for (auto [id, count] : seen)
      logits[size_t(id)] -= float(q.presence + q.frequency * count);
    drawn.id = sample_logits(logits.data(), vocab, nullptr, q.sampling, random,
                             candidates(engine));
    if (drawn.id < 0)
      return failure(RUN_ERROR, "no token can be drawn");
    if (q.logprobs >= 0) {
      double most = *std::max_element(plain.begin(), plain.end()), sum = 0;
      for (float x : plain)
        sum += std::exp(double(x) - most);
      const double log_sum = most + std::log(sum);
      drawn.logprob = float(plain[size_t(drawn.id)] - log_sum);
      std::vector<int32_t> order(static_cast<size_t>(vocab));
      for (int64_t i = 0; i < vocab; ++i)
        order[size_t(i)] = int32_t(i);
      const auto best = order.begin() + q.logprobs;
      std::partial_sort(order.begin(), best, order.end(), [&](int a, int b) {
        return plain[size_t(a)] > plain[size_t(b)];
      });
      for (auto it = order.begin(); it != best; ++it)
        drawn.likely.push_back({*it, float(plain[size_t(*it)] - log_sum)});
    }
    ++usage.generated;
    usage.generate_ns = now_ns() - begin;
    if (!q.listener->drawn(drawn))
      return why = Finish::Cancelled, Status();
    if (!q.ignore_stop && is_stop(drawn.id))
      return why = Finish::Stop, Status();
    if (usage.generated == q.most)
      return why = Finish::Length, Status();
    if (at == program.plan.context)
      return why = Finish::Context, Status();
    ids.push_back(drawn.id);
    ++seen[drawn.id];
  }
}

void Scheduler::Work::run() {
  for (;;) {
    std::pair<int64_t, Sequence> next;
    {
      std::unique_lock lock(mutex);
      current = 0;
      stats.busy = 0;
      changed.notify_all();
      changed.wait(lock, [&] { return ends || !waiting.empty(); });
      if (waiting.empty())
        return;
      next = std::move(waiting.front());
      waiting.pop_front();
      current = next.first;
      stats.busy = 1;
    }
    Finish why = Finish::Failed;
    Usage usage;
    Status s = run_one(next.first, next.second, why, usage);
    {
      std::lock_guard lock(mutex);
      stats.prompt_tokens += usage.prompt;
      stats.generated_tokens += usage.generated;
      cancelled.erase(next.first);
    }
    next.second.listener->finished(s.ok() ? why : Finish::Failed, s, usage);
  }
}

Scheduler::Scheduler(Program &program, int64_t queue)
    : work(new Work{program, queue, {}, {}, {}, {}}) {
  work->stats.slots = 1;
  work->thread = std::thread([this] { work->run(); });
}

Scheduler::~Scheduler() {
  {
    std::lock_guard lock(work->mutex);
    work->ends = true;
    work->changed.notify_all();
  }
  work->thread.join();
}

Status Scheduler::submit(Sequence sequence, int64_t &number) {
  std::lock_guard lock(work->mutex);
  if (int64_t(sequence.prompt.size()) >= work->program.plan.context)
    return failure(RUN_ERROR, "the prompt leaves no room for a token");
  if (int64_t(work->waiting.size()) > work->queue)
    return failure(RESOURCES, "the queue is full, try again");
  number = work->next++;
  ++work->stats.requests;
  work->waiting.emplace_back(number, std::move(sequence));
  work->changed.notify_all();
  return {};
}

void Scheduler::cancel(int64_t number) {
  std::lock_guard lock(work->mutex);
  if (number == work->current)
    work->cancelled.insert(number);
  for (auto &each : work->waiting)
    if (each.first == number)
      work->cancelled.insert(number);
}

SchedulerStats Scheduler::stats() const {
  std::lock_guard lock(work->mutex);
  SchedulerStats s = work->stats;
  s.waiting = int64_t(work->waiting.size());
  s.pages_left = pages_left(*work->program.engine);
  return s;
}

void Scheduler::drain(int64_t) {}

} // namespace gm
