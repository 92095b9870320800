// Vocabularies of tests of grammars, and JSON as values.
#pragma once

#include "runtime/app/tool_text.h"
#include "runtime/grammar/vocabulary.h"

#include <nlohmann/json.hpp>

#include <memory>
#include <string>
#include <vector>

// Control tokens, in front of all others.
inline const std::vector<std::string> small_controls = {
    "<eos>", "<q>", "<call>", "</call>", "<channel>", "</channel>"};
enum : int32_t {
  kStopToken,
  kQuoteToken,
  kCallToken,
  kCallEndToken,
  kChannelToken,
  kChannelEndToken
};

// Control tokens, all bytes, and pieces that cross what grammars care about.
inline std::vector<std::string> small_pieces() {
  std::vector<std::string> all = small_controls;
  for (int b = 0; b < 256; ++b)
    all.push_back(std::string(1, char(b)));
  for (const char *piece :
       {"\":",     "\": ",      "\", ",      "\",",      "\"}",     "\"]",
        "\\\"",    "\\u",       "\\n",       "\\ud8",    "3d\\ude", "\\u00e9",
        "{\"",     "[\"",       "[{",        "[[",       "]]",      "}}",
        "}]",      "},{",       "null",      "true",     "false",   "nul",
        "tru",     "12",        "-1",        "1.5",      "00",      "e1",
        ".0",      "  ",        "    ",      "\n",       "\n  ",    "\n    ",
        "{\n  \"", "é",         "日",        "日本",     "😀",      "éa",
        "ab",      "abc",       "name",      "\"name\"", "id",      "a\":",
        "kind",    "value",     "\"a\": ",   "\"b\"",    "cat",     "dog",
        "2024-",   "-01-",      ":00",       "aaaa",     "bbbb",    ", \"",
        ",\n",     "call:",     "thought\n", "type",     "x\"",     "foo",
        "bar",     "\"foo\"",   "\"bar\"",   "0.5",      "{}",      "[]",
        "\"\"",    "{\"a\":1}", "[1,2]",     "city",     ":<"})
    all.push_back(piece);
  return all;
}

inline std::shared_ptr<const gm::grammar::Vocabulary>
vocabulary_of(std::vector<std::string> pieces) {
  const auto count = int64_t(pieces.size());
  return std::make_shared<gm::grammar::Vocabulary>(
      [pieces = std::move(pieces)](int32_t id, std::string &bytes) {
        if (size_t(id) < small_controls.size())
          return false;
        if (size_t(id) < pieces.size())
          bytes += pieces[size_t(id)];
        return true;
      },
      count);
}

inline gm::Value value_of_json(const nlohmann::ordered_json &j) {
  gm::Value v;
  if (j.is_boolean()) {
    v.kind = gm::Value::Bool;
    v.truth = j.get<bool>();
  } else if (j.is_number_integer()) {
    v.kind = gm::Value::Integer;
    v.text = j.dump();
  } else if (j.is_number()) {
    v.kind = gm::Value::Float;
    v.number = j.get<double>();
  } else if (j.is_string()) {
    v.kind = gm::Value::String;
    v.text = j.get<std::string>();
  } else if (j.is_array()) {
    v.kind = gm::Value::List;
    for (auto &item : j)
      v.items.push_back(value_of_json(item));
  } else if (j.is_object()) {
    v.kind = gm::Value::Map;
    for (auto &[key, item] : j.items())
      v.fields.push_back({key, value_of_json(item)});
  }
  return v;
}
