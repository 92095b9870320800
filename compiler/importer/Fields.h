// Typed, range-checked access to the fields of an object: of a JSON file or the
// metadata of a GGUF file. Whatever is wrong is refused in one form, "FILE:
// FIELD expects X, got Y". Private to the importer; must not know what the
// fields mean.
#pragma once

#include "compiler/importer/Failure.h"
#include "compiler/importer/Json.h"

#include <optional>
#include <vector>

namespace gemmac {

class Fields {
public:
  // `prefix` names the object in messages: "text_config." or nothing.
  Fields(const Json &object, std::string prefix, const NamedFile &file)
      : object(object), prefix(std::move(prefix)), file(file) {}

  // Discarded when the key is absent.
  const Json &get(std::string_view key) const { return member(object, key); }
  // Neither absent nor null.
  bool has(std::string_view key) const { return isGiven(get(key)); }

  // Without a fallback an absent or null field is refused.
  int64_t integer(std::string_view key, int64_t low, int64_t high,
                  std::optional<int64_t> fallback = {}) const;
  double number(std::string_view key, double low, double high,
                std::optional<double> fallback = {}) const;
  bool boolean(std::string_view key, bool fallback) const;
  std::string string(std::string_view key,
                     std::optional<std::string> fallback = {}) const;
  // An object, nullptr when absent or null.
  const Json *child(std::string_view key) const;
  // An integer or an array of them; nothing when absent or null.
  std::optional<std::vector<int64_t>> integers(std::string_view key,
                                               int64_t low, int64_t high) const;
  // An integer for all layers, or an array of one per layer.
  std::vector<int64_t> perLayer(std::string_view key, int64_t layers,
                                int64_t low, int64_t high) const;
  // As perLayer, but all the same.
  int64_t uniform(std::string_view key, int64_t layers, int64_t low,
                  int64_t high) const;

  std::string called(std::string_view key) const {
    return prefix + std::string(key);
  }

private:
  // The value, null if it is absent and may be.
  const Json *need(std::string_view key, const std::string &expected,
                   bool optional) const;
  [[noreturn]] void wrong(std::string_view key, const std::string &expected,
                          const Json &got) const {
    file.bad("{} expects {}, got {}", called(key), expected, shown(got));
  }
  int64_t checked(std::string_view key, const Json &value, int64_t low,
                  int64_t high) const;

  const Json &object;
  std::string prefix;
  const NamedFile &file;
};

} // namespace gemmac
