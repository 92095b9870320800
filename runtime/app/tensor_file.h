// Writes one F32 tensor as a safetensors file, row by row, after the token ids
// of its rows where they are given: under a temporary name, renamed when
// complete, removed otherwise.
#pragma once

#include "runtime/gemma.h"

#include <string>
#include <vector>

namespace gm {

class TensorFile {
public:
  TensorFile() = default;
  TensorFile(const TensorFile &) = delete;
  ~TensorFile();

  // `ids`: of the rows, written as "input_ids", I32 [rows]; null: not.
  Status create(const std::string &path, const std::string &tensor,
                int64_t rows, int64_t columns,
                const std::vector<int32_t> *ids = nullptr);
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
