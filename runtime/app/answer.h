// Reads what a model generates, one id at a time, into thoughts, text and tool
// calls: the chat protocol's other half (template.h renders). Control tokens
// count where they are ids; only those that the vocabulary lacks are looked for
// in the text. Knows the protocol and the tokenizer; must not know who shows
// what is read, nor how ids are drawn.
#pragma once

#include "runtime/app/call_reader.h"
#include "runtime/app/template.h"
#include "runtime/app/tokenizer.h"

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace gm {

struct AnswerEvent {
  enum Kind {
    Thought,   // `text` is more of it
    Text,      // `text` is more of the answer
    CallBegin, // call number `index` has the name `text`
    Arguments, // `text` is more of its arguments, a JSON object
    CallEnd,   // its `arguments` are complete
  };
  Kind kind;
  std::string text;
  size_t index = 0;
  Value arguments = {};
};

// What ended an output. Open: nothing in it did.
enum class AnswerEnd { Open, Turn, ToolResponse, Eos };

struct AnswerOptions {
  // The prompt ends inside a thought: ends_in_thought(prompt).
  bool in_thought = false;
  // Thoughts, and the answer, without white space around the whole. What is
  // white is then held back until something follows.
  bool trimmed = true;
};

// The events are the same however an output is cut, but for where texts of one
// kind are cut.
class AnswerReader {
public:
  explicit AnswerReader(const Tokenizer &tokenizer,
                        const AnswerOptions &options = {});
  // Of an output given as text.
  explicit AnswerReader(const AnswerOptions &options = {});

  // Appends the events that `id` (0 .. vocab()-1), or a piece of text, brings.
  // Behind the end nothing counts.
  void push(int32_t id, std::vector<AnswerEvent> &events);
  void push(std::string_view text, std::vector<AnswerEvent> &events);
  // Nothing follows: ends what is open. Call it once, whatever end() says.
  void finish(std::vector<AnswerEvent> &events);

  bool in_thought() const { return mode == Mode::Thought; }
  bool in_call() const { return mode == Mode::Call; }
  AnswerEnd end() const { return ended; }
  size_t calls() const { return count; }

private:
  enum class Mode { Text, Thought, Call };
  enum Tag {
    ChannelOpen,
    ChannelClose,
    CallOpen,
    CallClose,
    TurnClose,
    ResponseOpen,
    Eos,
    Quote,
    Tags
  };
  // Text of one kind, without white space at its ends.
  struct Trimmed {
    bool begun = false;
    std::string white; // behind what was given
  };

  static std::string_view spelled(int tag);
  void characters(std::string_view text);
  void search(std::string_view text);
  void text(std::string_view text);
  void thought(std::string_view text);
  void give(AnswerEvent::Kind kind, Trimmed &state, std::string_view text);
  void tag(int which);
  void stop(AnswerEnd end);
  void leave_thought(bool closed);
  void show_call();
  void end_call();
  AnswerEvent &event(AnswerEvent::Kind kind);

  AnswerOptions options;
  const Tokenizer *tokenizer = nullptr;
  std::unique_ptr<StreamDecoder> decoder;
  int32_t ids[Tags];      // -1: looked for in the text
  bool searching = false; // there is such a tag
  Mode mode;
  AnswerEnd ended = AnswerEnd::Open;
  bool heading = false; // "thought\n" may still come
  std::string held;     // of a thought: a heading's beginning, or a last "\n"
  std::string partial;  // of a character
  std::string tail;     // may be a tag's beginning
  Trimmed answer, thoughts;
  CallReader call;
  size_t count = 0, shown = 0; // calls; bytes of this one's arguments
  std::vector<AnswerEvent> *out = nullptr;
};

// An output as a whole.
struct Answer {
  struct Call {
    std::string name;
    std::string json; // the arguments
    Value arguments;
  };
  std::string thought, text;
  std::vector<Call> calls;

  void add(const std::vector<AnswerEvent> &events);
};

} // namespace gm
