// See output_file.h.
#include "runtime/app/output_file.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace gm {

OutputFile::~OutputFile() {
  if (fd < 0)
    return;
  close(fd);
  if (temporary != path)
    unlink(temporary.c_str());
}

Status OutputFile::cannot(const char *what) const {
  return failure(RESOURCES, "cannot %s '%s': %s", what, path.c_str(),
                 strerror(errno));
}

Status OutputFile::create(const std::string &to) {
  path = temporary = to;
  struct stat st;
  if (stat(path.c_str(), &st) != 0 || S_ISREG(st.st_mode))
    temporary += ".tmp" + std::to_string(getpid());
  fd = open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  return fd < 0 ? cannot("create") : Status();
}

Status OutputFile::write(const void *data, size_t bytes) {
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

Status OutputFile::finish() {
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
