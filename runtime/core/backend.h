// Where a started program's memory lies and its segments run: one kind of
// device. The core reaches a device through this class alone; it fills step
// arrays, keeps slots and pages, and reads results in the memory that
// `allocate` gave.
#pragma once

#include "runtime/abi.h"
#include "runtime/gemma.h"

namespace gm {

// A context that generated code gets; `ctx` first, so that a hook which is
// given the gm_ctx finds the backend.
struct Context {
  gm_ctx ctx;
  class Backend *backend;
};

// One segment over the rows of one context.
struct Call {
  gm_segment *segment;
  gm_ctx *ctx;
};

class Backend {
public:
  virtual ~Backend() = default;
  // Zeroed memory of plan.allocated bytes, aligned to huge pages.
  virtual Status allocate(const Plan &plan, uint8_t *&base) = 0;
  // Makes the weight section of `file` readable by segments, but for the rows
  // of the PLE table. Load::Auto may take `spare` bytes beyond the plan. Called
  // after start.
  virtual Status load(const File &file, Load mode, uint64_t spare,
                      Loaded &loaded) = 0;
  // `stacks`: STACK_BYTES for each worker; `shuffle` as in Options.
  virtual Status start(int workers, uint8_t *stacks, uint64_t shuffle) = 0;
  // Fills in what only the backend knows of a context: hooks and shares.
  virtual void prepare(gm_ctx &ctx) = 0;
  // Runs the calls in order, each after all of the one before; returns when
  // their results can be read. False if `ends` (null: never), which is asked
  // between phases, was true and the rest was left.
  virtual bool run(const Call *calls, int count, bool (*ends)()) = 0;
  // Copies inside the allocation, between steps.
  virtual void copy(uint8_t *to, const uint8_t *from, uint64_t bytes) = 0;
};

// The one that this runtime is built with: threads of this process (cpu.cpp),
// or a card (runtime/cuda); null if there is no memory.
Backend *make_backend();

} // namespace gm
