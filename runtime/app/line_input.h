// The turns of a conversation from the standard input: lines, and blocks of
// lines between """ and """. On a terminal with editing (line_editor.h), where
// a paste is one text. Signals end the waiting, not the program.
#pragma once

#include "runtime/app/line_editor.h"
#include "runtime/app/text_input.h"
#include "runtime/gemma.h"

#include <csignal>
#include <string>
#include <termios.h>

namespace gm {

enum class Input { Turn, End, Signal };

class LineInput {
public:
  // Turns of more than `most` bytes are errors.
  explicit LineInput(const InputLimit &most);
  // Prompts if the standard input is a terminal, waits for a turn, which comes
  // without its line break or quotes. Signals must be held; one that comes, or
  // came since they are, gives Input::Signal and drops what was typed.
  Status next(std::string &turn, Input &kind);
  // The cursor stands on a new line after each turn, end and signal.
  bool breaks_lines() const { return edits || !terminal; }

private:
  Status next_line(const char *prompt, std::string &line, Input &kind);
  Status edit(const char *prompt, std::string &line, Input &kind);
  // Reads what comes; false: a signal came.
  Status fill(bool &read);

  Status too_long() const;

  const InputLimit most;
  bool terminal, edits;
  LineEditor editor;
  termios before;     // the terminal's mode
  std::string bytes;  // read but not yet given
  size_t scanned = 0; // no line break before
  bool ended = false;
};

} // namespace gm
