// Which rows go into the next step: one for every sequence that generates, then
// chunks of the prompts that are read, in order of arrival, so that nobody
// waits longer than Pace says. Knows sequences that have a slot; must not know
// how they came there, nor what becomes of results.
#pragma once

#include "runtime/app/pace.h"
#include "runtime/serve/scheduler.h"

#include <memory>
#include <vector>

namespace gm {

// A sequence, from when it was submitted to its end.
struct Running {
  Running(int64_t number, Sequence given, int64_t submitted)
      : number(number), asked(std::move(given)),
        draw(asked.sampling, Random{asked.seed}, asked.changes),
        submitted(submitted) {}

  const std::vector<Item> &prompt() const { return asked.prompt.list; }
  bool reading() const { return at < int64_t(prompt().size()); }

  const int64_t number;
  Sequence asked;
  Draw draw;
  Usage usage;
  const int64_t submitted;         // ns, as all times
  int64_t admitted = 0, first = 0; // has a slot; has a token
  int32_t slot = -1;               // -1: it waits for one
  int64_t at = 0;                  // rows of it in the slot
  int64_t total = 0;               // rows that it may need
  int32_t next = -1;               // behind the prompt: the row at `at`
  std::vector<int64_t> marks;      // rows to keep a checkpoint at, ascending
  bool ended = false;
};

class Batch {
public:
  // Rows of one sequence, which stand together in the job.
  struct Part {
    Running *of;
    int64_t rows;
    int32_t wanted; // its last ones: their results are asked for
    bool draws;     // a token, from the last one
  };
  // A prompt whose media could not be read.
  struct Unread {
    Running *of;
    Status status;
  };

  Batch(const Program &program);

  // The next step of `active`, in order of arrival. Takes media of at most one
  // prompt, all else but those prompts is in it.
  void compose(const std::vector<std::unique_ptr<Running>> &active,
               std::vector<Unread> &unread);
  // It took so long.
  void took(int64_t ns);

  std::vector<Part> parts;
  std::vector<Row> rows;
  const float *soft = nullptr; // as in Job
  int32_t soft_count = 0;

private:
  void add(Running &r, int64_t count, int32_t soft_first);
  bool add_prompt(Running &r, int64_t budget, int64_t room, Status &status);

  const Plan &plan;
  const bool has_blocks;
  Pace pace;
  int64_t prompt_rows = 0, allowed = 0; // of this step
  size_t turn = 0; // whose row comes first if not all have room
};

} // namespace gm
