// See File.h. By POSIX calls, with the errno turned into words.
#include "compiler/importer/File.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

namespace gemmac {
namespace {

Error openError(const std::string &path, int error) {
  ExitCode code = error == EACCES || error == EPERM || error == EMFILE ||
                          error == ENFILE || error == ENOMEM
                      ? ExitCode::Resources
                      : ExitCode::BadInput;
  return {code, path + ": cannot be read: " + std::strerror(error)};
}

// What downloads leave in the place of a file.
Status checkStandIn(const std::string &path, std::string_view text) {
  struct {
    std::string_view begin;
    const char *what;
  } const kinds[] = {
      {"version https://git-lfs",
       "a git-lfs pointer, not the file; fetch it with \"git lfs pull\""},
      {"<!DOCTYPE html", "a web page, not the file; fetch it again"},
      {"<!doctype html", "a web page, not the file; fetch it again"}};
  for (const auto &kind : kinds)
    if (text.starts_with(kind.begin))
      return makeError(ExitCode::BadInput, "{}: {}", path, kind.what);
  return Done{};
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

std::vector<std::string> fileNames(const std::string &folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (std::filesystem::directory_iterator at(folder, error), end;
       !error && at != end; at.increment(error))
    names.push_back(at->path().filename());
  std::sort(names.begin(), names.end());
  return names;
}

bool hasFile(const std::string &folder, const std::string &name) {
  struct stat info;
  return lstat(joinPath(folder, name).c_str(), &info) == 0;
}

std::string joinPath(const std::string &folder, const std::string &name) {
  return folder.ends_with('/') ? folder + name : folder + "/" + name;
}

Result<MappedFile> MappedFile::open(const std::string &path) {
  MappedFile file;
  file.name = path;
  // O_NONBLOCK: a pipe in the folder must not hang the compiler.
  int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  struct stat info = {};
  int error = fd < 0 || fstat(fd, &info) != 0 ? errno : 0;
  if (!error && S_ISREG(info.st_mode) && info.st_size) {
    void *at =
        mmap(nullptr, size_t(info.st_size), PROT_READ, MAP_SHARED, fd, 0);
    error = at == MAP_FAILED ? errno : 0;
    file.address = error ? nullptr : static_cast<const uint8_t *>(at);
  }
  if (fd >= 0)
    close(fd);
  if (error)
    return openError(path, error);
  if (!S_ISREG(info.st_mode))
    return makeError(ExitCode::BadInput, "{}: expects a regular file", path);
  auto ns = [](const timespec &time) {
    return int64_t(time.tv_sec) * 1000000000 + time.tv_nsec;
  };
  file.size = uint64_t(info.st_size);
  if (Status s = checkStandIn(path, file.text()); !s)
    return s.error();
  file.mtime = ns(info.st_mtim);
  file.ctime = ns(info.st_ctim);
  file.node = info.st_ino;
  return file;
}

MappedFile &MappedFile::operator=(MappedFile &&other) noexcept {
  std::swap(name, other.name);
  std::swap(address, other.address);
  std::swap(size, other.size);
  std::swap(mtime, other.mtime);
  std::swap(ctime, other.ctime);
  std::swap(node, other.node);
  return *this;
}

MappedFile::~MappedFile() {
  if (address)
    munmap(const_cast<uint8_t *>(address), size);
}

Result<std::string> readFile(const std::string &path, uint64_t limit) {
  Result<MappedFile> file = MappedFile::open(path);
  if (!file)
    return file.error();
  if (file->bytes() > limit)
    return makeError(ExitCode::BadInput, "{}: has {} bytes, expects at most {}",
                     path, file->bytes(), limit);
  return std::string(file->text());
}

} // namespace gemmac
