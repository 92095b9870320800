// See responses.h: requests.
#include "runtime/serve/responses.h"

namespace gm {
namespace {

class Input {
public:
  Input(const Tree &root, Tree &chat) : fields(root), chat(chat) {}

  MaybeError run() {
    if (MaybeError e = refused())
      return e;
    if (MaybeError e = conversation())
      return e;
    if (MaybeError e = tools())
      return e;
    if (MaybeError e = choice())
      return e;
    if (MaybeError e = format())
      return e;
    settings();
    return error_of(fields);
  }

private:
  // What would need a memory or a service.
  MaybeError refused() {
    for (const char *key : {"previous_response_id", "conversation", "prompt"})
      if (fields.find(key))
        return ApiError(400,
                        std::string("'") + key +
                            "' expects null: nothing is stored here, so send "
                            "the whole conversation as 'input'",
                        key);
    bool background = false;
    fields.truth("background", background);
    if (background)
      return ApiError(400, "'background' expects false: answers are not stored",
                      "background");
    return {};
  }

  MaybeError part(const Tree &given, const std::string &where, Tree &parts) {
    const std::string type = text_of(given, "type");
    if (type == "input_text" || type == "output_text" || type == "text" ||
        type == "refusal") {
      parts.push_back(
          {{"type", "text"},
           {"text", text_of(given, type == "refusal" ? "refusal" : "text")}});
    } else if (type == "input_image") {
      parts.push_back({{"type", "image_url"},
                       {"image_url", {{"url", text_of(given, "image_url")}}}});
    } else if (type == "input_audio") {
      parts.push_back(given);
    } else {
      return ApiError(400,
                      "'" + where + "' has the type '" + type.substr(0, 40) +
                          "', which is not read here",
                      "input");
    }
    return {};
  }

  MaybeError content(const Tree &given, const std::string &where, Tree &out) {
    out = given;
    if (given.is_string())
      return {};
    if (!given.is_array())
      return expects(where, "a text or a list of parts", given);
    out = Tree::array();
    for (size_t i = 0; i < given.size(); ++i)
      if (MaybeError e =
              part(given[i], where + "[" + std::to_string(i) + "]", out))
        return e;
    return {};
  }

  // The assistant's turn that items of the model are in: thought, text, calls.
  Tree &turn(bool takes_text) {
    Tree &all = chat["messages"];
    const bool open = !all.empty() && all.back()["role"] == "assistant" &&
                      !(takes_text && (all.back().contains("content") ||
                                       all.back().contains("tool_calls")));
    if (!open)
      all.push_back({{"role", "assistant"}});
    return all.back();
  }

  MaybeError message(const Tree &item, const std::string &where) {
    const std::string role = text_of(item, "role");
    if (role != "user" && role != "assistant" && role != "system" &&
        role != "developer")
      return ApiError(400,
                      "'" + where +
                          ".role' expects user, assistant, system or "
                          "developer, got '" +
                          role.substr(0, 40) + "'",
                      "input");
    Tree said;
    const auto given = item.find("content");
    if (given == item.end())
      return expects(where + ".content", "a text or a list of parts", {});
    if (MaybeError e = content(*given, where + ".content", said))
      return e;
    if (role == "assistant")
      turn(true)["content"] = std::move(said);
    else
      chat["messages"].push_back(
          {{"role", role}, {"content", std::move(said)}});
    return {};
  }

  static std::string thought(const Tree &item) {
    std::string out;
    for (const char *key : {"content", "summary"})
      if (const auto list = item.find(key);
          out.empty() && list != item.end() && list->is_array())
        for (const Tree &part : *list)
          out += text_of(part, "text");
    return out;
  }

  MaybeError item(const Tree &given, const std::string &where) {
    if (!given.is_object())
      return expects(where, "an object", given);
    const std::string type = text_of(given, "type");
    if (type.empty() || type == "message")
      return message(given, where);
    if (type == "reasoning") {
      if (const std::string text = thought(given); !text.empty())
        turn(true)["reasoning_content"] = text;
      return {};
    }
    if (type == "function_call") {
      const std::string arguments = text_of(given, "arguments");
      turn(false)["tool_calls"].push_back(
          {{"id", text_of(given, "call_id")},
           {"type", "function"},
           {"function",
            {{"name", text_of(given, "name")},
             {"arguments", arguments.empty() ? "{}" : arguments}}}});
      return {};
    }
    if (type == "function_call_output") {
      Tree said;
      if (MaybeError e =
              content(given.value("output", Tree()), where + ".output", said))
        return e;
      chat["messages"].push_back({{"role", "tool"},
                                  {"tool_call_id", text_of(given, "call_id")},
                                  {"content", std::move(said)}});
      return {};
    }
    return ApiError(400,
                    "'" + where + "' has the type '" + type.substr(0, 40) +
                        (type == "item_reference"
                             ? "', but nothing is stored here: send the item"
                             : "', which is not read here"),
                    "input");
  }

