// One step: checks the job, fills the step arrays, runs body, then tail and top
// or logits for the wanted rows. After the checks only reading the PLE table
// can fail; the segments cannot.
#include "runtime/core/engine.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <unistd.h>

namespace gm {
namespace {

//===- checks -------------------------------------------------------------===//

Status check_row(const Engine &e, const Row &row, int32_t index) {
  if (row.id < 0 || row.id >= e.vocab)
    return failure(BAD_INPUT,
                   "row %d: token id %d is outside the vocabulary 0..%lld",
                   index, row.id, (long long)e.vocab - 1);
  if (row.slot < 0 || row.slot >= e.plan.slots)
    return failure(RUN_ERROR, "row %d: slot %d is outside 0..%lld", index,
                   row.slot, (long long)e.plan.slots - 1);
  if (row.pos < 0 || row.pos >= e.plan.context)
    return failure(RUN_ERROR,
                   "row %d: position %d is outside the context of %lld", index,
                   row.pos, (long long)e.plan.context);
  return {};
}

Status check_start(const Engine &e, const Row &row) {
  const Slot &s = e.slots[row.slot];
  if (row.pos > s.length)
    return failure(RUN_ERROR,
                   "slot %d has %lld rows, cannot go on at position %d",
                   row.slot, (long long)s.length, row.pos);
  if (!can_continue(e, row.slot, row.pos))
    return failure(
        RUN_ERROR,
        "slot %d cannot go back to position %d from %lld: the sliding window's "
        "keys are gone; go back at most %lld rows",
        row.slot, row.pos, (long long)s.written, (long long)e.plan.rows);
  return {};
}

Status check_job(Engine &e, const Job &job) {
  if (job.count < 1 || job.count > e.plan.rows)
    return failure(RUN_ERROR, "a step has 1 to %lld rows, got %d",
                   (long long)e.plan.rows, job.count);
  if (job.best < 1 || job.best > GM_TOP)
    return failure(RUN_ERROR, "a step gives the best 1 to %d ids, got %d",
                   GM_TOP, job.best);
  ++e.jobs;
  for (int32_t r = 0; r < job.count; ++r) {
    const Row &row = job.rows[r];
    if (Status s = check_row(e, row, r); !s.ok())
      return s;
    if (r > 0 && job.rows[r - 1].slot == row.slot) {
      if (row.pos != job.rows[r - 1].pos + 1)
        return failure(RUN_ERROR, "row %d: expects position %d, got %d", r,
                       job.rows[r - 1].pos + 1, row.pos);
      continue;
    }
    if (e.slots[row.slot].stamp == e.jobs)
      return failure(RUN_ERROR,
                     "row %d: the rows of slot %d do not stand together", r,
                     row.slot);
    e.slots[row.slot].stamp = e.jobs;
    if (Status s = check_start(e, row); !s.ok())
      return s;
  }
  return {};
}

void advance_slots(Engine &e, const Job &job) {
  for (int32_t r = 0; r < job.count; ++r) {
    Slot &s = e.slots[job.rows[r].slot];
    s.length = job.rows[r].pos + 1;
    if (job.rows[r].pos == 0)
      s.written = 0;
    s.written = std::max(s.written, s.length);
  }
}

//===- step arrays --------------------------------------------------------===//

void fill_rows(Step &s, const Job &job, const int32_t *rows, int32_t count) {
  s.ctx.rows = count;
  for (int32_t r = 0; r < count; ++r) {
    const Row &row = job.rows[rows ? rows[r] : r];
    s.ids[r] = row.id;
    s.slot[r] = row.slot;
    s.pos[r] = row.pos;
  }
}

// Cuts the rows where the slot changes, where positions jump (only in the
// tail), and at multiples of a tile's size.
void fill_tiles(Step &s) {
  int32_t tiles = 0;
  for (int32_t r = 0; r < s.ctx.rows; ++r) {
    bool goes_on = r > 0 && s.slot[r] == s.slot[r - 1] &&
                   s.pos[r] == s.pos[r - 1] + 1 && s.pos[r] % GM_TILE_ROWS != 0;
    if (!goes_on)
      s.tile[tiles++] = {r, 0, s.slot[r], s.pos[r]};
    ++s.tile[tiles - 1].rows;
  }
  s.ctx.tiles = tiles;
}

void fill_splits(Step &s, int kind, int64_t window) {
  int32_t n = 0;
  for (int32_t t = 0; t < s.ctx.tiles; ++t) {
    const gm_tile &tile = s.tile[t];
    int32_t end = tile.pos0 + tile.rows;
    int32_t begin = kind == GM_LOCAL
                        ? int32_t(std::max<int64_t>(0, tile.pos0 - window + 1))
                        : 0;
    int32_t part = 0;
    for (int32_t key = begin; key < end;) {
      int32_t stop = std::min(end, (key / GM_SPLIT_KEYS + 1) * GM_SPLIT_KEYS);
      s.split[kind][n++] = {t, key, stop, part++};
      key = stop;
    }
    for (int32_t r = tile.row0; r < tile.row0 + tile.rows; ++r)
      s.parts[kind][r] = part;
  }
  s.ctx.splits[kind] = n;
}

// Split lists are for the class few, whose rows bound their number.
void fill_attention(Engine &e, Step &s) {
  fill_tiles(s);
  for (int kind : {GM_LOCAL, GM_GLOBAL})
    if (s.ctx.rows <= GM_FEW_ROWS)
      fill_splits(s, kind, e.window);
    else
      s.ctx.splits[kind] = 0;
}

// Angles, cosines and sines in double, rounded once.
void fill_rope(Engine &e, Step &s) {
  for (int kind : {GM_LOCAL, GM_GLOBAL})
    for (int32_t r = 0; r < s.ctx.rows; ++r) {
      float *out = s.rope[kind] + int64_t(r) * e.pairs[kind] * 2;
      double position = double(s.pos[r] + e.options.rope_offset);
      for (int64_t i = 0; i < e.pairs[kind]; ++i) {
        double angle = position * e.frequency[kind][i];
        out[2 * i] = float(std::cos(angle));
        out[2 * i + 1] = float(std::sin(angle));
      }
    }
}

void copy_rope(Engine &e, const Step &from, Step &to) {
  for (int kind : {GM_LOCAL, GM_GLOBAL}) {
    int64_t row = e.pairs[kind] * 2;
    for (int32_t r = 0; r < to.ctx.rows; ++r)
      memcpy(to.rope[kind] + r * row, from.rope[kind] + to.want[r] * row,
             size_t(row) * sizeof(float));
  }
}

Status gather_ple(Engine &e, Step &s) {
  for (int32_t r = 0; s.ple_bytes && r < s.ctx.rows; ++r) {
    uint64_t done = 0, at = e.ple_table + uint64_t(s.ids[r]) * e.ple_row_bytes +
                            s.ple_offset;
    while (done < s.ple_bytes) {
      ssize_t n = pread(e.ple_fd, s.ple + uint64_t(r) * s.ple_bytes + done,
                        s.ple_bytes - done, off_t(at + done));
      if (n < 0 && errno == EINTR)
        continue;
      if (n <= 0)
        return failure(
            RESOURCES, "cannot read the per-layer embedding of token %d: %s",
            s.ids[r], n < 0 ? strerror(errno) : "the file has become shorter");
      done += uint64_t(n);
    }
  }
  return {};
}

// Fills body's and tail's arrays; returns the number of wanted rows.
Status fill(Engine &e, const Job &job, int32_t &wanted) {
  Step &body = e.step[BODY], &tail = e.step[TAIL];
  fill_rows(body, job, nullptr, job.count);
  fill_attention(e, body);
  fill_rope(e, body);
  if (Status s = gather_ple(e, body); !s.ok())
    return s;
  wanted = 0;
  for (int32_t r = 0; r < job.count; ++r)
    if (job.rows[r].want)
      tail.want[wanted++] = r;
  if (!wanted)
    return {};
  fill_rows(tail, job, tail.want, wanted);
  fill_attention(e, tail);
  copy_rope(e, body, tail);
  return gather_ple(e, tail);
}

void poison(const Engine &e) {
  for (const Span &span : e.classes) { // 0x7FC07FC0: NaN as f32 and as two bf16
    uint32_t *word =
        reinterpret_cast<uint32_t *>(const_cast<uint8_t *>(span.data));
    std::fill(word, word + span.bytes / 4, 0x7FC07FC0u);
  }
}

//===- running ------------------------------------------------------------===//

// Segments one after the other, a barrier between them.
struct Sequence {
  Threads *threads;
  int count = 0;
  struct {
    gm_segment *segment;
    gm_ctx *ctx;
  } call[3];

