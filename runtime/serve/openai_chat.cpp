// See openai.h: /v1/chat/completions.
#include "runtime/serve/chat_request.h"
#include "runtime/serve/http_text.h"
#include "runtime/serve/openai.h"

#include <algorithm>

namespace gm {
namespace {

Tree logprobs_of(const Context &context, const std::vector<Drawn> &tokens) {
  return {{"content", context.logprobs_of(tokens)}, {"refusal", nullptr}};
}

Tree calls_of(const std::vector<CallDelta> &calls, bool stream) {
  Tree out = Tree::array();
  for (const CallDelta &call : calls) {
    Tree each = Tree::object(), function = Tree::object();
    if (stream)
      each["index"] = call.index;
    if (!call.id.empty()) {
      each["id"] = call.id;
      each["type"] = "function";
      function["name"] = call.name;
    }
    function["arguments"] = call.arguments;
    each["function"] = std::move(function);
    out.push_back(std::move(each));
  }
  return out;
}

class ChatCompletion final : public Completion {
public:
  using Completion::Completion;

private:
  Tree chunk(Tree choice) const override {
    Tree out = context.head(id, "chat.completion.chunk", created);
    out["choices"] = Tree::array();
    if (!choice.is_null())
      out["choices"].push_back(std::move(choice));
    return out;
  }

  Tree choice(size_t index, Tree delta, const char *reason,
              const std::vector<Drawn> &tokens) const {
    Tree out = {{"index", index},
                {"delta", std::move(delta)},
                {"logprobs", nullptr},
                {"finish_reason", nullptr}};
    if (!tokens.empty())
      out["logprobs"] = logprobs_of(context, tokens);
    if (reason)
      out["finish_reason"] = reason;
    return out;
  }

  void give(size_t index, const Delta &delta, bool first) override {
    if (first)
      event(chunk(choice(index, {{"role", "assistant"}, {"content", ""}},
                         nullptr, {})));
    Tree more = Tree::object();
    if (!delta.thought.empty())
      more["reasoning_content"] = delta.thought;
    if (!delta.text.empty())
      more["content"] = delta.text;
    if (!delta.calls.empty())
      more["tool_calls"] = calls_of(delta.calls, true);
    if (!delta.empty())
      event(chunk(choice(index, std::move(more), nullptr, delta.tokens)));
  }

  void close(size_t index, const char *reason) override {
    event(chunk(choice(index, Tree::object(), reason, {})));
  }

  Tree whole() override {
    Tree out = context.head(id, "chat.completion", created);
    Tree &choices = out["choices"] = Tree::array();
    for (size_t i = 0; i < made.size(); ++i) {
      const Delta &all = made[i].all;
      Tree message = {{"role", "assistant"}, {"content", all.text}};
      message["refusal"] = nullptr;
      if (!all.thought.empty())
        message["reasoning_content"] = all.thought;
      if (!all.calls.empty()) {
        message["tool_calls"] = calls_of(all.calls, false);
        if (all.text.empty())
          message["content"] = nullptr;
      }
      Tree choice = {{"index", i},
                     {"message", std::move(message)},
                     {"logprobs", nullptr},
                     {"finish_reason", made[i].reason}};
      if (generation.logprobs >= 0)
        choice["logprobs"] = logprobs_of(context, all.tokens);
      choices.push_back(std::move(choice));
    }
    out["usage"] = usage();
    out["timings"] = timings();
    return out;
  }

  const std::string id = "chatcmpl-" + random_hex(24);
};

} // namespace

MaybeError chat_completions(Context &context, HttpRequest &request,
                            const std::shared_ptr<HttpReply> &reply) {
  Tree root;
  if (MaybeError e = read_object(request, root))
    return e;
  ChatRequest chat;
  if (MaybeError e = read_chat(context, request.body, root, chat))
    return e;
  return std::make_shared<ChatCompletion>(context, reply, chat.generation)
      ->start({chat.prompt.items}, chat.prompt.reading);
}

} // namespace gm
