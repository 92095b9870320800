// Reads JSON texts that nobody vouches for: bounded depth and size, duplicate
// keys refused, every error with its byte offset, time and memory linear in the
// text. Used for every JSON file of a checkpoint, and its values for the
// metadata of GGUF files. Must not know what the texts mean.
#pragma once

#include "support/Result.h"

#include <nlohmann/json_fwd.hpp>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace gemmac {

// Integers are those that int64 holds; others are floating point numbers. What
// Python reads beyond JSON: NaN and the infinities, which numbers that no
// double holds are too, are the strings of that name; half a surrogate pair is
// U+FFFD.
using Json = nlohmann::json;

constexpr int jsonDepth = 64;               // deepest nesting that is accepted
constexpr int64_t jsonKeys = 1000000;       // most keys in all objects together
constexpr int64_t jsonValues = 500000;      // most values of a small file
constexpr int64_t mostJsonValues = 4000000; // of a table with a row per token

// The document in `text`; `name` is how messages call the file and `offset`
// where the text starts in it.
Result<Json> parseJson(std::string_view text, const std::string &name,
                       int64_t values = jsonValues, uint64_t offset = 0);

// The numbers of those names in the object `text`, each at least `low`. One
// that is missing is an error.
Result<std::vector<double>>
readNumbers(std::string_view text, const std::string &name,
            std::initializer_list<const char *> keys, double low);

// The value of `key`; one that is_discarded() if there is none or `value` is no
// object.
const Json &member(const Json &value, std::string_view key);
// Neither discarded nor null.
bool isGiven(const Json &value);
// `value` is the string `text`.
bool isText(const Json &value, std::string_view text);

// The value as a message shows it: 12, "text", true, an array of 3, nothing.
std::string shown(const Json &value);
// A number in the shortest form that tells it apart at six digits.
std::string shown(double value);

// A name from a file in quotes, safe to print: control characters, quotes and
// invalid bytes escaped, cut after 120 bytes. Call it qualified: std::quoted is
// found by argument-dependent lookup.
std::string quoted(std::string_view name);

// "[128, 96]"
template <typename Sizes>
std::string shapeText(const Sizes &sizes) {
  std::string text;
  for (int64_t size : sizes)
    text += (text.empty() ? "" : ", ") + std::to_string(size);
  return "[" + text + "]";
}

} // namespace gemmac
