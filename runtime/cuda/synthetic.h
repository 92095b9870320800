// The kernel that makes synthetic weights on a card, of the bits of
// runtime/host/synthetic.h.
#pragma once

#include <cstdint>

namespace gm {

// SYNTHETIC_THREADS threads a block, any number of blocks. Parameters: u64
// address of the first word, u64 words, u32 number of the first word in the
// section, u32 SyntheticWords::keep, u32 SyntheticWords::set.
enum { SYNTHETIC_THREADS = 256 };
extern const char SYNTHETIC_NAME[];
extern const char SYNTHETIC_PTX[];

} // namespace gm
