// Where the text of run, eval and tokenize comes from: TEXT or -p TEXT, -f
// FILE, else the standard input if that is no terminal; "-" is the standard
// input everywhere. Knows nothing of tokens.
#pragma once

#include "runtime/app/cli.h"

#include <functional>
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

  // The text, checked to be UTF-8 and not empty. `joins`: text in a pipe that
  // comes besides TEXT follows it after an empty line.
  Status read(std::string &bytes, const InputLimit &limit,
              bool joins = false) const;

private:
  std::vector<std::string> positional;
  std::optional<std::string> text, file;
};

// A file's bytes; "-" is the standard input. More than the limit is an error.
Status read_input(const std::string &path, std::string &bytes,
                  const InputLimit &limit = {});
// Gives the bytes of a file to `take` piece by piece, until it fails.
Status read_pieces(const std::string &path,
                   const std::function<Status(std::string_view)> &take);
// `path` in quotes, or "the standard input".
std::string name_of_input(const std::string &path);
// USAGE if empty, BAD_INPUT with the byte offset if not UTF-8.
Status check_text(const std::string &text, const std::string &source);
// True if the standard input is a pipe or a file: something that was given.
bool input_is_given();

} // namespace gm
