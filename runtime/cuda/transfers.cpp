// See transfers.h.
#include "runtime/cuda/transfers.h"
#include "runtime/manifest_generated.h"

#include <algorithm>
#include <cstring>

namespace gm {

namespace mf = gemmac::manifest;

namespace {

// Of the mirrored part.
enum : uint64_t {
  NUMBERS = 0, // gm_numbers of each context
  BEST = 8 * sizeof(gm_numbers),
  SENT = BEST + 32, // all up to here goes up in each step
  FLAG = SENT,
  MASK = BEST + 64,
  ALIGN = 256
};

enum : int32_t { STEPS = GM_BODY | GM_TAIL, HEADS = GM_HEAD | GM_LOGITS };

struct Io {
  int32_t readers, writers;
};
#define GM_IO_FACTS(name, element, rank, inner, readers, writers)              \
  {(readers), (writers)},
const Io ios[] = {GM_IO_LIST(GM_IO_FACTS)};
#undef GM_IO_FACTS

struct Segment {
  const char *name;
  int32_t mask;
};
#define GM_SEGMENT_FACTS(name, mask) {#name, mask},
const Segment segments_of_steps[] = {GM_SEGMENT_LIST(GM_SEGMENT_FACTS)};
#undef GM_SEGMENT_FACTS

uint64_t up_to(uint64_t x, uint64_t align) {
  return (x + align - 1) / align * align;
}

// Bytes of a row of so many floats, as the core lays it out.
uint64_t stride_of(int64_t floats) { return up_to(uint64_t(floats), 32) * 4; }

uint64_t mask_words(const File &file) {
  return (uint64_t(file.manifest->model()->vocab()) + 31) / 32;
}

} // namespace

Transfers::Sizes Transfers::sizes_of(const File &file, const Plan &plan) {
  const uint64_t slots = uint64_t(std::min(plan.slots, plan.rows)),
                 mask = uint64_t(plan.outputs) * mask_words(file) * 4;
  Sizes s;
  s.mask = mask;
  s.mirrored = up_to(MASK + mask, ALIGN);
  // Arrays of body, tail and head, tables of the slots, the mirrored part.
  s.entries =
      CopyTable::entries(3 * GM_IOS + 2 * slots + 4,
                         plan.allocated - plan.device_only + s.mirrored);
  s.table = up_to(CopyTable::bytes(s.entries), ALIGN);
  return s;
}

uint64_t Transfers::bytes(const File &file, const Plan &plan) {
  return sizes_of(file, plan).all();
}

Transfers::~Transfers() {
  if (mirror)
    card->driver->cuMemFree_v2(mirror);
  if (memory)
    card->driver->cuMemFreeHost(memory);
}

Status Transfers::allocate(const Card &on, const Setup &setup,
                           const Addresses &names, uint64_t pinned_,
                           CUstream stream) {
  card = &on;
  file = &setup.file;
  program = &setup.program;
  plan = &setup.plan;
  addresses = &names;
  pinned = pinned_;
  sizes = sizes_of(*file, *plan);
  towers = tower_sizes(*file, *plan);
  sent.assign(size_t(plan->slots), 0);
  const mf::Ple *ple = file->manifest->ple();
  if (ple && ple->slices())
    for (const mf::PleSlice *slice : *ple->slices())
      for (int i = 0; i < 2; ++i)
        if (slice->segment() &&
            !strcmp(slice->segment()->c_str(), segments_of_steps[i].name))
          ple_bytes[i] = slice->bytes();
  const Driver &driver = *card->driver;
  void *host = nullptr;
  CUdeviceptr device = 0;
  CUresult error =
      driver.cuMemHostAlloc(&host, sizes.all(), CU_MEMHOSTALLOC_DEVICEMAP);
  if (!error) {
    memory = static_cast<uint8_t *>(host);
    memset(memory, 0, sizes.all());
    error = driver.cuMemHostGetDevicePointer_v2(&device, host, 0);
  }
  if (!error && (error = driver.cuMemAlloc_v2(&mirror, sizes.mirrored)))
    mirror = 0;
  if (!error)
    error = driver.cuMemsetD8Async(mirror, 0, sizes.mirrored, stream);
  if (error)
    return failed(driver, error, "get memory for what steps copy");
  memory_on_device = device;
  up_table = device;
  down_table = device + sizes.table;
  up.place(memory, sizes.entries);
  down.place(memory + sizes.table, sizes.entries);
  return {};
}

//===- what calls read and write ------------------------------------------===//

int32_t Transfers::segment_of(const Call &call) const {
  for (int32_t i = 0; i < program->entries; ++i) {
    const gm_entry &e = program->entry[i];
    if (e.few == call.segment || e.many == call.segment)
      for (const Segment &s : segments_of_steps)
        if (!strcmp(s.name, e.name))
          return s.mask;
  }
  return 0;
}

int Transfers::context_of(const gm_ctx *ctx) const {
  for (int i = 0; i < CONTEXTS; ++i)
    if (contexts[i] == ctx)
      return i;
  return -1;
}

uint64_t Transfers::find(const gm_ctx &ctx, uint64_t address) const {
  if (address == uint64_t(&ctx)) {
    const int i = context_of(&ctx);
    return i < 0 ? 0 : mirror + NUMBERS + uint64_t(i) * sizeof(gm_numbers);
  }
  if (address == uint64_t(ctx.io[GM_IO_best]))
    return mirror + BEST;
  return address == uint64_t(ctx.io[GM_IO_mask]) ? mirror + MASK : 0;
}

uint64_t Transfers::counter() const { return mirror + FLAG; }

bool Transfers::done() const {
  const auto *flag =
      reinterpret_cast<const uint64_t *>(memory + 2 * sizes.table + FLAG);
  return __atomic_load_n(flag, __ATOMIC_ACQUIRE) == step;
}

void Transfers::upload(const void *from, uint64_t bytes) {
  full |= !up.add(uint64_t(from) + pinned, addresses->find(from), bytes);
}

void Transfers::download(void *to, uint64_t bytes) {
  full |= !down.add(addresses->find(to), uint64_t(to) + pinned, bytes);
}

// Of the arrays that the core writes and segments read by row.
uint64_t Transfers::row_bytes(int io, int32_t segments) const {
  const mf::Model &m = *file->manifest->model();
  switch (io) {
  case GM_IO_rope_local:
    return uint64_t(m.local_rope()->pairs()) * 8;
  case GM_IO_rope_global:
    return uint64_t(m.global_rope()->pairs()) * 8;
  case GM_IO_ple:
    return ple_bytes[segments & GM_BODY ? 0 : 1];
  case GM_IO_pixels:
    return uint64_t(towers.stride(segments & GM_PATCHES ? PATCHES : IMAGE)) * 4;
  case GM_IO_position:
    return 8;
  case GM_IO_rope_patch:
    return uint64_t(towers.pairs) * 8;
  case GM_IO_features:
    return uint64_t(towers.stride(AUDIO)) * 4;
  default:
    return 4; // a number
  }
}

Status Transfers::add_inputs(const gm_ctx &ctx, int32_t segments) {
  for (int io = 0; io < GM_IOS; ++io) {
    if (!ctx.io[io] || !(ios[io].readers & segments))
      continue;
    const auto rows = uint64_t(ctx.rows);
    if (io == GM_IO_mask || io == GM_IO_best)
      continue; // of the caller: add_mask
    if (!addresses->find(ctx.io[io]))
      return failure(UNSUPPORTED, "programs for cards take no soft rows but "
                                  "those that they make themselves");
    if (ios[io].writers)
      continue; // made on the card
    if (io == GM_IO_tile)
      upload(ctx.io[io], uint64_t(ctx.tiles) * sizeof(gm_tile));
    else if (io == GM_IO_split_local || io == GM_IO_split_global)
      upload(ctx.io[io],
             uint64_t(ctx.splits[io - GM_IO_split_local]) * sizeof(gm_split));
    else
      upload(ctx.io[io], rows * row_bytes(io, segments));
  }
  return {};
}

// Entries of the slots' tables that the rows reach, from 0 or the window on.
// Contexts of one step share the tables, and the first has all slots.
void Transfers::add_pages(const gm_ctx &ctx) {
  const auto *tiles = static_cast<const gm_tile *>(ctx.io[GM_IO_tile]);
  const int64_t window = file->manifest->model()->window();
  for (int32_t t = 0; t < ctx.tiles;) {
    const gm_tile &first = tiles[t];
    int64_t end = 0;
    for (; t < ctx.tiles && tiles[t].slot == first.slot; ++t)
      end = std::max<int64_t>(end, tiles[t].pos0 + tiles[t].rows);
    if (sent[size_t(first.slot)] == step)
      continue;
    sent[size_t(first.slot)] = step;
    for (int kind : {GM_LOCAL, GM_GLOBAL}) {
      const int64_t from =
          kind == GM_LOCAL
              ? std::max<int64_t>(0, first.pos0 - window + 1) / GM_PAGE_KEYS
              : 0;
      const int64_t to = (end + GM_PAGE_KEYS - 1) / GM_PAGE_KEYS;
      upload(ctx.page[kind] + int64_t(first.slot) * ctx.page_stride[kind] +
                 from,
             uint64_t(to - from) * sizeof(int32_t));
    }
  }
}

void Transfers::add_mask(const gm_ctx &ctx) {
  uint8_t *host = memory + 2 * sizes.table;
  const auto *best = static_cast<const int32_t *>(ctx.io[GM_IO_best]);
  if (best)
    memcpy(host + BEST, best, sizeof *best);
  if (!ctx.io[GM_IO_mask])
    return;
  const uint64_t bytes =
      std::min(uint64_t(ctx.rows) * mask_words(*file) * 4, sizes.mask);
  memcpy(host + MASK, ctx.io[GM_IO_mask], bytes);
  full |=
      !up.add(memory_on_device + 2 * sizes.table + MASK, mirror + MASK, bytes);
}

void Transfers::add_results(const gm_ctx &ctx, int32_t segments) {
  const mf::Model &m = *file->manifest->model();
  const auto rows = uint64_t(ctx.rows);
  if (segments & GM_TAIL)
    download(ctx.io[GM_IO_hidden], rows * stride_of(m.hidden()));
  if (segments & GM_HEAD) {
    download(ctx.io[GM_IO_top_ids], rows * GM_TOP * sizeof(int32_t));
    download(ctx.io[GM_IO_top_values], rows * GM_TOP * sizeof(float));
  }
  if (segments & GM_LOGITS)
    download(ctx.io[GM_IO_logits], rows * stride_of(m.vocab()));
  if (segments & (GM_IMAGE | GM_AUDIO))
    download(ctx.io[GM_IO_soft], rows * stride_of(m.hidden()));
}

Status Transfers::fill(const Call *calls, int count) {
  ++step;
  up.clear();
  down.clear(step, memory_on_device + 2 * sizes.table + FLAG);
  full = false;
  uint8_t *host = memory + 2 * sizes.table;
  for (int i = 0; i < count; ++i) {
    const gm_ctx &ctx = *calls[i].ctx;
    int32_t segments = 0, before = 0; // of all calls that share the context
    for (int j = 0; j < count; ++j)
      if (calls[j].ctx == &ctx)
        (j < i ? before : segments) |= segment_of(calls[j]);
    if (before)
      continue;
    if (!segments)
      return failure(RUN_ERROR, "a step calls what is no segment");
    int at = context_of(&ctx);
    if (at < 0 && (at = context_of(nullptr)) < 0)
      return failure(RUN_ERROR, "a step has more than %d contexts", CONTEXTS);
    contexts[at] = &ctx;
    const gm_numbers numbers = {ctx.abi,
                                ctx.workers,
                                ctx.rows,
                                ctx.max_rows,
                                ctx.max_splits,
                                ctx.tiles,
                                {ctx.splits[0], ctx.splits[1]}};
    memcpy(host + NUMBERS + uint64_t(at) * sizeof numbers, &numbers,
           sizeof numbers);
    if (Status s = add_inputs(ctx, segments); !s.ok())
      return s;
    if (segments & STEPS)
      add_pages(ctx);
    if (segments & HEADS)
      add_mask(ctx);
    add_results(ctx, segments);
  }
  full |= !up.add(memory_on_device + 2 * sizes.table, mirror, SENT);
  if (full)
    return failure(RUN_ERROR, "a step copies more than was planned");
  return {};
}

} // namespace gm
