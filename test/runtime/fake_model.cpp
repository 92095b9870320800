// See fake_model.h.
#include "test/runtime/fake_model.h"

#include "runtime/abi.h"
#include "runtime/file.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <mutex>

namespace mf = gemmac::manifest;

namespace fake {
namespace {

enum : int { WEIGHTS = 65536 * 9, PLE_OFFSET = 65536 };
static_assert(PAGE_BYTES == GM_PAGE_KEYS * 8);

std::mutex guard;
std::string problems;

void complain(const char *what, int64_t got, int64_t expected) {
  std::lock_guard<std::mutex> lock(guard);
  if (problems.size() < 2000)
    problems += std::string(what) + ": got " + std::to_string(got) +
                ", expected " + std::to_string(expected) + "\n";
}

void check(const char *what, int64_t got, int64_t expected) {
  if (got != expected)
    complain(what, got, expected);
}

//===- the "generated code" -----------------------------------------------===//

template <typename T>
T *io(const gm_ctx *c, int index) {
  return static_cast<T *>(c->io[index]);
}

int share(const gm_ctx *c, int64_t n, int w) {
  return int(n * c->cut[w] >> 16);
}

uint64_t *cell(const gm_ctx *c, int kind, int slot, int64_t pos) {
  int32_t page =
      c->page[kind][slot * c->page_stride[kind] + pos / GM_PAGE_KEYS];
  if (page < 0 || page >= c->pool_pages[kind])
    complain("page", page, c->pool_pages[kind]);
  return reinterpret_cast<uint64_t *>(c->cache[kind] +
                                      int64_t(page) * PAGE_BYTES) +
         pos % GM_PAGE_KEYS;
}

uint64_t *partial(const gm_ctx *c, int kind, int row, int part) {
  check("part", part < c->max_splits, true);
  return reinterpret_cast<uint64_t *>(c->key + int64_t(kind) * 8 * GM_FEW_ROWS *
                                                   c->max_splits) +
         row * c->max_splits + part;
}

uint64_t *row_sum(const gm_ctx *c, int kind, int row) {
  return reinterpret_cast<uint64_t *>(c->row +
                                      int64_t(kind) * 64 * c->max_rows) +
         row * 8;
}

// Position of a row, as its tile says it.
int pos_of(const gm_ctx *c, int r) {
  for (int t = 0; t < c->tiles; ++t)
    if (r >= io<const gm_tile>(c, GM_IO_tile)[t].row0 &&
        r < io<const gm_tile>(c, GM_IO_tile)[t].row0 +
                io<const gm_tile>(c, GM_IO_tile)[t].rows)
      return io<const gm_tile>(c, GM_IO_tile)[t].pos0 + r -
             io<const gm_tile>(c, GM_IO_tile)[t].row0;
  complain("row without tile", r, c->tiles);
  return 0;
}

void check_row(const gm_ctx *c, int r, int ple_from, int ple_bytes) {
  const double theta[2] = {10000, 1000000};
  const int pairs[2] = {LOCAL_PAIRS, GLOBAL_PAIRS},
            dim[2] = {2 * LOCAL_PAIRS, 4 * GLOBAL_PAIRS};
  const int pos = pos_of(c, r);
  for (int kind = 0; kind < 2; ++kind)
    for (int i = 0; i < pairs[kind]; ++i) {
      double angle = pos * std::pow(theta[kind], -2.0 * i / dim[kind]);
      const float *rope = io<const float>(c, GM_IO_rope_local + kind) +
                          (r * pairs[kind] + i) * 2;
      if (rope[0] != float(std::cos(angle)) ||
          rope[1] != float(std::sin(angle)))
        complain("rope at position", pos, kind);
    }
  for (int i = 0; i < ple_bytes; ++i)
    check("ple", io<const uint8_t>(c, GM_IO_ple)[r * ple_bytes + i],
          ple_byte(io<const int32_t>(c, GM_IO_ids)[r], ple_from + i));
}

void body(gm_ctx *c, int32_t w) {
  c->mark(c, w, 0);
  for (int r = share(c, c->rows, w); r < share(c, c->rows, w + 1); ++r) {
    check_row(c, r, 0, PLE_BODY);
    io<float>(c, GM_IO_resid)[r * 32] =
        float(io<const int32_t>(c, GM_IO_ids)[r]);
  }
  for (int t = share(c, c->tiles, w); t < share(c, c->tiles, w + 1); ++t) {
    const gm_tile &tile = io<const gm_tile>(c, GM_IO_tile)[t];
    check("rows of a tile", tile.rows >= 1 && tile.rows <= GM_TILE_ROWS, true);
    check("tile crosses", tile.pos0 / GM_TILE_ROWS,
          (tile.pos0 + tile.rows - 1) / GM_TILE_ROWS);
    for (int i = 0; i < tile.rows; ++i) {
      int r = tile.row0 + i;
      for (int kind = 0; kind < 2; ++kind)
        *cell(c, kind, tile.slot, pos_of(c, r)) =
            key_of(io<const int32_t>(c, GM_IO_ids)[r], pos_of(c, r));
    }
  }
  c->mark(c, w, -1);
}

uint64_t sum_keys(const gm_ctx *c, int kind, int slot, int pos, int64_t from,
                  int64_t to) {
  int64_t begin = kind == GM_LOCAL ? std::max(0, pos - WINDOW + 1) : 0;
  uint64_t sum = 0;
  for (int64_t key = std::max(begin, from);
       key < std::min<int64_t>(pos + 1, to); ++key)
    sum += *cell(c, kind, slot, key);
  return sum;
}

// Each split's sums into its partials, as attention of the class few does.
void attend_few(gm_ctx *c, int kind, int w) {
  int n = c->splits[kind];
  for (int s = share(c, n, w); s < share(c, n, w + 1); ++s) {
    const gm_split &split = io<const gm_split>(c, GM_IO_split_local + kind)[s];
    check("split crosses", split.key0 / GM_SPLIT_KEYS,
          (split.key1 - 1) / GM_SPLIT_KEYS);
    const gm_tile &tile = io<const gm_tile>(c, GM_IO_tile)[split.tile];
    for (int r = tile.row0; r < tile.row0 + tile.rows; ++r)
      *partial(c, kind, r, split.part) =
          sum_keys(c, kind, tile.slot, pos_of(c, r), split.key0, split.key1);
  }
}

void finish_row(gm_ctx *c, int r, uint64_t local, uint64_t global) {
  check_row(c, r, PLE_BODY, PLE_TAIL);
  check("resid",
        int64_t(io<float>(
            c, GM_IO_resid)[io<const int32_t>(c, GM_IO_want)[r] * 32]),
        io<const int32_t>(c, GM_IO_ids)[r]);
  for (int i = 0; i < 4; ++i) {
    io<float>(c, GM_IO_hidden)[r * 32 + i] = float(local >> (16 * i) & 0xFFFF);
    io<float>(c, GM_IO_hidden)[r * 32 + 4 + i] =
        float(global >> (16 * i) & 0xFFFF);
  }
}

void tail_few(gm_ctx *c, int32_t w) {
  for (int kind = 0; kind < 2; ++kind)
    attend_few(c, kind, w);
  c->barrier(c, w);
  for (int r = share(c, c->rows, w); r < share(c, c->rows, w + 1); ++r) {
    uint64_t sum[2] = {0, 0};
    for (int kind = 0; kind < 2; ++kind)
      for (int part = 0;
           part < io<const int32_t>(c, GM_IO_parts_local + kind)[r]; ++part)
        sum[kind] += *partial(c, kind, r, part);
    finish_row(c, r, sum[0], sum[1]);
  }
}

void tail_many(gm_ctx *c, int32_t w) {
  for (int t = share(c, c->tiles, w); t < share(c, c->tiles, w + 1); ++t) {
    const gm_tile &tile = io<const gm_tile>(c, GM_IO_tile)[t];
    for (int r = tile.row0; r < tile.row0 + tile.rows; ++r)
      for (int kind = 0; kind < 2; ++kind)
        *row_sum(c, kind, r) =
            sum_keys(c, kind, tile.slot, pos_of(c, r), 0, INT32_MAX);
  }
  c->barrier(c, w);
  for (int r = share(c, c->rows, w); r < share(c, c->rows, w + 1); ++r)
    finish_row(c, r, *row_sum(c, 0, r), *row_sum(c, 1, r));
}

void logits(gm_ctx *c, int32_t w) {
  check("rows of the head", c->rows <= c->max_rows, true);
  for (int v = share(c, VOCAB, w); v < share(c, VOCAB, w + 1); ++v)
    for (int r = 0; r < c->rows; ++r)
      io<float>(c, GM_IO_logits)[r * 128 + v] =
          expected_logit(io<float>(c, GM_IO_hidden) + r * 32, v);
}

void top(gm_ctx *c, int32_t w) {
  logits(c, w);
  c->barrier(c, w);
  if (w != 0)
    return;
  for (int r = 0; r < c->rows; ++r) {
    std::vector<int> ids;
    const uint32_t *mask =
        io<const uint32_t>(c, GM_IO_mask)
            ? io<const uint32_t>(c, GM_IO_mask) + r * ((VOCAB + 31) / 32)
            : nullptr;
    for (int v = 0; v < VOCAB; ++v)
      if (!mask || mask[v / 32] >> (v % 32) & 1)
        ids.push_back(v);
    const float *l = io<float>(c, GM_IO_logits) + r * 128;
    std::sort(ids.begin(), ids.end(), [l](int a, int b) {
      return l[a] > l[b] || (l[a] == l[b] && a < b);
    });
    for (int i = 0; i < GM_TOP; ++i) {
      io<int32_t>(c, GM_IO_top_ids)[r * GM_TOP + i] =
          i < int(ids.size()) ? ids[i] : -1;
      io<float>(c, GM_IO_top_values)[r * GM_TOP + i] =
          i < int(ids.size()) ? l[ids[i]] : -1e30f;
    }
  }
}

const gm_entry entries[] = {{"body", body, body, 8, {0, 2}, {2, 3}},
                            {"tail", tail_few, tail_many, 8, {3, 4}, {0, 0}},
                            {"top", top, top, 2, {4, 5}, {0, 0}},
                            {"logits", logits, logits, 8, {0, 0}, {0, 0}}};

const char names[] = "one\0two\0attend";
// bytes, ops, family, row_bytes, key_bytes, units, axis
const gm_work works[] = {{1000, 100, 0, 0, {0, 0}, 10, GM_BLOCKS},
                         {800, 10, 4, 100, {0, 0}, 1, GM_ALL},
                         {5000, 1, 0, 0, {0, 0}, 1, GM_ROWS},
                         {0, 0, 8, 0, {3, 0}, 2, GM_SPLITS},
                         {0, 0, 8, 0, {0, 7}, 1, GM_ONE}};
const gm_call calls[] = {{0, 3}, {1, 3}, {2, 3}, {3, 3}, {4, 3}};

//===- the file -----------------------------------------------------------===//

mf::ProgramT make_manifest() {
  mf::ProgramT p;
  p.abi = GM_ABI;
  p.compiler = "test";
  p.model = std::make_unique<mf::ModelT>();
  mf::ModelT &m = *p.model;
  m.name = "fake";
  m.layers = 2;
  m.hidden = HIDDEN;
  m.vocab = VOCAB;
  m.window = WINDOW;
  m.max_context = MAX_CONTEXT;
  m.local_rope =
      std::make_unique<mf::Rope>(10000, 2 * LOCAL_PAIRS, int(LOCAL_PAIRS));
  m.global_rope =
      std::make_unique<mf::Rope>(1000000, 4 * GLOBAL_PAIRS, int(GLOBAL_PAIRS));
  p.target = std::make_unique<mf::TargetT>();
  p.target->name = "any";
  for (const char *segment : {"body", "tail"}) {
    auto memory = std::make_unique<mf::MemoryT>();
    memory->segment = segment;
    memory->worker = 192;
    memory->row = 128;
    memory->key = 16;
    p.memory.push_back(std::move(memory));
  }
  for (bool global : {false, true}) {
    auto cache = std::make_unique<mf::CacheT>();
    cache->global = global;
    cache->k_page = PAGE_BYTES;
    cache->v_page = PAGE_BYTES;
    p.caches.push_back(std::move(cache));
  }
  p.ple = std::make_unique<mf::PleT>();
  p.ple->offset = PLE_OFFSET;
  p.ple->row_bytes = PLE_ROW;
  p.ple->rows = VOCAB;
  const struct {
    const char *segment;
    uint64_t offset, bytes;
  } slices[] = {{"body", 0, PLE_BODY}, {"tail", PLE_BODY, PLE_TAIL}};
  for (auto [segment, offset, bytes] : slices) {
    auto slice = std::make_unique<mf::PleSliceT>();
    slice->segment = segment;
    slice->offset = offset;
    slice->bytes = bytes;
    p.ple->slices.push_back(std::move(slice));
  }
  p.weights_bytes = WEIGHTS;
  p.weights_id = "0123456789abcdef";
  return p;
}

std::string weight_section() {
  std::string w(WEIGHTS, '\0');
  for (int id = 0; id < VOCAB; ++id)
    for (int i = 0; i < 24; ++i)
      w[size_t(PLE_OFFSET + id * PLE_ROW + i)] = char(ple_byte(id, i));
  return w;
}

void append_trailer(std::string &file, const gm_trailer &t) {
  file.append(reinterpret_cast<const char *>(&t), sizeof t);
}

gm_trailer trailer(const std::string &id) {
  gm_trailer t = {};
  memcpy(t.weights_id, id.data(), std::min(id.size(), sizeof t.weights_id));
  memcpy(t.magic, GM_TRAILER_MAGIC, sizeof t.magic);
  t.abi = GM_ABI;
  return t;
}

} // namespace

void add_weights(mf::ProgramT &p) {
  const uint64_t table = uint64_t(PLE_ROW) * VOCAB, behind = PLE_OFFSET + table;
  const struct {
    const char *name, *format;
    uint64_t offset, bytes;
  } all[] = {{"vector", "f32", 0, 1000},
             {"odd", "bf16", 1024, 1002},
             {"matrix", "q4_bf", 2048, 288 * 20},
             {"table", "q8_0", PLE_OFFSET, table},
             {"head", "q8_0_split", behind, 352 * 7 + 64},
             {"other", "q4_0", behind + 4096, WEIGHTS - behind - 4096}};
  p.ple->weight = "table";
  for (const auto &[name, format, offset, bytes] : all) {
    auto weight = std::make_unique<mf::WeightT>();
    weight->name = name;
    weight->format = format;
    weight->offset = offset;
    weight->bytes = bytes;
    p.weights.push_back(std::move(weight));
  }
}

std::string program_bytes(const Change &change, std::string code) {
  mf::ProgramT p = make_manifest();
  if (change)
    change(p);
  flatbuffers::FlatBufferBuilder builder;
  mf::FinishProgramBuffer(builder, mf::Program::Pack(builder, &p));
  gm_trailer t = trailer(p.weights_id);
  std::string file = std::move(code);
  file.resize((file.size() + GM_SECTION_ALIGN - 1) / GM_SECTION_ALIGN *
              GM_SECTION_ALIGN);
  if (!p.external && !p.weightless) {
    t.weights_offset = file.size();
    t.weights_bytes = WEIGHTS;
    file += weight_section();
  }
  t.manifest_offset = file.size();
  t.manifest_bytes = builder.GetSize();
  file.append(reinterpret_cast<const char *>(builder.GetBufferPointer()),
              builder.GetSize());
  append_trailer(file, t);
  seal(file);
  return file;
}

std::string device_program_bytes(const Change &change, std::string code) {
  const uint64_t at = (code.size() + GM_SECTION_ALIGN - 1) / GM_SECTION_ALIGN *
                      GM_SECTION_ALIGN;
  bool has_weights = true;
  std::string file = program_bytes(
      [&](mf::ProgramT &p) {
        p.target->device = "cuda";
        p.target->sm = 80;
        if (change)
          change(p);
        has_weights = !p.external && !p.weightless;
      },
      std::move(code));
  if (!has_weights)
    return file;
  file[at + FIRST] = FIRST_BYTE;
  file[at + LAST] = LAST_BYTE;
  return file;
}

void seal(std::string &file) {
  gm_trailer t;
  char *end = file.data() + file.size() - sizeof t;
  memcpy(&t, end, sizeof t);
  if (t.manifest_offset > file.size() ||
      t.manifest_bytes > file.size() - t.manifest_offset)
    return;
  t.checksum = gm_checksum(t, file.data() + t.manifest_offset);
  memcpy(end, &t, sizeof t);
}

std::string weights_bytes(const std::string &id) {
  std::string file = weight_section();
  gm_trailer t = trailer(id);
  t.weights_bytes = file.size();
  append_trailer(file, t);
  return file;
}

void write_file(const std::string &path, const std::string &bytes) {
  FILE *f = fopen(path.c_str(), "wb");
  if (!f || fwrite(bytes.data(), 1, bytes.size(), f) != bytes.size() ||
      fclose(f) != 0)
    abort();
}

std::vector<float> expected_hidden(const std::vector<int32_t> &ids) {
  int last = int(ids.size()) - 1;
  uint64_t sum[2] = {0, 0};
  for (int pos = 0; pos <= last; ++pos) {
    sum[1] += key_of(ids[size_t(pos)], pos);
    if (pos > last - WINDOW)
      sum[0] += key_of(ids[size_t(pos)], pos);
  }
  std::vector<float> hidden;
  for (uint64_t s : sum)
    for (int i = 0; i < 4; ++i)
      hidden.push_back(float(s >> (16 * i) & 0xFFFF));
  return hidden;
}

float expected_logit(const float *hidden, int id) {
  return logit_of(hidden, id);
}

std::string complaints() {
  std::lock_guard<std::mutex> lock(guard);
  return std::exchange(problems, {});
}

} // namespace fake

extern "C" const gm_program gm_model = {GM_ABI,      4,           fake::entries,
                                        fake::calls, fake::works, fake::names};
