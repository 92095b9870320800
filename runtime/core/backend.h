// Where a started program's memory lies and its segments run: one kind of
// device. The core reaches a device through this class alone; it fills step
// arrays, keeps slots and pages, and reads results in the memory that
// `allocate` gave.
#pragma once

#include "runtime/abi.h"
#include "runtime/gemma.h"
#include "runtime/host/clock.h"

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

// What is started.
struct Setup {
  const File &file;
  const gm_program &program;
  const Options &options;
  const Plan &plan;
};

class Backend {
public:
  virtual ~Backend() = default;
  // Finds the device. Addresses for plan.allocated bytes, aligned to huge
  // pages; behind the first plan.device_only of them, which segments alone
  // touch, zeroed memory.
  virtual Status allocate(const Setup &setup, uint8_t *&base) = 0;
  // Makes the weight section of `file` readable by segments, but for the rows
  // of the PLE table. Load::Auto may take `spare` bytes beyond the plan;
  // Load::Synthetic reads nothing from the file. Called after start.
  virtual Status load(const File &file, Load mode, uint64_t spare,
                      Loaded &loaded) = 0;
  // `stacks`: STACK_BYTES for each worker; `shuffle` as in Options.
  virtual Status start(int workers, uint8_t *stacks, uint64_t shuffle) = 0;
  // Fills in what only the backend knows of a context: hooks and shares.
  virtual void prepare(gm_ctx &ctx) = 0;
  // Runs the calls in order, each after all of the one before; returns when
  // their results can be read. `ended`: whether `ends` (null: never), which is
  // asked between phases, was true and the rest was left. Fails if the device
  // does.
  virtual Status run(const Call *calls, int count, bool (*ends)(),
                     bool &ended) = 0;
  // Copy and fill of what segments read, inside the allocation and between
  // steps; a failure is that of the next run.
  virtual void copy(uint8_t *to, const uint8_t *from, uint64_t bytes) = 0;
  virtual void fill(uint8_t *to, uint32_t word, uint64_t bytes) = 0;
  // The same between the allocation and memory that is not pinned; done when
  // they return. Fail if the device does.
  virtual Status fetch(uint8_t *to, const uint8_t *from, uint64_t bytes) = 0;
  virtual Status store(uint8_t *to, const uint8_t *from, uint64_t bytes) = 0;
  // When that happened which gm_ctx::mark is called for, as now_ns counts.
  virtual int64_t moment() const { return now_ns(); }
};

// The one that this runtime is built with: threads of this process
// (runtime/cpu), or a card (runtime/cuda); null if there is no memory.
Backend *make_backend();
// Writes the terms of what it needs beside the allocation, at most 4, and gives
// their number.
int backend_terms(const File &file, const Plan &plan, Term *terms);

} // namespace gm
