// See tensor_file.h.
#include "runtime/app/tensor_file.h"

#include <cstdio>

namespace gm {

Status TensorFile::create(const std::string &path, const std::string &tensor,
                          int64_t rows, int64_t cols, bool ids) {
  columns = cols;
  if (Status s = file.create(path); !s.ok())
    return s;
  const long long begin = ids ? rows * 4 : 0, end = begin + rows * cols * 4;
  char header[384];
  int n = snprintf(header, sizeof header, "{");
  if (ids)
    n += snprintf(header + n, sizeof header - size_t(n),
                  "\"input_ids\":{\"dtype\":\"I32\",\"shape\":[%lld],\"data_"
                  "offsets\":[0,%lld]},",
                  (long long)rows, begin);
  n += snprintf(header + n, sizeof header - size_t(n),
                "\"%s\":{\"dtype\":\"F32\",\"shape\":[%lld,%lld],\"data_"
                "offsets\":[%lld,%lld]}}",
                tensor.c_str(), (long long)rows, (long long)cols, begin, end);
  while (n % 8) // the data is aligned
    header[n++] = ' ';
  uint64_t length = uint64_t(n);
  if (Status s = file.write(&length, sizeof length); !s.ok())
    return s;
  return file.write(header, size_t(n));
}

Status TensorFile::write_ids(const std::vector<int32_t> &ids) {
  return file.write(ids.data(), ids.size() * sizeof ids[0]);
}

Status TensorFile::write_row(const float *row) {
  return file.write(row, size_t(columns) * 4);
}

} // namespace gm
