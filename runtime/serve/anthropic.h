// Anthropic's API: /v1/messages and /v1/messages/count_tokens. Requests are
// brought into the form of OpenAI's chats (anthropic_request.cpp), answers are
// blocks (anthropic.cpp).
#pragma once

#include "runtime/serve/endpoints.h"

#include <memory>

namespace gm {

MaybeError messages(Context &context, HttpRequest &request,
                    const std::shared_ptr<HttpReply> &reply);
MaybeError count_tokens(Context &context, HttpRequest &request, Page &page);

// A request of messages as one of chats. Its form alone is looked at: what a
// chat may say is checked where chats are read.
MaybeError chat_of_messages(const Tree &root, Tree &chat);

} // namespace gm
