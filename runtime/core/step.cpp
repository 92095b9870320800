// One step: checks the job, fills the step arrays, runs body, then tail and top
// or logits for the wanted rows. After the checks only reading the PLE table
// and devices can fail; the segments cannot.
#include "runtime/core/engine.h"
#include "runtime/manifest_generated.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <fcntl.h>
#include <unistd.h>

namespace gm {
namespace {

//===- checks -------------------------------------------------------------===//

Status check_row(const Engine &e, const Job &job, int32_t index) {
  const Row &row = job.rows[index];
  if (row.id < 0 && e.takes_soft && (!job.soft || ~row.id >= job.soft_count))
    return failure(USAGE, "row %d: takes soft row %d, the step has %d", index,
                   ~row.id, job.soft ? job.soft_count : 0);
  if ((row.id < 0 && !e.takes_soft) || row.id >= e.inputs)
    return failure(BAD_INPUT,
                   "row %d: token id %d is outside the vocabulary 0..%lld",
                   index, row.id, (long long)e.inputs - 1);
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
  const Sequence &s = e.sequence[row.slot];
  if (row.pos > s.length)
    return failure(RUN_ERROR,
                   "slot %d has %lld rows, cannot go on at position %d",
                   row.slot, (long long)s.length, row.pos);
  if (is_inner(e, row.slot, row.pos))
    return failure(
        RUN_ERROR,
        "slot %d cannot go back to position %d: it is inside a block "
        "of images, whose first rows have seen its last ones",
        row.slot, row.pos);
  if (!can_continue(e, row.slot, row.pos))
    return failure(
        RUN_ERROR,
        "slot %d cannot go back to position %d from %lld: the sliding window's "
        "keys are gone; go back at most %lld rows",
        row.slot, row.pos, (long long)s.length, (long long)e.plan.slot_rows);
  return {};
}

// Rows [first, end) of the job, all those of one slot.
struct Run {
  const Row *first;
  int64_t rows;
};

Run run_at(const Job &job, int32_t first) {
  int32_t end = first + 1;
  while (end < job.count && job.rows[end].slot == job.rows[first].slot)
    ++end;
  return {job.rows + first, end - first};
}

// A block is whole: its rows have one end and are all there.
Status check_blocks(const Engine &e, int32_t first, const Run &run) {
  for (int64_t r = 0; r < run.rows; ++r) {
    const Row &row = run.first[r];
    if (row.end && (!e.inner_words || row.end <= row.pos))
      return failure(
          USAGE,
          "row %lld: a block that ends at %d at position %d; expects "
          "0%s",
          (long long)(first + r), row.end, row.pos,
          e.inner_words ? " or a later one" : ", this model has no blocks");
    if (row.end > row.pos + 1 &&
        (r + 1 == run.rows || run.first[r + 1].end != row.end))
      return failure(USAGE,
                     "row %lld: its block ends at %d, so expects the row of "
                     "position %d in the same step and block",
                     (long long)(first + r), row.end, row.pos + 1);
  }
  return {};
}

Status check_run(Engine &e, int32_t first, const Run &run) {
  Sequence &s = e.sequence[run.first->slot];
  if (s.stamp == e.jobs)
    return failure(RUN_ERROR,
                   "row %d: the rows of slot %d do not stand together", first,
                   run.first->slot);
  s.stamp = e.jobs;
  if (run.rows > e.plan.slot_rows)
    return failure(RUN_ERROR,
                   "slot %d has %lld rows in one step, the plan has room for "
                   "%lld",
                   run.first->slot, (long long)run.rows,
                   (long long)e.plan.slot_rows);
  for (int64_t r = 1; r < run.rows; ++r)
    if (run.first[r].pos != run.first[r - 1].pos + 1)
      return failure(RUN_ERROR, "row %lld: expects position %d, got %d",
                     (long long)(first + r), run.first[r - 1].pos + 1,
                     run.first[r].pos);
  if (Status s = check_blocks(e, first, run); !s.ok())
    return s;
  return check_start(e, *run.first);
}

Status check_ask(const Engine &e, const Ask &ask, int32_t outputs) {
  if (ask.best < 1 || ask.best > GM_TOP)
    return failure(RUN_ERROR, "a step gives the best 1 to %d ids, got %d",
                   GM_TOP, ask.best);
  if (ask.output != Output::Hidden && outputs > e.plan.outputs)
    return failure(RUN_ERROR,
                   "a step gives results of %lld rows, got %d wanted rows",
                   (long long)e.plan.outputs, outputs);
  return {};
}

Status check_job(Engine &e, const Job &job) {
  if (job.count < 1 || job.count > e.plan.rows)
    return failure(RUN_ERROR, "a step has 1 to %lld rows, got %d",
                   (long long)e.plan.rows, job.count);
  int32_t wanted = 0;
  for (int32_t r = 0; r < job.count; ++r) {
    if (Status s = check_row(e, job, r); !s.ok())
      return s;
    wanted += job.rows[r].want;
  }
  if (Status s = check_ask(e, job.ask, job.last_only ? 1 : wanted); !s.ok())
    return s;
  ++e.jobs;
  int64_t pages = 0;
  for (int32_t r = 0; r < job.count;) {
    Run run = run_at(job, r);
    if (Status s = check_run(e, r, run); !s.ok())
      return s;
    pages += pages_wanted(e, run.first->slot, run.first->pos, run.rows);
    r += int32_t(run.rows);
  }
  if (pages > pages_left(e))
    return failure(RESOURCES,
                   "the step needs %lld more pages of %d tokens, %lld are "
                   "left; end or shorten a sequence",
                   (long long)pages, GM_PAGE_KEYS, (long long)pages_left(e));
  return {};
}

void advance_slots(Engine &e, const Job &job) {
  for (int32_t r = 0; r < job.count;) {
    Run run = run_at(job, r);
    own_pages(e, run.first->slot, run.first->pos, run.rows);
    for (int64_t i = 0; e.inner_words && i < run.rows; ++i) {
      const Row &row = run.first[i];
      uint32_t &word = e.inner[row.slot * e.inner_words + row.pos / 32];
      const uint32_t bit = 1u << row.pos % 32;
      word = i && run.first[i - 1].end > row.pos ? word | bit : word & ~bit;
    }
    r += int32_t(run.rows);
  }
}

//===- step arrays --------------------------------------------------------===//

void fill_rows(Step &s, const Job &job, const int32_t *rows, int32_t count) {
  s.ctx.rows = count;
  int32_t *ids = s.array<int32_t>(GM_IO_ids),
          *soft_row = s.array<int32_t>(GM_IO_soft_row);
  s.ctx.io[GM_IO_soft] = const_cast<float *>(job.soft);
  for (int32_t r = 0; r < count; ++r) {
    const Row &row = job.rows[rows ? rows[r] : r];
    ids[r] = std::max(row.id, 0);
    if (soft_row)
      soft_row[r] = row.id < 0 ? ~row.id : -1;
    if (s.end)
      s.end[r] = row.end;
    s.slot[r] = row.slot;
    s.pos[r] = row.pos;
  }
}

// Cuts the rows where the slot changes, where positions jump (only in the
// tail), and at multiples of a tile's size.
void fill_tiles(Step &s) {
  gm_tile *tile = s.array<gm_tile>(GM_IO_tile);
  int32_t tiles = 0;
  for (int32_t r = 0; r < s.ctx.rows; ++r) {
    bool goes_on = r > 0 && s.slot[r] == s.slot[r - 1] &&
                   s.pos[r] == s.pos[r - 1] + 1 && s.pos[r] % GM_TILE_ROWS != 0;
    if (!goes_on)
      tile[tiles++] = {r, 0, s.slot[r], s.pos[r]};
    ++tile[tiles - 1].rows;
  }
  s.ctx.tiles = tiles;
}

void fill_splits(Step &s, int kind, int64_t window) {
  gm_split *split = s.array<gm_split>(GM_IO_split_local + kind);
  int32_t *parts = s.array<int32_t>(GM_IO_parts_local + kind), n = 0;
  for (int32_t t = 0; t < s.ctx.tiles; ++t) {
    const gm_tile &tile = s.array<gm_tile>(GM_IO_tile)[t];
    int32_t end = tile.pos0 + tile.rows;
    if (kind == GM_LOCAL && s.end) // those of rows ascend
      end = std::max(end, s.end[tile.row0 + tile.rows - 1]);
    int32_t begin = kind == GM_LOCAL
                        ? int32_t(std::max<int64_t>(0, tile.pos0 - window + 1))
                        : 0;
    int32_t part = 0;
    for (int32_t key = begin; key < end;) {
      int32_t stop = std::min(end, (key / GM_SPLIT_KEYS + 1) * GM_SPLIT_KEYS);
      split[n++] = {t, key, stop, part++};
      key = stop;
    }
    std::fill_n(parts + tile.row0, tile.rows, part);
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
      float *out = s.array<float>(GM_IO_rope_local + kind) +
                   int64_t(r) * e.pairs[kind] * 2;
      double position = double(s.pos[r] + e.options.rope_offset);
      for (int64_t i = 0; i < e.pairs[kind]; ++i) {
        double angle = position * e.frequency[kind][i];
        out[2 * i] = float(std::cos(angle));
        out[2 * i + 1] = float(std::sin(angle));
      }
    }
}

void copy_rope(Engine &e, const Step &from, Step &to) {
  const int32_t *want = to.array<int32_t>(GM_IO_want);
  for (int kind : {GM_LOCAL, GM_GLOBAL}) {
    int64_t row = e.pairs[kind] * 2;
    int io = GM_IO_rope_local + kind;
    for (int32_t r = 0; r < to.ctx.rows; ++r)
      memcpy(to.array<float>(io) + r * row,
             from.array<float>(io) + want[r] * row,
             size_t(row) * sizeof(float));
  }
}

uint64_t ple_at(const Engine &e, const Step &s, int32_t r) {
  return e.ple_table +
         uint64_t(s.array<int32_t>(GM_IO_ids)[r]) * e.ple_row_bytes +
         s.ple_offset;
}

// A cold row costs the device's latency; asked for together, all rows cost
// little more than one.
void request_ple(const Engine &e, const Step &s) {
  if (e.ple_fd < 0) // synthetic
    return;
  for (int32_t r = 0; s.ple_bytes && s.ctx.rows > 1 && r < s.ctx.rows; ++r)
    posix_fadvise(e.ple_fd, off_t(ple_at(e, s, r)), off_t(s.ple_bytes),
                  POSIX_FADV_WILLNEED);
}

Status gather_ple(Engine &e, Step &s) {
  for (int32_t r = 0; s.ple_bytes && r < s.ctx.rows; ++r) {
    uint64_t done = 0, at = ple_at(e, s, r);
    uint8_t *row = s.array<uint8_t>(GM_IO_ple) + uint64_t(r) * s.ple_bytes;
    if (e.ple_fd < 0) {
      synthesize(e.ple_words, at, row, s.ple_bytes);
      continue;
    }
    while (done < s.ple_bytes) {
      ssize_t n =
          pread(e.ple_fd, row + done, s.ple_bytes - done, off_t(at + done));
      if (n < 0 && errno == EINTR)
        continue;
      if (n <= 0)
        return failure(n < 0 ? RESOURCES : BAD_INPUT,
                       "cannot read the per-layer embedding of token %d: %s",
                       s.array<int32_t>(GM_IO_ids)[r],
                       n < 0 ? strerror(errno) : "the file has become shorter");
      done += uint64_t(n);
    }
  }
  return {};
}

// Fills body's and tail's arrays.
Status fill(Engine &e, const Job &job) {
  Step &body = e.step[BODY], &tail = e.step[TAIL];
  fill_rows(body, job, nullptr, job.count);
  int32_t *want = tail.array<int32_t>(GM_IO_want);
  e.wanted = 0;
  for (int32_t r = 0; r < job.count; ++r)
    if (job.rows[r].want)
      want[e.wanted++] = r;
  fill_rows(tail, job, want, e.wanted);
  request_ple(e, body);
  request_ple(e, tail);
  fill_attention(e, body);
  fill_rope(e, body);
  if (e.wanted) {
    fill_attention(e, tail);
    copy_rope(e, body, tail);
  }
  if (Status s = gather_ple(e, body); !s.ok())
    return s;
  return gather_ple(e, tail);
}

void poison(const Engine &e) {
  for (const Span &span : e.classes) // NaN as f32 and as two bf16
    e.backend->fill(const_cast<uint8_t *>(span.data), 0x7FC07FC0u, span.bytes);
}

//===- running ------------------------------------------------------------===//

// The calls of a step, in the order in which they run.
struct Calls {
  Engine &e;
  Call calls[4] = {};
  int count = 0;

