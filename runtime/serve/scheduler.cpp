// See scheduler.h and work.h: the queue and the thread that owns the engine.
// What goes into a step is batch.h's, what is computed once prefix.h's.
#include "runtime/serve/scheduler.h"
#include "runtime/abi.h"
#include "runtime/host/clock.h"
#include "runtime/manifest_generated.h"
#include "runtime/serve/work.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <new>

namespace gm {

namespace {

// A prompt waits for another that is being read if it has so many more rows in
// common with it than with what is computed.
enum : int64_t { WORTH_WAITING = GM_PAGE_KEYS };

// Longer than anybody waits; clocks do not overflow.
const int64_t YEAR_NS = int64_t(365) * 86400 * 1000000000;

} // namespace

//===- any thread ---------------------------------------------------------===//

static int64_t inputs_of(const gemmac::manifest::Program &p) {
  const int64_t vocab = p.model()->vocab();
  return p.ple() ? std::min(vocab, int64_t(p.ple()->rows())) : vocab;
}

Scheduler::Work::Work(Program &program, int64_t queue)
    : program(program), engine(*program.engine), plan(program.plan),
      rules(program.manifest()), queue(queue),
      inputs(inputs_of(program.manifest())),
      room(std::min(plan.context, plan.pages[GM_GLOBAL] * GM_PAGE_KEYS)),
      turn_token(program.has_tokenizer()
                     ? program.tokenizer.named(GM_TOK_TURN_OPEN)
                     : -1),
      prefixes(engine, plan), batch(program) {
  scratch.candidates = candidates(engine);
  if (!scratch.candidates) {
    own_candidates.resize(size_t(rules.vocab));
    scratch.candidates = own_candidates.data();
  }
  publish();
  // It computes too, with frames of kernels as large as a worker's.
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, 2 * GM_STACK_BYTES);
  auto enter = [](void *work) -> void * {
    static_cast<Work *>(work)->run();
    return nullptr;
  };
  const int problem = pthread_create(&thread, &attributes, enter, this);
  pthread_attr_destroy(&attributes);
  started = !problem;
  if (problem)
    broken = failure(RESOURCES, "cannot start the thread of the scheduler: %s",
                     strerror(problem));
}

Scheduler::Work::~Work() {
  {
    std::lock_guard lock(mutex);
    stopping = true;
  }
  wake.notify_one();
  if (started)
    pthread_join(thread, nullptr);
}

// What the engine would refuse in the middle of a step.
Status Scheduler::Work::check(const Sequence &s) const {
  const std::vector<Item> &list = s.prompt.list;
  if (!s.listener)
    return failure(USAGE, "a sequence without a listener");
  if (list.empty())
    return failure(RUN_ERROR, "the prompt is empty");
  if (int64_t(list.size()) > room)
    return failure(RUN_ERROR,
                   "the prompt has %zu tokens, but a sequence holds %lld",
                   list.size(), (long long)room);
  const gemmac::manifest::Model &model = *program.manifest().model();
  for (size_t i = 0; i < list.size(); ++i) {
    const Item &item = list[i];
    const bool last = i + 1 == list.size();
    if (item.id >= inputs)
      return failure(BAD_INPUT,
                     "prompt: token id %d at %zu is outside the vocabulary "
                     "0..%lld",
                     item.id, i, (long long)inputs - 1);
    if (item.id < 0 && (!model.soft_rows() || !s.prompt.soft ||
                        (!s.prompt.bring && ~item.id >= s.prompt.soft_count)))
      return failure(BAD_INPUT, "prompt: there is no soft row %d, see %zu",
                     ~item.id, i);
    if (model.image_blocks() &&
        (item.left < 0 || item.left > plan.slot_rows ||
         (item.left > 1 && (last || list[i + 1].left != item.left - 1))))
      return failure(BAD_INPUT,
                     "prompt: the block at %zu is not whole or "
                     "longer than %lld",
                     i, (long long)plan.slot_rows);
  }
  if (s.slot < -1 || s.slot >= plan.slots)
    return failure(USAGE, "there is no slot %d, slots are 0 to %lld", s.slot,
                   (long long)plan.slots - 1);
  const Sampling &p = s.sampling;
  if (!(p.temperature >= 0) || p.top_k < 0 || !(p.top_p >= 0) ||
      !(p.min_p >= 0) || s.most < -1 || s.logprobs > rules.vocab ||
      (s.scored && s.logprobs < 0))
    return failure(USAGE, "sampling settings below 0, more logprobs than there "
                          "are tokens, or a prompt scored without logprobs");
  const LogitChanges &c = s.changes;
  if (!std::isfinite(c.presence) || !std::isfinite(c.frequency) ||
      !std::isfinite(c.repeat) || c.repeat <= 0)
    return failure(USAGE, "penalties are finite numbers, and that of repeated "
                          "tokens is above 0");
  for (const auto &[id, bias] : c.bias)
    if (id < 0 || id >= rules.vocab || !(bias < INFINITY))
      return failure(USAGE,
                     "a bias is a number for a token id 0 to %lld, got %g for "
                     "%d",
                     (long long)rules.vocab - 1, double(bias), id);
  return {};
}

