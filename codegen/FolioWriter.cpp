#include "codegen/FolioWriter.h"

#include "codegen/OutputFile.h"

#include <algorithm>

namespace gemmac {

static constexpr uint64_t window = 2 << 20;

FolioWriter::FolioWriter(int fd, uint64_t begin, uint64_t end)
    : fd(fd), begin(begin), end(end),
      touched(size_t(end / window - begin / window + 1)), zeros(window) {}

bool FolioWriter::touch(uint64_t offset) {
  const uint64_t number = offset / window;
  std::lock_guard lock(mutex);
  std::vector<bool>::reference done = touched[size_t(number - begin / window)];
  if (done)
    return true;
  done = true;
  const uint64_t from = std::max(number * window, begin),
                 to = std::min((number + 1) * window, end);
  return writeAt(fd, zeros.data(), size_t(to - from), from);
}

bool FolioWriter::write(const uint8_t *data, size_t bytes, uint64_t offset) {
  const uint64_t last = offset + bytes;
  if (offset % window && !touch(offset))
    return false;
  if (last % window && !touch(last - 1))
    return false;
  return writeAt(fd, data, bytes, offset);
}

} // namespace gemmac
