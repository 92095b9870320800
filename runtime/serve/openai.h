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

} // namespace gm
