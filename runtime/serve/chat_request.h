// A chat request as OpenAI's /v1/chat/completions has it, read: how to
// generate, and the prompt. The other APIs' requests are brought into this form
// first. Knows JSON and the chat format; must not know how answers are sent.
#pragma once

#include "runtime/serve/completion.h"

namespace gm {

// The prompt of a chat request: rendered text, and its ids with the rows of its
// media.
struct ChatPrompt {
  Prompt text;
  Items items;
  std::vector<int32_t> ids; // the same as text shows them: media are the tokens
                            // that stand for their rows
  Reading reading;          // of what follows it
};

struct ChatRequest {
  Generation generation;
  ChatPrompt prompt;
};

// `body`: the request's JSON, also parsed as `root`.
MaybeError read_chat_prompt(const Context &context, const std::string &body,
                            const Tree &root, ChatPrompt &out);
MaybeError read_chat(const Context &context, const std::string &body,
                     const Tree &root, ChatRequest &out);

} // namespace gm
