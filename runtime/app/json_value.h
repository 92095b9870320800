// JSON text <-> Value: what a tool is declared with, called with and answers.
// Numbers keep their digits. Knows JSON's notation only: nothing of the chat
// protocol, of files or of requests.
#pragma once

#include "runtime/app/tool_text.h"
#include "runtime/gemma.h"

#include <cstdint>
#include <string>
#include <string_view>

namespace gm {

// Lists and maps inside each other; more is refused.
constexpr int kMostDepth = 64;
// In one text: a value takes memory that two bytes of text ask for.
constexpr size_t kMostValues = 1 << 20;

// Of a key that stands twice the last value counts, at the first one's place.
// BAD_INPUT, which begins with `called` ("x.json: is"): not JSON, nested more
// than kMostDepth deep, or more than kMostValues. `out` is then unspecified.
Status read_json(std::string_view text, const char *called, Value &out);

// Appends `value` without blanks. A number as it was read, else the shortest
// that reads back; null for what JSON has no number for.
void append_json(const Value &value, std::string &out);
// Appends the inside of a JSON string, without the quotes. What is not UTF-8
// becomes U+FFFD.
void append_json_escaped(std::string_view text, std::string &out);
std::string to_json(const Value &value);

// Whether `text` is a number as JSON spells it, and finite.
bool is_json_number(std::string_view text);

} // namespace gm
