// A started program: where everything lies in the one allocation, the contexts
// of its segments, the state of its slots. Shared by memory.cpp, which lays it
// out, and step.cpp, which runs it; nobody else includes this.
#pragma once

#include "runtime/abi.h"
#include "runtime/core/threads.h"
#include "runtime/gemma.h"

namespace gm {

enum Segment { BODY, TAIL, SEGMENTS };

// The context of a segment and the step arrays it points to (see gm_ctx), which
// the runtime writes.
struct Step {
  gm_ctx ctx; // first: the barrier finds the Step by it
  Threads *threads;
  int32_t *ids, *slot, *pos, *want;
  float *rope[2];
  uint8_t *ple;
  gm_tile *tile;
  gm_split *split[2];
  int32_t *parts[2];
  uint64_t ple_offset, ple_bytes; // slice of a row of the table
};

struct Slot {
  int64_t length;  // rows written that are still valid
  int64_t written; // highest position written since the slot began, plus 1
  int64_t stamp;   // last job that has rows of it
};

struct Engine {
  const File *file;
  Options options;
  Plan plan;
  Threads threads;
  Step step[SEGMENTS];
  Step head; // top and logits, on a group of the rows of the tail; only ctx and
             // threads
  const gm_entry *entry[4]; // body, tail, top, logits
  double *frequency[2];     // of each rotated pair; local, global
  int32_t *page[2];
  Slot *slots;
  Candidate *candidates;
  uint32_t *cut;
  int64_t jobs;

  int64_t vocab, hidden_stride, logits_stride, window, pairs[2];
  int ple_fd = -1;
  uint64_t ple_table, ple_row_bytes; // position in ple_fd; 0 bytes: no table

  Span arena, weights; // everything allocated; reserved addresses of weights
  Span classes[3];     // slot classes, for Options::poison
  uint8_t *stacks;
};

} // namespace gm
