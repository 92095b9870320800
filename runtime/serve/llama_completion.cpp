// See llama_completion.h.
#include "runtime/serve/llama_completion.h"
#include "runtime/serve/completion.h"
#include "runtime/serve/demand.h"
#include "runtime/serve/text_prompts.h"

namespace gm {
namespace {

// What its requests say beside those of OpenAI's.
struct LlamaOptions {
  bool return_tokens = false;
  std::vector<std::string> response_fields; // empty: all
};

class LlamaCompletion final : public Completion {
public:
  LlamaCompletion(Context &context, std::shared_ptr<HttpReply> reply,
                  const Generation &generation, LlamaOptions options,
                  std::vector<TextPrompt> prompts)
      : Completion(context, std::move(reply), generation),
        options(std::move(options)), prompts(std::move(prompts)) {}

private:
  const TextPrompt &prompt_of(size_t index) const {
    return prompts[index / size_t(generation.n)];
  }

  Tree ids_of(const std::vector<Drawn> &tokens) const {
    Tree out = Tree::array();
    for (const Drawn &token : tokens)
      if (!context.is_stop(token.id))
        out.push_back(token.id);
    return out;
  }

  // With "id" in front of "token".
  Tree probabilities_of(const std::vector<Drawn> &tokens) const {
    Tree out = context.logprobs_of(tokens);
    for (size_t i = 0; i < tokens.size(); ++i) {
      out[i]["id"] = tokens[i].id;
      for (size_t j = 0; j < tokens[i].likely.size(); ++j)
        out[i]["top_logprobs"][j]["id"] = tokens[i].likely[j].first;
    }
    return out;
  }

  Tree settings() const {
    const Sampling &s = generation.sampling;
    const LogitChanges &c = generation.changes;
    return {{"n_predict", generation.most},
            {"seed", generation.seed},
            {"temperature", s.temperature},
            {"top_k", s.top_k},
            {"top_p", s.top_p},
            {"min_p", s.min_p},
            {"repeat_penalty", c.repeat},
            {"presence_penalty", c.presence},
            {"frequency_penalty", c.frequency},
            {"stop", generation.stops},
            {"ignore_eos", generation.ignore_stop},
            {"stream", generation.stream},
            {"n_probs", std::max(generation.logprobs, 0)}};
  }

  // Of a choice that has ended, with `text` of it.
  Tree last(size_t index, const std::string &text) const {
    const Made &m = made[index];
    const std::string reason = m.reason;
    const Usage &u = m.usage;
    Tree out = {{"index", index},
                {"content", text},
                {"tokens", options.return_tokens && !generation.stream
                               ? ids_of(m.all.tokens)
                               : Tree::array()},
                {"id_slot", u.slot},
                {"stop", true},
                {"model", context.settings.alias},
                {"tokens_predicted", u.generated},
                {"tokens_evaluated", u.prompt},
                {"has_new_line", has_new_line(index, text)},
                {"truncated", false},
                {"stop_type", reason == "length" ? "limit"
                              : m.stop.empty()   ? "eos"
                                                 : "word"},
                {"stopping_word", m.stop},
                {"tokens_cached", u.generated ? u.prompt + u.generated - 1 : 0},
                {"timings", Context::timings_of(u)}};
    if (index % size_t(generation.n) == 0) { // once for each prompt
      out["generation_settings"] = settings();
      out["prompt"] = prompt_of(index).text;
    }
    if (generation.logprobs >= 0 && !generation.stream)
      out["completion_probabilities"] = probabilities_of(m.all.tokens);
    return chosen(std::move(out));
  }

  bool has_new_line(size_t index, const std::string &text) const {
    return text.find('\n') != text.npos ||
           (index < given.size() && given[index].has_new_line);
  }

  // "a/b" is field b of field a, given under that name.
  Tree chosen(Tree all) const {
    if (options.response_fields.empty())
      return all;
    Tree out = Tree::object();
    for (const std::string &path : options.response_fields) {
      const Tree *at = &all;
      size_t begin = 0, slash;
      do {
        slash = path.find('/', begin);
        const std::string key = path.substr(begin, slash - begin);
        const auto found = at->is_object() ? at->find(key) : at->end();
        at = at->is_object() && found != at->end() ? &*found : nullptr;
        if (at && slash == path.npos)
          out[path] = *at;
        begin = slash + 1;
      } while (at && slash != path.npos);
    }
    return out;
  }

  Tree chunk(Tree choice) const override { return choice; }

  void give(size_t index, const Delta &delta, bool) override {
    Tree ids = ids_of(delta.tokens);
    if (delta.text.empty() && ids.empty())
      return;
    given.resize(made.size());
    given[index].tokens += int64_t(delta.tokens.size());
    given[index].has_new_line |= delta.text.find('\n') != delta.text.npos;
    Tree out = {{"index", index},
                {"content", delta.text},
                {"tokens", std::move(ids)},
                {"stop", false},
                {"tokens_predicted", given[index].tokens},
                {"tokens_evaluated", prompt_of(index).ids.size()}};
    if (generation.logprobs >= 0)
      out["completion_probabilities"] = probabilities_of(delta.tokens);
    event(out);
  }

  void close(size_t index, const char *) override { event(last(index, "")); }
  void close_all() override {}

  Tree whole() override {
    if (made.size() == 1)
      return last(0, made[0].all.text);
    Tree out = Tree::array();
    for (size_t i = 0; i < made.size(); ++i)
      out.push_back(last(i, made[i].all.text));
    return out;
  }

  const LlamaOptions options;
  const std::vector<TextPrompt> prompts;
  struct Given {
    int64_t tokens = 0;
    bool has_new_line = false;
  };
  std::vector<Given> given; // of each choice of a stream
};

} // namespace

MaybeError llama_completion(Context &context, HttpRequest &request,
                            const std::shared_ptr<HttpReply> &reply) {
  Tree root;
  if (MaybeError e = read_object(request, root))
    return e;
  Fields fields(root);
  Generation generation;
  LlamaOptions options;
  int64_t probabilities = 0;
  bool sampled = false;
  read_generation(fields, context, generation);
  fields.integer("n_predict", generation.most, -1, INT64_MAX);
  fields.integer("n_probs", probabilities, 0, 20);
  fields.truth("return_tokens", options.return_tokens);
  fields.truth("post_sampling_probs", sampled);
  fields.texts("response_fields", options.response_fields, 64);
  if (sampled)
    fields.fail("post_sampling_probs",
                failure(UNSUPPORTED,
                        "'post_sampling_probs' is not supported: logprobs are "
                        "of the model's own distribution"));
  generation.logprobs = probabilities ? int32_t(probabilities) : -1;
  generation.tokens = options.return_tokens || generation.stream;
  generation.constraint = read_demand(fields, context.grammars, false, {});
  if (MaybeError e = error_of(fields))
    return e;
  std::vector<TextPrompt> prompts;
  std::vector<Items> items;
  if (MaybeError e = read_prompts(context, fields.find("prompt"), generation.n,
                                  prompts, items))
    return e;
  auto completion = std::make_shared<LlamaCompletion>(
      context, reply, generation, std::move(options), std::move(prompts));
  return completion->start(items, {});
}

} // namespace gm
