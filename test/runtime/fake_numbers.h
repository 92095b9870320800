// What the fake model computes with, for its segments on the CPU and its
// kernels on a card alike. Must not need a library.
#pragma once

#include <stdint.h>

namespace fake {

enum : int {
  VOCAB = 100,
  HIDDEN = 8,
  WINDOW = 40,
  MAX_CONTEXT = 2048,
  PLE_ROW = 4096,
  PAGE_BYTES = 64 * 8,
  LOCAL_PAIRS = 4,
  GLOBAL_PAIRS = 2,
  PLE_BODY = 16, // bytes of a row of the table that the body reads, then
  PLE_TAIL = 8
};

// Weights in front of the table and behind it, and what they are, for cards:
// logits are wrong without them.
enum : int64_t { FIRST = 1000, LAST = 65536 * 9 - 1 };
enum : uint8_t { FIRST_BYTE = 11, LAST_BYTE = 22 };

inline uint64_t mix(uint64_t x) {
  x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9ull;
  x = (x ^ x >> 27) * 0x94D049BB133111EBull;
  return x ^ x >> 31;
}

inline uint64_t key_of(int32_t id, int32_t pos) {
  return mix(uint64_t(pos) << 32 | uint32_t(id + 1));
}

inline uint8_t ple_byte(int32_t id, int column) {
  return uint8_t(id * 7 + column * 3 + 1);
}

inline float logit_of(const float *hidden, int id) {
  return float(mix(uint64_t(hidden[0]) * 1000003 + uint64_t(hidden[4]) +
                   uint64_t(id)) &
               0xFFF) /
         256;
}

} // namespace fake
