// The scheduler's inside: what threads share, and what its own thread does with
// the engine: the queue (scheduler.cpp) and a step (steps.cpp). Only these two
// include it.
#pragma once

#include "runtime/app/slot_file.h"
#include "runtime/serve/batch.h"
#include "runtime/serve/prefix.h"

#include <condition_variable>
#include <deque>
#include <mutex>
#include <pthread.h>

namespace gm {

// A SlotTask on its way.
struct Task {
  SlotTask what;
  int32_t slot;
  std::string file;
  SlotCallback done;
  std::function<bool()> wanted; // may be empty
  int64_t since = 0;            // 0: it has not begun
  int64_t tokens = 0;
  std::unique_ptr<SlotWriter> writer;
  std::unique_ptr<SlotReader> reader;
};

struct Scheduler::Work {
  Work(Program &program, int64_t queue);
  ~Work();

  Status check(const Sequence &s) const;
  Status submit(Sequence sequence, int64_t &number);
  Status submit(Task task);

  // The rest is the thread's own.
  void run();
  bool turn();
  bool wait();
  void end(Running &r, Finish why, const Status &status = {});
  void end_all(Finish why, const Status &status);
  void remove_ended();
  void apply(const std::vector<int64_t> &numbers);
  void admit();
  bool is_coming(const Running &r, const Prefixes::Place &place) const;
  bool has_pages(const Growth &more) const;
  void begin(Running &r, const Prefixes::Place &place);
  void mark(Running &r, const Prefixes::Place &place);
  void step_once();
  Ask ask_for_all();
  void make_pages();
  void advance();
  void draw_all(const Status &stepped, bool again);
  void score_all();
  void add_logprobs(const Results &g, int32_t at, int32_t best, Drawn &d);
  void draw(Running &r, int32_t row, const uint32_t *mask, bool again);
  void give(Running &r, const Drawn &drawn);
  void publish();
  void work_on_slots();
  bool begin(Task &task);
  bool advance(Task &task);
  void end(Task &task, const Status &status);

  Program &program;
  Engine &engine;
  const Plan &plan;
  const TokenRules rules;
  const int64_t queue, inputs, room; // room: most rows of a sequence
  const int32_t turn_token;          // begins a turn; -1: there is none

  Prefixes prefixes;
  Batch batch;
  DrawScratch scratch;
  std::vector<Candidate> own_candidates; // if the engine has none
  std::deque<std::unique_ptr<Running>> waiting;
  std::vector<std::unique_ptr<Running>> active; // in order of arrival
  std::vector<uint32_t> masks;                  // of wanted rows; empty: none
  std::vector<std::pair<Running *, Drawn>> drawn;
  struct Unclear {
    Running *of;
    int32_t row; // wanted one
    const uint32_t *mask;
  };
  std::vector<Unclear> unclear; // to be drawn from their logits
  std::deque<Task> tasks;
  bool task_waits = false; // for pages, which nobody else gets first
  SchedulerStats counted = {};
  int failures = 0; // of steps, one after another

  // What threads share.
  mutable std::mutex mutex;
  std::condition_variable wake, ended;
  std::deque<std::unique_ptr<Running>> incoming;
  std::deque<Task> new_tasks;
  std::vector<int64_t> cancels;
  int64_t numbers = 0;
  int64_t occupied = 0;   // slots and places in the queue
  int64_t unfinished = 0; // of which somebody has not heard the end
  int64_t open_tasks = 0;
  bool stopping = false, draining = false, forgets = false;
  Status broken; // not ok: nothing is computed any more
  SchedulerStats shown = {};
  std::vector<SlotStats> shown_slots;

  pthread_t thread;
  bool started = false;
};

} // namespace gm