  void push(const gm_entry *entry, gm_ctx &ctx) {
    call[count++] = {
        ctx.rows > GM_FEW_ROWS && entry->many ? entry->many : entry->few, &ctx};
  }
};

void run_sequence(void *data, int worker) {
  const Sequence &s = *static_cast<const Sequence *>(data);
  for (int i = 0; i < s.count; ++i) {
    if (i > 0)
      s.threads->barrier(worker);
    s.call[i].segment(s.call[i].ctx, worker);
  }
}

// The head's context: rows [first, first + rows) of the tail's results.
void select_group(Engine &e, const Job &job, int32_t first, int32_t rows) {
  e.head.ctx = e.step[TAIL].ctx;
  e.head.threads = &e.threads;
  e.head.ctx.rows = rows;
  e.head.ctx.best = &job.best;
  e.head.ctx.hidden += first * e.hidden_stride;
  e.head.ctx.mask =
      job.mask ? job.mask + (job.last_only ? 0 : first) * ((e.vocab + 31) / 32)
               : nullptr;
}

Group results(const Engine &e, const Job &job, int32_t first) {
  Group g = {};
  const gm_ctx &c = e.head.ctx;
  g.first = first;
  g.rows = c.rows;
  g.hidden = c.hidden;
  g.hidden_stride = e.hidden_stride;
  if (job.output == Output::Logits) {
    g.logits = c.logits;
    g.logits_stride = e.logits_stride;
  } else if (job.output == Output::Top) {
    g.top_ids = c.top_ids;
    g.top_values = c.top_values;
  }
  return g;
}

} // namespace

// Keys of sliding layers from the window's start on must not have been
// overwritten by the ring.
bool can_continue(const Engine &e, int32_t slot, int64_t pos) {
  const Slot &s = e.slots[slot];
  int64_t oldest = std::max<int64_t>(0, pos - e.window + 1);
  return pos <= s.length && (pos == 0 || oldest + e.plan.ring >= s.written);
}

Status step(Engine &e, const Job &job) {
  if (Status s = check_job(e, job); !s.ok())
    return s;
  int32_t wanted;
  if (Status s = fill(e, job, wanted); !s.ok())
    return s;
  if (e.options.poison)
    poison(e);
  advance_slots(e, job);

  Sequence sequence = {&e.threads, 0, {}};
  sequence.push(e.entry[0], e.step[BODY].ctx);
  if (wanted)
    sequence.push(e.entry[1], e.step[TAIL].ctx);
  for (int32_t first = job.last_only && wanted ? wanted - 1 : 0;
       first < std::max(wanted, 1); first += GM_FEW_ROWS) {
    if (wanted) {
      select_group(e, job, first,
                   std::min<int32_t>(GM_FEW_ROWS, wanted - first));
      if (job.output != Output::Hidden)
        sequence.push(e.entry[job.output == Output::Top ? 2 : 3], e.head.ctx);
    }
    if (sequence.count)
      e.threads.run(run_sequence, &sequence);
    sequence.count = 0;
    if (wanted && job.sink)
      job.sink(job.user, results(e, job, first));
  }
  return {};
}

} // namespace gm
