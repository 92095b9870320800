// Tool calls of the chat protocol, and the thought in front of an answer, as
// grammar. Knows the control tokens by their ids; must not know how calls are
// read back.
#pragma once

#include "runtime/app/tokenizer.h"
#include "runtime/grammar/schema.h"

#include <string>
#include <vector>

namespace gm::grammar {

// Control tokens that answers have; -1: the vocabulary has none.
struct AnswerTokens {
  int32_t quote = -1, call_open = -1, call_close = -1, channel_open = -1,
          channel_close = -1;
};
AnswerTokens answer_tokens(const Tokenizer &tokenizer);

struct CallableTool {
  std::string name;
  Value parameters; // its schema; Null: it takes none
};

struct CallRules {
  bool required = false; // at least one call and no text; else text, then calls
  bool parallel = true;  // more than one
};

// Any text without control tokens.
NodeId add_text(Grammar &grammar);
// Calls of `tools` as `rules` say. For one that the caller names give it alone.
// UNSUPPORTED in vocabularies without the control tokens, and as add_schema,
// with the tool's name.
Status add_calls(Grammar &grammar, const std::vector<CallableTool> &tools,
                 const CallRules &rules, const AnswerTokens &tokens,
                 NodeId &node);

enum class Thought {
  Allowed, // a thought may come first
  Open     // the prompt has begun one
};
// A thought, then `answer`. Without the control tokens: `answer` alone.
NodeId add_thought(Grammar &grammar, Thought thought,
                   const AnswerTokens &tokens, NodeId answer);

} // namespace gm::grammar
