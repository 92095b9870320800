// The JSON reader: nlohmann's SAX parser below, our limits and its values
// above. Must not know what the texts mean.
#include "compiler/importer/Json.h"

#include "compiler/importer/Failure.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
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

// A place in a text that was changed, and by how much what follows has moved.
struct Move {
  uint64_t at;
  int64_t by;
};

// `text` as JSON where Python reads more than that. Nothing: it is.
class PythonText {
public:
  explicit PythonText(std::string_view text) : text(text) {
    for (; at < text.size(); ++at)
      if (char c = text[at]; c == '"')
        skipString();
      else if (c == 'N' || c == 'I' || c == '-' || (c >= '0' && c <= '9'))
        takeNumber();
    if (copied)
      json.append(text, copied);
  }

  std::string json;
  std::vector<Move> moves;

private:
  void replace(size_t size, const std::string &by) {
    json.append(text, copied, at - copied) += by;
    copied = at + size;
    int64_t before = moves.empty() ? 0 : moves.back().by;
    moves.push_back({json.size(), before + int64_t(by.size() - size)});
  }
  // NaN and the infinities, which numbers too large for a double are too.
  void takeNumber() {
    std::string_view rest = text.substr(at);
    for (std::string_view word : noNumbers)
      if (rest.starts_with(word)) {
        replace(word.size(), fmt::format("\"{}\"", word));
        at += word.size() - 1;
        return;
      }
    size_t size =
        std::min(rest.find_first_not_of("+-.0123456789eE"), rest.size());
    std::string number(rest, 0, size);
    bool mayOverflow = size > 308 || number.find_first_of("eE") != number.npos;
    if (double value = mayOverflow ? std::strtod(number.c_str(), nullptr) : 0;
        std::isinf(value))
      replace(size, value < 0 ? "\"-Infinity\"" : "\"Infinity\"");
    at += std::max<size_t>(size, 1) - 1;
  }
  // Half of a surrogate pair stands for no character.
  void skipString() {
    while (++at < text.size() && text[at] != '"')
      if (text[at] == '\\') {
        uint32_t unit = escapedUnit(at);
        if (unit >= 0xD800 && unit < 0xDC00) {
          uint32_t low = escapedUnit(at + 6);
          if (low >= 0xDC00 && low < 0xE000)
            at += 6;
          else
            replace(6, "\\ufffd");
        } else if (unit >= 0xDC00 && unit < 0xE000) {
          replace(6, "\\ufffd");
        }
        ++at;
      }
  }
  // Of "\uXXXX" at `from`; 0: that is not there.
  uint32_t escapedUnit(size_t from) const {
    uint32_t unit = 0;
    if (from + 6 > text.size() || text.substr(from, 2) != "\\u")
      return 0;
    const char *end = text.data() + from + 6;
    auto [stopped, error] = std::from_chars(end - 4, end, unit, 16);
    return stopped == end && error == std::errc() ? unit : 0;
  }

  const std::string_view text;
  size_t at = 0, copied = 0;
};

// Receives a document in order and builds it.
class Builder {
public:
  Builder(const NamedFile &file, const char *begin, int64_t values,
          uint64_t offset, std::vector<Move> moves)
      : reached(begin), file(file), begin(begin), values(values),
        offset(offset), moves(std::move(moves)) {}

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
  // In the file.
  uint64_t place(uint64_t at) const {
    auto after = std::partition_point(
        moves.begin(), moves.end(), [&](const Move &m) { return m.at <= at; });
    return offset + at - uint64_t(after == moves.begin() ? 0 : after[-1].by);
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
  const std::vector<Move> moves; // of PythonText
  std::vector<Json *> stack;     // the open ones
  Json *named = nullptr;         // the member whose key was read last
  Json *last = nullptr;          // what was added last
  int64_t count = 0, keys = 0;
};

} // namespace

Result<Json> parseJson(std::string_view text, const std::string &name,
                       int64_t values, uint64_t offset) {
  return reading(name, [&] {
    NamedFile file{name};
    PythonText python(text);
    std::string_view json = python.moves.empty() ? text : python.json;
    Builder builder(file, json.data(), values, offset, python.moves);
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
