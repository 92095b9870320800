// Continuous batching: the sequences of many requests share the slots, pages
// and steps of one engine, which is used on the scheduler's own thread only.
// Knows ids and soft rows; must not know text, JSON or HTTP.
#pragma once

#include "runtime/app/constraint.h"
#include "runtime/app/draw.h"
#include "runtime/app/items.h"
#include "runtime/app/program.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace gm {

// One drawn token. Logprobs are of the model's own distribution: before
// temperature, mask and penalties.
struct Drawn {
  int32_t id;
  float logprob = 0;                             // if Sequence::logprobs >= 0
  std::vector<std::pair<int32_t, float>> likely; // the `logprobs` best
};

enum class Finish {
  Stop,      // a stop id, which was given too
  Length,    // Sequence::most tokens
  Context,   // the slot is full
  Cancelled, // by whoever submitted it
  Failed     // Listener::finished says why
};

// What a sequence cost.
struct Usage {
  int64_t prompt = 0, cached = 0, generated = 0; // tokens; cached: of prompt
  int64_t waited_ns = 0, prompt_ns = 0, generate_ns = 0;
  int32_t slot = -1; // that it had; -1: none
};

// Called on the scheduler's thread: returns at once, calls no scheduler.
class Listener {
public:
  virtual ~Listener() = default;
  // False: nothing more is wanted (a stop string, a client that left); ends
  // with Finish::Cancelled.
  virtual bool drawn(const Drawn &token) = 0;
  // Of Sequence::scored: the next token of the prompt, but for the first one,
  // which nothing stands in front of.
  virtual void scored(const Drawn &) {}
  // The last call.
  virtual void finished(Finish why, const Status &status, const Usage &) = 0;
};

// A prompt and how it is to go on.
struct Sequence {
  // `bring` is called on the scheduler's thread. Rows of media have numbers by
  // which prompts are compared: equal ones are of equal media.
  Items prompt;
  int64_t most = -1; // tokens generated; -1: until the context is full
  Sampling sampling;
  uint64_t seed = 0;
  bool ignore_stop = false;
  int32_t logprobs = -1; // -1: none; how many of the best beside the drawn one
  // With logprobs: also those of the prompt's own tokens. All of it is computed
  // then, whatever slots hold of it.
  bool scored = false;
  LogitChanges changes;                   // penalties and bias
  std::unique_ptr<Constraint> constraint; // null: none
  std::shared_ptr<Listener> listener;
  int32_t slot = -1; // the one to use, when it is idle; -1: any
};

// What a slot is made to do when no sequence has it.
enum class SlotTask {
  Save,    // its state goes to a file (slot_file.h)
  Restore, // it becomes what a file holds
  Erase
};
struct SlotDone {
  Status status;
  int64_t tokens = 0; // saved, restored or erased
  uint64_t bytes = 0; // of the file
  int64_t ns = 0;
};
using SlotCallback = std::function<void(const SlotDone &)>;

struct SchedulerStats {
  int64_t slots, busy, waiting, pages, pages_left;
  int64_t prompt_tokens, cached_tokens, generated_tokens; // cached: of prompt
  int64_t steps, requests, failed;
  int64_t longest_step_ns;
};

struct SlotStats {
  int64_t number = 0; // of the sequence; 0: idle
  int64_t held = 0;   // tokens in its cache
  int64_t prompt = 0, generated = 0;
};

// What a scheduler of `options.slots` needs beside what was asked for: rows for
// all slots in a step, logits of all of them.
void prepare_for_scheduler(Options &options);

class Scheduler {
public:
  // `program` is started with prepared options; at most `queue` sequences wait
  // for a slot.
  Scheduler(Program &program, int64_t queue);
  ~Scheduler(); // cancels everything
  Scheduler(const Scheduler &) = delete;

  // From any thread. A number for `cancel`. Fails (RESOURCES if the queue is
  // full, RUN_ERROR if the prompt does not fit into a slot or nothing is
  // taken any more, USAGE for settings that mean nothing) without calling the
  // listener.
  Status submit(Sequence sequence, int64_t &number);
  // From any thread. `done` is called once, on the scheduler's thread;
  // sequences of other slots go on meanwhile. `wanted` (empty: yes) is asked
  // there before it begins. Fails without calling `done`: USAGE if there is no
  // such slot, RESOURCES if too many tasks wait, RUN_ERROR if nothing is taken
  // any more.
  Status submit(SlotTask what, int32_t slot, const std::string &file,
                SlotCallback done, std::function<bool()> wanted = {});
  // Ends it before the next step. Others' numbers mean nothing.
  void cancel(int64_t number);
  // What idle slots and checkpoints hold now is not reused by what is submitted
  // from now on.
  void forget();
  SchedulerStats stats() const;
  std::vector<SlotStats> slots() const;
  // Takes no more sequences; returns when all have ended, or after `ns`.
  void drain(int64_t ns);

private:
  struct Work;
  std::unique_ptr<Work> work;
};

} // namespace gm
