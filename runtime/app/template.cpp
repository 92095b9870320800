// See template.h. The order of the steps is the template's own: head, then for
// every message that is not a tool's: turn, thought, calls, responses, content,
// close; then the generation prompt.
#include "runtime/app/template.h"

#include <algorithm>

namespace gm {
namespace {

bool is_media(std::string_view type, std::string_view &tag) {
  if (type == "image" || type == "image_url")
    tag = "<|image|>";
  else if (type == "audio" || type == "input_audio")
    tag = "<|audio|>";
  else if (type == "video")
    tag = "<|video|>";
  else
    return false;
  return true;
}

bool is_system(const Message &message) {
  return message.role == "system" || message.role == "developer";
}

class Renderer {
public:
  Renderer(const std::vector<Message> &messages, const ChatOptions &options,
           Prompt &out)
      : messages(messages), options(options), out(out) {}

  std::string run(const std::vector<Value> &tools) {
    head(tools);
    last_user = messages.size();
    for (size_t i = first; i < messages.size(); ++i)
      if (messages[i].role == "user")
        last_user = i;
    for (size_t i = first; i < messages.size() && problem.empty(); ++i)
      if (messages[i].role != "tool")
        message(i);
    if (options.generation_prompt && problem.empty())
      generation_prompt();
    return problem;
  }

private:
  // One place for a medium; for every frame of a film, behind its time, one
  // between the tokens of an image (docs/model/vision.md#8.2).
  void medium(const Part &part, std::string_view tag) {
    if (part.stamps.empty()) {
      out.control(tag);
      return;
    }
    for (size_t i = 0; i < part.stamps.size(); ++i) {
      out += (i ? " " : "") + part.stamps[i] + " ";
      out.control("<|image>").control(tag).control("<image|>");
    }
  }

  enum class Last { Other, Call, Response };

  void fail(std::string why) {
    if (problem.empty())
      problem = std::move(why);
  }

  void head(const std::vector<Value> &tools) {
    out.control("<bos>");
    bool system = !messages.empty() && is_system(messages[0]);
    if (!options.enable_thinking && tools.empty() && !system)
      return;
    out.control("<|turn>") += "system\n";
    if (options.enable_thinking)
      out.control("<|think|>") += '\n';
    if (system) {
      const Content &content = messages[0].content;
      if (content.kind == Content::Text)
        out += trim(content.text);
      else if (content.kind == Content::Parts)
        for (const Part &part : content.parts)
          (out += trim(part.text)) += ' ';
      first = 1;
    }
    for (const Value &tool : tools) {
      append_declaration(tool, out.control("<|tool>"));
      out.control("<tool|>");
    }
    out.control("<turn|>") += '\n';
  }

  // The next message after `at` that is not a tool's, or nullptr.
  const Message *next_message(size_t at) const {
    while (++at < messages.size())
      if (messages[at].role != "tool")
        return &messages[at];
    return nullptr;
  }

  void message(size_t at) {
    const Message &m = messages[at];
    bool model = m.role == "assistant" || m.role == "model";
    last = Last::Other;
    if (!(model && previous_role == "assistant"))
      (out.control("<|turn>") += model ? "model" : m.role) += '\n';
    bool after_user = last_user == messages.size() || at > last_user;
    if (!m.reasoning.empty() &&
        (after_user || (options.preserve_thinking && !m.tool_calls.empty())))
      (((out.control("<|channel>") += "thought\n") += m.reasoning) += '\n')
          .control("<channel|>");
    calls(m);
    responses(at);
    size_t before = out.text.size();
    content(m, model);
    bool empty = trim(std::string_view(out.text).substr(before)).empty();

    const Message *next = next_message(at);
    bool responded = last == Last::Response;
    if (last == Last::Call)
      out.control("<|tool_response>");
    else if (!(model && next && next->role == "assistant") &&
             !(responded && empty && !next))
      out.control("<turn|>") += '\n';
    previous_role = m.role;
  }

  void calls(const Message &m) {
    for (const ToolCall &call : m.tool_calls) {
      if (call.arguments.kind != Value::Map &&
          call.arguments.kind != Value::Null)
        fail("the arguments of tool call \"" + call.name +
             "\" are not a JSON object");
      ((out.control("<|tool_call>") += "call:") += call.name) += '{';
      fields(call.arguments);
      (out += '}').control("<tool_call|>");
      last = Last::Call;
    }
  }

