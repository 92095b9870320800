// The little of Unicode that the program needs: reading UTF-8, white space and
// lower case as Python has them (the chat template is written for Python).
// Knows no tokens.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace gm {

// The character at the start of `text`, which is not empty: its length in bytes
// and `code`; 0 if `text` is a proper beginning of a character, -1 if it does
// not start with UTF-8 (overlong forms, surrogates and code points above
// U+10FFFF are none).
int read_char(std::string_view text, uint32_t &code);

// Appends a code point, which is none of a surrogate.
void append_char(uint32_t code, std::string &out);

// Byte offset of the first thing in `text` that is not UTF-8; text.size() if
// none.
size_t first_bad_utf8(std::string_view text);

// What a hexadecimal digit of either case is worth; -1 for anything else.
inline int hex_digit(char c) {
  return c >= '0' && c <= '9'   ? c - '0'
         : c >= 'a' && c <= 'f' ? c - 'a' + 10
         : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                : -1;
}

// Without white space (Python's str.strip) at both ends.
std::string_view trim(std::string_view text);

// Bytes of white space (\s of Unicode's regular expressions) at the start, or
// the end, of `text`.
size_t white_at_start(std::string_view text);
size_t white_at_end(std::string_view text);
// Whether a word character (\w: letters, marks, digits, joiners) is there.
bool starts_with_word(std::string_view text);
bool ends_with_word(std::string_view text);

// Lower case of every character by itself (Python's str.lower but for the final
// sigma rule).
std::string lower(std::string_view text);

} // namespace gm