Status Scheduler::Work::submit(Sequence sequence, int64_t &number) {
  if (Status s = check(sequence); !s.ok())
    return s;
  std::lock_guard lock(mutex);
  if (!broken.ok())
    return broken;
  if (stopping || draining)
    return failure(RUN_ERROR, "no more sequences are taken: it is ending");
  if (occupied >= plan.slots + queue)
    return failure(RESOURCES,
                   "%lld sequences run or wait already, try again later",
                   (long long)occupied);
  number = ++numbers;
  ++occupied;
  ++unfinished;
  incoming.push_back(
      std::make_unique<Running>(number, std::move(sequence), now_ns()));
  wake.notify_one();
  return {};
}

//===- the thread ---------------------------------------------------------===//

void Scheduler::Work::run() {
  for (bool more = true; more;)
    try {
      more = turn();
    } catch (const std::bad_alloc &) {
      // Wherever that was: nothing of what runs is kept.
      const Status s = failure(RESOURCES, "no memory left");
      if (active.empty())
        end_all(Finish::Failed, s);
      for (auto &r : active)
        end(*r, Finish::Failed, s);
      remove_ended();
    }
}

// False at the end.
bool Scheduler::Work::turn() {
  const bool more = wait();
  if (!more || !broken.ok())
    end_all(more ? Finish::Failed : Finish::Cancelled, broken);
  work_on_slots();
  if (!task_waits)
    admit();
  if (!active.empty())
    step_once();
  remove_ended();
  publish();
  return more;
}

// For something to do; false at the end.
bool Scheduler::Work::wait() {
  std::vector<int64_t> numbers;
  {
    std::unique_lock lock(mutex);
    wake.wait(lock, [&] {
      return stopping || !incoming.empty() || !cancels.empty() ||
             !new_tasks.empty() || !active.empty() || !waiting.empty() ||
             !tasks.empty();
    });
    for (; !incoming.empty(); incoming.pop_front())
      waiting.push_back(std::move(incoming.front()));
    for (; !new_tasks.empty(); new_tasks.pop_front())
      tasks.push_back(std::move(new_tasks.front()));
    numbers.swap(cancels);
    if (stopping)
      return false;
    for (; forgets; forgets = prefixes.drop())
      ;
  }
  apply(numbers);
  return true;
}

void Scheduler::Work::apply(const std::vector<int64_t> &numbers) {
  for (int64_t number : numbers) {
    auto is_it = [&](const auto &r) { return r->number == number; };
    if (auto at = std::find_if(waiting.begin(), waiting.end(), is_it);
        at != waiting.end()) {
      end(**at, Finish::Cancelled);
      waiting.erase(at);
    } else if (auto in = std::find_if(active.begin(), active.end(), is_it);
               in != active.end())
      end(**in, Finish::Cancelled);
  }
  remove_ended();
}

