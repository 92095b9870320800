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

// A text, a list that has token ids, or a list of these; an error if they times
// `n` are more than kMostAnswers. `items`: of each.
MaybeError read_prompts(const Context &context, const Tree *prompt, int64_t n,
                        std::vector<TextPrompt> &out,
                        std::vector<Items> &items);

} // namespace gm
