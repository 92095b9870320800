// See chat_request.h.
#include "runtime/serve/chat_request.h"
#include "runtime/app/conversation.h"
#include "runtime/app/thought_budget.h"
#include "runtime/manifest_generated.h"
#include "runtime/serve/demand.h"

namespace gm {
namespace {

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

// The text that the answer is to go on from, if the request says so: the last
// message, which is taken away.
MaybeError take_beginning(Fields &fields, std::vector<Message> &messages,
                          std::string &out) {
  bool goes_on = false;
  fields.truth("continue_final_message", goes_on);
  bool prompted = false; // said, not by default
  fields.truth("add_generation_prompt", prompted);
  if (MaybeError e = error_of(fields); e || !goes_on)
    return e;
  if (prompted)
    return ApiError(400,
                    "'continue_final_message' and 'add_generation_prompt' "
                    "exclude each other",
                    "continue_final_message");
  const Message *last = messages.empty() ? nullptr : &messages.back();
  if (!last || last->role != "assistant" || !last->tool_calls.empty())
    return ApiError(400,
                    "'continue_final_message' expects a last message of the "
                    "assistant without tool calls",
                    "continue_final_message");
  if (last->content.kind == Content::Text)
    out = last->content.text;
  for (const Part &part : last->content.parts)
    out += part.text;
  messages.pop_back();
  return {};
}

} // namespace

MaybeError read_chat_prompt(const Context &context, const std::string &body,
                            const Tree &root, ChatPrompt &out) {
  const Program &program = context.program;
  const auto chat = program.manifest().chat();
  if (chat == gemmac::manifest::Chat_None)
    return ApiError(501, "this program was made without a chat template");
  Fields fields(root);
  ChatOptions options;
  options.large = chat == gemmac::manifest::Chat_Large;
  options.repair = true;
  options.enable_thinking = wants_thoughts(fields);
  const bool tools = shows_tools(fields);
  fields.truth("add_generation_prompt", options.generation_prompt);
  if (MaybeError e = error_of(fields))
    return e;
  Conversation conversation;
  if (Status s = parse_conversation(body, "the request", "", conversation);
      !s.ok())
    return ApiError(400, s.text, "messages");
  ServedMedia::List media;
  if (Status s = context.media.read(conversation.media, media); !s.ok())
    return ApiError(s.code == RESOURCES ? 503 : 400, s.text, "messages");
  if (!tools)
    conversation.tools.clear();
  std::string begun;
  if (MaybeError e = take_beginning(fields, conversation.messages, begun))
    return e;
  std::string problem =
      render_chat(conversation.messages, conversation.tools, options, out.text);
  if (!problem.empty())
    return ApiError(400, "the conversation cannot be rendered: " + problem,
                    "messages");
  out.reading = {true, ends_in_thought(out.text), begun.empty()};
  out.text += begun;
  const int64_t most = program.plan.context;
  if (out.text.text.size() > limit_for(program, most).bytes)
    return context.check_prompt(Context::MANY_TOKENS, "messages");
  std::vector<int32_t> ids;
  if (MaybeError e = context.check_prompt(
          encode_prompt(program, out.text, false, ids, most), "messages"))
    return e;
  if (Status s = context.media.place(ids, media, out.items, out.ids); !s.ok())
    return ApiError(400, s.text, "messages");
  return context.check_prompt(out.items.size(), "messages");
}

MaybeError read_chat(const Context &context, const std::string &body,
                     const Tree &root, ChatRequest &out) {
  Fields fields(root);
  Generation &generation = out.generation;
  read_generation(fields, context, generation);
  bool logprobs = false;
  int64_t top = 0;
  fields.truth("logprobs", logprobs);
  fields.integer("top_logprobs", top, 0, 20);
  if (top && !logprobs)
    fields.fail("top_logprobs", failure(BAD_INPUT, "'top_logprobs' expects "
                                                   "'logprobs' to be true"));
  generation.logprobs = logprobs ? int32_t(top) : -1;
  for (const char *key : {"reasoning_budget_tokens", "thinking_budget_tokens"})
    fields.integer(key, generation.thought, -1, INT64_MAX);
  bool parallel = true;
  fields.truth("parallel_tool_calls", parallel);
  generation.one_call = !parallel;
  if (MaybeError e = error_of(fields))
    return e;
  if (MaybeError e = read_chat_prompt(context, body, root, out.prompt))
    return e;
  generation.constraint =
      read_demand(fields, context.grammars, parallel,
                  {wants_thoughts(fields), out.prompt.reading.in_thought});
  generation.constraint =
      bound_thought(context.program, generation.thought,
                    out.prompt.reading.in_thought, generation.constraint);
  return error_of(fields);
}

} // namespace gm
