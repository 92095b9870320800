// What a step copies between this machine and its card: a table in pinned
// memory, filled before each step, that one kernel of ours works through. So a
// graph has two such launches whatever is copied, and nothing of it changes
// from step to step. Must not know what is copied.
#pragma once

#include "runtime/gemma.h"

#include <cstdint>

namespace gm {

struct Copy {
  uint64_t from, to, bytes; // addresses as the device has them
};

// Copies of at most CHUNK bytes each, `most` at most: [0] holds their number.
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
  void clear() { copies[0] = {}; }
  bool empty() const { return !copies[0].from; }
  // False if the table is full.
  bool add(uint64_t from, uint64_t to, uint64_t bytes);

private:
  Copy *copies = nullptr;
  uint64_t most = 0;
};

// The kernel: a parameter, the table's address; COPY_THREADS threads a block,
// any number of blocks.
enum { COPY_THREADS = 256 };
extern const char COPY_NAME[];
extern const char COPY_PTX[];

} // namespace gm
