// Numbers as text.
#pragma once

#include <algorithm>
#include <charconv>
#include <string>

namespace gemmac {

// The fewest digits that read back as the same float or double.
template <typename Real>
std::string shortest(Real value) {
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
