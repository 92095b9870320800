// See tensor_file.h.
#include "runtime/app/tensor_file.h"

#include <cstdio>

namespace gm {

Status TensorFile::create(const std::string &path, const std::string &tensor,
                          int64_t rows, int64_t cols) {
  columns = cols;
  if (Status s = file.create(path); !s.ok())
    return s;
  char header[256];
  int n = snprintf(header, sizeof header,
                   "{\"%s\":{\"dtype\":\"F32\",\"shape\":[%lld,%lld],\"data_"
                   "offsets\":[0,%lld]}}",
                   tensor.c_str(), (long long)rows, (long long)cols,
                   (long long)(rows * cols * 4));
  while (n % 8) // the data is aligned
    header[n++] = ' ';
  uint64_t length = uint64_t(n);
  if (Status s = file.write(&length, sizeof length); !s.ok())
    return s;
  return file.write(header, size_t(n));
}

Status TensorFile::write_row(const float *row) {
  return file.write(row, size_t(columns) * 4);
}

} // namespace gm
