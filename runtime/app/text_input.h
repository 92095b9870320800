// Where the text of run, eval and tokenize comes from: TEXT or -p TEXT, -f
// FILE, else the standard input if that is no terminal; "-" is the standard
// input everywhere. Knows nothing of tokens.
#pragma once

#include "runtime/app/cli.h"

#include <optional>
#include <string>
#include <vector>

namespace gm {

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
  Status read(std::string &bytes, bool joins = false) const;

private:
  std::vector<std::string> positional;
  std::optional<std::string> text, file;
};

// A file's bytes; "-" is the standard input. Larger files than the limit (256
// MiB) are errors, so that no input can take all memory.
Status read_input(const std::string &path, std::string &bytes);
// `path` in quotes, or "the standard input".
std::string name_of_input(const std::string &path);
// USAGE if empty, BAD_INPUT with the byte offset if not UTF-8.
Status check_text(const std::string &text, const std::string &source);
// True if the standard input is a pipe or a file: something that was given.
bool input_is_given();

} // namespace gm
