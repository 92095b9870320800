// See anthropic.h.
#include "runtime/serve/anthropic.h"
#include "runtime/serve/block_completion.h"
#include "runtime/serve/chat_request.h"
#include "runtime/serve/http_text.h"

#include <cstring>

namespace gm {
namespace {

class MessagesAnswer final : public BlockCompletion {
public:
  using BlockCompletion::BlockCompletion;

private:
  Tree chunk(Tree choice) const override { return choice; }

  std::string new_id(Block::Kind) const override { return ""; }

  Tree message(Tree content, Tree reason, Tree stop, Tree usage) const {
    return {{"id", id},
            {"type", "message"},
            {"role", "assistant"},
            {"model", context.settings.alias},
            {"content", std::move(content)},
            {"stop_reason", std::move(reason)},
            {"stop_sequence", std::move(stop)},
            {"usage", std::move(usage)}};
  }

  Tree reason() const {
    const Made &m = made[0];
    return !strcmp(m.reason, "length")       ? "max_tokens"
           : !strcmp(m.reason, "tool_calls") ? "tool_use"
           : m.stop.empty()                  ? "end_turn"
                                             : "stop_sequence";
  }
  Tree stop() const {
    return made[0].stop.empty() ? Tree() : Tree(made[0].stop);
  }

  // What was found in the cache is told apart here.
  static Tree usage_of(int64_t input, int64_t cached, int64_t output) {
    return {{"input_tokens", input - cached},
            {"cache_creation_input_tokens", 0},
            {"cache_read_input_tokens", cached},
            {"output_tokens", output}};
  }
  Tree final_usage() const {
    return usage_of(total.prompt, total.cached, total.generated);
  }

  // A block at its beginning.
  static Tree empty(const Block &block) {
    switch (block.kind) {
    case Block::Thought:
      return {{"type", "thinking"}, {"thinking", ""}, {"signature", ""}};
    case Block::Text:
      return {{"type", "text"}, {"text", ""}};
    case Block::Call:
      break;
    }
    return {{"type", "tool_use"},
            {"id", block.call},
            {"name", block.name},
            {"input", Tree::object()}};
  }

  static Tree whole(const Block &block) {
    Tree out = empty(block);
    if (block.kind == Block::Thought)
      out["thinking"] = block.text;
    else if (block.kind == Block::Text)
      out["text"] = block.text;
    else if (Tree input; parse_json(block.text, input).ok())
      out["input"] = std::move(input); // else it was cut off
    return out;
  }

  Tree whole() override {
    make_blocks();
    Tree content = Tree::array();
    for (const Block &block : blocks)
      content.push_back(whole(block));
    return message(std::move(content), reason(), stop(), final_usage());
  }

  void send(const char *type, Tree more) {
    Tree out = {{"type", type}};
    out.update(more);
    event(out, type);
  }

  void begin() override {
    // How much of it was found in the cache is said at the end.
    send("message_start",
         {{"message",
           message(Tree::array(), {}, {}, usage_of(prompt_tokens, 0, 0))}});
  }

  void begin_block(size_t index) override {
    send("content_block_start",
         {{"index", index}, {"content_block", empty(blocks[index])}});
  }

  void more(size_t index, const std::string &piece,
            const std::vector<Drawn> &) override {
    static const char *const kinds[][2] = {
        {"thinking_delta", "thinking"},
        {"text_delta", "text"},
        {"input_json_delta", "partial_json"}};
    const auto &[type, key] = kinds[blocks[index].kind];
    send("content_block_delta",
         {{"index", index}, {"delta", {{"type", type}, {key, piece}}}});
  }

  void end_block(size_t index) override {
    if (blocks[index].kind == Block::Thought) // clients wait for it
      send("content_block_delta",
           {{"index", index},
            {"delta", {{"type", "signature_delta"}, {"signature", ""}}}});
    send("content_block_stop", {{"index", index}});
  }

  void end() override {
    send("message_delta",
         {{"delta", {{"stop_reason", reason()}, {"stop_sequence", stop()}}},
          {"usage", final_usage()}});
    send("message_stop", Tree::object());
  }

  void give_error(const ApiError &error) override {
    event(error.tree(), "error");
  }

  const std::string id = "msg_" + random_hex(24);
};

} // namespace

MaybeError messages(Context &context, HttpRequest &request,
                    const std::shared_ptr<HttpReply> &reply) {
  Tree root, form;
  if (MaybeError e = read_object(request, root))
    return e;
  if (MaybeError e = chat_of_messages(root, form))
    return e;
  if (!form.contains("max_tokens"))
    return ApiError(400, "'max_tokens' expects a whole number, got none",
                    "max_tokens");
  ChatRequest chat;
  if (MaybeError e = read_chat(context, dump(form), form, chat))
    return e;
  return std::make_shared<MessagesAnswer>(context, reply, chat.generation)
      ->start({chat.prompt.items}, chat.prompt.reading);
}

MaybeError count_tokens(Context &context, HttpRequest &request, Page &page) {
  Tree root, form;
  if (MaybeError e = read_object(request, root))
    return e;
  if (MaybeError e = chat_of_messages(root, form))
    return e;
  ChatPrompt prompt;
  if (MaybeError e = read_chat_prompt(context, dump(form), form, prompt))
    return e;
  page = {"application/json", dump({{"input_tokens", prompt.items.size()}})};
  return {};
}

} // namespace gm
