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
                          int64_t rows, int64_t cols) {
  path = temporary = to;
  columns = cols;
  struct stat st;
  if (stat(path.c_str(), &st) != 0 || S_ISREG(st.st_mode))
    temporary += ".tmp" + std::to_string(getpid());
  fd = open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (fd < 0)
    return cannot("create");
  char header[256];
  int n = snprintf(header, sizeof header,
                   "{\"%s\":{\"dtype\":\"F32\",\"shape\":[%lld,%lld],\"data_"
                   "offsets\":[0,%lld]}}",
                   tensor.c_str(), (long long)rows, (long long)cols,
                   (long long)(rows * cols * 4));
  while (n % 8) // the data is aligned
    header[n++] = ' ';
  uint64_t length = uint64_t(n);
  if (Status s = write(&length, sizeof length); !s.ok())
    return s;
  return write(header, size_t(n));
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
