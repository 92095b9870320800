// Where an output goes: what stands at the path that the user named, and a file
// that gets that name when it is complete. Must not know what is written.
#pragma once

#include "support/Result.h"

#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/Support/raw_ostream.h"

#include <cstdint>
#include <fcntl.h>
#include <string>

namespace gemmac {

// What stands at a path, links followed.
struct Destination {
  enum class Kind {
    File, // a regular file, or nothing yet
    Folder,
    Null,   // the device that discards
    Special // another device, a pipe, a socket: never replaced by a file
  };
  Kind kind = Kind::File;
  std::string path; // of a File: the one that links lead to, never "-x"

  static Destination of(const std::string &named);
};

// "cannot create 'NAMED': No space left on device; ..."
Error cannotWrite(const char *what, const std::string &named, int error);

// A name beside `final` that nobody can have foreseen, not even another gemmac
// of the same process id in another container.
std::string temporaryName(const std::string &final);

// All of it; false and errno if the file system refuses.
bool writeAt(int fd, const void *data, size_t bytes, uint64_t offset);

// A file under a temporary name beside its final one; removed unless kept, also
// when a signal ends the process. Messages name the final one.
class TemporaryFile {
public:
  // `extra`: part of the temporary name, for a second file beside one output.
  explicit TemporaryFile(std::string final, const char *extra = "");
  ~TemporaryFile();
  TemporaryFile(const TemporaryFile &) = delete;

  // Creates the file, where nothing stands yet. What others may do with it is
  // the umask's business.
  Status create(unsigned mode) { return open(O_CREAT | O_EXCL, mode); }
  // Opens it after closeFile, or after somebody else created it.
  Status reopen() { return open(0, 0); }
  // From here on everything written is discarded.
  Status discard();
  Status append(const void *data, size_t bytes); // moves `end`
  Status closeFile();
  // Closes the file, complete on the disk, and gives it its final name.
  Status keep();

  const std::string final;
  std::string path; // the temporary name; empty once kept
  int fd = -1;
  uint64_t end = 0; // where append writes

private:
  Status open(int flags, unsigned mode);
};

// Text to the file `named` ("-" or nothing: standard output) under a temporary
// name that is then renamed; straight into what is no regular file.
Status writeText(const std::string &named,
                 llvm::function_ref<void(llvm::raw_ostream &)> write);

} // namespace gemmac
