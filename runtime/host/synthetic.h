// Weights that nobody reads from a file, for measuring: numbers drawn from the
// place of each word in the weight section, which are valid in every layout of
// their format and small enough that no result of a model that has them is
// infinite. A card makes the same ones (runtime/cuda/synthetic.h). Must not
// know layouts: scales may lie at any even offset, so every half word is one.
#pragma once

#include "runtime/gemma.h"

namespace gemmac::manifest {
struct Ple;
struct Weight;
} // namespace gemmac::manifest

namespace gm {

// UNSUPPORTED, with what to do, if the program has no others.
Status need_weights(const File &file);

// Of a word of 32 bits: which of the drawn bits it keeps, and which it has
// always.
struct SyntheticWords {
  uint32_t keep = 0, set = 0;
};

// Of weights of a format; zeros for a format that nobody knows.
SyntheticWords synthetic_words(const char *format);
// Of a weight, and of the rows of the PLE table.
SyntheticWords synthetic_words(const gemmac::manifest::Weight &weight);
SyntheticWords synthetic_words(const gemmac::manifest::Program &program,
                               const gemmac::manifest::Ple &table);
// Whether the weight is the PLE table, which no memory holds.
bool is_ple_table(const gemmac::manifest::Program &program,
                  const gemmac::manifest::Weight &weight);

// 32 bits from the number of a word: bijective, every bit depends on all.
constexpr uint32_t drawn_bits(uint32_t index) {
  index = (index ^ index >> 16) * 0x7FEB352Du;
  index = (index ^ index >> 15) * 0x846CA68Bu;
  return index ^ index >> 16;
}

// Bytes [at, at + bytes) of the weight section, of weights of `words`. Words
// are counted from the begin of the section, modulo 2^32.
void synthesize(const SyntheticWords &words, uint64_t at, uint8_t *to,
                uint64_t bytes);

} // namespace gm