  // The fields of a map with bare keys.
  void fields(const Value &map) {
    bool any = false;
    for (const auto *field : sorted_fields(map)) {
      ((out += any ? "," : "") += field->key) += ':';
      append_value(field->value, false, out);
      any = true;
    }
  }

  void response(const std::string &name, const Value &value) {
    ((out.control("<|tool_response>") += "response:") += name) += '{';
    if (value.kind == Value::Map)
      fields(value);
    else
      append_value(value, false, out += "value:");
    (out += '}').control("<tool_response|>");
    last = Last::Response;
  }

  void response(const std::string &name, const std::string &text) {
    Value value;
    value.kind = Value::String;
    value.text = text;
    response(name, value);
  }

  // From the message itself, else from the tool messages right after it.
  void responses(size_t at) {
    const Message &m = messages[at];
    for (const ToolResponse &r : m.tool_responses)
      response(r.name.empty() ? "unknown" : r.name, r.response);
    if (!m.tool_responses.empty() || m.tool_calls.empty())
      return;
    while (++at < messages.size() && messages[at].role == "tool") {
      const Message &tool = messages[at];
      std::string name = tool.name.empty() ? "unknown" : tool.name;
      for (const ToolCall &call : m.tool_calls)
        if (call.id == tool.tool_call_id)
          name = call.name;
      tool_message(name, tool.content);
    }
  }

  void tool_message(const std::string &name, const Content &body) {
    switch (body.kind) {
    case Content::None:
      return response(name, Value());
    case Content::Text:
      return response(name, body.text);
    case Content::Other:
      if (body.other.kind == Value::Map)
        fail("the content of a tool message is a JSON object; expects a text");
      return response(name, body.other);
    case Content::Parts:
      break;
    }
    std::string text;
    for (const Part &part : body.parts)
      if (part.type == "text")
        text += part.text;
    response(name, text);
    std::string_view tag;
    for (const Part &part : body.parts)
      if (is_media(part.type, tag))
        medium(part, tag);
  }

  void content(const Message &m, bool model) {
    auto add = [&](const std::string &text) {
      if (model)
        out += strip_thoughts(text);
      else
        out += trim(text);
    };
    if (m.content.kind == Content::Text && !m.ids.empty())
      out.own(m.content.text, m.ids);
    else if (m.content.kind == Content::Text)
      add(m.content.text);
    else if (m.content.kind == Content::Parts)
      for (const Part &part : m.content.parts) {
        std::string_view tag;
        if (part.type == "text")
          add(part.text);
        else if (is_media(part.type, tag))
          medium(part, tag);
      }
    else if (m.content.kind == Content::Other &&
             m.content.other.kind == Value::Map)
      fail("the content of a message is a JSON object; expects a text");
  }

  // After a call or a response the model's turn is still open.
  void generation_prompt() {
    if (last == Last::Other) {
      out.control("<|turn>") += "model\n";
      if (options.large && !options.enable_thinking)
        (out.control("<|channel>") += "thought\n").control("<channel|>");
    } else if (last == Last::Response && options.enable_thinking) {
      out.control("<|channel>") += "thought\n";
    }
  }

  const std::vector<Message> &messages;
  const ChatOptions &options;
  Prompt &out;
  std::string problem;
  size_t first = 0;     // the first message after the head
  size_t last_user = 0; // messages.size(): none
  Last last = Last::Other;
  std::string previous_role; // of the last message that is not a tool's
};

} // namespace

Message text_message(std::string role, std::string text) {
  Message message;
  message.role = std::move(role);
  message.content.kind = Content::Text;
  message.content.text = std::move(text);
  return message;
}

std::string render_chat(const std::vector<Message> &messages,
                        const std::vector<Value> &tools,
                        const ChatOptions &options, Prompt &out) {
  return Renderer(messages, options, out).run(tools);
}

bool ends_in_thought(const Prompt &prompt) {
  constexpr std::string_view open = "<|channel>", heading = "thought\n";
  if (prompt.controls.empty())
    return false;
  std::string_view rest(prompt.text);
  rest.remove_prefix(prompt.controls.back());
  return rest.starts_with(open) && rest.substr(open.size()) == heading;
}

std::string strip_thoughts(std::string_view text) {
  constexpr std::string_view open = "<|channel>", close = "<channel|>";
  std::string kept;
  while (true) {
    size_t end = text.find(close);
    std::string_view part = text.substr(0, end);
    kept += part.substr(0, part.find(open));
    if (end == text.npos)
      return std::string(trim(kept));
    text.remove_prefix(end + close.size());
  }
}

} // namespace gm
