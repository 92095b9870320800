// The JSON reader: nlohmann's SAX parser below, our limits above. Must not know
// what the texts mean.
#include "compiler/importer/Json.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <iterator>
#include <limits>
#include <new>

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
  for (char &c : text)
    if (c == '\n' || c == '\r')
      c = ' ';
  return text;
}

// Checks depth and keys and passes the events on.
class Handler {
public:
  Handler(JsonEvents &events, const char *begin, const char *const *reached)
      : events(events), begin(begin), reached(reached) {}

  bool null() { return pass(events.null()); }
  bool boolean(bool value) { return pass(events.boolean(value)); }
  bool number_integer(int64_t value) { return pass(events.integer(value)); }
  bool number_unsigned(uint64_t value) {
    if (value > uint64_t(std::numeric_limits<int64_t>::max()))
      return pass(events.number(double(value)));
    return pass(events.integer(int64_t(value)));
  }
  bool number_float(double value, const std::string &) {
    return pass(events.number(value));
  }
  bool string(std::string &value) { return pass(events.string(value)); }
  bool binary(nlohmann::json::binary_t &) { return fail("binary value"); }

  bool start_object(size_t) {
    if (!enter())
      return false;
    seen.back().isObject = true;
    return pass(events.startObject());
  }
  bool key(std::string &value) {
    if (++keyCount > jsonKeys)
      return fail("more than {} keys", jsonKeys);
    seen.back().keys.push_back({value, offset()});
    return pass(events.key(value));
  }
  bool end_object() {
    if (!checkKeys(seen.back().keys))
      return false;
    seen.pop_back();
    return pass(events.endObject());
  }
  bool start_array(size_t) { return enter() && pass(events.startArray()); }
  bool end_array() {
    seen.pop_back();
    return pass(events.endArray());
  }
  bool parse_error(size_t position, const std::string &,
                   const nlohmann::json::exception &error) {
    problem = parserProblem(error.what());
    where = position ? position - 1 : 0;
    syntax = true;
    return false;
  }

  std::string problem;
  uint64_t where = 0;
  bool syntax = false; // the text is no JSON, rather than not what we expect

private:
  struct Key {
    std::string name;
    uint64_t offset;
  };
  struct Level {
    bool isObject = false;
    std::vector<Key> keys;
  };

  uint64_t offset() const { return uint64_t(*reached - begin); }

  template <typename... T>
  bool fail(fmt::format_string<T...> text, T &&...arguments) {
    problem = fmt::format(text, std::forward<T>(arguments)...);
    where = offset();
    return false;
  }

  bool pass(bool good) { return good || fail("{}", events.problem); }

  bool enter() {
    if (seen.size() == jsonDepth)
      return fail("nested deeper than {} levels", jsonDepth);
    seen.emplace_back();
    return true;
  }

  bool checkKeys(std::vector<Key> &keys) {
    std::sort(keys.begin(), keys.end(), [](const Key &a, const Key &b) {
      return a.name != b.name ? a.name < b.name : a.offset < b.offset;
    });
    for (size_t i = 1; i < keys.size(); ++i)
      if (keys[i].name == keys[i - 1].name) {
        problem = "duplicate key " + gemmac::quoted(keys[i].name);
        where = keys[i].offset;
        return false;
      }
    return true;
  }

  JsonEvents &events;
  const char *begin;
  const char *const *reached;
  std::vector<Level> seen;
  int64_t keyCount = 0;
};

} // namespace

Status readJson(std::string_view text, const std::string &name,
                JsonEvents &events, uint64_t offset) {
  try {
    const char *reached = text.data();
    Handler handler(events, text.data(), &reached);
    const char *end = text.data() + text.size();
    bool good = nlohmann::json::sax_parse(Cursor{text.data(), &reached},
                                          Cursor{end, &reached}, &handler,
                                          nlohmann::json::input_format_t::json);
    if (good)
      return Done{};
    return makeError(ExitCode::BadInput, "{}: {}at byte {}: {}", name,
                     handler.syntax ? "not valid JSON " : "",
                     offset + handler.where, handler.problem);
  } catch (const std::bad_alloc &) {
    return makeError(ExitCode::Resources, "{}: not enough memory to read it",
                     name);
  }
}

//===-- the tree ----------------------------------------------------------===//

JsonValue *JsonTree::add(JsonValue::Kind kind) {
  if (++count > jsonTreeValues) {
    fail("more than {} values", jsonTreeValues);
    return nullptr;
  }
  JsonValue *v = stack.empty() ? &root : &stack.back()->items.emplace_back();
  v->kind = kind;
  return v;
}
bool JsonTree::open(JsonValue::Kind kind) {
  JsonValue *v = add(kind);
  if (v)
    stack.push_back(v);
  return v;
}
bool JsonTree::boolean(bool value) {
  JsonValue *v = add(JsonValue::Kind::Bool);
  return v && (v->boolean = value, true);
}
bool JsonTree::integer(int64_t value) {
  JsonValue *v = add(JsonValue::Kind::Integer);
  return v && (v->integer = value, v->number = double(value), true);
}
bool JsonTree::number(double value) {
  JsonValue *v = add(JsonValue::Kind::Number);
  return v && (v->number = value, true);
}
bool JsonTree::string(std::string &value) {
  JsonValue *v = add(JsonValue::Kind::String);
  return v && (v->text = std::move(value), true);
}
bool JsonTree::key(std::string &value) {
  stack.back()->keys.push_back(std::move(value));
  return true;
}

Result<JsonValue> parseJson(std::string_view text, const std::string &name) {
  JsonTree tree;
  Status read = readJson(text, name, tree);
  if (!read)
    return read.error();
  return std::move(tree.root);
}

const JsonValue *JsonValue::find(std::string_view key) const {
  for (size_t i = 0; i < keys.size(); ++i)
    if (keys[i] == key)
      return &items[i];
  return nullptr;
}

const char *kindName(JsonValue::Kind kind) {
  static const char *const names[] = {"null",   "boolean", "integer", "number",
                                      "string", "array",   "object"};
  return names[size_t(kind)];
}

std::string quoted(std::string_view name) {
  static const char digits[] = "0123456789abcdef";
  bool cut = name.size() > 120;
  std::string out = "\"";
  for (unsigned char c : name.substr(0, 120)) {
    if (c == '"' || c == '\\')
      (out += '\\') += char(c);
    else if (c >= 0x20 && c < 0x7f)
      out += char(c);
    else
      ((out += "\\x") += digits[c >> 4]) += digits[c & 15];
  }
  return out + (cut ? "...\"" : "\"");
}

} // namespace gemmac
