// Writes one F32 tensor as a safetensors file, row by row, after the token ids
// of its rows where they are wanted. Memory: none, whatever their number.
#pragma once

#include "runtime/app/output_file.h"

#include <vector>

namespace gm {

class TensorFile {
public:
  // `ids`: write_ids then gives those of all rows, "input_ids", I32 [rows],
  // before the first row.
  Status create(const std::string &path, const std::string &tensor,
                int64_t rows, int64_t columns, bool ids = false);
  Status write_ids(const std::vector<int32_t> &ids);
  Status write_row(const float *row);
  Status finish() { return file.finish(); }
  bool is_open() const { return file.is_open(); }

private:
  OutputFile file;
  int64_t columns = 0;
};

} // namespace gm
