// Typed, range-checked access to the fields of a JSON object. The first problem
// is kept and later reads return harmless values, so a reader of many fields
// stays a list. Private to the importer's config readers; must not know what
// the fields mean.
#pragma once

#include "compiler/importer/Json.h"

#include <optional>

namespace gemmac {

// The first problem of one file.
struct Problems {
  std::string file;
  std::optional<Error> first;

  template <typename... T>
  void bad(fmt::format_string<T...> text, T &&...arguments) {
    set(makeError(ExitCode::BadInput, text, std::forward<T>(arguments)...));
  }
  template <typename... T>
  void unsupported(fmt::format_string<T...> text, T &&...arguments) {
    set(makeError(ExitCode::Unsupported, text, std::forward<T>(arguments)...));
  }

private:
  void set(const Error &problem) {
    if (!first)
      first = Error{problem.code, file + ": " + problem.message};
  }
};

// The value as a message shows it: 12, "text", true, an array.
std::string shown(const JsonValue &value);

class Fields {
public:
  // `prefix` names the object in messages: "text_config." or nothing.
  Fields(const JsonValue &object, std::string prefix, Problems &problems)
      : object(object), prefix(std::move(prefix)), problems(problems) {}

  // nullptr when the key is absent or null.
  const JsonValue *get(const char *key) const;
  // The value as it stands, an explicit null included.
  const JsonValue *raw(const char *key) const { return object.find(key); }
  bool has(const char *key) const { return get(key) != nullptr; }

  // Without a fallback an absent or null field is a problem.
  int64_t integer(const char *key, int64_t low, int64_t high,
                  std::optional<int64_t> fallback = {}) const;
  double number(const char *key, double low, double high,
                std::optional<double> fallback = {}) const;
  bool boolean(const char *key, bool fallback) const;
  std::string string(const char *key,
                     std::optional<std::string> fallback) const;
  // nullptr when absent or null; a value that is no object is a problem.
  const JsonValue *child(const char *key) const;

  std::string called(const char *key) const { return prefix + key; }

private:
  // The value or nullptr, with a problem if it is absent and has no fallback.
  const JsonValue *need(const char *key, const std::string &expected,
                        bool optional) const;
  void wrong(const char *key, const std::string &expected,
             const JsonValue &got) const;

  const JsonValue &object;
  std::string prefix;
  Problems &problems;
};

// A number in the shortest form that tells it apart at six digits.
std::string shown(double value);

} // namespace gemmac
