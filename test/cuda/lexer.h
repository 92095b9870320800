// Words, numbers and punctuation of PTX with their lines; comments are spaces.
// Must not know statements or directives.
#pragma once

#include "test/cuda/ptx.h"

namespace cuemu {

class Lexer {
public:
  explicit Lexer(std::string_view text) : text(text) { skip(); }

  bool done() const { return at >= text.size(); }
  char peek() const { return done() ? 0 : text[at]; }
  size_t position() const { return at; }
  int line() const { return lines; }

  /// Takes C when it is next.
  bool eat(char c);
  void want(char c);
  /// A name, directive, opcode with its modifiers, or number; empty when
  /// something else is next.
  std::string word();
  /// Value of a word: an integer, or the bits of 0f... and 0d...
  u64 number(const std::string &word) const;
  std::string quoted();
  void restOfLine();
  /// What stands between BEGIN and here, on one line.
  std::string slice(size_t begin) const;

  [[noreturn]] void fail(const std::string &what) const;

private:
  void skip();

  std::string_view text;
  size_t at = 0;
  int lines = 1;
};

} // namespace cuemu
