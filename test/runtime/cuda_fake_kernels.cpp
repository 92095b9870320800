// The fake model's segments as kernels of a card: the same numbers through the
// same tiles, splits, page tables, partials and slot classes. What a kernel
// finds wrong changes what it writes. Plain C++ for nvptx64.
#include "runtime/abi.h"
#include "test/runtime/fake_numbers.h"

#define KERNEL extern "C" __attribute__((nvptx_kernel)) void

using namespace fake;

namespace {

int block() { return int(__nvvm_read_ptx_sreg_ctaid_x()); }
int thread() { return int(__nvvm_read_ptx_sreg_tid_x()); }
int index() { return block() * int(__nvvm_read_ptx_sreg_ntid_x()) + thread(); }

uint64_t *cell(uint8_t *cache, const int32_t *page, int32_t stride, int slot,
               int64_t pos) {
  return reinterpret_cast<uint64_t *>(
             cache +
             int64_t(page[slot * stride + pos / GM_PAGE_KEYS]) * PAGE_BYTES) +
         pos % GM_PAGE_KEYS;
}

uint64_t sum_keys(int kind, uint8_t *cache, const int32_t *page, int32_t stride,
                  int slot, int pos, int64_t from, int64_t to) {
  int64_t key = kind == GM_LOCAL && pos >= WINDOW ? pos - WINDOW + 1 : 0;
  uint64_t sum = 0;
  for (key = key > from ? key : from; key < to && key <= pos; ++key)
    sum += *cell(cache, page, stride, slot, key);
  return sum;
}

bool has_ple(const uint8_t *ple, int row, int id, int from, int bytes) {
  for (int i = 0; i < bytes; ++i)
    if (ple[row * bytes + i] != ple_byte(id, from + i))
      return false;
  return true;
}

} // namespace

// A block per tile, a thread per row.
KERNEL fake_body(const gm_numbers *step, const int32_t *ids,
                 const gm_tile *tile, const uint8_t *ple, uint8_t *local,
                 uint8_t *global, const int32_t *local_page,
                 const int32_t *global_page, float *resid, int32_t stride,
                 int32_t begin, int32_t end) {
  const int t = begin + block(), i = thread();
  if (t >= end || t >= step->tiles || i >= tile[t].rows)
    return;
  const int r = tile[t].row0 + i, pos = tile[t].pos0 + i;
  const bool good = has_ple(ple, r, ids[r], 0, PLE_BODY);
  const uint64_t key = good ? key_of(ids[r], pos) : 12345;
  *cell(local, local_page, stride, tile[t].slot, pos) = key;
  *cell(global, global_page, stride, tile[t].slot, pos) = key;
  resid[r * 32] = float(ids[r]);
}

// Of a kind: partial[row][max_splits] of a split, a block per split.
KERNEL fake_attend_few(const gm_numbers *step, const gm_tile *tile,
                       const gm_split *split, uint8_t *cache,
                       const int32_t *page, uint64_t *partial, int32_t kind,
                       int32_t stride, int32_t begin, int32_t end) {
  const int s = begin + block(), i = thread();
  if (s >= end || s >= step->splits[kind])
    return;
  const gm_tile &at = tile[split[s].tile];
  if (i < at.rows)
    partial[(at.row0 + i) * step->max_splits + split[s].part] =
        sum_keys(kind, cache, page, stride, at.slot, at.pos0 + i, split[s].key0,
                 split[s].key1);
}

// Of a kind: sums[row * 8], two tiles a block.
KERNEL fake_attend_many(const gm_numbers *step, const gm_tile *tile,
                        uint8_t *cache, const int32_t *page, uint64_t *sums,
                        int32_t kind, int32_t stride, int32_t begin,
                        int32_t end) {
  const int t = begin + 2 * block() + thread() / 16, i = thread() % 16;
  if (t < end && t < step->tiles && i < tile[t].rows)
    sums[(tile[t].row0 + i) * 8] = sum_keys(
        kind, cache, page, stride, tile[t].slot, tile[t].pos0 + i, 0, 1 << 30);
}

// Row r: the sums of its parts, or (no parts) the one there is; rope tables
// behind.
KERNEL fake_tail(const gm_numbers *step, const int32_t *ids,
                 const int32_t *want, const uint8_t *ple, const uint64_t *local,
                 const uint64_t *global, const int32_t *local_parts,
                 const int32_t *global_parts, const float *local_rope,
                 const float *global_rope, const float *resid, float *hidden,
                 int32_t few, int32_t begin, int32_t end) {
  const int r = begin + index();
  if (r >= end || r >= step->rows)
    return;
  uint64_t sum[2] = {0, 0};
  if (few) {
    for (int i = 0; i < local_parts[r]; ++i)
      sum[0] += local[r * step->max_splits + i];
    for (int i = 0; i < global_parts[r]; ++i)
      sum[1] += global[r * step->max_splits + i];
  } else {
    sum[0] = local[r * 8], sum[1] = global[r * 8];
  }
  if (!has_ple(ple, r, ids[r], PLE_BODY, PLE_TAIL) ||
      resid[want[r] * 32] != float(ids[r]))
    sum[0] = 1;
  float *to = hidden + r * 32;
  for (int kind = 0; kind < 2; ++kind)
    for (int i = 0; i < 4; ++i)
      *to++ = float(sum[kind] >> (16 * i) & 0xFFFF);
  for (int i = 0; i < 2 * LOCAL_PAIRS; ++i)
    *to++ = local_rope[r * 2 * LOCAL_PAIRS + i];
  for (int i = 0; i < 2 * GLOBAL_PAIRS; ++i)
    *to++ = global_rope[r * 2 * GLOBAL_PAIRS + i];
}

// A thread per id, all rows; `first` and `last` are weights around the table.
KERNEL fake_logits(const gm_numbers *step, const float *hidden,
                   const uint8_t *first, const uint8_t *last, float *logits,
                   int32_t begin, int32_t end) {
  const int v = begin + index();
  if (v < end)
    for (int r = 0; r < step->rows; ++r)
      logits[r * 128 + v] = *first == FIRST_BYTE && *last == LAST_BYTE
                                ? logit_of(hidden + r * 32, v)
                                : float(v);
}

// A block per row; one thread takes the largest 64 times.
KERNEL fake_top(const gm_numbers *step, float *logits, const uint32_t *mask,
                int32_t *ids, float *values, int32_t begin, int32_t end) {
  const int r = begin + block();
  if (thread() || r >= end || r >= step->rows)
    return;
  float *x = logits + r * 128;
  if (mask)
    for (int v = 0; v < VOCAB; ++v)
      if (!(mask[r * ((VOCAB + 31) / 32) + v / 32] >> v % 32 & 1))
        x[v] = -1e30f;
  for (int i = 0; i < GM_TOP; ++i) {
    int best = 0;
    for (int v = 1; v < VOCAB; ++v)
      if (x[v] > x[best])
        best = v;
    ids[r * GM_TOP + i] = x[best] > -1e30f ? best : -1;
    values[r * GM_TOP + i] = x[best];
    x[best] = -1e30f;
  }
}

// Writes where nothing is.
KERNEL fake_fault(uint8_t *cache, int32_t begin, int32_t end) {
  cache[1ll << 40] = uint8_t(begin);
}
