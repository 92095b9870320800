// See anthropic.h: requests.
#include "runtime/serve/anthropic.h"

namespace gm {
namespace {

class Messages {
public:
  Messages(const Tree &root, Tree &chat) : fields(root), chat(chat) {}

  MaybeError run() {
    if (MaybeError e = system())
      return e;
    if (MaybeError e = all_messages())
      return e;
    if (MaybeError e = tools())
      return e;
    if (MaybeError e = choice())
      return e;
    if (MaybeError e = settings())
      return e;
    return error_of(fields);
  }

private:
  // {"type": "image", "source": {"type", "media_type", "data" or "url"}}
  MaybeError picture(const Tree &block, const std::string &where, Tree &parts) {
    const Tree source = block.value("source", Tree());
    const std::string type = text_of(source, "type");
    std::string url = text_of(source, "url");
    if (type == "base64")
      url = "data:" + text_of(source, "media_type") + ";base64," +
            text_of(source, "data");
    else if (type != "url" || url.empty())
      return ApiError(400,
                      "'" + where +
                          ".source' expects type base64 with media_type and "
                          "data, or url",
                      "messages");
    parts.push_back({{"type", "image_url"}, {"image_url", {{"url", url}}}});
    return {};
  }

  // Text and pictures: the parts that every message may have.
  MaybeError content(const Tree &given, const std::string &where, Tree &parts) {
    if (given.is_string()) {
      parts.push_back({{"type", "text"}, {"text", given}});
      return {};
    }
    if (!given.is_array())
      return expects(where, "a text or a list of blocks", given);
    for (size_t i = 0; i < given.size(); ++i)
      if (MaybeError e =
              block(given[i], where + "[" + std::to_string(i) + "]", parts))
        return e;
    return {};
  }

  MaybeError block(const Tree &given, const std::string &where, Tree &parts) {
    const std::string type = text_of(given, "type");
    if (type == "image")
      return picture(given, where, parts);
    if (type != "text")
      return ApiError(400,
                      "'" + where + "' has the type '" + type.substr(0, 40) +
                          "', which is not read here",
                      "messages");
    parts.push_back({{"type", "text"}, {"text", text_of(given, "text")}});
    return {};
  }

  MaybeError system() {
    const Tree *given = fields.find("system");
    if (!given)
      return {};
    Tree parts = Tree::array();
    if (MaybeError e = content(*given, "system", parts))
      return e;
    add("system", std::move(parts));
    return {};
  }

  void add(const char *role, Tree parts) {
    // A text alone stays one.
    if (parts.size() == 1 && parts[0]["type"] == "text")
      parts = Tree(parts[0]["text"]);
    chat["messages"].push_back({{"role", role}, {"content", std::move(parts)}});
  }

  // Thoughts, texts and calls of one turn.
  MaybeError assistant(const Tree &given, const std::string &where) {
    Tree parts = Tree::array(), calls = Tree::array();
    std::string thought;
    if (!given.is_array()) {
      if (MaybeError e = content(given, where, parts))
        return e;
    } else {
      for (size_t i = 0; i < given.size(); ++i) {
        const Tree &each = given[i];
        const std::string type = text_of(each, "type");
        if (type == "thinking")
          thought += text_of(each, "thinking");
        else if (type == "tool_use")
          calls.push_back(
              {{"id", text_of(each, "id")},
               {"type", "function"},
               {"function",
                {{"name", text_of(each, "name")},
                 {"arguments", each.value("input", Tree::object())}}}});
        else if (type != "redacted_thinking") // nobody here can read it
          if (MaybeError e =
                  block(each, where + "[" + std::to_string(i) + "]", parts))
            return e;
      }
    }
    add("assistant", std::move(parts));
    Tree &message = chat["messages"].back();
    if (!thought.empty())
      message["reasoning_content"] = thought;
    if (!calls.empty())
      message["tool_calls"] = std::move(calls);
    return {};
  }

  // Results of calls stand in front of what the user says.
  MaybeError user(const Tree &given, const std::string &where) {
    Tree rest = Tree::array();
    if (!given.is_array()) {
      if (MaybeError e = content(given, where, rest))
        return e;
    }
    for (size_t i = 0; given.is_array() && i < given.size(); ++i) {
      const Tree &each = given[i];
      const std::string at = where + "[" + std::to_string(i) + "]";
      if (text_of(each, "type") != "tool_result") {
        if (MaybeError e = block(each, at, rest))
          return e;
        continue;
      }
      Tree parts = Tree::array();
      if (each.contains("content"))
        if (MaybeError e = content(each["content"], at + ".content", parts))
          return e;
      if (parts.empty())
        parts.push_back({{"type", "text"}, {"text", ""}});
      add("tool", std::move(parts));
      chat["messages"].back()["tool_call_id"] = text_of(each, "tool_use_id");
    }
    if (!rest.empty() || !given.is_array() || given.empty())
      add("user", std::move(rest));
    return {};
  }

