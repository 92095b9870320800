// OpenAI's /v1/responses, without a memory: nothing is stored, every request
// brings its conversation. Requests are brought into the form of chats
// (responses_request.cpp), answers are items (responses.cpp).
#pragma once

#include "runtime/serve/endpoints.h"

#include <memory>

namespace gm {

MaybeError responses(Context &context, HttpRequest &request,
                     const std::shared_ptr<HttpReply> &reply);

// /v1/responses/input_tokens.
MaybeError response_tokens(Context &context, HttpRequest &request, Page &page);

// A request of responses as one of chats. Its form alone is looked at: what a
// chat may say is checked where chats are read.
MaybeError chat_of_responses(const Tree &root, Tree &chat);

} // namespace gm
