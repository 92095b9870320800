// See responses.h.
#include "runtime/serve/responses.h"
#include "runtime/serve/block_completion.h"
#include "runtime/serve/chat_request.h"
#include "runtime/serve/http_text.h"

#include <cstring>

namespace gm {
namespace {

class ResponsesAnswer final : public BlockCompletion {
public:
  ResponsesAnswer(Context &context, std::shared_ptr<HttpReply> reply,
                  const Generation &generation, Tree root)
      : BlockCompletion(context, std::move(reply), generation),
        root(std::move(root)) {}

private:
  Tree chunk(Tree choice) const override { return choice; }

  std::string new_id(Block::Kind kind) const override {
    static const char *const prefixes[] = {"rs_", "msg_", "fc_"};
    return prefixes[kind] + random_hex(24);
  }

  // What the request said, or what holds without.
  Tree said(const char *key, Tree otherwise = {}) const {
    const auto found = root.find(key);
    return found == root.end() || found->is_null() ? otherwise : *found;
  }

  Tree usage() const {
    return {{"input_tokens", total.prompt},
            {"input_tokens_details",
             {{"cached_tokens", total.cached}, {"cache_write_tokens", 0}}},
            {"output_tokens", total.generated},
            {"output_tokens_details", {{"reasoning_tokens", thought_tokens}}},
            {"total_tokens", total.prompt + total.generated}};
  }

  bool cut() const {
    return made[0].reason && !strcmp(made[0].reason, "length");
  }

  const char *status() const {
    return !made[0].reason ? "in_progress" : cut() ? "incomplete" : "completed";
  }

  Tree part(const Block &block) const {
    if (block.kind == Block::Thought)
      return {{"type", "reasoning_text"}, {"text", block.text}};
    return {{"type", "output_text"},
            {"text", block.text},
            {"annotations", Tree::array()},
            {"logprobs", context.logprobs_of(block.tokens)}};
  }

  Tree item(const Block &block, const char *state, bool filled) const {
    Tree parts = Tree::array();
    if (filled && block.kind != Block::Call)
      parts.push_back(part(block));
    switch (block.kind) {
    case Block::Thought:
      return {{"id", block.id},
              {"type", "reasoning"},
              {"summary", Tree::array()},
              {"content", std::move(parts)},
              {"status", state}};
    case Block::Text:
      return {{"id", block.id},
              {"type", "message"},
              {"role", "assistant"},
              {"status", state},
              {"content", std::move(parts)}};
    case Block::Call:
      break;
    }
    return {{"id", block.id},          {"type", "function_call"},
            {"call_id", block.call},   {"name", block.name},
            {"arguments", block.text}, {"status", state}};
  }

  // `with`: also what it has become.
  Tree response(bool with) const {
    Tree output = Tree::array();
    for (size_t i = 0; with && i < blocks.size(); ++i)
      output.push_back(item(
          blocks[i], i + 1 == blocks.size() ? status() : "completed", true));
    Tree text = said("text", Tree::object());
    if (!text.contains("format"))
      text["format"] = {{"type", "text"}};
    return {{"id", id},
            {"object", "response"},
            {"created_at", created},
            {"completed_at", with && !cut() ? Tree(now_seconds()) : Tree()},
            {"status", with ? status() : "in_progress"},
            {"background", false},
            {"error", nullptr},
            {"incomplete_details",
             with && cut() ? Tree{{"reason", "max_output_tokens"}} : Tree()},
            {"instructions", said("instructions")},
            {"max_output_tokens", said("max_output_tokens")},
            {"metadata", said("metadata", Tree::object())},
            {"model", context.settings.alias},
            {"output", std::move(output)},
            {"parallel_tool_calls", said("parallel_tool_calls", true)},
            {"previous_response_id", nullptr},
            {"reasoning", said("reasoning", {{"effort", nullptr}})},
            {"store", false},
            {"temperature", generation.sampling.temperature},
            {"text", std::move(text)},
            {"tool_choice", said("tool_choice", "auto")},
            {"tools", said("tools", Tree::array())},
            {"top_p", generation.sampling.top_p},
            {"truncation", "disabled"},
            {"usage", with ? usage() : Tree()}};
  }

