// JSON of requests: parsed within limits, its fields read with their types, so
// that every mistake is an error that names the key. Knows JSON; must not know
// HTTP or what the fields mean.
#pragma once

#include "runtime/gemma.h"

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace gm {

using Tree = nlohmann::ordered_json;

// What a request's JSON may be: beyond that a body of a few megabytes takes
// seconds to read or a hundred times its size in memory.
struct JsonLimits {
  int depth = 64;
  int64_t values = 1 << 19;  // in all
  int64_t members = 1 << 11; // of one object
};

// BAD_INPUT says where and what.
Status parse_json(std::string_view text, Tree &out,
                  const JsonLimits &limits = {});
// As one line; bytes that are not UTF-8 become U+FFFD.
std::string dump(const Tree &tree);
// "a string", "null", ...
const char *kind_of(const Tree &value);

// The string that an object has as `key`; empty if there is none, or no object.
std::string text_of(const Tree &object, const char *key);

// Reads the fields of an object. An absent field and null leave `out` as it is;
// the first wrong one is kept as the error.
class Fields {
public:
  // `path` stands in front of the keys in errors: "stream_options.".
  explicit Fields(const Tree &object, std::string path = "")
      : object(object), path(std::move(path)) {}

  const Tree *find(const char *key) const;
  void text(const char *key, std::string &out);
  void truth(const char *key, bool &out);
  void number(const char *key, double &out, double low, double high);
  void integer(const char *key, int64_t &out, int64_t low, int64_t high);
  // Of an object or a list; null if it is absent.
  const Tree *map(const char *key);
  const Tree *list(const char *key);
  // A text or a list of texts.
  void texts(const char *key, std::vector<std::string> &out, size_t most);

  // Keeps "KEY expects X, got Y".
  void expect(const char *key, const std::string &what, const Tree &got);
  void fail(const char *key, const Status &why);
  const Status &status() const { return first; }
  // The key of the error.
  const std::string &key() const { return wrong; }

private:
  const Tree &object;
  const std::string path;
  Status first;
  std::string wrong;
};

} // namespace gm
