// A line as it is typed on a terminal: bytes of keys in, the text and what to
// print in order to show it out. Moving (arrows, Home, End, Ctrl-A, Ctrl-E),
// deleting (Backspace, Delete, Ctrl-U, Ctrl-K, Ctrl-W), earlier lines (arrows
// up and down), and pasted text as it is, line breaks included (bracketed
// paste). Knows no terminal: the caller sets its mode and prints.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace gm {

class LineEditor {
public:
  enum class Key { More, Line, End };

  // What a terminal has to be sent to tell pasted text from keys, and back.
  static constexpr std::string_view ON = "\033[?2004h", OFF = "\033[?2004l";

  // Begins an empty line after `prompt`; `columns` of the terminal. What is
  // typed behind `most` bytes and one more is dropped.
  void begin(std::string_view prompt, int columns, size_t most = SIZE_MAX - 1);
  // Takes a byte. Line: the line is complete, text() is it. End: Ctrl-D.
  Key push(char byte);
  // What to print so that the terminal shows the line and the cursor.
  std::string show();
  // What to print behind a complete or given up line.
  std::string leave();

  const std::string &text() const { return line; }

private:
  struct Place {
    int row = 0, column = 0;
    bool wrapped = false; // the last character filled a row
  };
  Place place(size_t bytes) const; // behind the prompt and so many bytes
  size_t before(size_t at) const, after(size_t at) const; // one character
  Key control(unsigned char byte);
  void escape(unsigned char byte);
  void sequence(char last);
  void insert(char byte);
  void erase(size_t from, size_t to);
  void recall(int step);

  std::string line, prompt;
  size_t cursor = 0; // bytes
  int columns = 80;
  size_t most = SIZE_MAX - 1;
  int shown_row = 0; // of the cursor, as shown last
  bool pasting = false;
  std::string pending; // an escape sequence that is not complete
  std::vector<std::string> history;
  size_t recalled = 0; // in history; its size: none
  std::string unsent;  // what was typed before lines were recalled
};

// Columns that a character takes on a terminal: 0, 1 or 2.
int columns_of(uint32_t code);

} // namespace gm
