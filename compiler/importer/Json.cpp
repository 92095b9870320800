// The JSON reader: nlohmann's SAX parser below, our limits and its values
// above. Must not know what the texts mean.
#include "compiler/importer/Json.h"

#include "compiler/importer/Failure.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <iterator>
#include <limits>

namespace gemmac {
namespace {

// An input iterator that tells how far the parser has read.
struct Cursor {
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char *;
  using reference = const char &;

  const char *at;
  const char **reached;

  reference operator*() const { return *at; }
  Cursor &operator++() {
    *reached = ++at;
    return *this;
  }
  bool operator==(const Cursor &other) const { return at == other.at; }
  bool operator!=(const Cursor &other) const { return at != other.at; }
};

// The part of a parser message that says what is wrong: without its class, its
// line and column, and the text it read last (which may be megabytes).
std::string parserProblem(const std::string &what) {
  size_t begin = what.find("] ");
  begin = begin == std::string::npos ? 0 : begin + 2;
  if (what.compare(begin, 11, "parse error") == 0) {
    size_t colon = what.find(": ", begin);
    if (colon != std::string::npos)
      begin = colon + 2;
  }
  size_t end = what.find("; last read", begin);
  size_t length =
      end == std::string::npos ? 200 : std::min<size_t>(end - begin, 200);
  std::string text = what.substr(begin, length);
  std::replace_if(
      text.begin(), text.end(), [](char c) { return c == '\n' || c == '\r'; },
      ' ');
  return text;
}

// Numbers that Python writes and JSON does not have.
constexpr std::string_view noNumbers[] = {"NaN", "Infinity", "-Infinity"};

// `text` with those as strings, and where they stand in it. Nothing: it has
// none.
std::string quoteNoNumbers(std::string_view text,
                           std::vector<uint64_t> &places) {
  std::string result;
  size_t copied = 0;
  for (size_t at = 0; at < text.size(); ++at) {
    if (text[at] == '"') {
      while (++at < text.size() && text[at] != '"')
        at += text[at] == '\\';
      continue;
    }
    if (text[at] != 'N' && text[at] != 'I' && text[at] != '-')
      continue;
    for (std::string_view word : noNumbers)
      if (text.substr(at).starts_with(word)) {
        result.append(text, copied, at - copied);
        places.push_back(result.size());
        result += fmt::format("\"{}\"", word);
        copied = at + word.size();
        at = copied - 1;
        break;
      }
  }
  return places.empty() ? "" : result.append(text, copied);
}

// Receives a document in order and builds it.
class Builder {
public:
  Builder(const NamedFile &file, const char *begin, int64_t values,
          uint64_t offset, std::vector<uint64_t> quoted)
      : reached(begin), file(file), begin(begin), values(values),
        offset(offset), quoted(std::move(quoted)) {}

  bool null() { return add(nullptr); }
  bool boolean(bool value) { return add(value); }
  bool number_integer(int64_t value) { return add(value); }
  bool number_unsigned(uint64_t value) {
    if (value > uint64_t(std::numeric_limits<int64_t>::max()))
      return add(double(value));
    return add(int64_t(value));
  }
  bool number_float(double value, const std::string &) { return add(value); }
  bool string(std::string &value) { return add(std::move(value)); }
  bool binary(Json::binary_t &) { bad("binary value"); }
  bool start_object(size_t) { return open(Json::object()); }
  bool start_array(size_t) { return open(Json::array()); }
  bool key(std::string &name) {
    if (++keys > jsonKeys)
      bad("more than {} keys", jsonKeys);
    auto [at, fresh] =
        stack.back()->get_ref<Json::object_t &>().emplace(name, nullptr);
    if (!fresh)
      bad("duplicate key {}", gemmac::quoted(name));
    named = &at->second;
    return true;
  }
  bool end_object() { return stack.pop_back(), true; }
  bool end_array() { return stack.pop_back(), true; }
  bool parse_error(size_t position, const std::string &,
                   const Json::exception &error) {
    file.bad("not valid JSON at byte {}: {}",
             place(position ? position - 1 : 0), parserProblem(error.what()));
  }