// The last thing that its listener hears.
void Scheduler::Work::end(Running &r, Finish why, const Status &status) {
  if (r.ended)
    return;
  r.ended = true;
  const int64_t now = now_ns();
  Usage &u = r.usage;
  u.prompt = int64_t(r.prompt().size());
  u.slot = r.slot;
  u.waited_ns = (r.admitted ? r.admitted : now) - r.submitted;
  if (r.admitted)
    u.prompt_ns = (r.first ? r.first : now) - r.admitted;
  if (r.first)
    u.generate_ns = now - r.first;
  if (r.slot >= 0) {
    if (why == Finish::Failed)
      prefixes.forget(r.slot);
    else
      prefixes.release(r.slot);
  }
  {
    // Its place is free for whoever hears of the end.
    std::lock_guard lock(mutex);
    --occupied;
  }
  r.asked.prompt.bring = nullptr; // its media are free, too
  counted.failed += why == Finish::Failed;
  ++counted.requests;
  try {
    r.asked.listener->finished(why, status, u);
  } catch (const std::bad_alloc &) {
  }
  r.asked.listener.reset();
  std::lock_guard lock(mutex);
  --unfinished;
  ended.notify_all();
}

void Scheduler::Work::remove_ended() {
  std::erase_if(active, [](const auto &r) { return r->ended; });
}

void Scheduler::Work::end_all(Finish why, const Status &status) {
  for (auto &r : active)
    end(*r, why, status);
  for (auto &r : waiting)
    end(*r, why, status);
  active.clear();
  waiting.clear();
  for (; !tasks.empty(); tasks.pop_front()) {
    if (tasks.front().since)
      prefixes.forget(tasks.front().slot);
    end(tasks.front(),
        status.ok() ? failure(RUN_ERROR, "it is ending") : status);
  }
}

// First come, first served: one that waits for pages is not passed by smaller
// ones, which could keep it waiting for ever; one that waits for its slot is.
void Scheduler::Work::admit() {
  for (size_t i = 0; i < waiting.size();) {
    const auto at = waiting.begin() + ptrdiff_t(i);
    Running &r = **at;
    if (r.asked.most == 0) {
      end(r, Finish::Length);
      waiting.erase(at);
      continue;
    }
    if (r.asked.slot >= 0 && prefixes.is_busy(r.asked.slot)) {
      ++i;
      continue;
    }
    const auto n = int64_t(r.prompt().size());
    r.total = r.asked.most < 0 || r.asked.most > room - n
                  ? room
                  : n + r.asked.most - 1;
    const Prefixes::Place place = prefixes.find(
        r.asked.scored ? std::vector<Item>() : r.prompt(), r.asked.slot);
    if (place.slot < 0 || (!r.asked.scored && is_coming(r, place)) ||
        !has_pages({std::max(place.source, 0), place.rows, r.total}))
      return;
    active.push_back(std::move(*at));
    waiting.erase(at);
    begin(*active.back(), place);
  }
}

// Whether somebody reads a beginning of this prompt right now that is worth
// waiting for.
bool Scheduler::Work::is_coming(const Running &r,
                                const Prefixes::Place &place) const {
  return std::any_of(active.begin(), active.end(), [&](const auto &a) {
    if (a->ended || !a->reading())
      return false;
    const int64_t common = std::min(common_items(a->prompt(), r.prompt()),
                                    int64_t(r.prompt().size()) - 1),
                  without = place.source == a->slot ? 0 : place.rows;
    return a->at < common && common >= without + WORTH_WAITING;
  });
}

// Whether all that run and this one can grow to their ends, if whatever idle
// slots and checkpoints hold is given up.
bool Scheduler::Work::has_pages(const Growth &more) const {
  std::vector<Growth> all;
  for (const auto &a : active)
    if (!a->ended)
      all.push_back({a->slot, a->at, a->total});
  for (const Task &task : tasks)
    if (task.since)
      all.push_back({task.slot, task.tokens, task.tokens});
  all.push_back(more);
  return pages_after(engine, all.data(), int32_t(all.size())) >= 0;
}

