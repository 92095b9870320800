// Reads one tool call as a model writes it, "call:NAME{key:value,...}", piece
// by piece, and gives its arguments as JSON text as soon as they are certain.
// What is malformed is read as well as it can be, never refused: models do
// write it. Knows the quote token, no other control token, and no ids.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace gm {

class CallReader {
public:
  // Text between control tokens; whole characters.
  void push(std::string_view text);
  // The token <|"|>.
  void quote();
  // The call ends here: what is missing is supplied.
  void finish();

  // Whether there is a name; text without "call:" is no call and has none.
  bool named() const { return known; }
  const std::string &name() const { return called; }
  // The arguments so far: a JSON object, whole after finish(). Of a key that
  // stands twice both are there; readers of JSON take the last.
  const std::string &json() const { return out; }

private:
  enum State {
    Head,    // up to the first brace
    Done,    // behind the last one
    Key,     // a key is expected
    BareKey, // up to its colon
    Colon,   // behind a key in quotes
    Start,   // a value is expected
    Bare,    // a value without quotes, of unknown type
    Word,    // one that is a string
    Single,  // 'text' up to the second quote
    Closing, // behind it: , } ] says that it was one
    String,  // in <|"|> or "
    Next,    // behind a value
  };
  struct Level {
    bool list, any; // any: it has elements
  };

  void step(std::string_view c);
  void step_start(std::string_view c);
  void step_string(std::string_view c);
  void run(std::string_view text);
  bool name_call();
  void key_done();
  void begin_value();
  void begin_string(bool json, bool key);
  void end_string();
  void put(std::string_view decoded);
  void put_code(unsigned code);
  void end_bare();
  void end_single();
  void not_single();
  void open(bool list);
  void close(bool list);
  void emit(std::string_view json);
  void emit_text(std::string_view text);
  bool in_list() const { return levels.back().list; }

  State state = Head;
  bool json_string = false; // of String: in ", with escapes
  bool in_key = false;      // of String
  bool known = false;
  std::string called, out;
  std::string held;   // not certain yet
  std::string key;    // until its colon
  std::string escape; // of a JSON string, from the backslash on
  unsigned high = 0;  // the first \u escape of a pair
  std::vector<Level> levels;
  size_t lists = 0; // of `levels`
};

} // namespace gm
