// Field access with messages of one form: "file: field expects X, got Y". Must
// not know what the fields mean.
#include "compiler/importer/Fields.h"

#include <cstdio>

namespace gemmac {

std::string shown(double value) {
  char text[40];
  std::snprintf(text, sizeof text, "%.6g", value);
  return text;
}

std::string shown(const JsonValue &value) {
  switch (value.kind) {
  case JsonValue::Kind::Null:
    return "null";
  case JsonValue::Kind::Bool:
    return value.boolean ? "true" : "false";
  case JsonValue::Kind::Integer:
    return std::to_string(value.integer);
  case JsonValue::Kind::Number:
    return shown(value.number);
  case JsonValue::Kind::String:
    return gemmac::quoted(value.text);
  default:
    return std::string("an ") + kindName(value.kind);
  }
}

const JsonValue *Fields::get(const char *key) const {
  const JsonValue *value = object.find(key);
  return value && !value->is(JsonValue::Kind::Null) ? value : nullptr;
}

const JsonValue *Fields::need(const char *key, const std::string &expected,
                              bool optional) const {
  const JsonValue *value = get(key);
  if (!value && !optional)
    problems.bad("{} is missing, expects {}", called(key), expected);
  return value;
}

void Fields::wrong(const char *key, const std::string &expected,
                   const JsonValue &got) const {
  problems.bad("{} expects {}, got {}", called(key), expected, shown(got));
}

int64_t Fields::integer(const char *key, int64_t low, int64_t high,
                        std::optional<int64_t> fallback) const {
  std::string expected = fmt::format("an integer from {} to {}", low, high);
  int64_t harmless = fallback ? *fallback : low;
  const JsonValue *value = need(key, expected, fallback.has_value());
  if (!value)
    return harmless;
  if (value->is(JsonValue::Kind::Integer) && value->integer >= low &&
      value->integer <= high)
    return value->integer;
  wrong(key, expected, *value);
  return harmless;
}

double Fields::number(const char *key, double low, double high,
                      std::optional<double> fallback) const {
  std::string expected =
      fmt::format("a number from {} to {}", shown(low), shown(high));
  double harmless = fallback ? *fallback : low;
  const JsonValue *value = need(key, expected, fallback.has_value());
  if (!value)
    return harmless;
  bool isNumber =
      value->is(JsonValue::Kind::Integer) || value->is(JsonValue::Kind::Number);
  if (isNumber && value->number >= low && value->number <= high)
    return value->number;
  wrong(key, expected, *value);
  return harmless;
}

bool Fields::boolean(const char *key, bool fallback) const {
  const JsonValue *value = get(key);
  if (!value)
    return fallback;
  if (value->is(JsonValue::Kind::Bool))
    return value->boolean;
  wrong(key, "true or false", *value);
  return fallback;
}

std::string Fields::string(const char *key,
                           std::optional<std::string> fallback) const {
  const JsonValue *value = need(key, "a string", fallback.has_value());
  if (!value)
    return fallback.value_or("");
  if (value->is(JsonValue::Kind::String))
    return value->text;
  wrong(key, "a string", *value);
  return fallback.value_or("");
}

const JsonValue *Fields::child(const char *key) const {
  const JsonValue *value = get(key);
  if (!value || value->is(JsonValue::Kind::Object))
    return value;
  wrong(key, "an object", *value);
  return nullptr;
}

} // namespace gemmac
