// See file_memory.h.
#include "runtime/host/file_memory.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sys/mman.h>
#include <unistd.h>

namespace gm {
namespace {

// Smaller weights stay in the caches of the cores, or nearly.
enum : uint64_t { WORTH_IT = 64u << 20 };

struct Mapped {
  uint64_t resident = 0, large = 0; // bytes; in huge pages
};

// Of the mapping that begins at `start`, as /proc/self/smaps tells; zeros
// without it.
Mapped mapped_at(const void *start) {
  Mapped mapped;
  FILE *f = fopen("/proc/self/smaps", "re");
  if (!f)
    return mapped;
  char line[512];
  bool here = false;
  while (fgets(line, sizeof line, f)) {
    char *end;
    unsigned long long from = strtoull(line, &end, 16);
    if (*end == '-') { // "from-to perms ..." begins a mapping
      if (here)
        break;
      here = from == reinterpret_cast<uintptr_t>(start);
    } else if (here && strncmp(line, "Rss:", 4) == 0) {
      mapped.resident = strtoull(line + 4, nullptr, 10) << 10;
    } else if (here && strncmp(line, "FilePmdMapped:", 14) == 0) {
      mapped.large = strtoull(line + 14, nullptr, 10) << 10;
    }
  }
  fclose(f);
  return mapped;
}

// Whether nearly all pages are in the page cache.
bool is_cached(const FileRange &range) {
  const uint64_t page = uint64_t(sysconf(_SC_PAGESIZE)), step = 256 * page;
  unsigned char present[256];
  uint64_t found = 0, pages = (range.bytes + page - 1) / page;
  for (uint64_t at = 0; at < range.bytes; at += step) {
    uint64_t n = std::min(step, range.bytes - at);
    if (mincore(range.to + at, n, present) != 0)
      return false;
    for (uint64_t i = 0; i < (n + page - 1) / page; ++i)
      found += present[i] & 1;
  }
  return found >= pages - pages / 20;
}

struct Reading {
  const FileRange &range;
  std::atomic<uint64_t> next{0};
  std::atomic<int> problem{0}; // errno, or -1: end of file
};

void read_pieces(void *data, int) {
  Reading &r = *static_cast<Reading *>(data);
  const uint64_t piece = 4 * HUGE_PAGE;
  for (uint64_t at;
       (at = r.next.fetch_add(piece)) < r.range.bytes && !r.problem;)
    for (uint64_t done = 0, n = std::min(piece, r.range.bytes - at);
         done < n;) {
      ssize_t got = pread(r.range.fd, r.range.to + at + done, n - done,
                          off_t(r.range.offset + at + done));
      if (got < 0 && errno == EINTR)
        continue;
      if (got <= 0) {
        r.problem = got < 0 ? errno : -1;
        return;
      }
      done += uint64_t(got);
    }
}

} // namespace

uint8_t *reserve(uint64_t bytes, int protection, int flags, uint64_t phase) {
  void *p = mmap(nullptr, bytes + HUGE_PAGE, protection,
                 MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
  if (p == MAP_FAILED)
    return nullptr;
  uint8_t *start = static_cast<uint8_t *>(p);
  uint64_t from = (uint64_t(start) - phase + HUGE_PAGE - 1) / HUGE_PAGE;
  uint8_t *aligned = reinterpret_cast<uint8_t *>(from * HUGE_PAGE + phase);
  if (aligned > start)
    munmap(start, size_t(aligned - start));
  munmap(aligned + bytes, size_t(start + HUGE_PAGE - aligned));
  return aligned;
}

Status map_range(const FileRange &r) {
  if (r.bytes && mmap(r.to, r.bytes, PROT_READ, MAP_PRIVATE | MAP_FIXED, r.fd,
                      off_t(r.offset)) == MAP_FAILED)
    return failure(RESOURCES, "cannot map %llu bytes of weights: %s",
                   (unsigned long long)r.bytes, strerror(errno));
  return {};
}

bool in_small_pages(const FileRange *ranges, int count) {
  uint64_t resident = 0, large = 0, all = 0;
  for (int i = 0; i < count; ++i)
    all += ranges[i].bytes;
  if (all < WORTH_IT)
    return false;
  for (int i = 0; i < count; ++i) {
    const FileRange &r = ranges[i];
    if (r.bytes < 2 * HUGE_PAGE) // may hold no whole huge page
      continue;
    if (!is_cached(r))
      return false;
    madvise(r.to, r.bytes, MADV_POPULATE_READ);
    Mapped mapped = mapped_at(r.to);
    resident += mapped.resident;
    large += mapped.large;
  }
  return large < resident / 10 * 9;
}

Status allocate_range(const FileRange &r) {
  if (r.bytes &&
      mmap(r.to, r.bytes, PROT_READ | PROT_WRITE,
           MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS, -1, 0) == MAP_FAILED)
    return failure(RESOURCES, "cannot allocate %llu bytes of weights: %s",
                   (unsigned long long)r.bytes, strerror(errno));
  madvise(r.to, r.bytes, MADV_HUGEPAGE);
  return {};
}

Status copy_range(const FileRange &r,
                  void (*run)(void *, void (*)(void *, int), void *),
                  void *workers) {
  if (!r.bytes)
    return {};
  if (Status s = allocate_range(r); !s.ok())
    return failure(s.code, "%.400s; run with --load=map", s.text);
  Reading reading{r};
  run(workers, read_pieces, &reading);
  mprotect(r.to, r.bytes, PROT_READ);
  if (int problem = reading.problem)
    return failure(
        problem > 0 ? RESOURCES : BAD_INPUT, "cannot read the weights: %s",
        problem > 0 ? strerror(problem) : "the file has become shorter");
  return {};
}

} // namespace gm
