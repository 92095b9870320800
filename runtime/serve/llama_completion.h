// llama.cpp's own /completion, for its clients: a text goes on, and every
// answer says how it came about.
#pragma once

#include "runtime/serve/context.h"

#include <memory>

namespace gm {

MaybeError llama_completion(Context &context, HttpRequest &request,
                            const std::shared_ptr<HttpReply> &reply);

} // namespace gm
