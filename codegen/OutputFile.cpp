// See OutputFile.h.
#include "codegen/OutputFile.h"

#include "llvm/ADT/StringRef.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Signals.h"
#include "llvm/Support/ToolOutputFile.h"

#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <random>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

namespace gemmac {

Destination Destination::of(const std::string &named) {
  Destination d;
  d.path = named.starts_with('-') ? "./" + named : named;
  struct stat info, real;
  if (stat(d.path.c_str(), &info))
    return d;
  if (S_ISDIR(info.st_mode)) {
    d.kind = Kind::Folder;
  } else if (S_ISCHR(info.st_mode) && info.st_rdev == makedev(1, 3)) {
    d.kind = Kind::Null;
  } else {
    // /dev/stdout may lead to a file that no path names any more.
    char path[PATH_MAX];
    if (!S_ISREG(info.st_mode) || !realpath(d.path.c_str(), path) ||
        stat(path, &real) || real.st_ino != info.st_ino ||
        real.st_dev != info.st_dev)
      d.kind = Kind::Special;
    else
      d.path = path;
  }
  return d;
}

Error cannotWrite(const char *what, const std::string &named, int error) {
  return makeError(ExitCode::Resources,
                   "cannot {} '{}': {}; check permissions and free space, or "
                   "choose another -o",
                   what, named, strerror(error));
}

std::string temporaryName(const std::string &final) {
  std::random_device random;
  return fmt::format("{}.tmp{:08x}{:08x}", final, random(), random());
}

TemporaryFile::TemporaryFile(std::string final, const char *extra)
    : final(std::move(final)), path(temporaryName(this->final + extra)) {
  llvm::sys::RemoveFileOnSignal(path);
}

TemporaryFile::~TemporaryFile() {
  if (fd >= 0)
    close(fd);
  if (path.empty())
    return;
  unlink(path.c_str());
  llvm::sys::DontRemoveFileOnSignal(path);
}

Status TemporaryFile::open(int flags, unsigned mode) {
  fd = ::open(path.c_str(), flags | O_RDWR | O_CLOEXEC | O_NOFOLLOW, mode);
  return fd < 0 ? Status(cannotWrite("create", final, errno)) : Done{};
}

Status TemporaryFile::discard() {
  int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  bool done = null >= 0 && dup3(null, fd, O_CLOEXEC) >= 0;
  int error = errno;
  close(null);
  return done ? Status(Done{}) : cannotWrite("open", "/dev/null", error);
}

bool writeAt(int fd, const void *data, size_t bytes, uint64_t offset) {
  const char *from = static_cast<const char *>(data);
  while (bytes) {
    ssize_t n = pwrite(fd, from, bytes, off_t(offset));
    if (n < 0 && errno == EINTR)
      continue;
    if (n == 0)
      errno = ENOSPC;
    if (n <= 0)
      return false;
    from += n, bytes -= size_t(n), offset += uint64_t(n);
  }
  return true;
}

Status TemporaryFile::append(const void *data, size_t bytes) {
  if (!writeAt(fd, data, bytes, end))
    return cannotWrite("write", final, errno);
  end += bytes;
  return Done{};
}

Status TemporaryFile::closeFile() {
  int error = fd >= 0 && close(fd) ? errno : 0;
  fd = -1;
  return error ? Status(cannotWrite("write", final, error)) : Done{};
}

Status TemporaryFile::keep() {
  if (fdatasync(fd))
    return cannotWrite("write", final, errno);
  if (Status s = closeFile(); !s)
    return s;
  if (rename(path.c_str(), final.c_str()))
    return cannotWrite("create", final, errno);
  llvm::sys::DontRemoveFileOnSignal(path);
  path.clear();
  return Done{};
}

Status writeText(const std::string &named,
                 llvm::function_ref<void(llvm::raw_ostream &)> write) {
  auto straight = [&](llvm::raw_fd_ostream &stream, const std::string &where) {
    write(stream);
    stream.flush();
    std::error_code error = stream.error();
    stream.clear_error();
    if (!error)
      return Status(Done{});
    return Status(makeError(ExitCode::Resources, "cannot write to {}: {}",
                            where, error.message()));
  };
  if (named.empty() || named == "-")
    return straight(llvm::outs(), "standard output");
  std::string problem;
  Destination to = Destination::of(named);
  if (to.kind == Destination::Kind::File) {
    if (llvm::Error error =
            llvm::writeToOutput(to.path, [&](llvm::raw_ostream &stream) {
              write(stream);
              return llvm::Error::success();
            }))
      problem = toString(std::move(error));
  } else {
    std::error_code error;
    llvm::raw_fd_ostream stream(to.path, error, llvm::sys::fs::CD_OpenExisting);
    if (!error)
      return straight(stream, "'" + named + "'");
    problem = error.message();
  }
  if (problem.empty())
    return Done{};
  return makeError(ExitCode::Resources,
                   "cannot write '{}': {}; check permissions and free space",
                   named, problem);
}

} // namespace gemmac
