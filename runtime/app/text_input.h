// Where the text of run, eval and tokenize comes from: TEXT or -p TEXT, -f
// FILE, else the standard input if that is no terminal; "-" is the standard
// input everywhere. Knows nothing of tokens.
#pragma once

#include "runtime/app/cli.h"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gm {

// How much of a text is read: no input can take memory beyond the plan.
struct InputLimit {
  size_t bytes = 256u << 20;
  // More bytes are more tokens than the context, which holds so many; 0: the
  // limit is only that of this program.
  int64_t tokens = 0;
};

class TextInput {
public:
  // The positional argument and the flags -p and -f; `what` says which text.
  Positional argument(const char *what);
  std::vector<Flag> flags(const char *what);

  // Settles on one source after parsing. `others`: flags of the command that
  // are sources too, and how many of them are given. USAGE unless exactly one
  // is given.
  Status settle(const char *command, const char *others = "", int given = 0);
  bool has_text() const { return text || file; }
  bool is_standard_input() const { return file == "-"; }
  // After settle: where the text is, and what messages call it.
  const std::optional<std::string> &path() const { return file; }
  const std::string &given() const { return *text; } // if there is no path
  std::string name() const;

  // The text, checked to be UTF-8 and not empty. `joins`: text in a pipe that
  // comes besides TEXT follows it after an empty line.
  Status read(std::string &bytes, const InputLimit &limit,
              bool joins = false) const;

private:
  std::vector<std::string> positional;
  std::optional<std::string> text, file;
};

// The bytes of a file, of the standard input ("-") or of a text, in pieces of
// bounded size.
class ByteReader {
public:
  ByteReader() = default;
  ByteReader(const ByteReader &) = delete;
  ~ByteReader();

  Status open(const std::string &path);
  void open_text(const std::string &text); // which stays where it is
  // The next bytes, valid until the next call; empty at the end. A signal that
  // is watched ends the waiting: RUN_ERROR.
  Status next(std::string_view &piece);
  // Whether it can be read again, from where it was opened on.
  bool is_lasting() const { return text || start >= 0; }
  Status rewind();

private:
  Status cannot(int problem) const;

  std::string path;
  const std::string *text = nullptr;
  int fd = -1;
  int64_t start = -1; // in a plain file
  size_t given = 0;   // of the text
  std::unique_ptr<char[]> buffer;
};

// A file's bytes; "-" is the standard input. More than the limit is an error.
Status read_input(const std::string &path, std::string &bytes,
                  const InputLimit &limit = {});
// The error of an input that has more than the limit.
Status too_large(const std::string &path, const InputLimit &limit);
// Gives the bytes of a file to `take` piece by piece, until it fails.
Status read_pieces(const std::string &path,
                   const std::function<Status(std::string_view)> &take);
// `path` in quotes, or "the standard input".
std::string name_of_input(const std::string &path);
// USAGE if empty, BAD_INPUT with the byte offset if not UTF-8.
Status check_text(const std::string &text, const std::string &source);
// BAD_INPUT that names the byte `bad` at `offset` of an input.
Status not_utf8(const std::string &source, unsigned char bad, uint64_t offset);
// True if the standard input is a pipe or a file: something that was given.
bool input_is_given();

} // namespace gm
