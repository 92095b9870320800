// The prompts of text completions: texts, lists of token ids, and both mixed.
#pragma once

#include "runtime/serve/context.h"

namespace gm {

struct TextPrompt {
  std::vector<int32_t> ids; // at least one
  std::string text;
  bool shows_first = false; // the text begins with the first of the ids: it is
                            // no <bos> of ours
};

// A text, a list that has token ids, or a list of these.
MaybeError read_prompts(const Context &context, const Tree *prompt,
                        std::vector<TextPrompt> &out);

} // namespace gm
