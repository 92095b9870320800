// See messages.h.
#include "runtime/app/messages.h"
#include "runtime/app/json_value.h"
#include "runtime/app/media_source.h"
#include "runtime/app/text_input.h"

namespace gm {
namespace {

// A conversation with pictures in base64 fits; more is no prompt.
constexpr size_t kMostBytes = 64u << 20;

class Reader {
public:
  Reader(const std::string &source, const std::string &folder,
         Conversation &out)
      : source(source), folder(folder), out(out) {}

  Status run(const Value &root);

private:
  static const Value *find(const Value &object, const char *key) {
    const Value *found = object.find(key);
    return found && found->kind != Value::Null ? found : nullptr;
  }
  static std::string text(const Value *node) {
    return node && node->kind == Value::String ? node->text : "";
  }

  Status message(const Value &node, size_t index);
  Status content(const Value &node, size_t index, Content &content);
  Status part(const Value &node, size_t index, Content &content);
  Status calls(const Value &node, size_t index, Message &message);

  const std::string &source, &folder;
  Conversation &out;
};

Status Reader::part(const Value &node, size_t index, Content &content) {
  const std::string type = text(find(node, "type"));
  if (type == "text") {
    content.parts.push_back({"text", text(find(node, "text"))});
    return {};
  }
  const bool picture = type == "image" || type == "image_url",
             sound = type == "audio" || type == "input_audio",
             film = type == "video" || type == "video_url";
  if (!picture && !sound && !film)
    return failure(
        UNSUPPORTED,
        "%.200s: message %zu has a part of type '%.40s'; text, "
        "image_url, image, input_audio, audio, video_url and video are "
        "read",
        source.c_str(), index, type.c_str());
  // {"image_url": {"url": U}}, {"image_url": U}, {"input_audio": {"data": B}},
  // {"type": "image", "url": U}, ...
  const Value *medium = find(node, type.c_str());
  std::string named = text(medium);
  for (const char *key : {"url", "data", "path"})
    for (const Value *from : {medium, &node})
      if (from && named.empty())
        named = text(find(*from, key));
  if (named.empty())
    return failure(BAD_INPUT,
                   "%.200s: "
                   "message %zu has a part of type %s without url or data",
                   source.c_str(), index, type.c_str());
  const Medium::Kind kind = picture ? Medium::Picture
                            : sound ? Medium::Sound
                                    : Medium::Film;
  const bool list = film && named[0] == '@'; // of pictures
  out.media.push_back({kind, list ? "@" + in_folder(named.substr(1), folder)
                                  : in_folder(named, folder)});
  content.parts.push_back({Medium::kNames[kind], ""});
  return {};
}

Status Reader::content(const Value &node, size_t index, Content &content) {
  if (node.kind == Value::String) {
    content.kind = Content::Text;
    content.text = node.text;
    return {};
  }
  if (node.kind != Value::List)
    return failure(
        BAD_INPUT,
        "%.200s: "
        "message %zu has a content that is neither a text nor a list "
        "of parts",
        source.c_str(), index);
  content.kind = Content::Parts;
  for (const Value &each : node.items)
    if (Status s = part(each, index, content); !s.ok())
      return s;
  return {};
}

Status Reader::calls(const Value &node, size_t index, Message &message) {
  if (node.kind != Value::List)
    return failure(BAD_INPUT,
                   "%.200s: "
                   "message %zu has tool_calls that are no list",
                   source.c_str(), index);
  for (const Value &call : node.items) {
    const Value *function = find(call, "function");
    if (!function)
      function = &call;
    ToolCall made = {text(find(call, "id")), text(find(*function, "name")), {}};
    if (const Value *given = find(*function, "arguments")) {
      made.arguments = *given;
      if (given->kind == Value::String) {
        const Status place =
            failure(BAD_INPUT,
                    "%.200s: message %zu calls '%.60s' with arguments that "
                    "are",
                    source.c_str(), index, made.name.c_str());
        if (Status s = read_json(given->text, place.text, made.arguments);
            !s.ok())
          return s;
      }
    }
    message.tool_calls.push_back(std::move(made));
  }
  return {};
}

Status Reader::message(const Value &node, size_t index) {
  if (node.kind != Value::Map)
    return failure(BAD_INPUT,
                   "%.200s: "
                   "message %zu is no object",
                   source.c_str(), index);
  Message message;
  message.role = text(find(node, "role"));
  if (message.role.empty())
    return failure(BAD_INPUT,
                   "%.200s: "
                   "message %zu has no role",
                   source.c_str(), index);
  if (const Value *given = find(node, "content"))
    if (Status s = content(*given, index, message.content); !s.ok())
      return s;
  for (const char *key : {"reasoning_content", "reasoning"})
    if (message.reasoning.empty())
      message.reasoning = text(find(node, key));
  if (const Value *given = find(node, "tool_calls"))
    if (Status s = calls(*given, index, message); !s.ok())
      return s;
  message.tool_call_id = text(find(node, "tool_call_id"));
  message.name = text(find(node, "name"));
  out.messages.push_back(std::move(message));
  return {};
}

Status Reader::run(const Value &root) {
  const Value *messages =
      root.kind == Value::List ? &root : find(root, "messages");
  if (!messages || messages->kind != Value::List || messages->items.empty())
    return failure(BAD_INPUT,
                   "%.200s: "
                   "expects a list of messages, or an object that has one as "
                   "'messages'",
                   source.c_str());
  for (const Value &each : messages->items)
    if (Status s = message(each, out.messages.size()); !s.ok())
      return s;
  if (const Value *tools = find(root, "tools");
      tools && tools->kind == Value::List)
    out.tools = tools->items;
  if (const Value *thinking = find(root, "enable_thinking"))
    out.enable_thinking |= thinking->kind == Value::Bool && thinking->truth;
  return {};
}

} // namespace

Status parse_conversation(const std::string &text, const std::string &source,
                          const std::string &folder, Conversation &out) {
  Value root;
  const Status place = failure(BAD_INPUT, "%.200s: is", source.c_str());
  if (Status s = read_json(text, place.text, root); !s.ok())
    return s;
  return Reader(source, folder, out).run(root);
}

Status read_conversation(const std::string &path, Conversation &out) {
  std::string text;
  if (Status s = read_input(path, text, {kMostBytes, 0}); !s.ok())
    return s;
  const std::string folder =
      path == "-" ? "" : path.substr(0, path.rfind('/') + 1);
  return parse_conversation(text, name_of_input(path), folder, out);
}

} // namespace gm
