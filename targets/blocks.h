// What lies where inside a packed block of a quantised matrix, an activation
// block and a cache page: the only code that knows. Freestanding, so that the
// table of layouts, the packer, the Halide schedules and the C++ bodies share
// it; must include no more than runtime/abi.h and
// <stddef.h>.
//
// A block holds codes of `blockValues` values of a row and their scale; the
// value is code * scale. Matrices keep the blocks of `groupRows` rows (outputs)
// together, step by step of what an int8 dot product takes: a word of
// `stepValues` codes of each row.
#pragma once

#include "runtime/abi.h"

#include <stddef.h>

namespace gemmac {

// Bodies are optimised as if all of them were written there.
#define GM_FOLDED constexpr __attribute__((always_inline))

inline constexpr int32_t blockValues = 32, halfBlock = blockValues / 2;
inline constexpr int32_t groupRows = 16;
inline constexpr int32_t stepValues = 4;

// A word of codes of every row of a group: what one step of a dot product
// reads.
using StepCodes = uint8_t[groupRows][stepValues];
inline constexpr int32_t stepBytes = sizeof(StepCodes);

// Activations (format q8). An int32 sum of products with the codes of a block
// of weights begins at `start`: codes of weights are 128 too large (4-bit ones,
// 8 too large, count 16 times), and the bits of a sum are those of the f32
// sumOrigin + sum, since a sum stays below 2^22. So one fma with the weights'
// scale makes it a product: a conversion less.
struct ActivationBlock {
  int8_t codes[blockValues]; // -127 .. 127
  float scale;
  int32_t start; // sumOriginBits - 128 * (sum of the codes)
};
inline constexpr float sumOrigin = 12582912.0f; // 1.5 * 2^23
inline constexpr int32_t sumOriginBits = 0x4b400000;
GM_FOLDED int32_t startOf(int32_t codes) { return sumOriginBits - 128 * codes; }
GM_FOLDED int32_t codeSum(int32_t start) {
  return (sumOriginBits - start) / 128;
}

// Tables that are looked up by row, and GGUF files. Scales are the bits of f16
// or (q4_bf) bf16. Byte i of 4-bit codes holds code + 8 of value i in its low
// and of value 16 + i in its high nibble.
struct RowBlock8 {
  uint16_t scale;
  int8_t codes[blockValues]; // -127 .. 127
};
struct RowBlock4 {
  uint16_t scale;
  uint8_t codes[halfBlock];
};

// Matrices. 8-bit codes + 128, or as they are where i8 is multiplied by i8.
struct GroupBlock8 {
  StepCodes codes[blockValues / stepValues];
  uint16_t scales[groupRows];
};
struct GroupBlock4 {
  StepCodes codes[halfBlock / stepValues];
  uint16_t scales[groupRows];
};

// GroupBlock8 in two matrices, for a scan that reads the first five bits of
// every code + 128: the upper nibbles and bit 3, apart from the lower nibbles
// (family top_scan). Nibbles lie as in GroupBlock4; bit g of a byte of `fifth`
// is bit 3 of the code in k group g.
struct SplitBlock {
  StepCodes upper[halfBlock / stepValues];
  StepCodes fifth;
  uint16_t scales[groupRows];
};
struct LowBlock {
  StepCodes lower[halfBlock / stepValues];
};
// After the blocks of a group of rows: at least what the logit of a row can
// differ by from that of its first five bits, for an activation row of norm 1
// (the other bits are taken as 4).
struct SplitTail {
  float bounds[groupRows];
};

// Cache pages: codes or numbers of one K/V head of `dim` lanes for GM_PAGE_KEYS
// keys, then, of codes, f32 scales. K: [keys / group][dim / perWord][group
// keys] of words of `perWord` lanes; scales [dim / keyBlock][keys], one for
// every key and block of lanes. V: [dim / group][keys / perWord][group lanes]
// of words of `perWord` keys; scales [keys]. Codes of K are unsigned, + 128.
struct CacheShape {
  int32_t bytes;   // of a number or code
  int32_t perWord; // numbers in a word of 32 bits
  int32_t group;   // words that lie side by side
};
inline constexpr CacheShape cacheF32 = {4, 1, 16}, cacheBf16 = {2, 2, 32},
                            cacheQ8 = {1, 4, 32};

// Lanes of a query and of a key that share a scale in format q8.
GM_FOLDED int32_t keyBlock(int32_t dim) {
  return dim % 128 == 0 ? 128 : dim % 64 == 0 ? 64 : 32;
}

// Number of a word of K (of lanes [word * perWord, ..)), and of an element of
// V.
GM_FOLDED int32_t keyWord(const CacheShape &c, int32_t dim, int32_t key,
                          int32_t word) {
  return (key / c.group * (dim / c.perWord) + word) * c.group + key % c.group;
}
GM_FOLDED int32_t valueElement(const CacheShape &c, int32_t key, int32_t d) {
  return ((d / c.group * (GM_PAGE_KEYS / c.perWord) + key / c.perWord) *
              c.group +
          d % c.group) *
             c.perWord +
         key % c.perWord;
}

// Bytes of codes in front of the scales, and bytes of the scales.
GM_FOLDED int32_t codePageBytes(int32_t dim) { return GM_PAGE_KEYS * dim; }
GM_FOLDED int32_t keyScaleAt(int32_t dim, int32_t key, int32_t d) {
  return codePageBytes(dim) + (d / keyBlock(dim) * GM_PAGE_KEYS + key) * 4;
}
GM_FOLDED int32_t valueScaleAt(int32_t dim, int32_t key) {
  return codePageBytes(dim) + key * 4;
}
GM_FOLDED int32_t keyPageBytes(const CacheShape &c, int32_t dim) {
  return c.bytes == 1 ? keyScaleAt(dim, 0, dim) : GM_PAGE_KEYS * dim * c.bytes;
}
GM_FOLDED int32_t valuePageBytes(const CacheShape &c, int32_t dim) {
  return c.bytes == 1 ? valueScaleAt(dim, GM_PAGE_KEYS)
                      : GM_PAGE_KEYS * dim * c.bytes;
}

static_assert(sizeof(ActivationBlock) == 40 && sizeof(RowBlock8) == 34 &&
              sizeof(RowBlock4) == 18 && sizeof(GroupBlock8) == 544 &&
              sizeof(GroupBlock4) == 288 && sizeof(SplitBlock) == 352 &&
              sizeof(LowBlock) == 256 && sizeof(SplitTail) == 64);

} // namespace gemmac