void Scheduler::Work::begin(Running &r, const Prefixes::Place &place) {
  r.slot = place.slot;
  r.at = r.usage.cached = place.rows;
  r.admitted = now_ns();
  if (Status s = prefixes.take(place); !s.ok())
    return end(r, Finish::Failed, s);
  for (const Item &item : r.prompt())
    if (item.id >= 0)
      r.draw.read(item.id);
  mark(r, place);
  counted.prompt_tokens += int64_t(r.prompt().size());
  counted.cached_tokens += place.rows;
}

// Later prompts part from this one where this one did from others, where its
// first turn ends (system, tools), and where the answer begins.
void Scheduler::Work::mark(Running &r, const Prefixes::Place &place) {
  if (!plan.checkpoints)
    return;
  std::vector<int64_t> turns;
  const std::vector<Item> &prompt = r.prompt();
  for (size_t i = 0; turn_token >= 0 && i < prompt.size(); ++i)
    if (prompt[i].id == turn_token)
      turns.push_back(int64_t(i));
  r.marks = {std::min(place.parting, int64_t(prompt.size()) - 1)};
  if (turns.size() > 1)
    r.marks.insert(r.marks.end(), {turns[1], turns.back()});
  std::sort(r.marks.begin(), r.marks.end());
  r.marks.erase(std::unique(r.marks.begin(), r.marks.end()), r.marks.end());
  std::erase_if(r.marks, [&](int64_t m) {
    if (m == r.at)
      prefixes.keep(r.slot, m);
    return m <= r.at;
  });
}

void Scheduler::Work::publish() {
  SchedulerStats s = counted;
  s.slots = plan.slots;
  s.busy = int64_t(active.size());
  s.pages = plan.pages[GM_GLOBAL];
  s.pages_left = pages_left(engine);
  std::vector<SlotStats> slots(static_cast<size_t>(plan.slots));
  for (int32_t i = 0; i < int32_t(plan.slots); ++i)
    slots[size_t(i)].held = prefixes.length(i);
  for (const auto &r : active) {
    SlotStats &slot = slots[size_t(r->slot)];
    slot.number = r->number;
    slot.prompt = int64_t(r->prompt().size());
    slot.generated = r->usage.generated;
  }
  std::lock_guard lock(mutex);
  shown = s;
  shown_slots.swap(slots);
}

//===- scheduler.h --------------------------------------------------------===//

void prepare_for_scheduler(Options &o) {
  o.outputs = o.slots;
  o.all_logits = true;
  if (!o.slot_rows)
    o.slot_rows = o.batch;
  o.batch =
      std::max(o.batch, std::max<int64_t>(o.block, GM_FEW_ROWS)) + o.slots;
}

Scheduler::Scheduler(Program &program, int64_t queue)
    : work(std::make_unique<Work>(program, queue)) {}

Scheduler::~Scheduler() = default;

Status Scheduler::submit(Sequence sequence, int64_t &number) {
  return work->submit(std::move(sequence), number);
}

Status Scheduler::submit(SlotTask what, int32_t slot, const std::string &file,
                         SlotCallback done, std::function<bool()> wanted) {
  return work->submit({what, slot, file, std::move(done), std::move(wanted)});
}

void Scheduler::cancel(int64_t number) {
  {
    std::lock_guard lock(work->mutex);
    if (number < 1 || number > work->numbers)
      return;
    work->cancels.push_back(number);
  }
  work->wake.notify_one();
}

void Scheduler::forget() {
  std::lock_guard lock(work->mutex);
  work->forgets = true;
}

SchedulerStats Scheduler::stats() const {
  std::lock_guard lock(work->mutex);
  SchedulerStats s = work->shown;
  s.waiting = std::max<int64_t>(0, work->occupied - s.busy);
  return s;
}

std::vector<SlotStats> Scheduler::slots() const {
  std::lock_guard lock(work->mutex);
  return work->shown_slots;
}

void Scheduler::drain(int64_t ns) {
  std::unique_lock lock(work->mutex);
  work->draining = true;
  const std::chrono::nanoseconds most(std::min(ns, YEAR_NS));
  work->ended.wait_for(lock, most, [&] { return work->unfinished == 0; });
}

} // namespace gm
