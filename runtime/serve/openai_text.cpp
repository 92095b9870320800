// See openai.h: /v1/completions.
#include "runtime/serve/completion.h"
#include "runtime/serve/demand.h"
#include "runtime/serve/http_text.h"
#include "runtime/serve/openai.h"

namespace gm {
namespace {

// Characters of UTF-8.
int64_t characters(const std::string &text) {
  int64_t count = 0;
  for (unsigned char c : text)
    count += (c & 0xC0) != 0x80;
  return count;
}

// A prompt that stands in front of its answers.
struct Echo {
  std::string text;
  int32_t first; // its first token, -1: the text does not show it
};

class TextCompletion final : public Completion {
public:
  TextCompletion(Context &context, std::shared_ptr<HttpReply> reply,
                 const Generation &generation, std::vector<Echo> echo)
      : Completion(context, std::move(reply), generation),
        echo(std::move(echo)) {}

private:
  // What stands in front of a choice.
  const Echo *front(size_t index) const {
    return echo.empty() ? nullptr : &echo[index / size_t(generation.n)];
  }
  std::string front_text(size_t index) const {
    return echo.empty() ? "" : front(index)->text;
  }

  // Of a choice: its own tokens, behind those of the prompt if `more` has them;
  // `begin`: nothing of it was given yet.
  Tree logprobs_of(size_t index, const Delta &more, bool begin,
                   int64_t &offset) const {
    Tree texts = Tree::array(), values = Tree::array(), tops = Tree::array(),
         offsets = Tree::array();
    auto add = [&](int32_t id, Tree logprob, Tree top) {
      const std::string text = context.token_text(id);
      texts.push_back(text);
      values.push_back(std::move(logprob));
      tops.push_back(std::move(top));
      offsets.push_back(offset);
      offset += characters(text);
    };
    auto add_drawn = [&](const Drawn &token) {
      Tree top = Tree::object();
      for (const auto &[id, logprob] : token.likely)
        top[context.token_text(id)] = logprob;
      add(token.id, token.logprob, std::move(top));
    };
    // Nothing stands in front of the first one.
    if (begin && generation.scored && front(index)->first >= 0)
      add(front(index)->first, nullptr, nullptr);
    for (const Drawn &token : more.prompt)
      add_drawn(token);
    for (const Drawn &token : more.tokens)
      add_drawn(token);
    return {{"tokens", std::move(texts)},
            {"token_logprobs", std::move(values)},
            {"top_logprobs", std::move(tops)},
            {"text_offset", std::move(offsets)}};
  }

  Tree chunk(Tree choice) const override {
    Tree out = context.head(id, "text_completion", created);
    out["choices"] = Tree::array();
    if (!choice.is_null())
      out["choices"].push_back(std::move(choice));
    return out;
  }

  Tree choice(size_t index, const std::string &text, const char *reason) const {
    Tree out = {{"index", index},
                {"text", text},
                {"logprobs", nullptr},
                {"finish_reason", nullptr}};
    if (reason)
      out["finish_reason"] = reason;
    return out;
  }

  void give(size_t index, const Delta &delta, bool first) override {
    if (offsets.empty())
      offsets.resize(made.size());
    const std::string text = (first ? front_text(index) : "") + delta.text;
    if (first)
      offsets[index] = generation.scored ? 0 : characters(front_text(index));
    if (text.empty() && delta.empty())
      return;
    Tree out = choice(index, text, nullptr);
    if (!delta.tokens.empty() || !delta.prompt.empty())
      out["logprobs"] = logprobs_of(index, delta, first, offsets[index]);
    event(chunk(std::move(out)));
  }

  void close(size_t index, const char *reason) override {
    event(chunk(choice(index, "", reason)));
  }

  Tree whole() override {
    Tree out = chunk({});
    for (size_t i = 0; i < made.size(); ++i) {
      Tree each = choice(i, front_text(i) + made[i].all.text, made[i].reason);
      int64_t offset = generation.scored ? 0 : characters(front_text(i));
      if (generation.logprobs >= 0)
        each["logprobs"] = logprobs_of(i, made[i].all, true, offset);
      out["choices"].push_back(std::move(each));
    }
    out["usage"] = usage();
    out["timings"] = timings();
    return out;
  }

  const std::vector<Echo> echo;
  std::vector<int64_t> offsets; // of a stream's choices
  const std::string id = "cmpl-" + random_hex(24);
};

bool is_ids(const Tree &list) {
  return list.is_array() && !list.empty() && list[0].is_number();
}

struct Prompts {
  std::vector<std::vector<int32_t>> ids;
  std::vector<Echo> texts;

