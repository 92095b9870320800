// Checks every hash of a program file: weights, code, tokenizer. (Manifest and
// trailer have a checksum that `open_file` checks.)
#pragma once

#include "runtime/gemma.h"

namespace gm {

struct Verified {
  uint64_t weights = 0, sections = 0; // how many
  uint64_t bytes = 0;                 // of both
};

// Reads everything once, 1 MiB at a time in each of `threads` threads, and says
// on standard error how far it is when that takes long. BAD_INPUT names the
// first damaged part and its place in the file; RESOURCES if a file cannot be
// read.
Status verify_file(const File &file, int64_t threads, Verified &verified);

} // namespace gm
