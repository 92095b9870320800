// A slot's keys and values in a file, so that what was computed once is not
// computed again by a later process of the same program. Knows the engine and
// files; must not know what the tokens mean.
//
// Little endian: Head, an int32 for each row, the pieces of the local pages
// page by page, those of the global ones, the xxh3 of all that.
#pragma once

#include "runtime/app/output_file.h"
#include "runtime/app/program.h"

#include <memory>
#include <string>
#include <vector>

namespace gm {

// Whether there is a file that a SlotWriter has made.
bool is_slot_file(const std::string &path);

class SlotPieces;

// Writes a slot whose rows are of `ids`. Nothing else may change the slot until
// it is done.
class SlotWriter {
public:
  // Both: the program is started.
  SlotWriter(const Program &program, int32_t slot);
  ~SlotWriter();

  // UNSUPPORTED if an id is none: rows of media are known by numbers of this
  // process alone. RUN_ERROR if the slot has more or fewer rows.
  Status begin(const std::vector<int32_t> &ids, const std::string &path);
  // Some megabytes more; `done`: the file is there.
  Status advance(bool &done);
  uint64_t bytes() const { return written; }

private:
  Status write(const void *data, size_t bytes);

  std::unique_ptr<SlotPieces> pieces;
  OutputFile file;
  uint64_t written = 0;
};

class SlotReader {
public:
  SlotReader(const Program &program, int32_t slot);
  ~SlotReader();

  // BAD_INPUT if the file is no such file, is cut, comes from another program,
  // or holds more than the context.
  Status open(const std::string &path);
  const std::vector<int32_t> &ids() const { return rows; }
  // Makes the slot hold the rows, see slot_allocate. As long as it is not done,
  // what the slot has is undefined; it is empty after a failure.
  Status begin();
  Status advance(bool &done);
  uint64_t bytes() const { return total; }

private:
  Status read(void *data, size_t bytes);
  Status finish();

  std::unique_ptr<SlotPieces> pieces;
  std::vector<int32_t> rows;
  std::string path;
  int64_t first = 0;
  uint64_t total = 0;
  int fd = -1;
};

} // namespace gm
