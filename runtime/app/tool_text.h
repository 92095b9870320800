// How the chat protocol writes JSON values and tool declarations: the notation
// with bare keys, sorted fields and <|"|> for quotes. Knows no messages.
#pragma once

#include "runtime/app/prompt.h"

#include <string>
#include <string_view>
#include <vector>

namespace gm {

struct Field;

// A JSON value in a tool's declaration, arguments or result.
struct Value {
  enum Kind { Null, Bool, Integer, Float, String, List, Map };
  Kind kind = Null;
  bool truth = false;
  double number = 0;         // Float
  std::string text;          // String; Integer: its decimal digits
  std::vector<Value> items;  // List
  std::vector<Field> fields; // Map, in given order

  // Field `key` of a Map; nullptr for an absent one and other kinds.
  const Value *find(std::string_view key) const;
};

struct Field {
  std::string key;
  Value value;
};

// Fields of a Map in the order of the protocol: by lower-cased key, equal ones
// as given.
std::vector<const Field *> sorted_fields(const Value &v);

// Appends `value`; `quote_keys`: keys of maps between <|"|> (declarations).
void append_value(const Value &value, bool quote_keys, Prompt &out);

// Appends "declaration:NAME{...}" for a tool given as in OpenAI's API,
// {"type": "function", "function": {...}}.
void append_declaration(const Value &tool, Prompt &out);

} // namespace gm
