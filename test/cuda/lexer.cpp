// Words, numbers and punctuation of PTX with their lines; comments are spaces.
#include "test/cuda/lexer.h"

#include "runtime/cuda/driver_api.h"

#include <cctype>
#include <cstring>

namespace cuemu {

int typeBytes(std::string_view t) {
  if (t == "pred")
    return 0;
  for (auto [name, bytes] :
       {std::pair{"8", 1}, {"16", 2}, {"32", 4}, {"64", 8}, {"128", 16}})
    for (const char *kind : {"b", "u", "s", "f", "bf"})
      if (t.starts_with(kind) && t.substr(strlen(kind)) == name)
        return bytes;
  return t == "f16x2" || t == "bf16x2" ? 4 : -1;
}

void Lexer::skip() {
  while (at < text.size()) {
    if (text[at] == '\n') {
      ++lines, ++at;
    } else if (isspace(u8(text[at]))) {
      ++at;
    } else if (text.substr(at, 2) == "//") {
      while (at < text.size() && text[at] != '\n')
        ++at;
    } else if (text.substr(at, 2) == "/*") {
      size_t end = text.find("*/", at + 2);
      end = end == text.npos ? text.size() : end + 2;
      for (; at < end; ++at)
        lines += text[at] == '\n';
    } else {
      break;
    }
  }
}

bool Lexer::eat(char c) {
  if (peek() != c || done())
    return false;
  ++at;
  skip();
  return true;
}

void Lexer::want(char c) {
  if (!eat(c))
    fail(std::string("expects '") + c + "'");
}

std::string Lexer::word() {
  size_t begin = at;
  while (at < text.size()) {
    char c = text[at];
    if (isalnum(u8(c)) || c == '_' || c == '$' || c == '%' || c == '.')
      ++at;
    else if (text.substr(at, 2) == "::")
      at += 2;
    else
      break;
  }
  std::string result(text.substr(begin, at - begin));
  skip();
  return result;
}

u64 Lexer::number(const std::string &word) const {
  std::string w = word;
  size_t used = 0;
  try {
    if (w.size() == 10 && w[0] == '0' && (w[1] == 'f' || w[1] == 'F'))
      return std::stoul(w.substr(2), &used, 16);
    if (w.size() == 18 && w[0] == '0' && (w[1] == 'd' || w[1] == 'D'))
      return std::stoull(w.substr(2), &used, 16);
    if (w.ends_with('U'))
      w.pop_back();
    if (w.starts_with("0b"))
      return std::stoull(w.substr(2), &used, 2);
    u64 value = std::stoull(w, &used, 0);
    if (used != w.size())
      fail("expects a number instead of '" + word + "'");
    return value;
  } catch (std::logic_error &) {
    fail("expects a number instead of '" + word + "'");
  }
}

std::string Lexer::quoted() {
  if (peek() != '"')
    fail("expects a string");
  size_t end = text.find('"', at + 1);
  if (end == text.npos)
    fail("expects the end of a string");
  std::string result(text.substr(at + 1, end - at - 1));
  at = end + 1;
  skip();
  return result;
}

void Lexer::restOfLine() {
  while (at < text.size() && text[at] != '\n')
    ++at;
  skip();
}

std::string Lexer::slice(size_t begin) const {
  std::string result;
  for (char c : text.substr(begin, at - begin)) {
    if (!isspace(u8(c)))
      result += c;
    else if (!result.empty() && result.back() != ' ')
      result += ' ';
  }
  while (!result.empty() && result.back() == ' ')
    result.pop_back();
  return result;
}

void Lexer::fail(const std::string &what) const {
  std::string_view rest = text.substr(at, 60);
  rest = rest.substr(0, rest.find('\n'));
  throw Fault(CUDA_ERROR_INVALID_PTX, "line " + std::to_string(lines) + ": " +
                                          what + ", got '" + std::string(rest) +
                                          "'");
}

} // namespace cuemu
