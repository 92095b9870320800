// See openai.h: /v1/chat/completions.
#include "runtime/manifest_generated.h"
#include "runtime/serve/completion.h"
#include "runtime/serve/demand.h"
#include "runtime/serve/http_text.h"
#include "runtime/serve/openai.h"

#include <algorithm>

namespace gm {
namespace {

// {"content": [{"token", "logprob", "bytes", "top_logprobs"}]}
Tree logprobs_of(const Context &context, const std::vector<Drawn> &tokens) {
  auto one = [&](int32_t id, float logprob) {
    const std::string text = context.token_text(id);
    Tree bytes = Tree::array();
    for (unsigned char byte : text)
      bytes.push_back(byte);
    return Tree{{"token", text}, {"logprob", logprob}, {"bytes", bytes}};
  };
  Tree content = Tree::array();
  for (const Drawn &token : tokens) {
    Tree each = one(token.id, token.logprob);
    Tree top = Tree::array();
    for (const auto &[id, logprob] : token.likely)
      top.push_back(one(id, logprob));
    each["top_logprobs"] = std::move(top);
    content.push_back(std::move(each));
  }
  return {{"content", std::move(content)}, {"refusal", nullptr}};
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

bool wants_thoughts(Fields &fields) {
  std::string effort = "none";
  fields.text("reasoning_effort", effort);
  bool out = effort != "none";
  fields.truth("enable_thinking", out);
  if (const Tree *more = fields.map("chat_template_kwargs")) {
    Fields inner(*more, "chat_template_kwargs.");
    inner.truth("enable_thinking", out);
    fields.fail("chat_template_kwargs", inner.status());
  }
  return out;
}

// Whether the tools are to be shown to the model.
bool shows_tools(Fields &fields) {
  const Tree *tools = fields.list("tools");
  for (size_t i = 0; tools && i < tools->size(); ++i) {
    const Tree *function = Fields((*tools)[i]).find("function");
    const Tree *name = function ? Fields(*function).find("name") : nullptr;
    if (!name || !name->is_string())
      fields.fail("tools",
                  failure(BAD_INPUT,
                          "'tools' expects {\"type\": \"function\", "
                          "\"function\": {\"name\": ...}}, got another element "
                          "%zu",
                          i));
  }
  const Tree *choice = fields.find("tool_choice");
  const bool any = tools && !tools->empty();
  if (!choice || !any) // without tools nothing can be demanded
    return any;
  const std::string word =
      choice->is_string() ? choice->get<std::string>() : "";
  if (word == "none")
    return false;
  if (word != "auto" && word != "required" && !choice->is_object())
    fields.expect("tool_choice", "auto, none, required or a function", *choice);
  return true;
}

} // namespace

MaybeError error_of(const Fields &fields) {
  if (fields.status().ok())
    return {};
  ApiError error(fields.status());
  error.param = fields.key();
  return error;
}

MaybeError read_object(const HttpRequest &request, Tree &out) {
  if (Status s = parse_json(request.body, out); !s.ok())
    return ApiError(s);
  if (!out.is_object())
    return ApiError(400, std::string("the body expects a JSON object, got ") +
                             kind_of(out));
  return {};
}

MaybeError chat_prompt(const Context &context, const std::string &body,
                       const Tree &root, ChatPrompt &out) {
  const Program &program = context.program;
  const auto chat = program.manifest().chat();
  if (chat == gemmac::manifest::Chat_None)
    return ApiError(501, "this program was made without a chat template");
  Fields fields(root);
  ChatOptions options;
  options.large = chat == gemmac::manifest::Chat_Large;
  options.enable_thinking = wants_thoughts(fields);
  const bool tools = shows_tools(fields);
  fields.truth("add_generation_prompt", options.generation_prompt);
  if (MaybeError e = error_of(fields))
    return e;
  Conversation conversation;
  if (Status s = parse_conversation(body, "the request", "", conversation);
      !s.ok())
    return ApiError(400, s.text, "messages");
  if (!conversation.media.empty())
    return ApiError(400, "pictures, sounds and films are not read here yet",
                    "messages");
  if (!tools)
    conversation.tools.clear();
  std::string problem =
      render_chat(conversation.messages, conversation.tools, options, out.text);
  if (!problem.empty())
    return ApiError(400, "the conversation cannot be rendered: " + problem,
                    "messages");
  out.in_thought = ends_in_thought(out.text);
  const int64_t most = program.plan.context;
  if (out.text.text.size() > limit_for(program, most).bytes)
    return context.check_prompt(Context::MANY_TOKENS, "messages");
  return context.check_prompt(
      encode_prompt(program, out.text, false, out.ids, most), "messages");
}

MaybeError chat_completions(Context &context, HttpRequest &request,
                            const std::shared_ptr<HttpReply> &reply) {
  Tree root;
  if (MaybeError e = read_object(request, root))
    return e;
  Fields fields(root);
  Generation generation;
  read_generation(fields, context, generation);
  bool logprobs = false;
  int64_t top = 0;
  fields.truth("logprobs", logprobs);
  fields.integer("top_logprobs", top, 0, 20);
  if (top && !logprobs)
    fields.fail("top_logprobs", failure(BAD_INPUT, "'top_logprobs' expects "
                                                   "'logprobs' to be true"));
  generation.logprobs = logprobs ? int32_t(top) : -1;
  bool parallel = true;
  fields.truth("parallel_tool_calls", parallel);
  generation.one_call = !parallel;
  if (MaybeError e = error_of(fields))
    return e;
  ChatPrompt prompt;
  if (MaybeError e = chat_prompt(context, request.body, root, prompt))
    return e;
  generation.constraint =
      read_demand(fields, context.grammars, parallel,
                  {wants_thoughts(fields), prompt.in_thought});
  if (generation.constraint && generation.ignore_stop)
    fields.fail("ignore_eos",
                failure(BAD_INPUT,
                        "'ignore_eos' expects false beside tools and "
                        "'response_format', which say where the "
                        "answer ends"));
  if (MaybeError e = error_of(fields))
    return e;
  auto completion =
      std::make_shared<ChatCompletion>(context, reply, generation);
  return completion->start({prompt.ids}, {true, prompt.in_thought});
}

} // namespace gm
