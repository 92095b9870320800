// See call_reader.h. A pushdown automaton over characters: no recursion, and
// every character is looked at a bounded number of times.
#include "runtime/app/call_reader.h"
#include "runtime/app/json_value.h"
#include "runtime/app/unicode.h"

namespace gm {
namespace {

constexpr std::string_view kQuote = "<|\"|>", kReplacement = "\xEF\xBF\xBD";

bool is_white(std::string_view c) { return white_at_start(c) > 0; }

// Bytes at the end of a string that was never closed which may belong to what
// is around it.
size_t loose_end(std::string_view text, bool brackets) {
  std::string_view rest = text;
  while (!rest.empty()) {
    if (size_t white = white_at_end(rest))
      rest.remove_suffix(white);
    else if (brackets && (rest.back() == '}' || rest.back() == ']'))
      rest.remove_suffix(1);
    else
      break;
  }
  return text.size() - rest.size();
}

// Whether more text can make a number, true, false or null of this.
bool may_be_literal(std::string_view word) {
  word.remove_suffix(white_at_end(word));
  for (std::string_view name : {"true", "false", "null"})
    if (name.starts_with(word))
      return true;
  return word.find_first_not_of("0123456789+-.eE \t\n") == word.npos;
}

// A number that JSON spells otherwise (+1, .5, 2.) as JSON spells it.
std::string as_number(std::string_view word) {
  if (word.starts_with('+'))
    word.remove_prefix(1);
  std::string number(word);
  const size_t digits = number.starts_with('-');
  if (number.substr(digits).starts_with('.'))
    number.insert(digits, "0");
  if (number.ends_with('.'))
    number += '0';
  return is_json_number(number) ? number : "";
}

int hex(char c) {
  return c >= '0' && c <= '9'   ? c - '0'
         : c >= 'a' && c <= 'f' ? c - 'a' + 10
         : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                : -1;
}

} // namespace

void CallReader::push(std::string_view text) {
  while (!text.empty()) {
    size_t whole = 0;
    if (state == String && escape.empty())
      whole = json_string ? text.find_first_of("\"\\") : text.npos;
    else if (state == Word)
      whole = text.find_first_of(",}]");
    else if (state == Done)
      return;
    if (whole) {
      const std::string_view part = text.substr(0, whole);
      run(part);
      text.remove_prefix(part.size());
      continue;
    }
    uint32_t code;
    const int size = read_char(text, code);
    const size_t bytes = size > 0 ? size_t(size) : 1;
    step(text.substr(0, bytes));
    text.remove_prefix(bytes);
  }
}

// Plain text of a string or word, of which all but a loose end is certain.
void CallReader::run(std::string_view text) {
  if (high)
    put({});
  const size_t loose = loose_end(text, state == String);
  if (loose < text.size()) {
    emit_text(held);
    held.clear();
    emit_text(text.substr(0, text.size() - loose));
  }
  held += text.substr(text.size() - loose);
}

void CallReader::step(std::string_view c) {
  switch (state) {
  case Head:
    if (c != "{") {
      held += c;
    } else if (name_call()) {
      levels.push_back({false, false});
      emit("{");
      state = Key;
    } else {
      state = Done;
    }
    return;
  case Done:
    return;
  case Key:
    if (is_white(c) || c == ",")
      return;
    if (c == "}" || c == "]")
      return close(c == "]");
    if (c == "\"")
      return begin_string(true, true);
    if (c == ":")
      return key.clear(), key_done();
    held = c;
    state = BareKey;
    return;
  case BareKey:
    if (c == "}") {
      held.clear();
      return close(false);
    }
    if (c != ":") {
      held += c;
      return;
    }
    key = trim(held);
    held.clear();
    if (key.size() > 1 && key.front() == '\'' && key.back() == '\'')
      key = key.substr(1, key.size() - 2);
    return key_done();
  case Colon:
    if (is_white(c))
      return;
    if (c == ":")
      return key_done();
    state = Key;
    return step(c);
  case Start:
    return step_start(c);
  case Bare:
  case Word:
    if (c == "," || c == "}" || c == "]") {
      end_bare();
      return step(c);
    }
    held += c;
    if (!may_be_literal(held)) {
      emit("\"");
      state = Word;
      const std::string word = std::move(held);
      held.clear();
      run(word);
    }
    return;
  case Single:
    held += c;
    if (c == "'")
      state = Closing;
    return;
  case Closing:
    if (c == "," || c == "}" || c == "]") {
      end_single();
      return step(c);
    }
    held += c;
    if (!is_white(c))
      not_single();
    return;
  case String:
    return step_string(c);
  case Next:
    if (is_white(c))
      return;
    if (c == "}" || c == "]")
      return close(c == "]");
    state = in_list() ? Start : Key;
    if (c != ",") // forgotten
      step(c);
    return;
  }
}

void CallReader::step_start(std::string_view c) {
  if (is_white(c))
    return;
  const bool ends = c == "}" || c == "]";
  if (c == "," || (ends && !in_list())) {
    begin_value();
    emit("\"\"");
    state = Next;
    return step(c);
  }
  if (ends)
    return close(c == "]");
  if (c == "\"")
    return begin_string(true, false);
  begin_value();
  if (c == "{" || c == "[")
    return open(c == "[");
  if (c == "'") {
    held = c;
    state = Single;
    return;
  }
  state = Bare;
  step(c);
}

// In a JSON string: a quote, or what belongs to an escape.
void CallReader::step_string(std::string_view c) {
  if (escape.empty() && c == "\"")
    return end_string();
  escape += c;
  if (escape.size() == 1)
    return; // the backslash
  if (escape[1] != 'u') {
    constexpr std::string_view names = "\"\\/bfnrt", codes = "\"\\/\b\f\n\r\t";
    const size_t at = c.size() == 1 ? names.find(c[0]) : names.npos;
    put(at == names.npos ? std::string_view(escape) : codes.substr(at, 1));
    escape.clear();
    return;
  }
  if (escape.size() > 2 && hex(c[0]) < 0) { // none after all
    const std::string seen = std::move(escape);
    escape.clear();
    put(std::string_view(seen).substr(0, seen.size() - c.size()));
    return push(c);
  }
  if (escape.size() < 6)
    return;
  unsigned code = 0;
  for (char digit : std::string_view(escape).substr(2))
    code = code * 16 + unsigned(hex(digit));
  escape.clear();
  put_code(code);
}

void CallReader::put_code(unsigned code) {
  if (high && code >= 0xDC00 && code < 0xE000) {
    code = 0x10000 + ((high - 0xD800) << 10) + (code - 0xDC00);
    high = 0;
  }
  if (code >= 0xD800 && code < 0xE000) {
    const bool first = code < 0xDC00;
    put(first ? std::string_view() : kReplacement);
    high = first ? code : 0;
    return;
  }
  std::string text;
  append_char(code, text);
  put(text);
}

// Text that no loose end can begin in front of.
void CallReader::put(std::string_view decoded) {
  emit_text(held);
  held.clear();
  if (high)
    emit_text(kReplacement);
  high = 0;
  emit_text(decoded);
}

void CallReader::quote() {
  switch (state) {
  case Done:
    return;
  case Head:
  case BareKey:
  case Single:
    held += kQuote;
    return;
  case Key:
  case Colon:
    return begin_string(false, true);
  case Start:
    return begin_string(false, false);
  case Bare:
  case Word:
    return end_bare();
  case Closing:
    end_single();
    return quote();
  case String: // also one that began with ": no string holds this token
    return end_string();
  case Next:
    return begin_string(false, !in_list());
  }
}

void CallReader::finish() {
  if (state == Head && name_call())
    out = "{}";
  if (state == Single)
    not_single();
  if (state == Closing)
    end_single();
  if (state == Bare || state == Word)
    end_bare();
  if (state == Start && !in_list())
    emit("\"\"");
  if (state == String) {
    held.clear();
    escape.clear();
    if (high)
      put({});
    if (!in_key)
      emit("\"");
  }
  while (!levels.empty())
    close(in_list());
  state = Done;
}

bool CallReader::name_call() {
  std::string_view text = held;
  text.remove_prefix(white_at_start(text));
  if (!text.starts_with("call:"))
    return false;
  called = trim(text.substr(5));
  held.clear();
  return known = true;
}

void CallReader::key_done() {
  if (levels.back().any)
    emit(",");
  levels.back().any = true;
  emit("\"");
  emit_text(key);
  emit("\":");
  state = Start;
}

void CallReader::begin_value() {
  if (in_list() && levels.back().any)
    emit(",");
  levels.back().any = true;
}

void CallReader::begin_string(bool json, bool of_key) {
  json_string = json;
  key.clear();
  held.clear();
  if (!of_key) {
    begin_value();
    emit("\"");
  }
  in_key = of_key;
  state = String;
}

void CallReader::end_string() {
  put(escape); // cut off by a quote token
  escape.clear();
  state = in_key ? Colon : Next;
  if (!in_key)
    emit("\"");
  in_key = false;
}

void CallReader::end_bare() {
  if (state == Word) {
    emit("\""); // the blanks that are held are not its
  } else {
    const std::string_view word = trim(held);
    std::string number;
    if (word == "true" || word == "false" || word == "null" ||
        is_json_number(word)) {
      emit(word);
    } else if (number = as_number(word); !number.empty()) {
      emit(number);
    } else {
      emit("\"");
      emit_text(word);
      emit("\"");
    }
  }
  held.clear();
  state = Next;
}

void CallReader::end_single() {
  emit("\"");
  emit_text(std::string_view(held).substr(1, held.rfind('\'') - 1));
  emit("\"");
  held.clear();
  state = Next;
}

void CallReader::not_single() {
  const std::string text = std::move(held);
  held.clear();
  state = Bare;
  push(text);
}

void CallReader::open(bool list) {
  emit(levels.size() == size_t(kMostDepth) ? "null" : list ? "[" : "{");
  levels.push_back({list, false});
  lists += list;
  state = list ? Start : Key;
}

// Closes the innermost list, or map, and what is open inside of it.
void CallReader::close(bool list) {
  if (list && !lists)
    return;
  for (bool done = false; !done;) {
    done = in_list() == list;
    emit(in_list() ? "]" : "}");
    lists -= in_list();
    levels.pop_back();
  }
  state = levels.empty() ? Done : Next;
}

// Nothing of what is nested too deep: null stands for it.
void CallReader::emit(std::string_view json) {
  if (levels.size() <= size_t(kMostDepth))
    out += json;
}

void CallReader::emit_text(std::string_view text) {
  if (in_key)
    key += text;
  else if (levels.size() <= size_t(kMostDepth))
    append_json_escaped(text, out);
}

} // namespace gm
