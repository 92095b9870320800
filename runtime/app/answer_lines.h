// An answer as `run` and `chat` print it: its text as it comes, a tool call as
// a line of JSON when it is complete, thoughts apart. Knows the reader of
// answers; must not know the terminal.
#pragma once

#include "runtime/app/answer.h"

#include <string>
#include <vector>

namespace gm {

class AnswerLines {
public:
  explicit AnswerLines(const Tokenizer &tokenizer, bool in_thought = false)
      : reader(tokenizer, {in_thought, /*trimmed=*/false}) {}

  // Appends to `out` what is to be printed, and to `thought`, if it is not
  // null, what is thought. Ids that end an answer and are passed over are not
  // to be pushed.
  void push(int32_t id, std::string &out, std::string *thought = nullptr);
  void finish(std::string &out);

  bool in_thought() const { return reader.in_thought(); }
  // All of it so far.
  const Answer &answer() const { return all; }

private:
  void show(std::string &out, std::string *thought);

  AnswerReader reader;
  Answer all;
  std::vector<AnswerEvent> events;
  bool line_begins = true;
};

} // namespace gm