  MaybeError conversation() {
    std::string instructions;
    fields.text("instructions", instructions);
    if (!instructions.empty())
      chat["messages"].push_back(
          {{"role", "system"}, {"content", instructions}});
    const Tree *input = fields.find("input");
    if (!input)
      return expects("input", "a text or a list of items", {});
    if (input->is_string()) {
      chat["messages"].push_back({{"role", "user"}, {"content", *input}});
      return {};
    }
    if (!input->is_array() || input->empty())
      return expects("input", "a text or a list of items", *input);
    for (size_t i = 0; i < input->size(); ++i)
      if (MaybeError e = item((*input)[i], "input[" + std::to_string(i) + "]"))
        return e;
    return {};
  }

  MaybeError tools() {
    const Tree *given = fields.list("tools");
    for (size_t i = 0; given && i < given->size(); ++i) {
      const Tree &each = (*given)[i];
      const std::string type = text_of(each, "type");
      if (type != "function" || text_of(each, "name").empty())
        return ApiError(400,
                        "'tools[" + std::to_string(i) +
                            "]' expects type function with a name, got the "
                            "type '" +
                            type.substr(0, 40) +
                            "'; there are no tools on this server",
                        "tools");
      Tree function = {{"name", each["name"]}};
      for (const char *key : {"description", "parameters"})
        if (each.contains(key) && !each[key].is_null())
          function[key] = each[key];
      chat["tools"].push_back(
          {{"type", "function"}, {"function", std::move(function)}});
    }
    return {};
  }

  MaybeError choice() {
    const Tree *given = fields.find("tool_choice");
    if (!given)
      return {};
    chat["tool_choice"] = *given;
    if (!given->is_object())
      return {};
    if (text_of(*given, "type") != "function")
      return ApiError(400,
                      "'tool_choice' expects auto, none, required or type "
                      "function with a name",
                      "tool_choice");
    chat["tool_choice"] = {{"type", "function"},
                           {"function", {{"name", text_of(*given, "name")}}}};
    return {};
  }

  // {"format": {"type": "json_schema", "name", "schema"}}
  MaybeError format() {
    const Tree *text = fields.map("text");
    const Tree *given = text ? Fields(*text).find("format") : nullptr;
    if (!given)
      return {};
    chat["response_format"] = *given;
    if (text_of(*given, "type") != "json_schema")
      return {};
    if (!given->contains("schema"))
      return ApiError(400, "'text.format' expects 'schema'", "text");
    chat["response_format"] = {
        {"type", "json_schema"},
        {"json_schema", {{"schema", (*given)["schema"]}}}};
    return {};
  }

  void settings() {
    for (const char *key :
         {"temperature", "top_p", "top_k", "min_p", "seed", "stream",
          "parallel_tool_calls", "presence_penalty", "frequency_penalty"})
      if (const Tree *given = fields.find(key))
        chat[key] = *given;
    int64_t most = -1, top = 0;
    fields.integer("max_output_tokens", most, 1, INT64_MAX);
    if (most > 0)
      chat["max_tokens"] = most;
    if (const Tree *reasoning = fields.map("reasoning"))
      if (const Tree *effort = Fields(*reasoning).find("effort"))
        chat["reasoning_effort"] = *effort;
    fields.integer("top_logprobs", top, 0, 20);
    bool wanted = top > 0;
    if (const Tree *more = fields.list("include"))
      for (const Tree &each : *more)
        wanted |= each == "message.output_text.logprobs";
    chat["logprobs"] = wanted;
    chat["top_logprobs"] = top;
  }

  Fields fields;
  Tree &chat;
};

} // namespace

MaybeError chat_of_responses(const Tree &root, Tree &chat) {
  chat = {{"messages", Tree::array()}};
  return Input(root, chat).run();
}

} // namespace gm
