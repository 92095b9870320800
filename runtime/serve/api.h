// Who may ask for what: keys, origins, hosts, content types, and which function
// answers a path. Knows HTTP's requests; must not know sockets.
#pragma once

#include "runtime/serve/context.h"

#include <memory>

namespace gm {

// Answers any request, and never throws but for lack of memory.
void answer(Context &context, HttpRequest request,
            const std::shared_ptr<HttpReply> &reply);
// The body of an error, in OpenAI's form.
std::string error_body(int status, const std::string &why);

} // namespace gm
