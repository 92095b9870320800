// See tool_text.h. Mirrors the template of 2026-07-09 with its oddities, which
// the model was trained on: what a field that is absent, of another type or
// unknown prints is part of the format.
#include "runtime/app/tool_text.h"

#include "runtime/app/unicode.h"

#include <algorithm>
#include <charconv>

namespace gm {
namespace {

constexpr std::string_view kQuote = "<|\"|>";

void append_quoted(std::string_view text, Prompt &out) {
  (out.control(kQuote) += text).control(kQuote);
}

// What Python calls true; an absent field is false.
bool is_true(const Value *v) {
  if (!v)
    return false;
  switch (v->kind) {
  case Value::Null:
    return false;
  case Value::Bool:
    return v->truth;
  case Value::Integer:
    return v->text != "0" && v->text != "-0";
  case Value::Float:
    return v->number != 0;
  case Value::String:
    return !v->text.empty();
  case Value::List:
    return !v->items.empty();
  case Value::Map:
    return !v->fields.empty();
  }
  return false;
}

bool is_map(const Value *v) { return v && v->kind == Value::Map; }

// A float as Python's repr: shortest digits that read back, exponent form
// below 1e-4 and from 1e16.
void append_float(double number, std::string &out) {
  char buffer[40];
  auto end = std::to_chars(buffer, buffer + sizeof buffer, number,
                           std::chars_format::scientific)
                 .ptr;
  std::string_view text(buffer, end - buffer);
  size_t e = text.find('e');
  if (e == text.npos) { // inf, nan
    out += text;
    return;
  }
  bool negative = text[0] == '-';
  std::string digits;
  for (char c : text.substr(negative, e - negative))
    if (c != '.')
      digits += c;
  int exponent = 0;
  size_t from = e + (text[e + 1] == '+' ? 2 : 1);
  std::from_chars(text.data() + from, text.data() + text.size(), exponent);

  if (negative)
    out += '-';
  int count = static_cast<int>(digits.size());
  if (exponent < -4 || exponent >= 16) {
    out += digits[0];
    if (count > 1)
      (out += '.').append(digits, 1);
    int size = std::abs(exponent);
    out += exponent < 0 ? "e-" : "e+";
    if (size < 10)
      out += '0';
    out += std::to_string(size);
  } else if (exponent < 0) {
    ((out += "0.").append(-exponent - 1, '0')) += digits;
  } else if (exponent + 1 >= count) {
    (out += digits).append(exponent + 1 - count, '0') += ".0";
  } else {
    out.append(digits, 0, exponent + 1);
    (out += '.').append(digits, exponent + 1);
  }
}

void append_python(const Value &v, bool nested, std::string &out);

// Python's repr of a text without control characters.
void append_repr(std::string_view text, std::string &out) {
  bool twice = text.find('\'') != text.npos && text.find('"') == text.npos;
  char quote = twice ? '"' : '\'';
  out += quote;
  for (char c : text) {
    if (c == quote || c == '\\')
      (out += '\\') += c;
    else if (c == '\n')
      out += "\\n";
    else if (c == '\t')
      out += "\\t";
    else if (c == '\r')
      out += "\\r";
    else
      out += c;
  }
  out += quote;
}

// A value as Python's str prints it (repr when nested): what the template
// writes where it expects a text and gets something else.
void append_python(const Value &v, bool nested, std::string &out) {
  bool first = true;
  switch (v.kind) {
  case Value::Null:
    out += "None";
    return;
  case Value::Bool:
    out += v.truth ? "True" : "False";
    return;
  case Value::Integer:
    out += v.text;
    return;
  case Value::Float:
    append_float(v.number, out);
    return;
  case Value::String:
    if (nested)
      append_repr(v.text, out);
    else
      out += v.text;
    return;
  case Value::List:
    out += '[';
    for (const Value &item : v.items) {
      out += first ? "" : ", ";
      append_python(item, true, out);
      first = false;
    }
    out += ']';
    return;
  case Value::Map:
    out += '{';
    for (const auto &[key, value] : v.fields) {
      out += first ? "" : ", ";
      append_repr(key, out);
      out += ": ";
      append_python(value, true, out);
      first = false;
    }
    out += '}';
    return;
  }
}

std::string as_text(const Value *v) {
  std::string out;
  if (v)
    append_python(*v, false, out);
  return out;
}

// Names of types are ASCII.
std::string upper(std::string text) {
  for (char &c : text)
    if (c >= 'a' && c <= 'z')
      c -= 'a' - 'A';
  return text;
}

void append_list(const Value &list, Prompt &out) {
  out += '[';
  for (size_t i = 0; i < list.items.size(); ++i) {
    out += i ? "," : "";
    append_quoted(as_text(&list.items[i]), out);
  }
  out += ']';
}

// Writes a comma before every element but the first.
class Commas {
public:
  explicit Commas(Prompt &out) : out(out) {}
  Prompt &next() {
    if (any)
      out += ',';
    any = true;
    return out;
  }

private:
  Prompt &out;
  bool any = false;
};

void append_properties(const Value &properties, bool skip_standard,
                       Prompt &out);

// The description of an ARRAY's elements.
void append_items(const Value &items, Prompt &out) {
  Commas commas(out);
  for (const auto *field : sorted_fields(items)) {
    const auto &[key, value] = *field;
    if (value.kind == Value::Null)
      continue;
    (commas.next() += key) += ':';
    if (key == "properties") {
      out += '{';
      if (is_map(&value))
        append_properties(value, false, out);
      out += '}';
    } else if (key == "required") {
      append_list(value, out);
    } else if (key == "type" && value.kind == Value::String) {
      append_quoted(upper(value.text), out);
    } else if (key == "type") {
      Value types;
      types.kind = Value::List;
      for (const Value &item : value.items) {
        types.items.emplace_back().kind = Value::String;
        types.items.back().text = upper(as_text(&item));
      }
      append_list(types, out);
    } else {
      append_value(value, true, out);
    }
  }
}

// One parameter: its fields in the protocol's order, the type last.
void append_property(const Value &property, Prompt &out) {
  Commas commas(out);
  std::string type = upper(as_text(property.find("type")));
  const Value *inner = property.find("properties");
  if (const Value *text = property.find("description"); is_true(text))
    append_quoted(as_text(text), commas.next() += "description:");
  if (const Value *values = property.find("enum");
      type == "STRING" && is_true(values))
    append_value(*values, true, commas.next() += "enum:");
  if (const Value *items = property.find("items");
      type == "ARRAY" && is_map(items) && is_true(items)) {
    append_items(*items, commas.next() += "items:{");
    out += '}';
  }
  if (is_true(property.find("nullable")))
    commas.next() += "nullable:true";
  if (type == "OBJECT") {
    // Without `properties`, unknown keys of the schema count as such.
    commas.next() += "properties:{";
    append_properties(is_map(inner) ? *inner : property, !is_map(inner), out);
    out += '}';
    if (const Value *required = property.find("required"); is_true(required))
      append_list(*required, commas.next() += "required:");
  }
  append_quoted(type, commas.next() += "type:");
}

void append_properties(const Value &properties, bool skip_standard,
                       Prompt &out) {
  constexpr std::string_view standard[] = {"description", "type", "properties",
                                           "required", "nullable"};
  Commas commas(out);
  for (const auto *field : sorted_fields(properties)) {
    const auto &[key, value] = *field;
    if (skip_standard && std::find(std::begin(standard), std::end(standard),
                                   key) != std::end(standard))
      continue;
    (commas.next() += key) += ":{";
    append_property(value, out);
    out += '}';
  }
}

} // namespace

const Value *Value::find(std::string_view key) const {
  for (const auto &[name, value] : fields)
    if (name == key)
      return &value;
  return nullptr;
}

std::vector<const Field *> sorted_fields(const Value &v) {
  struct Entry {
    std::string name;
    const Field *field; // fields lie in one array: address = given order
    bool operator<(const Entry &other) const {
      return name != other.name ? name < other.name : field < other.field;
    }
  };
  std::vector<Entry> entries;
  for (const Field &field : v.fields)
    entries.push_back({lower(field.key), &field});
  std::sort(entries.begin(), entries.end()); // UTF-8 sorts as code points
  std::vector<const Field *> out;
  for (const Entry &entry : entries)
    out.push_back(entry.field);
  return out;
}

void append_value(const Value &value, bool quote_keys, Prompt &out) {
  Commas commas(out);
  switch (value.kind) {
  case Value::Null:
    out += "null";
    return;
  case Value::Bool:
    out += value.truth ? "true" : "false";
    return;
  case Value::Integer:
  case Value::Float:
    out += as_text(&value);
    return;
  case Value::String:
    append_quoted(value.text, out);
    return;
  case Value::List:
    out += '[';
    for (const Value &item : value.items)
      append_value(item, quote_keys, commas.next());
    out += ']';
    return;
  case Value::Map:
    out += '{';
    for (const auto *field : sorted_fields(value)) {
      commas.next();
      if (quote_keys)
        append_quoted(field->key, out);
      else
        out += field->key;
      append_value(field->value, quote_keys, out += ':');
    }
    out += '}';
    return;
  }
}

void append_declaration(const Value &tool, Prompt &out) {
  static const Value none;
  const Value *found = tool.find("function");
  const Value &function = found ? *found : none;
  ((out += "declaration:") += as_text(function.find("name"))) +=
      "{description:";
  append_quoted(as_text(function.find("description")), out);
  if (const Value *params = function.find("parameters"); is_true(params)) {
    out += ",parameters:{";
    if (const Value *inner = params->find("properties"); is_true(inner)) {
      append_properties(*inner, false, out += "properties:{");
      out += "},";
    }
    if (const Value *required = params->find("required"); is_true(required)) {
      append_list(*required, out += "required:");
      out += ',';
    }
    if (const Value *type = params->find("type"); is_true(type)) {
      append_quoted(upper(as_text(type)), out += "type:");
      out += '}'; // parameters without a type stay open
    }
  }
  if (const Value *response = function.find("response")) {
    out += ",response:{";
    if (const Value *text = response->find("description"); is_true(text)) {
      append_quoted(as_text(text), out += "description:");
      out += ',';
    }
    std::string type = upper(as_text(response->find("type")));
    if (type == "OBJECT") {
      append_quoted(type, out += "type:");
      out += '}';
    }
  }
  out += '}';
}

} // namespace gm
