// Reads the files of a checkpoint folder: whole small files, read-only mappings
// of large ones, and what is said when a path is not what it should be or a
// download left something else there. Must not know what the files contain.
#pragma once

#include "support/Result.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace gemmac {

// FOLDER must be a folder, anything else is BadInput.
Status checkFolder(const std::string &folder);

// True if FOLDER/name is there, whatever it is.
bool hasFile(const std::string &folder, const std::string &name);

// Names of what is in FOLDER, ascending; none if it cannot be listed.
std::vector<std::string> fileNames(const std::string &folder);

std::string joinPath(const std::string &folder, const std::string &name);

// A file mapped read-only. Movable; the address stays.
class MappedFile {
public:
  // Only regular files, no git-lfs pointers; an empty file is an empty mapping.
  static Result<MappedFile> open(const std::string &path);

  MappedFile() = default;
  MappedFile(MappedFile &&other) noexcept { *this = std::move(other); }
  MappedFile &operator=(MappedFile &&other) noexcept;
  ~MappedFile();

  const std::string &path() const { return name; }
  const uint8_t *data() const { return address; }
  uint64_t bytes() const { return size; }
  int64_t mtimeNs() const { return mtime; } // when its contents changed
  int64_t ctimeNs() const { return ctime; } // or its name, rights or times
  uint64_t inode() const { return node; }
  std::string_view text() const {
    return {reinterpret_cast<const char *>(address), size};
  }

private:
  std::string name;
  const uint8_t *address = nullptr;
  uint64_t size = 0;
  int64_t mtime = 0, ctime = 0;
  uint64_t node = 0;
};

// The text of a file of at most `limit` bytes.
Result<std::string> readFile(const std::string &path, uint64_t limit);

} // namespace gemmac