  Tree whole() override {
    make_blocks();
    return response(true);
  }

  void send(const std::string &name, Tree more) {
    const std::string type = "response." + name;
    Tree out = {{"type", type}, {"sequence_number", number++}};
    out.update(more);
    event(out, type.c_str());
  }

  // Of a block's events.
  Tree place(size_t index) const {
    Tree out = {{"item_id", blocks[index].id}, {"output_index", index}};
    if (blocks[index].kind != Block::Call)
      out["content_index"] = 0;
    return out;
  }

  static const char *piece_name(const Block &block) {
    static const char *const names[] = {"reasoning_text", "output_text",
                                        "function_call_arguments"};
    return names[block.kind];
  }

  void begin() override {
    send("created", {{"response", response(false)}});
    send("in_progress", {{"response", response(false)}});
  }

  void begin_block(size_t index) override {
    const Block &block = blocks[index];
    send("output_item.added", {{"output_index", index},
                               {"item", item(block, "in_progress", false)}});
    if (block.kind == Block::Call)
      return;
    Tree more = place(index);
    more["part"] = part(block);
    send("content_part.added", std::move(more));
  }

  void more(size_t index, const std::string &piece,
            const std::vector<Drawn> &tokens) override {
    Tree more = place(index);
    more["delta"] = piece;
    if (blocks[index].kind == Block::Text)
      more["logprobs"] = context.logprobs_of(tokens);
    send(std::string(piece_name(blocks[index])) + ".delta", std::move(more));
  }

  void end_block(size_t index) override {
    const Block &block = blocks[index];
    Tree done = place(index);
    if (block.kind == Block::Call) {
      done["name"] = block.name;
      done["arguments"] = block.text;
    } else {
      done["text"] = block.text;
      if (block.kind == Block::Text)
        done["logprobs"] = context.logprobs_of(block.tokens);
    }
    send(std::string(piece_name(block)) + ".done", std::move(done));
    if (block.kind != Block::Call) {
      Tree more = place(index);
      more["part"] = part(block);
      send("content_part.done", std::move(more));
    }
    send("output_item.done",
         {{"output_index", index},
          {"item", item(block, cut() ? "incomplete" : "completed", true)}});
  }

  void end() override {
    send(cut() ? "incomplete" : "completed", {{"response", response(true)}});
  }

  void give_error(const ApiError &error) override {
    event({{"type", "error"},
           {"sequence_number", number++},
           {"code", error.code.empty() ? "server_error" : error.code},
           {"message", error.message},
           {"param", nullptr}},
          "error");
  }

  const Tree root; // the request
  const std::string id = "resp_" + random_hex(24);
  int64_t number = 0; // of the next event
};

} // namespace

MaybeError responses(Context &context, HttpRequest &request,
                     const std::shared_ptr<HttpReply> &reply) {
  Tree root, form;
  if (MaybeError e = read_object(request, root))
    return e;
  if (MaybeError e = chat_of_responses(root, form))
    return e;
  ChatRequest chat;
  if (MaybeError e = read_chat(context, dump(form), form, chat))
    return e;
  root.erase("input"); // the rest is said again
  return std::make_shared<ResponsesAnswer>(context, reply, chat.generation,
                                           std::move(root))
      ->start({chat.prompt.items}, chat.prompt.reading);
}

MaybeError response_tokens(Context &context, HttpRequest &request, Page &page) {
  Tree root, form;
  if (MaybeError e = read_object(request, root))
    return e;
  if (MaybeError e = chat_of_responses(root, form))
    return e;
  ChatPrompt prompt;
  if (MaybeError e = read_chat_prompt(context, dump(form), form, prompt))
    return e;
  page = {"application/json", dump({{"object", "response.input_tokens"},
                                    {"input_tokens", prompt.items.size()}})};
  return {};
}

} // namespace gm
