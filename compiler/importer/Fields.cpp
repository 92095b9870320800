// See Fields.h.
#include "compiler/importer/Fields.h"

#include <nlohmann/json.hpp>

namespace gemmac {

static std::string range(int64_t low, int64_t high) {
  return fmt::format("an integer from {} to {}", low, high);
}

const Json *Fields::need(std::string_view key, const std::string &expected,
                         bool optional) const {
  const Json &value = get(key);
  if (isGiven(value))
    return &value;
  if (!optional)
    file.bad("{} is missing, expects {}", called(key), expected);
  return nullptr;
}

int64_t Fields::checked(std::string_view key, const Json &value, int64_t low,
                        int64_t high) const {
  if (value.is_number_integer())
    if (auto number = value.get<int64_t>(); number >= low && number <= high)
      return number;
  wrong(key, range(low, high), value);
}

int64_t Fields::integer(std::string_view key, int64_t low, int64_t high,
                        std::optional<int64_t> fallback) const {
  const Json *value = need(key, range(low, high), fallback.has_value());
  return value ? checked(key, *value, low, high) : *fallback;
}

double Fields::number(std::string_view key, double low, double high,
                      std::optional<double> fallback) const {
  std::string expected =
      fmt::format("a number from {} to {}", shown(low), shown(high));
  const Json *value = need(key, expected, fallback.has_value());
  if (!value)
    return *fallback;
  if (value->is_number())
    if (auto number = value->get<double>(); number >= low && number <= high)
      return number;
  wrong(key, expected, *value);
}

bool Fields::boolean(std::string_view key, bool fallback) const {
  const Json *value = need(key, "", true);
  if (value && !value->is_boolean())
    wrong(key, "true or false", *value);
  return value ? value->get<bool>() : fallback;
}

std::string Fields::string(std::string_view key,
                           std::optional<std::string> fallback) const {
  const Json *value = need(key, "a string", fallback.has_value());
  if (value && !value->is_string())
    wrong(key, "a string", *value);
  return value ? value->get<std::string>() : *fallback;
}

const Json *Fields::child(std::string_view key) const {
  const Json *value = need(key, "", true);
  if (value && !value->is_object())
    wrong(key, "an object", *value);
  return value;
}

std::optional<std::vector<int64_t>>
Fields::integers(std::string_view key, int64_t low, int64_t high) const {
  const Json *value = need(key, "", true);
  if (!value)
    return {};
  if (!value->is_array())
    return std::vector{checked(key, *value, low, high)};
  std::vector<int64_t> list;
  for (const Json &item : *value)
    list.push_back(checked(key, item, low, high));
  return list;
}

std::vector<int64_t> Fields::perLayer(std::string_view key, int64_t layers,
                                      int64_t low, int64_t high) const {
  const Json &value = *need(key, range(low, high), false);
  if (value.is_array() && int64_t(value.size()) != layers)
    wrong(key, fmt::format("an array of {} numbers, one per layer", layers),
          value);
  std::vector<int64_t> list = *integers(key, low, high);
  list.resize(size_t(layers), list.front()); // a number is that of all
  return list;
}

int64_t Fields::uniform(std::string_view key, int64_t layers, int64_t low,
                        int64_t high) const {
  std::vector<int64_t> list = perLayer(key, layers, low, high);
  for (int64_t value : list)
    if (value != list.front())
      file.unsupported(
          "{} expects the same number for all layers, got {} and {}",
          called(key), list.front(), value);
  return list.front();
}

} // namespace gemmac
