// See text_prompts.h.
#include "runtime/serve/text_prompts.h"
#include "runtime/serve/generation.h"

#include <algorithm>

namespace gm {

namespace {

bool has_ids(const Tree &list) {
  return list.is_array() &&
         std::any_of(list.begin(), list.end(),
                     [](const Tree &each) { return each.is_number(); });
}

// `out.ids` go on with a text; a <bos> that it does not have itself comes in
// front of all of them only.
MaybeError add_text(const Context &context, const std::string &text,
                    TextPrompt &out) {
  std::vector<int32_t> ids;
  if (MaybeError e = context.encode_text(text, "prompt", ids))
    return e;
  const bool ours =
      !ids.empty() && !text.starts_with(context.token_text(ids[0]));
  if (out.ids.empty())
    out.shows_first = !ids.empty() && !ours;
  else if (ours)
    ids.erase(ids.begin());
  out.ids.insert(out.ids.end(), ids.begin(), ids.end());
  return {};
}

MaybeError read_list(const Context &context, const Tree &list,
                     TextPrompt &out) {
  const Tokenizer &t = context.program.tokenizer;
  const int64_t vocab = t.vocab();
  for (const Tree &each : list) {
    if (MaybeError e = context.check_prompt(out.ids.size(), "prompt"))
      return e;
    if (each.is_string()) {
      if (MaybeError e =
              add_text(context, each.get_ref<const std::string &>(), out))
        return e;
      continue;
    }
    if (!each.is_number_integer() || each.get<int64_t>() < 0 ||
        each.get<int64_t>() >= vocab)
      return ApiError(400,
                      "'prompt' expects token ids from 0 to " +
                          std::to_string(vocab - 1) + ", got " +
                          dump(each).substr(0, 40),
                      "prompt");
    if (out.ids.empty())
      out.shows_first = true;
    out.ids.push_back(each.get<int32_t>());
  }
  const size_t hidden = !out.shows_first && !out.ids.empty();
  out.text = t.decode(out.ids.data() + hidden, out.ids.size() - hidden, true);
  return context.check_prompt(out.ids.size(), "prompt");
}

// What `read_prompts` reads, without its items.
MaybeError read_all(const Context &context, const Tree *prompt,
                    std::vector<TextPrompt> &out) {
  auto expects = [](const std::string &got) {
    return ApiError(400,
                    "'prompt' expects a text, a list of texts, a list of token "
                    "ids or a list of such lists, got " +
                        got,
                    "prompt");
  };
  auto add = [&](const Tree &each, const std::string &where) -> MaybeError {
    if (!each.is_string() && !has_ids(each))
      return expects(kind_of(each) + where);
    TextPrompt &one = out.emplace_back();
    if (MaybeError e = each.is_string()
                           ? add_text(context, each.get<std::string>(), one)
                           : read_list(context, each, one))
      return e;
    if (each.is_string())
      one.text = each.get<std::string>();
    if (one.ids.empty())
      return ApiError(400, "'prompt' expects at least one token", "prompt");
    return {};
  };
  if (!prompt)
    return expects("none");
  if (prompt->is_string() || has_ids(*prompt))
    return add(*prompt, "");
  if (!prompt->is_array() || prompt->empty())
    return expects(kind_of(*prompt));
  if (prompt->size() > size_t(kMostAnswers))
    return ApiError(400,
                    "'prompt' expects at most " + std::to_string(kMostAnswers) +
                        " prompts",
                    "prompt");
  for (const Tree &each : *prompt)
    if (MaybeError e = add(each, " in the list"))
      return e;
  return {};
}

} // namespace

MaybeError read_prompts(const Context &context, const Tree *prompt, int64_t n,
                        std::vector<TextPrompt> &out,
                        std::vector<Items> &items) {
  if (MaybeError e = read_all(context, prompt, out))
    return e;
  if (int64_t(out.size()) * n > kMostAnswers)
    return ApiError(400,
                    "expects at most " + std::to_string(kMostAnswers) +
                        " answers, prompts times n",
                    "n");
  for (const TextPrompt &each : out)
    items.emplace_back(each.ids);
  return {};
}

} // namespace gm
