// A file that appears complete or not at all: written under a temporary name,
// renamed when finished, removed otherwise.
#pragma once

#include "runtime/gemma.h"

#include <cstddef>
#include <string>

namespace gm {

class OutputFile {
public:
  OutputFile() = default;
  OutputFile(const OutputFile &) = delete;
  ~OutputFile();

  Status create(const std::string &path);
  Status write(const void *data, size_t bytes);
  // `durable`: also after a loss of power, which takes a while.
  Status finish(bool durable = true);
  bool is_open() const { return fd >= 0; }

private:
  Status cannot(const char *what) const;

  std::string path, temporary; // equal: a device, written in place
  int fd = -1;
};

} // namespace gm
