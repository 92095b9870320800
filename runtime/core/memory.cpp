// The memory plan: one function lays out everything that a program allocates.
// `make_plan` runs it over no memory and reports the sizes, `start` runs it
// over the one allocation, so plan and allocation cannot differ.
#include "runtime/core/engine.h"
#include "runtime/manifest_generated.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <new>
#include <unistd.h>

namespace gm {
namespace mf = gemmac::manifest;

namespace {

enum : uint64_t {
  HUGE_PAGE = 2u << 20,
  SMALL_PAGE = 65536, // the largest page size of the targets
  // libc, program data, heap of the commands and the main thread's stack; plus
  // a share for ids and text that grows with the context.
  ALLOWANCE = 12u << 20,
  ALLOWANCE_PER_POSITION = 64,
};

uint64_t add(uint64_t a, uint64_t b) {
  uint64_t r;
  return __builtin_add_overflow(a, b, &r) ? UINT64_MAX : r;
}

uint64_t mul(uint64_t a, uint64_t b) {
  uint64_t r;
  return __builtin_mul_overflow(a, b, &r) ? UINT64_MAX : r;
}

uint64_t round_up(uint64_t x, uint64_t to) { return add(x, to - 1) / to * to; }

// Hands out consecutive parts of the allocation, or of none (base 0).
class Arena {
public:
  Arena(uint8_t *base, Plan &plan, Where where)
      : base(base), plan(plan), where(where) {
    plan.terms = 0;
  }

  template <typename T>
  T *take(uint64_t count, uint64_t align = 64) {
    uint64_t start = round_up(used, align);
    padding += start - used;
    used = add(start, mul(count, sizeof(T)));
    return base ? reinterpret_cast<T *>(base + start) : nullptr;
  }
  uint8_t *take_bytes(uint64_t bytes, uint64_t align = 64) {
    return take<uint8_t>(bytes, align);
  }

