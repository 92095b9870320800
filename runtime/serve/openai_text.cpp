// See openai.h: /v1/completions.
#include "runtime/serve/completion.h"
#include "runtime/serve/demand.h"
#include "runtime/serve/http_text.h"
#include "runtime/serve/openai.h"
#include "runtime/serve/text_prompts.h"

namespace gm {
namespace {

// Characters of UTF-8.
int64_t characters(const std::string &text) {
  int64_t count = 0;
  for (unsigned char c : text)
    count += (c & 0xC0) != 0x80;
  return count;
}

class TextCompletion final : public Completion {
public:
  TextCompletion(Context &context, std::shared_ptr<HttpReply> reply,
                 const Generation &generation, std::vector<TextPrompt> echo)
      : Completion(context, std::move(reply), generation),
        echo(std::move(echo)) {}

private:
  // What stands in front of a choice.
  const TextPrompt *front(size_t index) const {
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
    if (begin && generation.scored && front(index)->shows_first)
      add(front(index)->ids[0], nullptr, nullptr);
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

  const std::vector<TextPrompt> echo; // that stand in front of their answers
  std::vector<int64_t> offsets;       // of a stream's choices
  const std::string id = "cmpl-" + random_hex(24);
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
  std::vector<TextPrompt> prompts;
  std::vector<Items> items;
  if (MaybeError e = read_prompts(context, fields.find("prompt"), generation.n,
                                  prompts, items))
    return e;
  if (!echo)
    prompts.clear();
  auto completion = std::make_shared<TextCompletion>(context, reply, generation,
                                                     std::move(prompts));
  return completion->start(items, {});
}

} // namespace gm
