// Writes one F32 tensor as a safetensors file, row by row.
#pragma once

#include "runtime/app/output_file.h"

namespace gm {

class TensorFile {
public:
  Status create(const std::string &path, const std::string &tensor,
                int64_t rows, int64_t columns);
  Status write_row(const float *row);
  Status finish() { return file.finish(); }
  bool is_open() const { return file.is_open(); }

private:
  OutputFile file;
  int64_t columns = 0;
};

} // namespace gm
