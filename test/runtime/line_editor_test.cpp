// Keys in, the line and the screen out: a small terminal shows what the editor
// prints, which must be prompt and line at any width, wherever the cursor is.
#include "runtime/app/line_editor.h"
#include "runtime/app/unicode.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <random>
#include <string>
#include <vector>

using gm::LineEditor;

namespace {

// A screen that knows what the editor uses: text, line breaks, cursor up and
// right, carriage return, erasing to the end. Wraps as terminals do: late.
class Screen {
public:
  explicit Screen(int columns) : columns(columns) { rows.emplace_back(); }

  void print(std::string_view text) {
    while (!text.empty()) {
      uint32_t code = 0;
      size_t length = size_t(std::max(gm::read_char(text, code), 1));
      std::string_view rest = text.substr(length);
      if (text[0] == '\n') {
        down();
        column = 0;
      } else if (text[0] == '\r') {
        column = 0;
      } else if (text[0] == '\033') {
        size_t end = 2;
        while (!isalpha(static_cast<unsigned char>(text[end])))
          ++end;
        order(text[end], atoi(std::string(text.substr(2, end - 2)).c_str()));
        rest = text.substr(end + 1);
      } else {
        put(std::string(text.substr(0, length)), gm::columns_of(code));
      }
      text = rest;
    }
  }

  std::string text() const {
    std::string out;
    for (const auto &cells : rows) {
      for (const std::string &cell : cells)
        out += cell;
      out += '|';
    }
    return out;
  }
  size_t row = 0;
  int column = 0;

private:
  void down() {
    if (++row == rows.size())
      rows.emplace_back();
  }
  void order(char letter, int n) {
    if (letter == 'A')
      row -= std::min<size_t>(row, size_t(std::max(n, 1)));
    else if (letter == 'C')
      column = std::min(column + std::max(n, 1), columns - 1);
    else if (letter == 'J') {
      rows.resize(row + 1);
      rows[row].resize(std::min<size_t>(rows[row].size(), size_t(column)));
    } else
      ADD_FAILURE() << "unknown order " << letter;
  }
  // A wide character is one cell with text and one that is empty.
  void put(const std::string &character, int width) {
    if (width == 0) {
      rows[row][size_t(column) - 1] += character;
      return;
    }
    if (column + width > columns) {
      down();
      column = 0;
    }
    rows[row].resize(
        std::max<size_t>(rows[row].size(), size_t(column + width)));
    rows[row][size_t(column)] = character;
    if (width == 2)
      rows[row][size_t(column) + 1] = "";
    column += width; // == columns: wraps with the next one
  }

  int columns;
  std::vector<std::vector<std::string>> rows;
};

struct Typed {
  LineEditor editor;
  LineEditor::Key last = LineEditor::Key::More;

