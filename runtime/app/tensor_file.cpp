// See tensor_file.h.
#include "runtime/app/tensor_file.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace gm {

TensorFile::~TensorFile() {
  if (fd < 0)
    return;
  close(fd);
  if (temporary != path)
    unlink(temporary.c_str());
}

Status TensorFile::cannot(const char *what) const {
  return failure(RESOURCES, "cannot %s '%s': %s", what, path.c_str(),
                 strerror(errno));
}

Status TensorFile::create(const std::string &to, const std::string &tensor,
                          int64_t rows, int64_t cols,
                          const std::vector<int32_t> *ids) {
  path = temporary = to;
  columns = cols;
  struct stat st;
  if (stat(path.c_str(), &st) != 0 || S_ISREG(st.st_mode))
    temporary += ".tmp" + std::to_string(getpid());
  fd = open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (fd < 0)
    return cannot("create");
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
  if (Status s = write(&length, sizeof length); !s.ok())
    return s;
  if (Status s = write(header, size_t(n)); !s.ok())
    return s;
  return ids ? write(ids->data(), size_t(begin)) : Status();
}

Status TensorFile::write(const void *data, size_t bytes) {
  const char *from = static_cast<const char *>(data);
  while (bytes) {
    ssize_t n = ::write(fd, from, bytes);
    if (n < 0 && errno == EINTR)
      continue;
    if (n <= 0)
      return cannot("write");
    from += n;
    bytes -= size_t(n);
  }
  return {};
}

Status TensorFile::write_row(const float *row) {
  return write(row, size_t(columns) * 4);
}

Status TensorFile::finish() {
  int closing = fd;
  fd = -1;
  if (close(closing) == 0 &&
      (temporary == path || rename(temporary.c_str(), path.c_str()) == 0))
    return {};
  Status s = cannot("write");
  if (temporary != path)
    unlink(temporary.c_str());
  return s;
}

} // namespace gm
