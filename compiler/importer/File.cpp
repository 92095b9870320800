// Files by POSIX calls, with the errno turned into words. Must not know what
// the files contain.
#include "compiler/importer/File.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <new>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

namespace gemmac {
namespace {

bool endsWith(std::string_view text, std::string_view end) {
  return text.size() >= end.size() &&
         text.substr(text.size() - end.size()) == end;
}

Error openError(const std::string &path, int error) {
  ExitCode code = error == EACCES || error == EPERM || error == EMFILE ||
                          error == ENFILE || error == ENOMEM
                      ? ExitCode::Resources
                      : ExitCode::BadInput;
  return {code, path + ": cannot be read: " + std::strerror(error)};
}

// An open descriptor of a regular file.
struct Opened {
  int fd = -1;
  struct stat info = {};
};

Result<Opened> openRegular(const std::string &path) {
  Opened opened;
  // O_NONBLOCK: a pipe in the folder must not hang the compiler.
  opened.fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (opened.fd < 0)
    return openError(path, errno);
  if (fstat(opened.fd, &opened.info) != 0) {
    int error = errno;
    close(opened.fd);
    return openError(path, error);
  }
  if (!S_ISREG(opened.info.st_mode)) {
    close(opened.fd);
    return makeError(ExitCode::BadInput, "{}: expects a regular file", path);
  }
  return opened;
}

// Reads `bytes` bytes; fewer if the file has become shorter.
Result<std::string> readAll(const Opened &opened, const std::string &path,
                            uint64_t bytes) {
  try {
    std::string text(bytes, '\0');
    uint64_t done = 0;
    while (done < bytes) {
      ssize_t n = read(opened.fd, text.data() + done, bytes - done);
      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0)
        return openError(path, errno);
      if (n == 0)
        break;
      done += uint64_t(n);
    }
    text.resize(done);
    return text;
  } catch (const std::bad_alloc &) {
    return makeError(ExitCode::Resources, "{}: not enough memory to read it",
                     path);
  }
}

} // namespace

Status checkFolder(const std::string &folder) {
  struct stat info;
  bool there = stat(folder.c_str(), &info) == 0;
  int error = there ? 0 : errno;
  if (there && S_ISDIR(info.st_mode))
    return Done{};
  if (there)
    return makeError(
        ExitCode::BadInput,
        "{}: neither a folder nor a GGUF file; expects the folder of a Hugging "
        "Face checkpoint (config.json, *.safetensors) or a .gguf file",
        folder);
  if (error == ENOENT || error == ENOTDIR)
    return makeError(ExitCode::BadInput,
                     "{}: no such folder; expects the folder of a Hugging Face "
                     "checkpoint (config.json, *.safetensors)",
                     folder);
  return openError(folder, error);
}

bool hasFile(const std::string &folder, const std::string &name) {
  struct stat info;
  return lstat(joinPath(folder, name).c_str(), &info) == 0;
}

std::string joinPath(const std::string &folder, const std::string &name) {
  return endsWith(folder, "/") ? folder + name : folder + "/" + name;
}

Result<MappedFile> MappedFile::open(const std::string &path) {
  Result<Opened> opened = openRegular(path);
  if (!opened)
    return opened.error();
  MappedFile file;
  file.name = path;
  file.size = uint64_t(opened->info.st_size);
  auto ns = [](const timespec &time) {
    return int64_t(time.tv_sec) * 1000000000 + time.tv_nsec;
  };
  file.mtime = ns(opened->info.st_mtim);
  file.ctime = ns(opened->info.st_ctim);
  if (file.size) {
    void *at = mmap(nullptr, file.size, PROT_READ, MAP_SHARED, opened->fd, 0);
    int error = errno;
    if (at == MAP_FAILED) {
      file.size = 0;
      close(opened->fd);
      return openError(path, error);
    }
    file.address = static_cast<const uint8_t *>(at);
  }
  close(opened->fd);
  return file;
}

MappedFile &MappedFile::operator=(MappedFile &&other) noexcept {
  std::swap(name, other.name);
  std::swap(address, other.address);
  std::swap(size, other.size);
  std::swap(mtime, other.mtime);
  std::swap(ctime, other.ctime);
  return *this;
}

MappedFile::~MappedFile() {
  if (address)
    munmap(const_cast<uint8_t *>(address), size);
}

Result<std::string> readFile(const std::string &path, uint64_t limit) {
  Result<Opened> opened = openRegular(path);
  if (!opened)
    return opened.error();
  uint64_t bytes = uint64_t(opened->info.st_size);
  if (bytes > limit) {
    close(opened->fd);
    return makeError(ExitCode::BadInput, "{}: has {} bytes, expects at most {}",
                     path, bytes, limit);
  }
  Result<std::string> text = readAll(*opened, path, bytes);
  close(opened->fd);
  return text;
}

} // namespace gemmac
