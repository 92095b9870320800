// What the C API's texts and requests mean: prompts, how to generate, what an
// answer must be. Knows the structs of gemma.h as they are in this version;
// must not know handles.
#pragma once

#include "runtime/lib/gemma.h"
#include "runtime/lib/model.h"
#include "runtime/serve/chat_request.h"

namespace gm::lib {

// The defaults of a model's requests, all behind `size`.
gemma_request defaults_of(const Model &model);
// Rendered and encoded, as gemma_render.
Status read_prompt(const Model &model, const char *chat, ChatPrompt &out);
// All of a request. Errors name the field.
Status read_request(const Model &model, const gemma_request &request,
                    ChatRequest &out);
// BAD_INPUT if the text is not UTF-8.
Status check_utf8(const char *what, std::string_view text);
// BAD_INPUT for an id that the vocabulary has not.
Status check_ids(const Model &model, const int32_t *ids, size_t count);

} // namespace gm::lib
