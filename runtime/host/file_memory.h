// A part of a file in memory: mapped, or copied into huge pages where the page
// cache holds it in small ones. Knows nothing of programs and models.
#pragma once

#include "runtime/gemma.h"

namespace gm {

enum : uint64_t { HUGE_PAGE = 2u << 20 };

// `bytes` of addresses that begin `phase` bytes after a multiple of a huge
// page; null if there are none.
uint8_t *reserve(uint64_t bytes, int protection, int flags, uint64_t phase = 0);

// `bytes` from `offset` of a file, which are to be at `to`: reserved addresses,
// both multiples of a page.
struct FileRange {
  int fd;
  uint64_t offset;
  uint8_t *to;
  uint64_t bytes; // 0: nothing is done
};

Status map_range(const FileRange &range);

// Puts anonymous memory there, zeroed, in huge pages where there are any.
Status allocate_range(const FileRange &range);

// Whether the page cache holds what is mapped, but in pages so small that the
// kernel cannot map them as huge ones: so it is after a file was written or
// read while memory was short. False if part of it is not in the cache: that
// comes in large folios; false below 64 MB. Reads nothing from the file.
bool in_small_pages(const FileRange *ranges, int count);

// Puts anonymous memory in the place of what is mapped, in huge pages where
// there are any, and reads the file into it, in pieces. `run` calls a function
// on each of some workers.
Status copy_range(const FileRange &range,
                  void (*run)(void *workers,
                              void (*function)(void *data, int worker),
                              void *data),
                  void *workers);

} // namespace gm
