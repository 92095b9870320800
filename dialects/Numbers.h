// Numbers as text. Must not know any dialect.
#pragma once

#include <algorithm>
#include <charconv>
#include <string>

namespace gemmac {

// The fewest digits that read back as the same double.
inline std::string shortest(double value) {
  char digits[32];
  return {digits, std::to_chars(digits, digits + sizeof digits, value).ptr};
}

// The same with the point that MLIR's lexer wants: 1.0e-06, 16.0.
inline std::string assemblyReal(double value) {
  std::string text = shortest(value);
  if (text.find('.') == std::string::npos)
    text.insert(std::min(text.find('e'), text.size()), ".0");
  return text;
}

} // namespace gemmac
