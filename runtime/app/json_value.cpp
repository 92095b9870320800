// See json_value.h. The one file of the runtime that knows nlohmann's library.
#include "runtime/app/json_value.h"
#include "runtime/app/unicode.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>

namespace gm {
namespace {

// Takes what the parser finds, without a tree of its own in between.
class Builder : public nlohmann::json_sax<nlohmann::json> {
public:
  explicit Builder(Value &root) : root(root) {}
  bool deep = false, many = false;

  bool null() override { return place(), !many; }
  bool boolean(bool truth) override {
    Value &v = place();
    v.kind = Value::Bool;
    v.truth = truth;
    return !many;
  }
  bool number_integer(int64_t number) override {
    return integer(std::to_string(number));
  }
  bool number_unsigned(uint64_t number) override {
    return integer(std::to_string(number));
  }
  // Integers beyond 64 bits come here too.
  bool number_float(double number, const std::string &digits) override {
    if (digits.find_first_of(".eE") == digits.npos)
      return integer(digits);
    Value &v = place();
    v.kind = Value::Float;
    v.number = number;
    v.text = digits;
    return !many;
  }
  bool string(std::string &text) override {
    Value &v = place();
    v.kind = Value::String;
    v.text = std::move(text);
    return !many;
  }
  bool binary(nlohmann::json::binary_t &) override { return false; }
  bool start_object(size_t) override { return open(Value::Map); }
  bool start_array(size_t) override { return open(Value::List); }
  bool key(std::string &name) override {
    open_values.back()->fields.push_back({std::move(name), {}});
    return true;
  }
  bool end_object() override {
    drop_doubles(open_values.back()->fields);
    return end_array();
  }
  bool end_array() override { return open_values.pop_back(), true; }
  bool parse_error(size_t, const std::string &,
                   const nlohmann::detail::exception &) override {
    return false;
  }

private:
  // Only the innermost open value grows, so the others stay where they are.
  Value &place() {
    many = ++count > kMostValues;
    if (open_values.empty())
      return root;
    Value &in = *open_values.back();
    return in.kind == Value::List ? in.items.emplace_back()
                                  : in.fields.back().value;
  }
  bool open(Value::Kind kind) {
    if ((deep = open_values.size() == size_t(kMostDepth)))
      return false;
    Value &v = place();
    v.kind = kind;
    open_values.push_back(&v);
    return !many;
  }
  bool integer(std::string digits) {
    Value &v = place();
    v.kind = Value::Integer;
    v.text = std::move(digits);
    return !many;
  }
  static void drop_doubles(std::vector<Field> &fields) {
    std::vector<Field *> sorted;
    for (Field &field : fields)
      sorted.push_back(&field);
    std::sort(sorted.begin(), sorted.end(), [](Field *a, Field *b) {
      return a->key != b->key ? a->key < b->key : a < b;
    });
    std::vector<bool> dropped(fields.size());
    bool any = false;
    for (size_t i = sorted.size(); i-- > 1;)
      if (sorted[i - 1]->key == sorted[i]->key) {
        sorted[i - 1]->value = std::move(sorted[i]->value);
        any = dropped[size_t(sorted[i] - fields.data())] = true;
      }
    if (!any)
      return;
    size_t kept = 0;
    for (size_t i = 0; i < fields.size(); ++i)
      if (!dropped[i]) {
        if (kept != i)
          fields[kept] = std::move(fields[i]);
        ++kept;
      }
    fields.resize(kept);
  }

  Value &root;
  std::vector<Value *> open_values;
  size_t count = 0;
};

} // namespace

Status read_json(std::string_view text, const char *called, Value &out) {
  out = {};
  Builder builder(out);
  if (nlohmann::json::sax_parse(text.begin(), text.end(), &builder))
    return {};
  if (builder.deep)
    return failure(BAD_INPUT, "%s nested more than %d deep", called,
                   kMostDepth);
  if (builder.many)
    return failure(BAD_INPUT, "%s too large: more than %zu values", called,
                   kMostValues);
  return failure(BAD_INPUT, "%s no JSON", called);
}

void append_json_escaped(std::string_view text, std::string &out) {
  while (!text.empty()) {
    uint32_t code;
    const int size = read_char(text, code);
    const unsigned char c = static_cast<unsigned char>(text[0]);
    if (size <= 0)
      out += "\xEF\xBF\xBD";
    else if (c == '"' || c == '\\')
      (out += '\\') += text[0];
    else if (c == '\n')
      out += "\\n";
    else if (c == '\t')
      out += "\\t";
    else if (c == '\r')
      out += "\\r";
    else if (c < 0x20)
      ((out += "\\u00") += "01"[c >> 4]) += "0123456789abcdef"[c & 15];
    else
      out += text.substr(0, size_t(size));
    text.remove_prefix(size > 0 ? size_t(size) : 1);
  }
}

void append_json(const Value &value, std::string &out) {
  const char *comma = "";
  switch (value.kind) {
  case Value::Null:
    out += "null";
    return;
  case Value::Bool:
    out += value.truth ? "true" : "false";
    return;
  case Value::Integer:
    out += value.text;
    return;
  case Value::Float:
    if (!value.text.empty()) {
      out += value.text;
    } else if (!std::isfinite(value.number)) {
      out += "null";
    } else {
      char digits[32];
      out.append(
          digits,
          std::to_chars(digits, digits + sizeof digits, value.number).ptr);
    }
    return;
  case Value::String:
    append_json_escaped(value.text, out += '"');
    out += '"';
    return;
  case Value::List:
    out += '[';
    for (const Value &item : value.items) {
      append_json(item, out += comma);
      comma = ",";
    }
    out += ']';
    return;
  case Value::Map:
    out += '{';
    for (const auto &[key, item] : value.fields) {
      append_json_escaped(key, (out += comma) += '"');
      append_json(item, out += "\":");
      comma = ",";
    }
    out += '}';
    return;
  }
}

std::string to_json(const Value &value) {
  std::string out;
  append_json(value, out);
  return out;
}

bool is_json_number(std::string_view text) {
  size_t at = text.starts_with('-');
  auto digits = [&] {
    const size_t begin = at;
    while (at < text.size() && text[at] >= '0' && text[at] <= '9')
      ++at;
    return at - begin;
  };
  auto next = [&](std::string_view any) {
    const bool is = at < text.size() && any.find(text[at]) != any.npos;
    at += is;
    return is;
  };
  const size_t first = at, whole = digits();
  if (!whole || (whole > 1 && text[first] == '0'))
    return false;
  if (next(".") && !digits())
    return false;
  if (next("eE")) {
    next("+-");
    if (!digits())
      return false;
  }
  return at == text.size() &&
         std::isfinite(strtod(std::string(text).c_str(), nullptr));
}

} // namespace gm
