// The standard output of a program, and what terminals must not be sent. A
// failed write is remembered: who produces text step by step stops at the first
// one, whoever writes all at once learns of it from finish_output.
#pragma once

#include "runtime/gemma.h"

#include <string>
#include <string_view>

namespace gm {

// Writes at once. False if nobody can read any more, or the program is to end:
// then there is no use in going on.
bool write_output(std::string_view text);
// Writes what is left; an error if anything could not be written.
Status finish_output();

// Text of a model on its way to a terminal: control characters but tab and line
// break (C0, DEL, C1) are shown as U+FFFD, so that no text moves the cursor or
// gives the terminal orders. `text` is UTF-8 and holds whole characters.
std::string without_controls(std::string_view text);
// write_output, without_controls if the standard output is a terminal.
bool write_model_text(std::string_view text);

// A word on a terminal at the standard error about what goes on in silence; it
// goes away again. Elsewhere nothing is shown.
class Notice {
public:
  explicit Notice(std::string text) : text(std::move(text)) {}
  Notice(const Notice &) = delete;
  ~Notice() { show(false); }
  void show(bool on);
  void change(std::string to); // and show it

private:
  std::string text;
  bool shown = false;
};

} // namespace gm
