// See output_file.h.
#include "runtime/app/output_file.h"
#include "runtime/host/clock.h"

#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <sys/random.h>
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
  if (stat(path.c_str(), &st) == 0 && !S_ISREG(st.st_mode)) {
    fd = open(path.c_str(), O_WRONLY | O_TRUNC | O_CLOEXEC);
    return fd < 0 ? cannot("create") : Status();
  }
  // A name that nobody can have prepared: process numbers repeat in containers,
  // and a link of that name would lead to another file.
  for (int tries = 0; fd < 0 && tries < 100; ++tries) {
    uint64_t number = 0;
    if (getrandom(&number, sizeof number, GRND_NONBLOCK) != sizeof number)
      number = uint64_t(now_ns());
    char end[32];
    snprintf(end, sizeof end, ".tmp%016" PRIx64, number);
    temporary = path + end;
    fd = open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0 && errno != EEXIST)
      break;
  }
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

Status OutputFile::finish(bool durable) {
  int closing = fd;
  fd = -1;
  // The bytes before the name: after a power loss the file is whole or the one
  // before. Devices cannot be synced.
  bool stored = !durable || temporary == path || fdatasync(closing) == 0;
  int problem = errno;
  bool closed = close(closing) == 0;
  if (!stored)
    errno = problem;
  if (stored && closed &&
      (temporary == path || rename(temporary.c_str(), path.c_str()) == 0))
    return {};
  Status s = cannot("write");
  if (temporary != path)
    unlink(temporary.c_str());
  return s;
}

} // namespace gm
