// A started program: where everything lies in the one allocation, the contexts
// of its segments, the state of its slots. Shared by memory.cpp, which lays it
// out, pages.cpp and step.cpp, which runs it; nobody else includes this.
#pragma once

#include "runtime/abi.h"
#include "runtime/core/backend.h"
#include "runtime/core/pages.h"
#include "runtime/core/threads.h"
#include "runtime/core/tower_sizes.h"
#include "runtime/gemma.h"
#include "runtime/host/synthetic.h"

namespace gm {

// The segments, in the order of GM_SEGMENT_LIST.
#define GM_NAME(name, ...) SEGMENT_##name,
enum { GM_SEGMENT_LIST(GM_NAME) SEGMENTS };
#undef GM_NAME

static_assert(int(SEGMENT_patches) + int(TOWERS) == int(SEGMENTS));

// The segments with rows of their own; the head computes on the tail's.
enum { BODY, TAIL, STEPS };

// The context of body or tail; the runtime writes its step arrays.
struct Step : Context {
  int32_t *slot, *pos, *end;      // of each row; end: null without blocks
  uint64_t ple_offset, ple_bytes; // slice of a row of the table

  template <typename T>
  T *array(int io) const {
    return static_cast<T *>(ctx.io[io]);
  }
};

struct Engine {
  const File *file;
  const gm_program *program;
  Options options;
  Plan plan;
  Backend *backend;
  Loaded loaded;
  Step step[STEPS];
  Context head;
  Context tower[TOWERS];
  TowerSizes towers;
  double *patch_frequency; // of each rotated pair of an axis
  float *soft;             // soft rows, hidden_stride apart
  const gm_entry *entry[SEGMENTS];
  double *frequency[2]; // of each rotated pair; local, global

  int32_t *page[2];   // tables of slots, then of checkpoints
  Sequence *sequence; // slots, then checkpoints
  Pool pool[2];
  // Of each sequence, with blocks: a bit per position, set if its row is in the
  // block of the row before it.
  uint32_t *inner;
  int64_t inner_words; // of a sequence; 0: no blocks
  Candidate *candidates;
  int64_t jobs;
  int32_t wanted; // rows of the tail in the last step
  Results results;
  float *logsumexp; // of the outputs

  bool takes_soft;
  int64_t vocab, inputs, hidden_stride, logits_stride, window, pairs[2];
  int ple_fd = -1;
  uint64_t ple_table, ple_row_bytes; // position in ple_fd; 0 bytes: no table
  SyntheticWords ple_words; // of its rows, Load::Synthetic: there is no ple_fd,
                            // and ple_table is the position in the section

  Span classes[3]; // slot classes, for Options::poison
  uint8_t *stacks; // of the workers
};

// Whether position `position` of a sequence is inside a block.
inline bool is_inner(const Engine &e, int32_t sequence, int64_t position) {
  return e.inner_words && position < e.sequence[sequence].length &&
         e.inner[sequence * e.inner_words + position / 32] >> position % 32 & 1;
}

int64_t pages_wanted(Engine &engine, int32_t slot, int64_t position,
                     int64_t rows);
void own_pages(Engine &engine, int32_t slot, int64_t position, int64_t rows);

} // namespace gm
