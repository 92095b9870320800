// See json_body.h.
#include "runtime/serve/json_body.h"
#include "runtime/app/unicode.h"

#include <cmath>

namespace gm {
namespace {

// Counts what a parser would build, before it does. Takes any bytes.
Status check_shape(std::string_view text, const JsonLimits &limits) {
  std::vector<int64_t> members; // of the containers around `at`
  int64_t values = 1;
  bool quoted = false;
  for (size_t at = 0; at < text.size(); ++at) {
    const char c = text[at];
    if (quoted) {
      at += c == '\\';
      quoted = c != '"';
      continue;
    }
    switch (c) {
    case '"':
      quoted = true;
      break;
    case '{':
    case '[':
      members.push_back(c == '{' ? 1 : INT64_MIN);
      ++values;
      if (members.size() > size_t(limits.depth))
        return failure(BAD_INPUT, "the JSON is nested more than %d deep",
                       limits.depth);
      break;
    case '}':
    case ']':
      if (!members.empty())
        members.pop_back();
      break;
    case ',':
      ++values;
      if (!members.empty() && ++members.back() > limits.members)
        return failure(BAD_INPUT,
                       "the JSON has an object of more than %lld members",
                       (long long)limits.members);
    }
    if (values > limits.values)
      return failure(BAD_INPUT, "the JSON has more than %lld values",
                     (long long)limits.values);
  }
  return {};
}

} // namespace

Status parse_json(std::string_view text, Tree &out, const JsonLimits &limits) {
  if (size_t bad = first_bad_utf8(text); bad != text.size())
    return failure(BAD_INPUT, "the body is not UTF-8 at byte %zu", bad);
  if (Status s = check_shape(text, limits); !s.ok())
    return s;
  try {
    out = Tree::parse(text);
  } catch (const Tree::parse_error &e) {
    std::string why = e.what(); // "[json.exception.parse_error.101] parse ..."
    if (size_t at = why.find("] "); at != why.npos)
      why = why.substr(at + 2);
    return failure(BAD_INPUT, "the body is no JSON: %.300s", why.c_str());
  } catch (const Tree::exception &e) { // a number too large, ...
    return failure(BAD_INPUT, "the body cannot be read: %.300s", e.what());
  }
  return {};
}

std::string dump(const Tree &tree) {
  return tree.dump(-1, ' ', false, Tree::error_handler_t::replace);
}

const char *kind_of(const Tree &value) {
  return value.is_null()      ? "null"
         : value.is_string()  ? "a string"
         : value.is_boolean() ? "a boolean"
         : value.is_number()  ? "a number"
         : value.is_array()   ? "a list"
                              : "an object";
}

std::string text_of(const Tree &object, const char *key) {
  if (!object.is_object())
    return "";
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>()
                                                     : "";
}

const Tree *Fields::find(const char *key) const {
  auto at = object.is_object() ? object.find(key) : object.end();
  return at == object.end() || at->is_null() ? nullptr : &*at;
}

void Fields::fail(const char *key, const Status &why) {
  if (!first.ok() || why.ok())
    return;
  first = why;
  wrong = path + key;
}

void Fields::expect(const char *key, const std::string &what, const Tree &got) {
  std::string shown = kind_of(got);
  if (got.is_number() || got.is_boolean() ||
      (got.is_string() && got.get_ref<const std::string &>().size() <= 40))
    shown = dump(got);
  fail(key, failure(BAD_INPUT, "'%s%s' expects %s, got %.60s", path.c_str(),
                    key, what.c_str(), shown.c_str()));
}

void Fields::text(const char *key, std::string &out) {
  const Tree *value = find(key);
  if (value && !value->is_string())
    expect(key, "a string", *value);
  else if (value)
    out = value->get<std::string>();
}

void Fields::truth(const char *key, bool &out) {
  const Tree *value = find(key);
  if (value && !value->is_boolean())
    expect(key, "a boolean", *value);
  else if (value)
    out = value->get<bool>();
}

static std::string plain(double x) {
  char text[40];
  snprintf(text, sizeof text, "%.15g", x);
  return text;
}

void Fields::number(const char *key, double &out, double low, double high) {
  const Tree *value = find(key);
  if (!value)
    return;
  const double x = value->is_number() ? value->get<double>() : NAN;
  if (!(x >= low && x <= high))
    return expect(key, "a number from " + plain(low) + " to " + plain(high),
                  *value);
  out = x;
}

void Fields::integer(const char *key, int64_t &out, int64_t low, int64_t high) {
  const Tree *value = find(key);
  if (!value)
    return;
  const std::string what = "a whole number from " + std::to_string(low) +
                           " to " + std::to_string(high);
  int64_t x;
  if (value->is_number_unsigned()) {
    const uint64_t u = value->get<uint64_t>();
    if (u > uint64_t(INT64_MAX))
      return expect(key, what, *value);
    x = int64_t(u);
  } else if (value->is_number_integer()) {
    x = value->get<int64_t>();
  } else {
    // 5.0 is five to clients that know no integers.
    const double d = value->is_number() ? value->get<double>() : NAN;
    if (!(std::fabs(d) < 9e15) || d != std::floor(d))
      return expect(key, what, *value);
    x = int64_t(d);
  }
  if (x < low || x > high)
    return expect(key, what, *value);
  out = x;
}

const Tree *Fields::map(const char *key) {
  const Tree *value = find(key);
  if (!value || value->is_object())
    return value;
  return expect(key, "an object", *value), nullptr;
}

const Tree *Fields::list(const char *key) {
  const Tree *value = find(key);
  if (!value || value->is_array())
    return value;
  return expect(key, "a list", *value), nullptr;
}

void Fields::texts(const char *key, std::vector<std::string> &out,
                   size_t most) {
  const Tree *value = find(key);
  if (!value)
    return;
  const std::string what =
      "a string or a list of at most " + std::to_string(most) + " strings";
  if (value->is_string()) {
    out = {value->get<std::string>()};
    return;
  }
  if (!value->is_array() || value->size() > most)
    return expect(key, what, *value);
  out.clear();
  for (const Tree &each : *value) {
    if (!each.is_string())
      return expect(key, what, each);
    out.push_back(each.get<std::string>());
  }
}

} // namespace gm
