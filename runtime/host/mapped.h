// How the kernel maps a file.
#pragma once

#include <cstdint>

namespace gm {

struct Mapped {
  uint64_t resident = 0, large = 0; // bytes; in huge pages
};

// Of the mapping that begins at `start`; zeros without /proc.
Mapped mapped_at(const void *start);

} // namespace gm