  // Ends a term of the plan: all that was taken since the last one.
  void term(const char *name, const char *about) {
    plan.term[plan.terms++] = {name, about, used - padding - counted, where};
    counted = used - padding;
  }
  // What follows is of the host, too.
  void share() {
    take_bytes(0, SMALL_PAGE);
    plan.device_only = used;
    where = Where::Both;
  }
  // The last term: what no other one counts.
  void end() {
    plan.term[plan.terms++] = {"alignment", "to cache lines and pages", padding,
                               where};
  }
  uint64_t size() const { return used; }

private:
  uint8_t *base;
  Plan &plan;
  Where where;                    // what is taken lies
  uint64_t used = 0, counted = 0; // counted: in terms
  uint64_t padding = 0;           // before what was taken
};

// Bytes per unit, over all segments.
struct Units {
  uint64_t worker = 0, key = 0;
  uint64_t row = 0, head_row = 0; // of steps; of the head
  uint64_t tower_row[TOWERS] = {};
  uint64_t page[2] = {0, 0};
  uint64_t ple[STEPS] = {0, 0};
};

// In the order of Engine::entry; the first are the steps.
#define GM_NAME(name, ...) #name,
const char *const segment_names[] = {GM_SEGMENT_LIST(GM_NAME)};
#undef GM_NAME

const mf::PleSlice *find_slice(const mf::Program &p, int segment) {
  if (p.ple() && p.ple()->slices())
    for (const mf::PleSlice *s : *p.ple()->slices())
      if (s->segment() && s->segment()->str() == segment_names[segment])
        return s;
  return nullptr;
}

bool is_step(const flatbuffers::String *segment) {
  for (int s = 0; s < STEPS; ++s)
    if (segment && segment->str() == segment_names[s])
      return true;
  return false;
}

bool has_device(const mf::Program &p) {
  return p.target()->device() && p.target()->device()->str() == "cuda";
}

int tower_of(const flatbuffers::String *segment) {
  for (int t = 0; t < TOWERS; ++t)
    if (segment && segment->str() == segment_names[SEGMENT_patches + t])
      return t;
  return -1;
}

Units units_of(const mf::Program &p) {
  Units u;
  for (const mf::Memory *m : *p.memory()) {
    u.worker = std::max(u.worker, m->worker());
    const int tower = tower_of(m->segment());
    uint64_t &row = tower >= 0              ? u.tower_row[tower]
                    : is_step(m->segment()) ? u.row
                                            : u.head_row;
    row = std::max(row, m->row());
    u.key = std::max(u.key, m->key());
  }
  if (p.caches())
    for (const mf::Cache *c : *p.caches())
      u.page[c->global()] =
          add(u.page[c->global()], add(c->k_page(), c->v_page()));
  for (int s = 0; s < STEPS; ++s)
    if (const mf::PleSlice *slice = find_slice(p, s))
      u.ple[s] = slice->bytes();
  return u;
}

void lay_out_step(Arena &arena, const Plan &plan, const mf::Model &m, Step &s) {
  uint64_t rows = uint64_t(plan.rows),
           splits = mul(GM_FEW_ROWS, uint64_t(plan.splits));
  auto ints = [&](int io, uint64_t count) {
    s.ctx.io[io] = arena.take<int32_t>(count);
  };
  s.slot = arena.take<int32_t>(rows);
  s.pos = arena.take<int32_t>(rows);
  ints(GM_IO_ids, rows);
  if (m.soft_rows())
    ints(GM_IO_soft_row, rows);
  if (m.image_blocks())
    ints(GM_IO_end, rows);
  s.end = s.array<int32_t>(GM_IO_end);
  ints(GM_IO_want, rows);
  ints(GM_IO_parts_local, rows);
  ints(GM_IO_parts_global, rows);
  s.ctx.io[GM_IO_tile] = arena.take<gm_tile>(rows);
  s.ctx.io[GM_IO_split_local] = arena.take<gm_split>(splits);
  s.ctx.io[GM_IO_split_global] = arena.take<gm_split>(splits);
  s.ctx.io[GM_IO_rope_local] =
      arena.take<float>(mul(rows, uint64_t(m.local_rope()->pairs()) * 2));
  s.ctx.io[GM_IO_rope_global] =
      arena.take<float>(mul(rows, uint64_t(m.global_rope()->pairs()) * 2));
}

// What towers read and write, and the soft rows that steps read.
void lay_out_towers(Arena &arena, const Plan &plan, Engine &e) {
  const TowerSizes &t = e.towers;
  auto values = [&](int tower, int io) {
    e.tower[tower].ctx.io[io] = arena.take<float>(
        mul(uint64_t(t.rows[tower]), uint64_t(t.stride(tower))));
  };
  // Models without a vision tower have no patches: cells are their input.
  const int first = t.rows[PATCHES] ? PATCHES : IMAGE;
  const auto rows = uint64_t(t.rows[first]);
  gm_ctx &c = e.tower[first].ctx;
  values(first, GM_IO_pixels);
  c.io[GM_IO_position] = arena.take<int32_t>(mul(rows, 2));
  c.io[GM_IO_rope_patch] = arena.take<float>(mul(rows, uint64_t(t.pairs) * 2));
  c.io[GM_IO_tile] = arena.take<gm_tile>(rows);
  e.patch_frequency = arena.take<double>(uint64_t(t.pairs));
  if (first == PATCHES) {
    const uint64_t bytes = mul(rows, uint64_t(t.stride(IMAGE)));
    c.io[GM_IO_encoded] = e.tower[IMAGE].ctx.io[GM_IO_encoded] =
        arena.take<float>(bytes);
  }
  arena.term("picture", "a picture in front of its tower: patches x bytes");
  values(AUDIO, GM_IO_features);
  e.tower[AUDIO].ctx.io[GM_IO_frames] =
      arena.take<int32_t>(uint64_t(t.rows[AUDIO]));
  arena.term("sound", "a sound in front of its tower: frames x bytes");
  // Kernels store whole groups of 8 rows, from any row on.
  e.soft = arena.take<float>(
      mul(uint64_t(plan.soft_rows) + 7, uint64_t(e.hidden_stride)));
  arena.term("soft", "soft rows of pictures and sounds");
}

// The whole allocation. `e` receives the pointers.
uint64_t lay_out(const File &file, const Options &options, Plan &plan,
                 uint8_t *base, Engine &e) {
  const mf::Program &p = *file.manifest;
  const mf::Model &m = *p.model();
  const Units u = units_of(p);
  const uint64_t rows = uint64_t(plan.rows), outputs = uint64_t(plan.outputs),
                 workers = uint64_t(plan.threads),
                 sequences = uint64_t(plan.slots + plan.checkpoints);
  const bool device = has_device(p);
  Arena arena(base, plan, device ? Where::Device : Where::Host);
  gm_ctx &c = e.step[BODY].ctx;

  for (int kind : {GM_LOCAL, GM_GLOBAL}) {
    c.pool_pages[kind] = plan.pages[kind];
    uint64_t bytes = mul(uint64_t(plan.pages[kind]), u.page[kind]);
    c.cache[kind] =
        arena.take_bytes(bytes, bytes >= HUGE_PAGE ? HUGE_PAGE : SMALL_PAGE);
    arena.term(kind == GM_LOCAL ? "cache_local" : "cache_global",
               kind == GM_LOCAL
                   ? "keys and values of sliding layers: pages x bytes"
                   : "keys and values of global layers: pages x bytes");
  }
  e.towers = tower_sizes(file, plan);
  uint64_t row_bytes = std::max(mul(rows, u.row), mul(outputs, u.head_row));
  for (int t = 0; t < TOWERS; ++t)
    row_bytes =
        std::max(row_bytes, mul(uint64_t(e.towers.rows[t]), u.tower_row[t]));
  uint64_t key_bytes = mul(mul(u.key, GM_FEW_ROWS), uint64_t(plan.splits));
  c.worker_stride = int64_t(round_up(u.worker, 128));
  c.row = arena.take_bytes(row_bytes, SMALL_PAGE);
  arena.term("row", "activations of a row: rows x bytes, of the segment with "
                    "most");
  const uint64_t worker_bytes = mul(workers, uint64_t(c.worker_stride));
  c.worker = arena.take_bytes(worker_bytes, SMALL_PAGE);
  arena.term("worker", "private values of a worker: threads x bytes");
  c.key = arena.take_bytes(key_bytes);
  arena.term("key", "partial attention: 8 rows x splits x bytes");
  e.classes[0] = {c.row, row_bytes};
  e.classes[1] = {c.worker, worker_bytes};
  e.classes[2] = {c.key, key_bytes};
  if (device)
    arena.share();

  for (int s = 0; s < STEPS; ++s)
    e.step[s].ctx.io[GM_IO_ple] =
        u.ple[s] ? arena.take_bytes(mul(rows, u.ple[s])) : nullptr;
  arena.term("ple", "gathered per-layer embeddings: rows x bytes");
  e.hidden_stride = int64_t(round_up(uint64_t(m.hidden()), 32));
  e.logits_stride = int64_t(round_up(uint64_t(m.vocab()), 32));
  for (int io : {GM_IO_resid, GM_IO_hidden})
    c.io[io] = arena.take<float>(mul(rows, uint64_t(e.hidden_stride)));
  c.io[GM_IO_logits] =
      arena.take<float>(mul(outputs, uint64_t(e.logits_stride)));
  c.io[GM_IO_top_ids] = arena.take<int32_t>(mul(outputs, GM_TOP));
  c.io[GM_IO_top_values] = arena.take<float>(mul(outputs, GM_TOP));
  e.logsumexp = arena.take<float>(outputs);
  e.candidates =
      options.all_logits ? arena.take<Candidate>(uint64_t(m.vocab())) : nullptr;
  arena.term("io", "residuals, hidden states, logits, candidates");
  for (Step &s : e.step)
    lay_out_step(arena, plan, m, s);
  e.frequency[GM_LOCAL] = arena.take<double>(uint64_t(m.local_rope()->pairs()));
  e.frequency[GM_GLOBAL] =
      arena.take<double>(uint64_t(m.global_rope()->pairs()));
  arena.term("step", "rope tables, ids, tiles, splits of a step");
  if (e.towers.rows[IMAGE] || e.towers.rows[AUDIO] || plan.soft_rows)
    lay_out_towers(arena, plan, e);
  for (int kind : {GM_LOCAL, GM_GLOBAL}) {
    e.page[kind] =
        arena.take<int32_t>(mul(sequences, uint64_t(plan.page_stride)));
    int32_t *holders = arena.take<int32_t>(uint64_t(plan.pages[kind]));
    e.pool[kind].reset(holders, plan.pages[kind], options.scatter);
  }
  e.sequence = arena.take<Sequence>(sequences);
  e.inner_words = m.image_blocks() ? (plan.context + 31) / 32 : 0;
  e.inner = arena.take<uint32_t>(mul(sequences, uint64_t(e.inner_words)));
  arena.term("pages", "page tables, slots and checkpoints");
  e.stacks =
      arena.take_bytes(device ? 0 : mul(workers, STACK_BYTES), SMALL_PAGE);
  if (!device)
    arena.term("stacks", "stacks of the workers");
  arena.end();
  return round_up(arena.size(), SMALL_PAGE);
}

void add_term(Plan &plan, const Term &term) { plan.term[plan.terms++] = term; }

void add_up(Plan &plan) {
  for (int i = 0; i < plan.terms; ++i) {
    const Term &t = plan.term[i];
    plan.total = add(plan.total, t.where == Where::Device ? 0 : t.bytes);
    plan.device = add(plan.device, t.where == Where::Host ? 0 : t.bytes);
  }
}

// What is mapped of the file: everything but the PLE table.
uint64_t mapped_weights(const mf::Program &p) {
  return p.weights_bytes() -
         (p.ple() ? p.ple()->rows() * p.ple()->row_bytes() : 0);
}

Status resolve(const File &file, const Options &o, Plan &plan) {
  const mf::Model &m = *file.manifest->model();
  const struct {
    const char *what;
    int64_t value, least, most;
  } limits[] = {
      {"context (the model's maximum is the limit)", o.context, 0,
       m.max_context()},
      {"batch", o.batch, 1, 1 << 20},
      {"threads", o.threads, 0, MAX_THREADS},
      {"slots", o.slots, 1, 4096},
      {"block", o.block, 0, 1 << 20},
      {"checkpoints", o.checkpoints, 0, 4096},
      {"soft rows of a picture", o.image_rows, 0, 4096},
      {"soft rows of a sound", o.sound_rows, 0, 1 << 20},
      {"soft rows", o.soft_rows, 0, 1 << 20},
      {"bytes of a medium that is read", o.media_bytes, 0, int64_t(1) << 40},
      {"bytes of requests", o.request_bytes, 0, int64_t(1) << 40}};
  for (const auto &l : limits)
    if (l.value < l.least || l.value > l.most)
      return failure(USAGE, "%s must be at most %lld, got %lld", l.what,
                     (long long)l.most, (long long)l.value);
  plan.context =
      o.context ? o.context : std::min<int64_t>(m.max_context(), 8192);
  plan.batch = std::min(o.batch, plan.context * o.slots);
  const int64_t block = m.image_blocks() ? o.block : 0;
  if (block > plan.context)
    return failure(USAGE,
                   "a block of %lld rows needs a context of as many, got %lld",
                   (long long)block, (long long)plan.context);
  plan.rows =
      int64_t(round_up(uint64_t(std::max(plan.batch, block)), GM_FEW_ROWS));
  plan.slot_rows = std::max(
      std::min(o.slot_rows ? o.slot_rows : plan.batch, plan.batch), block);
  plan.outputs = int64_t(
      round_up(uint64_t(std::min(o.outputs ? o.outputs : o.slots, plan.rows)),
               GM_FEW_ROWS));
  if (has_device(*file.manifest) && o.threads)
    return failure(USAGE, "a number of threads (-t) is for programs of CPUs, "
                          "this one runs on a device");
  plan.threads = has_device(*file.manifest) ? 1
                 : o.threads                ? o.threads
                                            : default_threads();
  plan.slots = o.slots;
  plan.checkpoints = o.checkpoints;
  plan.image_rows = medium_of(file, "image") ? o.image_rows : 0;
  plan.sound_rows = medium_of(file, "audio") ? o.sound_rows : 0;
  plan.soft_rows = o.soft_rows;
  plan.media_bytes = plan.image_rows || plan.sound_rows ? o.media_bytes : 0;
  plan.splits = (plan.context + GM_SPLIT_KEYS - 1) / GM_SPLIT_KEYS;
  plan.page_stride = (plan.context + GM_PAGE_KEYS - 1) / GM_PAGE_KEYS;
  // The most pages that `keys` keys in a row touch.
  auto touched = [&](int64_t keys) {
    return std::min((keys + GM_PAGE_KEYS - 2) / GM_PAGE_KEYS + 1,
                    plan.page_stride);
  };
  // The rows of a step in one slot see a window before the first of them, and
  // a slot can go back as many rows, at least 8; a checkpoint holds what the
  // row behind it sees.
  int64_t window = m.window() - 1,
          ring = touched(window + std::max<int64_t>(plan.slot_rows, 8));
  plan.ring = ring * GM_PAGE_KEYS;
  plan.pages[GM_LOCAL] = plan.slots * ring + plan.checkpoints * touched(window);
  int64_t most = plan.slots * plan.page_stride + plan.checkpoints;
  if (o.pages < 0 || o.pages > most)
    return failure(USAGE, "pages must be at most %lld, got %lld",
                   (long long)most, (long long)o.pages);
  plan.pages[GM_GLOBAL] = o.pages ? o.pages : most;
  return {};
}

} // namespace

Status make_plan(const File &file, const Options &options, Plan &plan) {
  plan = Plan();
  if (Status s = resolve(file, options, plan); !s.ok())
    return s;
  Engine unused = {};
  plan.allocated = lay_out(file, options, plan, nullptr, unused);
  const bool device = has_device(*file.manifest);
  add_term(plan, {"weights",
                  device ? "weights: all but the per-layer embeddings"
                         : "weights that are mapped: all but the per-layer "
                           "embeddings",
                  round_up(mapped_weights(*file.manifest), SMALL_PAGE) +
                      2 * SMALL_PAGE,
                  device ? Where::Device : Where::Host});
  plan.terms += backend_terms(file, plan, plan.term + plan.terms);
  add_term(plan, {"program", "code, tokenizer, manifest",
                  round_up(file.code_bytes, SMALL_PAGE) + file.tokenizer.bytes +
                      file.manifest_bytes + 2 * SMALL_PAGE});
  add_term(plan, {"allowance", "libc, engine, text and ids",
                  ALLOWANCE + round_up(sizeof(Engine), SMALL_PAGE) +
                      plan.allocated % SMALL_PAGE +
                      mul(uint64_t(plan.context), ALLOWANCE_PER_POSITION)});
  if (plan.media_bytes)
    add_term(plan,
             {"media", "a picture or sound while it is read: file, pixels",
              uint64_t(plan.media_bytes)});
  if (options.request_bytes)
    add_term(plan, {"requests", "bodies, what they are read into, answers",
                    uint64_t(options.request_bytes)});
  add_up(plan);
  return {};
}

//===- start --------------------------------------------------------------===//

namespace {

// A descriptor of its own for the table, read at random.
Status open_ple(const File &file, Engine &e) {
  const mf::Ple *ple = file.manifest->ple();
  if (!ple)
    return {};
  e.ple_row_bytes = ple->row_bytes();
  e.inputs = std::min(e.vocab, int64_t(ple->rows()));
  for (int s = 0; s < STEPS; ++s)
    if (const mf::PleSlice *slice = find_slice(*file.manifest, s)) {
      e.step[s].ple_offset = slice->offset();
      e.step[s].ple_bytes = slice->bytes();
    }
  if (e.options.load == Load::Synthetic) {
    e.ple_table = ple->offset();
    e.ple_words = synthetic_words(*file.manifest, *ple);
    return {};
  }
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", file.weights_fd);
  e.ple_fd = open(path, O_RDONLY | O_CLOEXEC);
  const bool own = e.ple_fd >= 0; // no /proc: shared with the mapped weights
  if (!own)
    e.ple_fd = dup(file.weights_fd);
  if (e.ple_fd < 0)
    return failure(RESOURCES, "cannot open the weights of '%s' again: %s",
                   file.path, strerror(errno));
  e.ple_table = file.weights_offset + ple->offset();
  if (own)
    posix_fadvise(e.ple_fd, off_t(e.ple_table),
                  off_t(ple->rows() * ple->row_bytes()), POSIX_FADV_RANDOM);
  return {};
}

Status find_entries(Engine &e) {
  const gm_program &program = *e.program;
  if (program.abi != GM_ABI)
    return failure(BAD_INPUT, "the code has version %d, its runtime %d",
                   program.abi, GM_ABI);
  for (int i = 0; i < SEGMENTS; ++i) {
    for (int32_t j = 0; j < program.entries; ++j)
      if (strcmp(program.entry[j].name, segment_names[i]) == 0)
        e.entry[i] = &program.entry[j];
    const int tower = i - SEGMENT_patches;
    if (tower >= 0 && !e.towers.rows[tower])
      continue;
    if (!e.entry[i] || !e.entry[i]->many || (tower < 0 && !e.entry[i]->few))
      return failure(BAD_INPUT, "the generated code has no segment '%s'",
                     segment_names[i]);
  }
  return {};
}

void fill_constants(Engine &e) {
  const mf::Model &m = *e.file->manifest->model();
  e.takes_soft = m.soft_rows();
  e.vocab = e.inputs = m.vocab();
  e.window = m.window();
  for (int kind : {GM_LOCAL, GM_GLOBAL}) {
    const mf::Rope *rope = kind == GM_LOCAL ? m.local_rope() : m.global_rope();
    e.pairs[kind] = rope->pairs();
    for (int i = 0; i < rope->pairs(); ++i)
      e.frequency[kind][i] = std::pow(rope->theta(), -2.0 * i / rope->dim());
  }
}

// The first step's context has the addresses already; the others have arrays of
// their own beside them, and the head reads those of the last.
void fill_contexts(Engine &e) {
  gm_ctx &c = e.step[BODY].ctx;
  c.abi = GM_ABI;
  c.weights = e.loaded.weights;
  c.workers = int32_t(e.plan.threads);
  c.max_rows = int32_t(e.plan.rows);
  c.max_splits = int32_t(e.plan.splits);
  e.backend->prepare(c);
  for (int kind : {GM_LOCAL, GM_GLOBAL}) {
    c.page[kind] = e.page[kind];
    c.page_stride[kind] = int32_t(e.plan.page_stride);
  }
  for (Step &step : e.step) {
    void *own[GM_IOS];
    memcpy(own, step.ctx.io, sizeof own);
    step.backend = e.backend;
    step.ctx = c;
    for (int i = 0; i < GM_IOS; ++i)
      if (own[i])
        step.ctx.io[i] = own[i];
    step.ctx.io[GM_IO_ple] = own[GM_IO_ple];
  }
  for (int t = 0; t < TOWERS; ++t) {
    void *own[GM_IOS];
    memcpy(own, e.tower[t].ctx.io, sizeof own);
    e.tower[t].backend = e.backend;
    e.tower[t].ctx = c;
    memcpy(e.tower[t].ctx.io, own, sizeof own);
    e.tower[t].ctx.max_rows = int32_t(e.towers.rows[t]);
  }
  e.head = e.step[STEPS - 1];
  e.head.ctx.max_rows = int32_t(e.plan.outputs);
}

Status begin(const File &file, Engine &e) {
  if (e.options.load != Load::Synthetic)
    if (Status s = need_weights(file); !s.ok())
      return s;
  if (Status s = find_entries(e); !s.ok())
    return s;
  if (!(e.backend = make_backend()))
    return failure(RESOURCES, "no memory");
  uint8_t *base;
  if (Status s =
          e.backend->allocate({file, *e.program, e.options, e.plan}, base);
      !s.ok())
    return s;
  Plan same = e.plan;
  lay_out(file, e.options, same, base, e);
  fill_constants(e);
  if (Status s = open_ple(file, e); !s.ok())
    return s;
  if (Status s =
          e.backend->start(int(e.plan.threads), e.stacks, e.options.shuffle);
      !s.ok())
    return s;
  uint64_t have = available_memory();
  uint64_t spare = have > e.plan.total ? have - e.plan.total : 0;
  if (Status s = e.backend->load(file, e.options.load, spare, e.loaded);
      !s.ok())
    return s;
  fill_contexts(e);
  return {};
}

} // namespace

Status start(const File &file, const gm_program &program,
             const Options &options, const Plan &plan, Engine *&engine) {
  engine = new (std::nothrow) Engine{};
  if (!engine)
    return failure(RESOURCES, "no memory");
  engine->file = &file;
  engine->program = &program;
  engine->options = options;
  engine->plan = plan;
  Status s = begin(file, *engine);
  if (!s.ok()) {
    stop(engine);
    engine = nullptr;
  }
  return s;
}

void stop(Engine *e) {
  if (!e)
    return;
  delete e->backend;
  if (e->ple_fd >= 0)
    close(e->ple_fd);
  delete e;
}

Hooks watch(Engine &e, const Hooks &hooks) {
  Hooks old = {e.step[BODY].ctx.barrier, e.step[BODY].ctx.mark};
  for (Step &s : e.step)
    s.ctx.barrier = hooks.barrier, s.ctx.mark = hooks.mark;
  for (Context &t : e.tower)
    t.ctx.barrier = hooks.barrier, t.ctx.mark = hooks.mark;
  return old;
}

int64_t moment(const Engine &engine) { return engine.backend->moment(); }

const Loaded &loaded(const Engine &engine) { return engine.loaded; }

Candidate *candidates(Engine &engine) { return engine.candidates; }

} // namespace gm