  MaybeError add(const Context &context, const Tree &prompt) {
    ids.emplace_back();
    if (prompt.is_string()) {
      const std::string &text = prompt.get_ref<const std::string &>();
      MaybeError e = context.encode_text(text, "prompt", ids.back());
      const bool shown = !ids.back().empty() &&
                         text.starts_with(context.token_text(ids.back()[0]));
      texts.push_back({text, shown ? ids.back()[0] : -1}); // else our <bos>
      return e;
    }
    const int64_t vocab = context.program.tokenizer.vocab();
    for (const Tree &id : prompt) {
      if (!id.is_number_integer() || id.get<int64_t>() < 0 ||
          id.get<int64_t>() >= vocab)
        return ApiError(400,
                        "'prompt' expects token ids from 0 to " +
                            std::to_string(vocab - 1) + ", got " +
                            dump(id).substr(0, 40),
                        "prompt");
      ids.back().push_back(id.get<int32_t>());
    }
    texts.push_back({context.program.tokenizer.decode(ids.back().data(),
                                                      ids.back().size(), true),
                     ids.back().empty() ? -1 : ids.back()[0]});
    return context.check_prompt(ids.back().size(), "prompt");
  }

  // A text, a list of ids, or a list of these.
  MaybeError read(const Context &context, const Tree *prompt) {
    const char *expected =
        "'prompt' expects a text, a list of texts, a list of token ids or a "
        "list of such lists";
    if (!prompt)
      return ApiError(400, std::string(expected) + ", got none", "prompt");
    if (prompt->is_string() || is_ids(*prompt))
      return add(context, *prompt);
    if (!prompt->is_array() || prompt->empty())
      return ApiError(400, std::string(expected) + ", got " + kind_of(*prompt),
                      "prompt");
    if (prompt->size() > size_t(kMostAnswers))
      return ApiError(400,
                      "'prompt' expects at most " +
                          std::to_string(kMostAnswers) + " prompts",
                      "prompt");
    for (const Tree &each : *prompt) {
      if (!each.is_string() && !is_ids(each))
        return ApiError(400,
                        std::string(expected) + ", got " + kind_of(each) +
                            " in the list",
                        "prompt");
      if (MaybeError e = add(context, each))
        return e;
    }
    return {};
  }
};

} // namespace

MaybeError text_completions(Context &context, HttpRequest &request,
                            const std::shared_ptr<HttpReply> &reply) {
  Tree root;
  if (MaybeError e = read_object(request, root))
    return e;
  Fields fields(root);
  Generation generation;
  generation.most = 16; // OpenAI's default here
  read_generation(fields, context, generation);
  bool echo = false;
  int64_t logprobs = -1, best_of = generation.n;
  std::string suffix;
  fields.truth("echo", echo);
  // Some clients say true or false, as in chats.
  if (const Tree *value = fields.find("logprobs"); value && value->is_boolean())
    logprobs = value->get<bool>() ? 1 : -1;
  else
    fields.integer("logprobs", logprobs, 0, 20);
  fields.text("suffix", suffix);
  fields.integer("best_of", best_of, 1, kMostAnswers);
  if (!suffix.empty())
    fields.fail("suffix", failure(UNSUPPORTED, "'suffix' is not supported: "
                                               "the model fills no gaps"));
  if (best_of != generation.n)
    fields.fail("best_of",
                failure(UNSUPPORTED, "'best_of' is not supported; ask for 'n' "
                                     "answers and choose"));
  generation.logprobs = int32_t(logprobs);
  generation.scored = echo && logprobs >= 0;
  generation.constraint = read_demand(fields, context.grammars, false, {});
  if (MaybeError e = error_of(fields))
    return e;
  Prompts prompts;
  if (MaybeError e = prompts.read(context, fields.find("prompt")))
    return e;
  if (int64_t(prompts.ids.size()) * generation.n > kMostAnswers)
    return ApiError(400,
                    "expects at most " + std::to_string(kMostAnswers) +
                        " answers, prompts times n",
                    "n");
  std::vector<Items> items;
  for (const auto &ids : prompts.ids) {
    if (ids.empty())
      return ApiError(400, "'prompt' expects at least one token", "prompt");
    items.emplace_back(ids);
  }
  if (!echo)
    prompts.texts.clear();
  auto completion = std::make_shared<TextCompletion>(context, reply, generation,
                                                     std::move(prompts.texts));
  return completion->start(items, {});
}

} // namespace gm
