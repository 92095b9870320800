// The runtime core: opens a program file, says what memory it needs, allocates
// it once, runs steps, samples. Never prints, exits or throws; every failure is
// a Status. Knows nothing of text: tokenizer, chat format and commands are
// above it (runtime/app) and see only this header.
#pragma once

#include <cstddef>
#include <cstdint>

namespace gemmac::manifest {
struct Medium;
struct Program;
} // namespace gemmac::manifest
struct gm_ctx;
struct gm_program;

namespace gm {

// Exit codes of the programs; the same numbers as gemmac's own.
enum Code {
  OK = 0,
  RUN_ERROR = 1,
  USAGE = 2,
  BAD_INPUT = 3,
  UNSUPPORTED = 4,
  RESOURCES = 5,
  MACHINE = 6,
};

// One line without a full stop: what, expected, found, what to do.
struct [[nodiscard]] Status {
  Code code = OK;
  char text[508] = "";
  bool ok() const { return code == OK; }
};
[[gnu::format(printf, 2, 3)]] Status failure(Code code, const char *format,
                                             ...);

//===- the program file ---------------------------------------------------===//

struct Span {
  const uint8_t *data = nullptr;
  uint64_t bytes = 0;
};

// A program file after `open`: manifest and tokenizer mapped, everything in
// them that the core relies on checked, the CPU found able to run it.
struct File {
  const gemmac::manifest::Program *manifest = nullptr;
  Span tokenizer; // data = null: none
  char path[4096] = "";

  Span memory; // all but the weights, if they are in no file; fd = -1 then
  int fd = -1, weights_fd = -1; // equal if the weights are embedded
  uint64_t weights_offset = 0;  // in the file of weights_fd
  uint64_t code_bytes = 0;      // ELF and padding
  uint64_t manifest_bytes = 0;
  Span mapped[2]; // pages of tokenizer and manifest
};

// `path` null: the file of the running program itself. An open file must be
// closed before it is opened again. Without `weights` an external weight file
// is left alone (weights_fd = -1): enough for everything but start with weights
// of a file. A program that has none (manifest: weightless) opens in any case.
Status open_file(const char *path, File &file, bool weights = true);
// Of sections that stand in memory (gm_sections), which stay there. Their
// weights are the file `weights`, or with null one beside the running program.
Status open_memory(const Span &sections, const char *weights, File &file);
void close_file(File &file);
// What the program takes of `kind`: "image", "video" or "audio"; null: none.
const gemmac::manifest::Medium *medium_of(const File &file, const char *kind);

//===- the memory plan ----------------------------------------------------===//

// How weights come into memory: mapped from the file, copied into huge pages,
// or copied if the page cache has them in small pages only, which costs a tenth
// of the speed and more, and memory is left.
// Synthetic: not from the file, but numbers that make no result infinite
// (runtime/host/synthetic.h), for measuring.
enum class Load { Auto, Map, Copy, Synthetic };

struct Options {
  int64_t context = 0;     // 0: min(model maximum, 8192)
  int64_t batch = 512;     // most rows of a step
  int64_t threads = 0;     // 0: default_threads()
  int64_t slots = 1;       // sequences
  int64_t slot_rows = 0;   // most rows of one slot in a step; 0: batch
  int64_t block = 0;       // rows of the longest block of images: a step has
                           // room for it whatever `batch` says
  int64_t outputs = 0;     // most rows with results of the head; 0: slots;
                           // each costs a row of logits
  int64_t pages = 0;       // of global layers, 64 tokens each, for all slots;
                           // 0: enough for `context` in every slot
  int64_t checkpoints = 0; // states of slots that can be kept
  int64_t device = 0;      // number of the device, of programs for devices
  Load load = Load::Auto;
  // Of programs that see or hear; 0: no room for it.
  int64_t image_rows = 0;    // most soft rows of a picture
  int64_t sound_rows = 0;    // most soft rows of a sound
  int64_t soft_rows = 0;     // that are kept for steps to read
  int64_t media_bytes = 0;   // beside the allocation, while one is read
  int64_t request_bytes = 0; // beside the allocation, of a server's clients
  // Asked by the first worker between phases of a picture or a sound that is
  // encoded: true ends it. Null: nothing does. May be called very often.
  bool (*ends)() = nullptr;
  bool all_logits = false; // room to sort a row of all logits (sampling)
  bool unchecked = false;  // check_plan lets everything pass

