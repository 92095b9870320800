// See messages.h.
#include "runtime/app/messages.h"
#include "runtime/app/media_source.h"
#include "runtime/app/text_input.h"

#include <nlohmann/json.hpp>

#include <algorithm>

namespace gm {
namespace {

using Tree = nlohmann::ordered_json;

// A conversation with pictures in base64 fits; more is no prompt.
constexpr size_t kMostBytes = 64u << 20;
constexpr int kMostDepth = 64;

// Into `root`; BAD_INPUT begins with `called`.
Status parse_tree(const std::string &text, const char *called, Tree &root) {
  bool deep = false;
  auto within = [&](int depth, Tree::parse_event_t, Tree &) {
    deep |= depth > kMostDepth;
    return !deep;
  };
  root = Tree::parse(text, within, false);
  if (deep)
    return failure(BAD_INPUT, "%s nested more than %d deep", called,
                   kMostDepth);
  return root.is_discarded() ? failure(BAD_INPUT, "%s no JSON", called)
                             : Status();
}

Value value_of(const Tree &node) {
  Value v;
  if (node.is_boolean()) {
    v.kind = Value::Bool;
    v.truth = node.get<bool>();
  } else if (node.is_number_integer()) {
    v.kind = Value::Integer;
    v.text = node.dump();
  } else if (node.is_number()) {
    v.kind = Value::Float;
    v.number = node.get<double>();
  } else if (node.is_string()) {
    v.kind = Value::String;
    v.text = node.get<std::string>();
  } else if (node.is_array()) {
    v.kind = Value::List;
    for (const Tree &item : node)
      v.items.push_back(value_of(item));
  } else if (node.is_object()) {
    v.kind = Value::Map;
    for (auto &[key, item] : node.items())
      v.fields.push_back({key, value_of(item)});
  }
  return v;
}

class Reader {
public:
  Reader(const std::string &source, const std::string &folder,
         Conversation &out)
      : source(source), folder(folder), out(out) {}

  Status run(const Tree &root);

private:
  static const Tree *find(const Tree &object, const char *key) {
    auto at = object.is_object() ? object.find(key) : object.end();
    return at == object.end() || at->is_null() ? nullptr : &*at;
  }
  static std::string text(const Tree *node) {
    return node && node->is_string() ? node->get<std::string>() : "";
  }

  Status message(const Tree &node, size_t index);
  Status content(const Tree &node, size_t index, Content &content);
  Status part(const Tree &node, size_t index, Content &content);
  Status calls(const Tree &node, size_t index, Message &message);
  const std::string &source, &folder;
  Conversation &out;
};

Status Reader::part(const Tree &node, size_t index, Content &content) {
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
  const Tree *medium = find(node, type.c_str());
  std::string named = text(medium);
  for (const char *key : {"url", "data", "path"})
    for (const Tree *from : {medium, &node})
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

Status Reader::content(const Tree &node, size_t index, Content &content) {
  if (node.is_string()) {
    content.kind = Content::Text;
    content.text = node.get<std::string>();
    return {};
  }
  if (!node.is_array())
    return failure(
        BAD_INPUT,
        "%.200s: "
        "message %zu has a content that is neither a text nor a list "
        "of parts",
        source.c_str(), index);
  content.kind = Content::Parts;
  for (const Tree &each : node)
    if (Status s = part(each, index, content); !s.ok())
      return s;
  return {};
}

Status Reader::calls(const Tree &node, size_t index, Message &message) {
  if (!node.is_array())
    return failure(BAD_INPUT,
                   "%.200s: "
                   "message %zu has tool_calls that are no list",
                   source.c_str(), index);
  for (const Tree &call : node) {
    const Tree *function = find(call, "function");
    if (!function)
      function = &call;
    ToolCall made = {text(find(call, "id")), text(find(*function, "name")), {}};
    if (const Tree *given = find(*function, "arguments")) {
      Tree parsed = *given;
      if (given->is_string()) {
        const Status place =
            failure(BAD_INPUT,
                    "%.200s: message %zu calls '%.60s' with arguments that "
                    "are",
                    source.c_str(), index, made.name.c_str());
        if (Status s =
                parse_tree(given->get<std::string>(), place.text, parsed);
            !s.ok())
          return s;
      }
      made.arguments = value_of(parsed);
    }
    message.tool_calls.push_back(std::move(made));
  }
  return {};
}

Status Reader::message(const Tree &node, size_t index) {
  if (!node.is_object())
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
  if (const Tree *given = find(node, "content"))
    if (Status s = content(*given, index, message.content); !s.ok())
      return s;
  for (const char *key : {"reasoning_content", "reasoning"})
    if (message.reasoning.empty())
      message.reasoning = text(find(node, key));
  if (const Tree *given = find(node, "tool_calls"))
    if (Status s = calls(*given, index, message); !s.ok())
      return s;
  message.tool_call_id = text(find(node, "tool_call_id"));
  message.name = text(find(node, "name"));
  out.messages.push_back(std::move(message));
  return {};
}

Status Reader::run(const Tree &root) {
  const Tree *messages = root.is_array() ? &root : find(root, "messages");
  if (!messages || !messages->is_array() || messages->empty())
    return failure(BAD_INPUT,
                   "%.200s: "
                   "expects a list of messages, or an object that has one as "
                   "'messages'",
                   source.c_str());
  for (const Tree &each : *messages)
    if (Status s = message(each, out.messages.size()); !s.ok())
      return s;
  if (const Tree *tools = find(root, "tools"); tools && tools->is_array())
    for (const Tree &tool : *tools)
      out.tools.push_back(value_of(tool));
  if (const Tree *thinking = find(root, "enable_thinking"))
    out.enable_thinking = thinking->is_boolean() && thinking->get<bool>();
  return {};
}

} // namespace

Status parse_json(const std::string &text, const char *called, Value &out) {
  Tree root;
  Status s = parse_tree(text, called, root);
  if (s.ok())
    out = value_of(root);
  return s;
}

Status parse_conversation(const std::string &text, const std::string &source,
                          const std::string &folder, Conversation &out) {
  Tree root;
  const Status place = failure(BAD_INPUT, "%.200s: is", source.c_str());
  if (Status s = parse_tree(text, place.text, root); !s.ok())
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
