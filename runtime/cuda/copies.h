// What a step copies between this machine and its card: a table in pinned
// memory, filled before each step, that one kernel of ours works through. So a
// graph has two such launches whatever is copied, and nothing of it changes
// from step to step. The one that brings results says when all are there: the
// host sees it sooner than through the driver. Must not know what is copied.
#pragma once

#include "runtime/gemma.h"

#include <cstdint>

namespace gm {

struct Copy {
  uint64_t from, to, bytes; // addresses as the device has them
};

// Copies of at most CHUNK bytes each, `most` at most: [0] holds their number,
// then what the kernel writes at the end, and where.
class CopyTable {
public:
  enum : uint64_t { CHUNK = 16384 };
  static uint64_t bytes(uint64_t most) { return (most + 1) * sizeof(Copy); }
  // Entries that `pieces` pieces of `bytes` together can need.
  static uint64_t entries(uint64_t pieces, uint64_t bytes) {
    return pieces + bytes / CHUNK;
  }

  void place(void *memory, uint64_t most_) {
    copies = static_cast<Copy *>(memory);
    most = most_;
    clear();
  }
  void clear(uint64_t ticket = 0, uint64_t flag = 0) {
    copies[0] = {0, ticket, flag};
  }
  // False if the table is full.
  bool add(uint64_t from, uint64_t to, uint64_t bytes);

private:
  Copy *copies = nullptr;
  uint64_t most = 0;
};

// The kernel: COPY_THREADS threads a block, any number of blocks. Parameters:
// the table's address; that of a counter, 0 before and after, or 0: nothing is
// written at the end.
enum { COPY_THREADS = 256 };
extern const char COPY_NAME[];
extern const char COPY_PTX[];

} // namespace gm