  // Tests only.
  int64_t rope_offset = 0; // added to positions in the rope tables alone
  bool poison = false;     // fills the arena with NaN before each step
  uint64_t shuffle = 0;    // 0: threads; else workers run one after another
                           // between barriers, in orders drawn from this seed
  uint64_t scatter = 0;    // 0: pages in runs; else pages drawn from this seed
};

// Whose memory a term is: of this machine, of its device, or as much of both,
// then pinned.
enum class Where { Host, Device, Both };

struct Term {
  const char *name;  // for --json
  const char *about; // for people
  uint64_t bytes;
  Where where = Where::Host;
};

enum { MAX_TERMS = 24 };

struct Plan {
  // rows = round8(the larger of batch and a block): the planner's C'
  int64_t context, batch, rows;
  int64_t threads, slots, splits;
  int64_t slot_rows, outputs, checkpoints;
  int64_t ring; // most keys of sliding layers that a slot holds
  int64_t image_rows, sound_rows, soft_rows;
  int64_t media_bytes;
  int64_t pages[2];    // in the pools; local, global
  int64_t page_stride; // entries of a page table per slot
  int terms;
  Term term[MAX_TERMS];
  uint64_t total;       // host's sum; resident memory never exceeds it
  uint64_t device;      // the device's sum; 0 on CPUs
  uint64_t allocated;   // what `start` lays out in one piece
  uint64_t device_only; // its first bytes, which the host has not
};

// What `options` need on this program. Fails on options outside what the model
// can do (naming the limit); allocates nothing.
Status make_plan(const File &file, const Options &options, Plan &plan);
// Fails if the plan does not fit in what the machine or the control group has
// left, naming the largest context and batch that do.
// `root` as for available_memory.
Status check_plan(const File &file, const Options &options, const Plan &plan,
                  const char *root = "");

//===- this machine (runtime/host) ----------------------------------------===//

// `root`: the folder that /proc and /sys stand in, for tests.
uint64_t available_memory(const char *root = "");
uint64_t available_addresses(); // within the limit of ulimit -v
int64_t default_threads(const char *root = "");
// CPUs that threads of this process may run on at this moment.
int64_t usable_cpus();
// What a program for devices finds on this machine.
struct DeviceFacts {
  char name[96];
  int sm;     // compute capability, 80 of 8.0
  int driver; // version of CUDA that its driver knows, 12040 of 12.4
  uint64_t memory;
};
// Of device `index`. MACHINE if there is no driver or no device, USAGE if none
// of that number; programs for CPUs have none.
Status find_device(int64_t index, DeviceFacts &facts);
// The path of the running program; false if nothing says it.
bool program_path(char *path, size_t size);

//===- steps --------------------------------------------------------------===//

// Token `id` at position `pos` of sequence `slot`; id -1-j: row j of Job::soft.
// Rows of a slot stand together in consecutive ascending positions.
struct Row {
  int32_t id, slot, pos;
  bool want; // output is wanted
  // One past the last position of its block of images, whose rows see each
  // other and are all in this step; 0: it stands in none. Of models with blocks
  // only (manifest: image_blocks).
  int32_t end = 0;
};

enum class Output { Hidden, Top, Logits };

// What is wanted of the rows that are wanted.
struct Ask {
  Output output = Output::Top;
  // How many of the best are wanted, 1 to 64: a program may leave out others.
  int32_t best = 64;
  // Allowed ids for Output::Top: [rows][ceil(V / 32)] bits, null: all.
  const uint32_t *mask = nullptr;
  // Also log(sum(exp(logits))) of each row, over all ids: costs all logits.
  bool logsumexp = false;
};

struct Job {
  const Row *rows = nullptr;
  int32_t count = 0;
  // What encoders of images and sound made, [soft_count][hidden] with rows
  // Results::hidden_stride apart (`hidden`, rounded up to 32).
  const float *soft = nullptr;
  int32_t soft_count = 0;
  Ask ask;
  // The last wanted row alone gets a result (`mask` has its row only); all
  // layers still run for every wanted row.
  bool last_only = false;
};

// Of wanted rows [first, first + rows) of the last step; valid until the next
// step or head.
struct Results {
  int32_t first, rows;
  const float *hidden; // after the final norm
  int64_t hidden_stride;
  const float *logits; // Output::Logits: after the softcap
  int64_t logits_stride;
  const int32_t *top_ids; // Output::Top: [rows][64], descending, -1 = none
  const float *top_values;
  const float *logsumexp; // Ask::logsumexp: one per row
};

struct Engine; // allocated memory, threads, caches

// Maps the weights, allocates exactly `plan`, starts the workers. `program` is
// the code made for `file`: gm_model of the program that runs.
Status start(const File &file, const gm_program &program,
             const Options &options, const Plan &plan, Engine *&engine);
void stop(Engine *engine);

// Runs one step. A slot continues at its length, or at an earlier position as
// long as the sliding caches still hold what that position sees (at least
// `slot_rows` rows back) and it is not inside a block, or anew at 0. Nothing is
// changed if the job is refused; RESOURCES if the pages left are too few.
// RUN_ERROR also if the state of a row with results is not finite, and if a
// device fails: then every later step does.
Status step(Engine &engine, const Job &job);
// Results of wanted rows [first, first + rows) of the last step, at most
// Plan::outputs: for those who want more than one step gives.
Status head(Engine &engine, const Ask &ask, int32_t first, int32_t rows);
const Results &results(const Engine &engine);

// Where the weights are and how they came there.
struct Loaded {
  const uint8_t *weights;
  bool copied;
  double seconds;
};
const Loaded &loaded(const Engine &engine);
// What generated code calls (gm_ctx::barrier, gm_ctx::mark). `watch` replaces
// both between steps and gives those before; a barrier must call the first one.
struct Hooks {
  void (*barrier)(gm_ctx *, int32_t worker);
  void (*mark)(gm_ctx *, int32_t worker, int32_t call);
};
Hooks watch(Engine &engine, const Hooks &hooks);
// For hooks: when that happened which they are called for, in ns of the clock
// of runtime/host/clock.h. A device says it after the step.
int64_t moment(const Engine &engine);

//===- pictures and sounds ------------------------------------------------===//

// Where the towers read: the caller fills rows in front and encodes them.
struct TowerInput {
  float *values = nullptr; // [most][stride], see pixels and features in abi.h
  // Pictures: [most][2], position; sounds: [most], frames.
  int32_t *about = nullptr;
  int64_t columns = 0; // that mean something; the rest of a row is 0
  int64_t stride = 0;
  int64_t most = 0;   // rows; 0: the program cannot, or has no room planned
  int64_t merged = 1; // rows that become one soft row
};
TowerInput picture_input(Engine &engine);
TowerInput sound_input(Engine &engine);
// Makes soft rows [to, to + rows / merged) of the first `rows` rows of the
// input. RUN_ERROR for rows that are none or too many, positions that the model
// has not, a result that is not finite; and if Options::ends said so: these
// soft rows are undefined then, the rest is as before.
Status encode_picture(Engine &engine, int64_t rows, int64_t to);
Status encode_sound(Engine &engine, int64_t rows, int64_t to);
// [Plan::soft_rows][hidden], rows Results::hidden_stride apart.
const float *soft_rows(const Engine &engine);
// Makes the first `count` of them what somebody else has encoded, laid out like
// them. RUN_ERROR for more than are planned; and as Backend::store.
Status set_soft_rows(Engine &engine, const float *rows, int64_t count);

//===- slots and checkpoints ----------------------------------------------===//

// Whether slot `slot` may go on at position `pos`: not inside a block, whose
// first rows have seen its last ones.
bool can_continue(const Engine &engine, int32_t slot, int64_t pos);
// Valid rows of a slot.
int64_t slot_length(const Engine &engine, int32_t slot);
// Forgets all rows from `length` on and gives back their pages.
Status slot_truncate(Engine &engine, int32_t slot, int64_t length);
// `to` becomes what `from` was at `length` rows (-1: all that it has), where
// `from` could continue, at no cost but a page when one of them goes on: both
// share the pages.
Status slot_fork(Engine &engine, int32_t from, int32_t to, int64_t length = -1);
// Keeps in a checkpoint what a slot was at `length` rows (-1: is now), makes a
// slot what the checkpoint was there, or empties the checkpoint. It holds pages
// until then.
enum class Keep { Save, Restore, Drop };
Status checkpoint(Engine &engine, Keep what, int32_t index, int32_t slot,
                  int64_t length = -1);
// Rows that it keeps; 0: it is empty.
int64_t checkpoint_length(const Engine &engine, int32_t index);
// Whether it can be restored at `pos`.
bool can_restore(const Engine &engine, int32_t index, int64_t pos);
// Pages of global layers that no slot or checkpoint holds.
int64_t pages_left(const Engine &engine);
// What begins with the first `rows` rows of a slot, or of checkpoint `sequence`
// - Plan::slots, and grows to `total`.
struct Growth {
  int32_t sequence;
  int64_t rows, total;
};
// Pages that are left when all these have grown and nothing else is kept;
// negative: they are too few. Those that they share now count once.
int64_t pages_after(const Engine &engine, const Growth *list, int32_t count);

//===- slots outside of the engine ----------------------------------------===//

// A slot's keys and values as pieces: a page of 64 rows of one array, for all
// pages of local (0) and of global (1) layers; the global ones begin at row 0.
struct SlotState {
  int64_t rows;  // valid
  int64_t first; // row that the local pages begin with
};
SlotState slot_state(const Engine &engine, int32_t slot);
// Of array `array` of a kind, the same for every page; 0: there is none.
uint64_t piece_bytes(const Engine &engine, int kind, int64_t array);
// Makes a slot one of `rows` rows with local pages from row `first` on, or from
// a later one if it cannot hold so many: none of them in a block, and undefined
// until all pieces were put. BAD_INPUT if there can be no such state; RESOURCES
// if the pages left are too few, and the slot is empty then.
Status slot_allocate(Engine &engine, int32_t slot, int64_t rows, int64_t first);
struct SlotPiece {
  int kind;
  int64_t page, array; // page: of the sequence
};
// Copies a piece to `data` or, with `put`, from there; between steps. RUN_ERROR
// if a device fails.
Status slot_piece(Engine &engine, int32_t slot, const SlotPiece &piece,
                  uint8_t *data, bool put);

// Scratch for sample_logits: V entries; null unless Options.all_logits.
struct Candidate;
Candidate *candidates(Engine &engine);

//===- sampling -----------------------------------------------------------===//

struct Sampling {
  double temperature = 0; // 0: greedy
  int64_t top_k = 0;      // 0: all
  double top_p = 1;
  double min_p = 0;
};

// splitmix64: the state is a counter, so equal seeds give equal draws anywhere.
struct Random {
  uint64_t state = 0;
  uint64_t next();
  double uniform() { return double(next() >> 11) * 0x1p-53; } // [0, 1)
};

struct Candidate {
  float value; // logit, then weight
  int32_t id;
};

// Instead of a token: there is none to draw from; a logit is no finite number.
enum : int32_t { NO_TOKEN = -1, NOT_FINITE = -2 };
// Draws as HF does: temperature, top-k, top-p (of equal logits the lowest ids
// come first), then min-p. From a row of top results.
int32_t sample_top(const int32_t *ids, const float *values,
                   const Sampling &sampling, Random &random);
// From a row of all logits; `mask` as in Job (one row), `scratch` holds
// `vocab`. -INFINITY is a logit that is never drawn.
int32_t sample_logits(const float *logits, int64_t vocab, const uint32_t *mask,
                      const Sampling &sampling, Random &random,
                      Candidate *scratch);
// How many results of Output::Top this sampling reads, at most 64.
int32_t top_wanted(const Sampling &sampling);
// True if the 64 results of Output::Top are enough for this sampling.
bool top_is_enough(const Sampling &sampling);

} // namespace gm
