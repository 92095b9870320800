// Reads JSON texts that nobody vouches for: bounded depth, duplicate keys
// refused, every error with its byte offset, time and memory linear in the
// text. Used for config.json, safetensors headers and index files. Must not
// know what the texts mean.
#pragma once

#include "support/Result.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace gemmac {

// Receives a document in order. A callback that returns false stops reading;
// it says why in `problem` (no offset; the reader adds it). Integers outside
// int64 arrive as numbers.
class JsonEvents {
public:
  virtual ~JsonEvents() = default;
  virtual bool null() = 0;
  virtual bool boolean(bool value) = 0;
  virtual bool integer(int64_t value) = 0;
  virtual bool number(double value) = 0;
  virtual bool string(std::string &value) = 0; // may be moved from
  virtual bool startObject() = 0;
  virtual bool key(std::string &value) = 0; // may be moved from
  virtual bool endObject() = 0;
  virtual bool startArray() = 0;
  virtual bool endArray() = 0;

  std::string problem;
};

constexpr int jsonDepth = 64;         // deepest nesting that is accepted
constexpr int64_t jsonKeys = 1000000; // most keys in all objects together

// Reads `text`; `name` is how messages call the file and `offset` where the
// text starts in it.
Status readJson(std::string_view text, const std::string &name,
                JsonEvents &events, uint64_t offset = 0);

// A document as a tree, for small files.
struct JsonValue {
  enum class Kind { Null, Bool, Integer, Number, String, Array, Object };
  Kind kind = Kind::Null;
  bool boolean = false;
  int64_t integer = 0;
  double number = 0; // also set for integers
  std::string text;
  std::vector<JsonValue> items;  // of an array or an object
  std::vector<std::string> keys; // of an object, parallel to items

  bool is(Kind k) const { return kind == k; }
  // The value of `key`, nullptr if there is none or this is no object.
  const JsonValue *find(std::string_view key) const;
};

constexpr int64_t jsonTreeValues = 500000; // most values of a tree

// Builds the tree of a document. A reader that derives from it may keep parts
// of the document elsewhere.
class JsonTree : public JsonEvents {
public:
  JsonValue root;

  bool null() override { return add(JsonValue::Kind::Null); }
  bool boolean(bool value) override;
  bool integer(int64_t value) override;
  bool number(double value) override;
  bool string(std::string &value) override;
  bool key(std::string &value) override;
  bool startObject() override { return open(JsonValue::Kind::Object); }
  bool endObject() override { return stack.pop_back(), true; }
  bool startArray() override { return open(JsonValue::Kind::Array); }
  bool endArray() override { return stack.pop_back(), true; }

protected:
  // Adds a value to the innermost open one; nullptr if it may not be. Only that
  // one grows, so pointers to the open ones stay valid.
  virtual JsonValue *add(JsonValue::Kind kind);
  template <typename... T>
  bool fail(fmt::format_string<T...> text, T &&...arguments) {
    problem = fmt::format(text, std::forward<T>(arguments)...);
    return false;
  }

  std::vector<JsonValue *> stack; // the open ones

private:
  bool open(JsonValue::Kind kind);
  int64_t count = 0;
};

Result<JsonValue> parseJson(std::string_view text, const std::string &name);

// "number", "string", ... for messages.
const char *kindName(JsonValue::Kind kind);

// A name from a file in quotes, safe to print: control characters, quotes and
// invalid bytes escaped, cut after 120 bytes. Call it qualified: std::quoted is
// found by argument-dependent lookup.
std::string quoted(std::string_view name);

} // namespace gemmac
