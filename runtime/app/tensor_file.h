// Writes one F32 tensor as a safetensors file, row by row, after the token ids
// of its rows where they are given.
#pragma once

#include "runtime/app/output_file.h"

#include <vector>

namespace gm {

class TensorFile {
public:
  // `ids`: of the rows, written as "input_ids", I32 [rows]; null: not.
  Status create(const std::string &path, const std::string &tensor,
                int64_t rows, int64_t columns,
                const std::vector<int32_t> *ids = nullptr);
  Status write_row(const float *row);
  Status finish() { return file.finish(); }
  bool is_open() const { return file.is_open(); }

private:
  OutputFile file;
  int64_t columns = 0;
};

} // namespace gm
