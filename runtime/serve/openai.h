// OpenAI's API: /v1/chat/completions and /v1/completions. Each function answers
// `reply` now or later, or returns why it does not.
#pragma once

#include "runtime/serve/context.h"

#include <memory>

namespace gm {

MaybeError chat_completions(Context &context, HttpRequest &request,
                            const std::shared_ptr<HttpReply> &reply);
MaybeError text_completions(Context &context, HttpRequest &request,
                            const std::shared_ptr<HttpReply> &reply);

// The prompt of a chat request: rendered text and its ids.
struct ChatPrompt {
  Prompt text;
  std::vector<int32_t> ids;
  bool in_thought = false; // it ends inside a thought
};
// `body`: the request's JSON, also parsed.
MaybeError chat_prompt(const Context &context, const std::string &body,
                       const Tree &root, ChatPrompt &out);
// Of a body that is a JSON object.
MaybeError read_object(const HttpRequest &request, Tree &out);
MaybeError error_of(const Fields &fields);

} // namespace gm