  void push(int segment, gm_ctx &ctx) {
    const gm_entry &entry = *e.entry[segment];
    calls[count++] = {ctx.rows > entry.few_rows ? entry.many : entry.few, &ctx};
  }

  // The head over rows [first, first + rows) of the tail.
  void push_head(const Ask &ask, int32_t first, int32_t rows) {
    if (ask.output == Output::Hidden || !rows)
      return;
    gm_ctx &c = e.head.ctx;
    const Step &tail = e.step[TAIL];
    c.barrier = tail.ctx.barrier;
    c.mark = tail.ctx.mark;
    c.rows = rows;
    c.io[GM_IO_hidden] =
        tail.array<float>(GM_IO_hidden) + first * e.hidden_stride;
    c.io[GM_IO_best] = const_cast<int32_t *>(&ask.best);
    c.io[GM_IO_mask] = const_cast<uint32_t *>(ask.mask);
    if (ask.output == Output::Top)
      push(SEGMENT_top, c);
    if (ask.output == Output::Logits || ask.logsumexp)
      push(SEGMENT_logits, c);
  }

  Status run() {
    bool ended;
    return e.backend->run(calls, count, nullptr, ended);
  }
};

// log(sum(exp(x))) in double.
float logsumexp(const float *x, int64_t count) {
  double most = *std::max_element(x, x + count), sum = 0;
  for (int64_t i = 0; i < count; ++i)
    sum += std::exp(double(x[i]) - most);
  return float(most + std::log(sum));
}

// NaN and infinity spread to every later row, but the softcap hides them.
Status check_finite(const Engine &e, const float *hidden, int32_t first,
                    int32_t rows) {
  for (int32_t r = 0; r < rows; ++r) {
    const float *row = hidden + r * e.hidden_stride;
    float sum = 0; // stays 0 but for values that are not finite
    for (int32_t i = 0, n = e.file->manifest->model()->hidden(); i < n; ++i)
      sum += row[i] * 0;
    if (!(sum == 0))
      return failure(RUN_ERROR,
                     "the model's state is not finite at position %d: a weight "
                     "or an intermediate result is NaN or infinite",
                     e.step[TAIL].pos[first + r]);
  }
  return {};
}

Status give_results(Engine &e, const Ask &ask, int32_t first, int32_t rows) {
  const Step &tail = e.step[TAIL];
  Results &r = e.results;
  r = {.first = first,
       .rows = rows,
       .hidden = tail.array<float>(GM_IO_hidden) + first * e.hidden_stride,
       .hidden_stride = e.hidden_stride,
       .logits = nullptr,
       .logits_stride = e.logits_stride,
       .top_ids = nullptr,
       .top_values = nullptr,
       .logsumexp = nullptr};
  const float *logits = tail.array<float>(GM_IO_logits);
  if (ask.output == Output::Top) {
    r.top_ids = tail.array<int32_t>(GM_IO_top_ids);
    r.top_values = tail.array<float>(GM_IO_top_values);
  }
  if (ask.output == Output::Logits)
    r.logits = logits;
  if (ask.logsumexp && ask.output != Output::Hidden) {
    for (int32_t i = 0; i < rows; ++i)
      e.logsumexp[i] = logsumexp(logits + i * e.logits_stride, e.vocab);
    r.logsumexp = e.logsumexp;
  }
  return check_finite(e, r.hidden, first, rows);
}

} // namespace

Status step(Engine &e, const Job &job) {
  e.results = {};
  if (Status s = check_job(e, job); !s.ok())
    return s;
  if (Status s = fill(e, job); !s.ok())
    return s;
  if (e.options.poison)
    poison(e);
  advance_slots(e, job);

  Calls calls{e};
  calls.push(SEGMENT_body, e.step[BODY].ctx);
  int32_t first = job.last_only ? std::max(e.wanted - 1, 0) : 0;
  if (e.wanted)
    calls.push(SEGMENT_tail, e.step[TAIL].ctx);
  calls.push_head(job.ask, first, e.wanted - first);
  if (Status s = calls.run(); !s.ok())
    return s;
  return give_results(e, job.ask, first, e.wanted - first);
}

Status head(Engine &e, const Ask &ask, int32_t first, int32_t rows) {
  if (first < 0 || rows < 1 || rows > e.wanted - first)
    return failure(RUN_ERROR,
                   "rows %d to %d are not among the %d wanted rows of the last "
                   "step",
                   first, first + rows - 1, e.wanted);
  if (Status s = check_ask(e, ask, rows); !s.ok())
    return s;
  if (e.options.poison)
    poison(e);
  Calls calls{e};
  calls.push_head(ask, first, rows);
  if (Status s = calls.run(); !s.ok())
    return s;
  return give_results(e, ask, first, rows);
}

const Results &results(const Engine &e) { return e.results; }

} // namespace gm
