// Writes pieces of a file from several threads so that its page cache ends up
// in folios of 2 MiB wherever the file system has them: a program that maps the
// file at once then streams its weights without missing the TLB.
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <vector>

namespace gemmac {

// The kernel chooses the size of a folio when a write first touches it. A write
// that covers a window of 2 MiB makes it one folio; where a write begins or
// ends inside a window, the whole window is first written as zeros. So no byte
// of [begin, end) may have been written otherwise before.
class FolioWriter {
public:
  FolioWriter(int fd, uint64_t begin, uint64_t end);
  // Writes `bytes` at `offset`; both ends lie in [begin, end). False and errno
  // if the file system refuses.
  bool write(const uint8_t *data, size_t bytes, uint64_t offset);

private:
  bool touch(uint64_t offset);

  const int fd;
  const uint64_t begin, end;
  std::mutex mutex;
  std::vector<bool> touched; // windows, by number from that of `begin` on
  std::vector<uint8_t> zeros;
};

} // namespace gemmac