  explicit Typed(int columns = 80) { editor.begin("> ", columns); }
  Typed &type(std::string_view keys) {
    for (char key : keys)
      last = editor.push(key);
    return *this;
  }
  std::string line() const { return editor.text(); }
};

constexpr std::string_view LEFT = "\033[D", RIGHT = "\033[C", UP = "\033[A",
                           DOWN = "\033[B", HOME = "\033[H", END = "\033[F",
                           DELETE = "\033[3~", PASTE = "\033[200~",
                           PASTED = "\033[201~";

std::string operator+(std::string_view a, std::string_view b) {
  return std::string(a).append(b);
}

TEST(LineEditor, Editing) {
  EXPECT_EQ(Typed().type("helo" + LEFT + "l").line(), "hello");
  EXPECT_EQ(Typed().type("\u00E4\u4E2Dx" + LEFT + LEFT + "\x7F").line(),
            "\u4E2Dx");
  EXPECT_EQ(Typed().type("ab" + HOME + DELETE + END + "c").line(), "bc");
  EXPECT_EQ(Typed().type("one two  \x17").line(), "one ");
  EXPECT_EQ(Typed().type("one two" + LEFT + LEFT + "\x0B").line(), "one t");
  EXPECT_EQ(Typed().type("one two" + LEFT + "\x15").line(), "o");
  EXPECT_EQ(Typed()
                .type("bc\x01"
                      "a\x05"
                      "d\x02\x02\x06!")
                .line(),
            "abc!d");
  EXPECT_EQ(Typed().type("a\tb").line(), "a\tb");
  EXPECT_EQ(Typed().type("\x7F" + LEFT + DELETE + "x").line(), "x");
  EXPECT_EQ(Typed().type("x\x04").line(), "x"); // nothing behind the cursor
}

TEST(LineEditor, Ends) {
  EXPECT_EQ(Typed().type("x\n").last, LineEditor::Key::Line);
  EXPECT_EQ(Typed().type("x\r").last, LineEditor::Key::Line);
  EXPECT_EQ(Typed().type("\x04").last, LineEditor::Key::End);
  EXPECT_EQ(Typed().type("x\x7F\x04").last, LineEditor::Key::End);
}

// Keys that mean nothing leave nothing behind.
TEST(LineEditor, OtherKeys) {
  for (std::string_view keys : {"\033[15~", "\033OP", "\033[1;5C", "\033[M",
                                "\033x", "\x07\x0C\x1A", "\033[38;5;1m"})
    EXPECT_EQ(Typed().type("a" + keys + "b").line(), "ab") << keys;
}

TEST(LineEditor, PastedLinesAreOneText) {
  Typed t;
  t.type(PASTE + "one\rtwo\n\tthree\033[31m\x03 end\n" + PASTED);
  EXPECT_EQ(t.last, LineEditor::Key::More);
  EXPECT_EQ(t.line(), "one\ntwo\n\tthree end\n");
  t.type("!" + UP + "\n"); // there is no earlier line
  EXPECT_EQ(t.last, LineEditor::Key::Line);
  EXPECT_EQ(t.line(), "one\ntwo\n\tthree end\n!");
}

TEST(LineEditor, LongPaste) {
  std::string text(100000, 'x');
  EXPECT_EQ(Typed().type(PASTE + text + PASTED).line(), text);
}

TEST(LineEditor, TooLongALine) {
  Typed t;
  t.editor.begin("> ", 80, 5);
  t.type(PASTE + "12345\nabc\n" + PASTED);
  EXPECT_EQ(t.line(), "12345\n"); // one more, which says that it is too long
  EXPECT_EQ(t.last, LineEditor::Key::More);
  EXPECT_EQ(t.type("\x7F\x7F!").line(), "1234!");
}

TEST(LineEditor, EarlierLines) {
  Typed t;
  for (std::string line : {"first", "second", "second", ""}) {
    t.type(line + "\n");
    t.editor.begin("> ", 80);
  }
  t.type("typed" + UP);
  EXPECT_EQ(t.line(), "second");
  EXPECT_EQ(t.type(UP).line(), "first");
  EXPECT_EQ(t.type(UP).line(), "first");
  EXPECT_EQ(t.type(DOWN + DOWN).line(), "typed");
  EXPECT_EQ(t.type(DOWN).line(), "typed");
}

// After any keys the screen shows prompt and line, and the cursor stands where
// a screen that only ever got the text before it has it.
TEST(LineEditor, ScreenShowsTheLine) {
  const std::vector<std::string> keys = {"a",
                                         "b",
                                         " ",
                                         "\u00E4",
                                         "\u4E2D",
                                         "\U0001F600",
                                         "e\u0301",
                                         std::string(LEFT),
                                         std::string(RIGHT),
                                         std::string(HOME),
                                         std::string(END),
                                         std::string(DELETE),
                                         "\x7F",
                                         "\x17",
                                         PASTE + "x\ny" + PASTED,
                                         std::string(UP),
                                         std::string(DOWN),
                                         "\x15",
                                         "hello",
                                         "world "};
  for (int columns : {8, 9, 13, 80})
    for (unsigned seed = 0; seed < 40; ++seed) {
      std::mt19937 random(seed);
      Typed typed(columns);
      Screen screen(columns);
      std::string all;
      screen.print(typed.editor.show());
      for (int i = 0; i < 60; ++i) {
        const std::string &key = keys[random() % keys.size()];
        if (key[0] == 'e' && key.size() > 1) // a mark needs its letter
          typed.type("e");
        typed.type(key[0] == 'e' && key.size() == 3 ? key.substr(1) : key);
        screen.print(typed.editor.show());
        Screen fresh(columns);
        fresh.print("> " + typed.line());
        std::string shown = screen.text(), wanted = fresh.text();
        // A line that fills its row is followed by an empty one.
        if (shown != wanted)
          EXPECT_EQ(shown, wanted + "|") << columns << " " << seed << " " << i;
        if (testing::Test::HasFailure())
          return;
      }
      screen.print(typed.editor.leave());
      EXPECT_EQ(screen.column, 0);
      screen.print("X");
      EXPECT_EQ(screen.text().back(), '|');
    }
}

} // namespace
