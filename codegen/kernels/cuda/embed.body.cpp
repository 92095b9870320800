// Family embed: rows of a matrix in its packed layout, looked up by id. The
// table may pass 2^31 elements; its offset is 64 bits. A thread takes a word of
// the row at a time: the others in its sector belong to other rows.
#include "codegen/kernels/cuda/rows.h"

extern "C" {
extern const int32_t gm_format_f32, gm_format_q8_0, gm_format_q4_0,
    gm_format_q4_bf, gm_format_q8_0_split;
extern const float gm_scale;
}

using f32x4 = float __attribute__((ext_vector_type(4)));

// The word of `row` in a step of codes.
GM_INLINE uint32_t wordOf(const StepCodes &step, int32_t row) {
  return *reinterpret_cast<const uint32_t *>(step[row]);
}

// Stores the values of four codes that stand in the bytes of a word, `offset`
// too large.
GM_INLINE void storeFour(float *y, uint32_t word, int32_t offset, float scale) {
  f32x4 four;
  GM_UNROLL for (int32_t i = 0; i < stepValues; ++i) four[i] =
      float(int32_t(word >> (8 * i) & 255) - offset) * scale * gm_scale;
  *reinterpret_cast<f32x4 *>(y) = four;
}

// The first block of the group of rows that `id` is in; `tail`: bytes behind
// the blocks of a group.
template <class Block>
GM_INLINE const Block *groupOf(const void *table, int32_t id, int32_t tail) {
  const int64_t bytes = gm_k / blockValues * int64_t(sizeof(Block)) + tail;
  return reinterpret_cast<const Block *>(static_cast<const uint8_t *>(table) +
                                         id / groupRows * bytes);
}

GM_INLINE void embedBytes(const void *table, int32_t id, float *y) {
  const auto *group = groupOf<GroupBlock8>(table, id, 0);
  const int32_t row = id % groupRows, steps = blockValues / stepValues;
  for (int32_t i = threadOf(); i < gm_k / stepValues; i += Threads) {
    const GroupBlock8 &block = group[i / steps];
    storeFour(y + i * stepValues, wordOf(block.codes[i % steps], row), 128,
              fromF16(block.scales[row]));
  }
}

GM_INLINE void embedNibbles(const void *table, int32_t id, float *y) {
  const auto *group = groupOf<GroupBlock4>(table, id, 0);
  const int32_t row = id % groupRows, steps = halfBlock / stepValues;
  for (int32_t i = threadOf(); i < gm_k / stepValues / 2; i += Threads) {
    const GroupBlock4 &block = group[i / steps];
    const uint16_t bits = block.scales[row];
    const float scale = gm_format_q4_bf ? fromBf16(bits) : fromF16(bits);
    const uint32_t word = wordOf(block.codes[i % steps], row);
    float *to = y + i / steps * blockValues + i % steps * stepValues;
    storeFour(to, word & 0x0f0f0f0fu, 8, scale);
    storeFour(to + halfBlock, word >> 4 & 0x0f0f0f0fu, 8, scale);
  }
}

GM_INLINE void embedSplit(const void *table, const void *low, int32_t id,
                          float *y) {
  const auto *upper = groupOf<SplitBlock>(table, id, sizeof(SplitTail));
  const auto *lower = groupOf<LowBlock>(low, id, 0);
  const int32_t row = id % groupRows, steps = halfBlock / stepValues;
  for (int32_t i = threadOf(); i < gm_k / stepValues / 2; i += Threads) {
    const SplitBlock &block = upper[i / steps];
    const float scale = fromF16(block.scales[row]);
    const uint32_t a = wordOf(block.upper[i % steps], row),
                   b = wordOf(lower[i / steps].lower[i % steps], row);
    float *to = y + i / steps * blockValues + i % steps * stepValues;
    storeFour(to, (a & 0x0f0f0f0fu) << 4 | (b & 0x0f0f0f0fu), 128, scale);
    storeFour(to + halfBlock, (a & 0xf0f0f0f0u) | (b >> 4 & 0x0f0f0f0fu), 128,
              scale);
  }
}

GM_INLINE void embedFloats(const void *table, int32_t id, float *y) {
  const auto *from = static_cast<const float *>(table) +
                     int64_t(id / groupRows) * groupRows * gm_k +
                     id % groupRows;
  forColumns([&](int32_t i)
                 GM_LAMBDA { y[i] = from[i * groupRows] * gm_scale; });
}

// Pairs of columns lie in a word.
GM_INLINE void embedPairs(const void *table, int32_t id, float *y) {
  const int32_t pairs = (gm_k + 1) / 2;
  const auto *from = static_cast<const uint32_t *>(table) +
                     int64_t(id / groupRows) * groupRows * pairs +
                     id % groupRows;
  for (int32_t i = threadOf(); i < pairs; i += Threads) {
    const uint32_t pair = from[i * groupRows];
    y[2 * i] = fromBf16(uint16_t(pair)) * gm_scale;
    if (2 * i + 1 < gm_k)
      y[2 * i + 1] = fromBf16(uint16_t(pair >> 16)) * gm_scale;
  }
}

// Unit = row.
GM_ENTRY(gm_body, Threads, 0, 1, 0)
(const int32_t *ids, const void *table, const void *low, float *y,
 const gm_numbers *step, int32_t begin, int32_t end) {
  if (const int64_t row = rowOfBlock(step, begin, end); row >= 0)
    embedSplit(table, low, ids[row], y + row * paddedColumns(gm_k));
}

// Of the other formats, which have no `low`.
GM_ENTRY(gm_bare, Threads, 0, 1, 0)
(const int32_t *ids, const void *table, float *y, const gm_numbers *step,
 int32_t begin, int32_t end) {
  const int64_t row = rowOfBlock(step, begin, end);
  if (row < 0)
    return;
  y += row * paddedColumns(gm_k);
  if (gm_format_q8_0)
    embedBytes(table, ids[row], y);
  else if (gm_format_q4_0 || gm_format_q4_bf)
    embedNibbles(table, ids[row], y);
  else if (gm_format_f32)
    embedFloats(table, ids[row], y);
  else
    embedPairs(table, ids[row], y);
}
