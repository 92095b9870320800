// See line_editor.h.
#include "runtime/app/line_editor.h"
#include "runtime/app/unicode.h"

#include <algorithm>

namespace gm {

int columns_of(uint32_t code) {
  struct Range {
    uint32_t first, last;
  };
  constexpr Range none[] = {
      {0x300, 0x36F},   {0x483, 0x489},   {0x591, 0x5BD},   {0x610, 0x61A},
      {0x64B, 0x65F},   {0x1AB0, 0x1AFF}, {0x1DC0, 0x1DFF}, {0x200B, 0x200F},
      {0x20D0, 0x20FF}, {0xFE00, 0xFE0F}, {0xFE20, 0xFE2F}, {0xFEFF, 0xFEFF}};
  constexpr Range two[] = {
      {0x1100, 0x115F},   {0x2E80, 0x303E},   {0x3041, 0xA4CF},
      {0xA960, 0xA97F},   {0xAC00, 0xD7A3},   {0xF900, 0xFAFF},
      {0xFE30, 0xFE6F},   {0xFF00, 0xFF60},   {0xFFE0, 0xFFE6},
      {0x1F300, 0x1F64F}, {0x1F680, 0x1F6FF}, {0x1F900, 0x1FAFF},
      {0x20000, 0x3FFFD}};
  auto in = [&](const auto &ranges) {
    return std::any_of(std::begin(ranges), std::end(ranges), [&](Range r) {
      return code >= r.first && code <= r.last;
    });
  };
  return in(none) ? 0 : in(two) ? 2 : 1;
}

//===- places -------------------------------------------------------------===//

LineEditor::Place LineEditor::place(size_t bytes) const {
  Place at;
  auto walk = [&](std::string_view text) {
    while (!text.empty()) {
      uint32_t code = 0;
      int length = std::max(read_char(text, code), 1);
      if (text[0] == '\n') {
        at = {at.row + 1, 0, false};
      } else {
        int width = text[0] == '\t' ? 8 - at.column % 8 : columns_of(code);
        if (at.column + width > columns) // does not fit at the end of a row
          at = {at.row + 1, 0, false};
        at.column += width;
        at.wrapped = false;
        if (at.column >= columns)
          at = {at.row + 1, 0, true};
      }
      text.remove_prefix(std::min<size_t>(length, text.size()));
    }
  };
  walk(prompt);
  walk(std::string_view(line).substr(0, bytes));
  return at;
}

static bool continues(char byte) { return (byte & 0xC0) == 0x80; }

size_t LineEditor::before(size_t at) const {
  while (at && continues(line[--at])) {
  }
  return at;
}

size_t LineEditor::after(size_t at) const {
  if (at < line.size())
    ++at;
  while (at < line.size() && continues(line[at]))
    ++at;
  return at;
}

//===- keys ---------------------------------------------------------------===//

void LineEditor::begin(std::string_view with, int width, size_t limit) {
  prompt = with;
  columns = std::max(width, 8);
  most = limit;
  line.clear();
  pending.clear();
  cursor = 0;
  shown_row = 0;
  pasting = false;
  recalled = history.size();
}

void LineEditor::insert(char byte) {
  if (line.size() <= most)
    line.insert(cursor++, 1, byte);
}

void LineEditor::erase(size_t from, size_t to) {
  line.erase(from, to - from);
  cursor = from;
}

void LineEditor::recall(int step) {
  if (recalled == history.size())
    unsent = line;
  if (step < 0 ? recalled == 0 : recalled == history.size())
    return;
  recalled += step;
  line = recalled == history.size() ? unsent : history[recalled];
  cursor = line.size();
}

LineEditor::Key LineEditor::push(char byte) {
  unsigned char c = byte;
  if (!pending.empty())
    return escape(c), Key::More;
  if (c == 0x1B)
    return pending = byte, Key::More;
  if (pasting && c == '\r')
    c = '\n';
  if ((pasting && (c == '\n' || c == '\t')) || (c >= 0x20 && c != 0x7F))
    return insert(char(c)), Key::More;
  return pasting ? Key::More : control(c);
}

LineEditor::Key LineEditor::control(unsigned char c) {
  auto key = [](char letter) { return letter & 0x1F; };
  if (c == '\n' || c == '\r') {
    if (!line.empty() && (history.empty() || history.back() != line))
      history.push_back(line);
    cursor = line.size();
    return Key::Line;
  }
  if (c == key('D') && line.empty())
    return Key::End;
  if (c == 0x7F || c == key('H')) {
    erase(before(cursor), cursor);
  } else if (c == key('D')) {
    erase(cursor, after(cursor));
  } else if (c == key('A')) {
    cursor = 0;
  } else if (c == key('E')) {
    cursor = line.size();
  } else if (c == key('B')) {
    cursor = before(cursor);
  } else if (c == key('F')) {
    cursor = after(cursor);
  } else if (c == key('P') || c == key('N')) {
    recall(c == key('P') ? -1 : 1);
  } else if (c == key('U')) {
    erase(0, cursor);
  } else if (c == key('K')) {
    line.erase(cursor);
  } else if (c == key('W')) {
    size_t from = cursor;
    while (from && line[from - 1] == ' ')
      --from;
    while (from && line[from - 1] != ' ' && line[from - 1] != '\n')
      --from;
    erase(from, cursor);
  } else if (c == '\t') {
    insert('\t');
  }
  return Key::More;
}

// ESC [ parameters letter, or ESC O letter. Others are dropped.
void LineEditor::escape(unsigned char c) {
  bool introducer = pending.size() == 1 && (c == '[' || c == 'O');
  bool parameter =
      pending.size() > 1 && pending[1] == '[' && c >= 0x20 && c < 0x40;
  if (introducer || (parameter && pending.size() < 32)) {
    pending += char(c);
    return;
  }
  if (pending.size() > 1 && c >= 0x40 && c < 0x7F)
    sequence(char(c));
  pending.clear();
}

void LineEditor::sequence(char last) {
  std::string_view number = std::string_view(pending).substr(2);
  if (pasting) {
    pasting = !(last == '~' && number == "201");
    return;
  }
  switch (last) {
  case 'A':
    return recall(-1);
  case 'B':
    return recall(1);
  case 'C':
    cursor = after(cursor);
    return;
  case 'D':
    cursor = before(cursor);
    return;
  case 'H':
    cursor = 0;
    return;
  case 'F':
    cursor = line.size();
    return;
  case '~':
    break;
  default:
    return;
  }
  if (number == "200")
    pasting = true;
  else if (number == "1" || number == "7")
    cursor = 0;
  else if (number == "4" || number == "8")
    cursor = line.size();
  else if (number == "3")
    erase(cursor, after(cursor));
}

//===- the screen ---------------------------------------------------------===//

std::string LineEditor::show() {
  auto move = [](int n, char direction) {
    return n > 0 ? "\033[" + std::to_string(n) + direction : std::string();
  };
  std::string out = move(shown_row, 'A') + "\r\033[J" + prompt + line;
  Place end = place(line.size()), at = place(cursor);
  if (end.wrapped) // the terminal waits for one more character before it wraps
    out += '\n';
  out += move(end.row - at.row, 'A');
  if (end.row != at.row || end.column != at.column)
    out += '\r' + move(at.column, 'C');
  shown_row = at.row;
  return out;
}

std::string LineEditor::leave() {
  cursor = line.size();
  std::string out = show();
  return place(line.size()).wrapped ? out : out + '\n';
}

} // namespace gm