  MaybeError all_messages() {
    const Tree *given = fields.list("messages");
    if (!given || given->empty())
      return ApiError(400, "'messages' expects a list of messages", "messages");
    for (size_t i = 0; i < given->size(); ++i) {
      const Tree &each = (*given)[i];
      const std::string where = "messages[" + std::to_string(i) + "]";
      if (!each.is_object() || !each.contains("content"))
        return expects(where, "an object with role and content", each);
      const std::string role = text_of(each, "role");
      MaybeError e =
          role == "user"        ? user(each["content"], where + ".content")
          : role == "assistant" ? assistant(each["content"], where + ".content")
          : role == "system" ? later_system(each["content"], where + ".content")
                             : ApiError(400,
                                        "'" + where +
                                            ".role' expects user or assistant, "
                                            "got '" +
                                            role.substr(0, 40) + "'",
                                        "messages");
      if (e)
        return e;
    }
    // The model goes on with what its turn begins with.
    const Tree &last = chat["messages"].back();
    if (last["role"] == "assistant" && !last.contains("tool_calls"))
      chat["continue_final_message"] = true;
    return {};
  }

  MaybeError later_system(const Tree &given, const std::string &where) {
    Tree parts = Tree::array();
    if (MaybeError e = content(given, where, parts))
      return e;
    add("system", std::move(parts));
    return {};
  }

  MaybeError tools() {
    const Tree *given = fields.list("tools");
    for (size_t i = 0; given && i < given->size(); ++i) {
      const Tree &each = (*given)[i];
      const std::string where = "tools[" + std::to_string(i) + "]",
                        type = text_of(each, "type");
      if (!type.empty() && type != "custom")
        return ApiError(400,
                        "'" + where + "' has the type '" + type.substr(0, 40) +
                            "'; there are no tools on this server, it takes "
                            "declarations of type custom",
                        "tools");
      if (text_of(each, "name").empty())
        return expects(where, "an object with name and input_schema", each);
      Tree function = {{"name", each["name"]}};
      if (const std::string about = text_of(each, "description");
          !about.empty())
        function["description"] = about;
      function["parameters"] = each.value("input_schema", Tree::object());
      chat["tools"].push_back(
          {{"type", "function"}, {"function", std::move(function)}});
    }
    return {};
  }

  MaybeError choice() {
    const Tree *given = fields.map("tool_choice");
    if (!given)
      return {};
    const std::string type = text_of(*given, "type");
    if (type == "tool")
      chat["tool_choice"] = {{"type", "function"},
                             {"function", {{"name", text_of(*given, "name")}}}};
    else if (type == "any")
      chat["tool_choice"] = "required";
    else if (type == "auto" || type == "none")
      chat["tool_choice"] = type;
    else
      return ApiError(400,
                      "'tool_choice.type' expects auto, any, tool or none, "
                      "got '" +
                          type.substr(0, 40) + "'",
                      "tool_choice");
    Fields inner(*given, "tool_choice.");
    bool alone = false;
    inner.truth("disable_parallel_tool_use", alone);
    fields.fail("tool_choice", inner.status());
    chat["parallel_tool_calls"] = !alone;
    return {};
  }

  // {"type": "enabled", "budget_tokens": N}, {"type": "adaptive"}, ...
  MaybeError thinking() {
    const Tree *given = fields.map("thinking");
    if (!given)
      return {};
    const std::string type = text_of(*given, "type");
    if (type != "enabled" && type != "adaptive" && type != "disabled")
      return ApiError(400,
                      "'thinking.type' expects enabled, adaptive or disabled, "
                      "got '" +
                          type.substr(0, 40) + "'",
                      "thinking");
    chat["enable_thinking"] = type != "disabled";
    if (const Tree *budget = Fields(*given).find("budget_tokens"))
      chat["thinking_budget_tokens"] = *budget;
    return {};
  }

  // {"type": "json_schema", "schema": {...}}
  MaybeError format() {
    const Tree *given = fields.map("output_format");
    if (const Tree *config = fields.map("output_config"))
      if (const Tree *inner = Fields(*config).find("format"))
        given = inner;
    if (!given)
      return {};
    if (text_of(*given, "type") != "json_schema" || !given->contains("schema"))
      return ApiError(400,
                      "'output_config.format' expects type json_schema with "
                      "'schema'",
                      "output_config");
    chat["response_format"] = {
        {"type", "json_schema"},
        {"json_schema", {{"schema", (*given)["schema"]}}}};
    return {};
  }

  MaybeError settings() {
    for (const char *key : {"max_tokens", "temperature", "top_p", "top_k",
                            "min_p", "seed", "stream"})
      if (const Tree *given = fields.find(key))
        chat[key] = *given;
    std::vector<std::string> stops;
    fields.texts("stop_sequences", stops, 64);
    if (!stops.empty())
      chat["stop"] = stops;
    if (MaybeError e = thinking())
      return e;
    return format();
  }

  Fields fields;
  Tree &chat;
};

} // namespace

MaybeError chat_of_messages(const Tree &root, Tree &chat) {
  chat = {{"messages", Tree::array()}};
  return Messages(root, chat).run();
}

} // namespace gm