  Json root;
  const char *reached; // by the parser

private:
  template <typename... T>
  [[noreturn]] void bad(fmt::format_string<T...> text, T &&...arguments) {
    file.bad("at byte {}: {}", place(uint64_t(reached - begin)),
             fmt::format(text, std::forward<T>(arguments)...));
  }
  // In the file, where two quotes less stand per quoted word.
  uint64_t place(uint64_t at) const {
    auto before = std::lower_bound(quoted.begin(), quoted.end(), at);
    return offset + at - 2 * uint64_t(before - quoted.begin());
  }
  // Into the innermost open value. Only that one grows, so pointers to the open
  // ones stay valid.
  bool add(Json value) {
    if (++count > values)
      bad("more than {} values", values);
    if (stack.empty()) {
      last = &root;
    } else if (stack.back()->is_array()) {
      stack.back()->push_back(nullptr);
      last = &stack.back()->back();
    } else {
      last = named;
    }
    *last = std::move(value);
    return true;
  }
  bool open(Json value) {
    if (stack.size() == jsonDepth)
      bad("nested deeper than {} levels", jsonDepth);
    add(std::move(value));
    stack.push_back(last);
    return true;
  }

  const NamedFile &file;
  const char *begin;
  const int64_t values;
  const uint64_t offset;
  const std::vector<uint64_t> quoted; // places of quoteNoNumbers
  std::vector<Json *> stack;          // the open ones
  Json *named = nullptr;              // the member whose key was read last
  Json *last = nullptr;               // what was added last
  int64_t count = 0, keys = 0;
};

} // namespace

Result<Json> parseJson(std::string_view text, const std::string &name,
                       int64_t values, uint64_t offset) {
  return reading(name, [&] {
    NamedFile file{name};
    std::vector<uint64_t> places;
    std::string quoted = quoteNoNumbers(text, places);
    std::string_view json = places.empty() ? text : quoted;
    Builder builder(file, json.data(), values, offset, std::move(places));
    const char *end = json.data() + json.size();
    Json::sax_parse(Cursor{json.data(), &builder.reached},
                    Cursor{end, &builder.reached}, &builder,
                    Json::input_format_t::json);
    return std::move(builder.root);
  });
}

Result<std::vector<double>>
readNumbers(std::string_view text, const std::string &name,
            std::initializer_list<const char *> keys, double low) {
  return reading(name, [&] {
    const Json object = orFail(parseJson(text, name));
    std::vector<double> numbers;
    for (const char *key : keys) {
      const Json &value = member(object, key);
      if (!value.is_number() || value < low)
        NamedFile{name}.bad("{} is missing, expects a number from {}, got {}",
                            key, shown(low), shown(value));
      numbers.push_back(value.get<double>());
    }
    return numbers;
  });
}

const Json &member(const Json &value, std::string_view key) {
  static const Json nothing(Json::value_t::discarded);
  auto at = value.find(key);
  return at == value.end() ? nothing : *at;
}

bool isGiven(const Json &value) {
  return !value.is_discarded() && !value.is_null();
}

bool isText(const Json &value, std::string_view text) {
  return value.is_string() && value.get_ref<const std::string &>() == text;
}

std::string shown(double value) { return fmt::format("{:.6g}", value); }

std::string shown(const Json &value) {
  if (value.is_discarded())
    return "nothing";
  if (value.is_number_float())
    return shown(value.get<double>());
  if (value.is_string())
    return gemmac::quoted(value.get_ref<const std::string &>());
  if (value.is_array())
    return fmt::format("an array of {}", value.size());
  return value.is_object() ? "an object" : value.dump();
}

std::string quoted(std::string_view name) {
  std::string out = "\"";
  for (unsigned char c : name.substr(0, 120))
    if (c == '"' || c == '\\')
      (out += '\\') += char(c);
    else if (c >= 0x20 && c < 0x7f)
      out += char(c);
    else
      out += fmt::format("\\x{:02x}", c);
  return out + (name.size() > 120 ? "...\"" : "\"");
}

} // namespace gemmac
