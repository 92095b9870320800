// Writes one F32 tensor as a safetensors file, row by row: under a temporary
// name, renamed when complete, removed otherwise.
#pragma once

#include "runtime/gemma.h"

#include <string>

namespace gm {

class TensorFile {
public:
  TensorFile() = default;
  TensorFile(const TensorFile &) = delete;
  ~TensorFile();

  Status create(const std::string &path, const std::string &tensor,
                int64_t rows, int64_t columns);
  Status write_row(const float *row);
  Status finish();
  bool is_open() const { return fd >= 0; }

private:
  Status write(const void *data, size_t bytes);
  Status cannot(const char *what) const;

  std::string path, temporary; // equal: a device, written in place
  int64_t columns = 0;
  int fd = -1;
};

} // namespace gm
