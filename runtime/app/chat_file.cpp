// See chat_turns.h: what a chat is told and keeps, from files and to them.
#include "runtime/app/chat_turns.h"
#include "runtime/app/json_value.h"
#include "runtime/app/media_source.h"
#include "runtime/app/output_file.h"
#include "runtime/app/slot_file.h"
#include "runtime/app/text_input.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <unistd.h>

namespace gm {

static const char kStateSuffix[] = ".state";

void Chat::set_system(const std::string &text) {
  std::vector<Message> &messages = talk.messages;
  if (has_system())
    messages.erase(messages.begin());
  if (!text.empty())
    messages.insert(messages.begin(), text_message("system", text));
}

Status Chat::set_tools(const std::string &file) {
  if (file.empty())
    return talk.tools.clear(), Status{};
  std::string text;
  if (Status s = read_input(file, text, {4u << 20, 0}); !s.ok())
    return s;
  const Status place = failure(BAD_INPUT, "%.200s: is", file.c_str());
  Value root;
  if (Status s = read_json(text, place.text, root); !s.ok())
    return s;
  const Value *list = root.kind == Value::Map ? root.find("tools") : &root;
  auto is_tool = [](const Value &tool) {
    const Value *function = tool.find("function");
    const Value *name = function ? function->find("name") : nullptr;
    return name && name->kind == Value::String;
  };
  if (!list || list->kind != Value::List)
    return failure(BAD_INPUT, "%.200s expects a list of tools", file.c_str());
  for (size_t i = 0; i < list->items.size(); ++i)
    if (!is_tool(list->items[i]))
      return failure(BAD_INPUT,
                     "%.200s: tool %zu expects {\"type\": \"function\", "
                     "\"function\": {\"name\": ...}}",
                     file.c_str(), i);
  talk.tools = list->items;
  return {};
}

namespace {

Value of(const std::string &text) {
  Value v;
  v.kind = Value::String;
  v.text = text;
  return v;
}

Value map(std::vector<Field> fields) {
  Value v;
  v.kind = Value::Map;
  v.fields = std::move(fields);
  return v;
}

Value list(std::vector<Value> items) {
  Value v;
  v.kind = Value::List;
  v.items = std::move(items);
  return v;
}

// What a medium is found by from another folder.
std::string lasting(const std::string &source) {
  const size_t at = source.starts_with('@');
  char *full = realpath(source.c_str() + at, nullptr);
  if (!full) // a URL
    return source;
  const std::string out = source.substr(0, at) + full;
  free(full);
  return out;
}

// `next`: the number of its first medium.
Value content_of(const Content &content, const Media &media, size_t &next) {
  if (content.kind != Content::Parts)
    return of(content.text);
  std::vector<Value> parts;
  for (const Part &part : content.parts)
    if (part.type == "text")
      parts.push_back(map({{"type", of("text")}, {"text", of(part.text)}}));
    else
      parts.push_back(map({{"type", of(part.type)},
                           {"url", of(lasting(media[next++].source()))}}));
  return list(std::move(parts));
}

Value message_of(const Message &m, const Media &media, size_t &next) {
  Value out = map(
      {{"role", of(m.role)}, {"content", content_of(m.content, media, next)}});
  if (!m.reasoning.empty())
    out.fields.push_back({"reasoning_content", of(m.reasoning)});
  std::vector<Value> calls;
  for (const ToolCall &call : m.tool_calls)
    calls.push_back(
        map({{"id", of(call.id)},
             {"type", of("function")},
             {"function", map({{"name", of(call.name)},
                               {"arguments", of(to_json(call.arguments))}})}}));
  if (!calls.empty())
    out.fields.push_back({"tool_calls", list(std::move(calls))});
  if (!m.tool_call_id.empty())
    out.fields.push_back({"tool_call_id", of(m.tool_call_id)});
  if (!m.name.empty())
    out.fields.push_back({"name", of(m.name)});
  return out;
}

} // namespace

Status Chat::save(const std::string &file) const {
  std::vector<Value> messages;
  size_t next = 0;
  for (const Message &m : talk.messages)
    messages.push_back(message_of(m, media, next));
  Value thinking;
  thinking.kind = Value::Bool;
  thinking.truth = talk.enable_thinking;
  Value root = map(
      {{"messages", list(std::move(messages))}, {"enable_thinking", thinking}});
  if (!talk.tools.empty())
    root.fields.push_back({"tools", list(talk.tools)});
  const std::string text = to_json(root) + "\n";
  OutputFile out;
  if (Status s = out.create(file); !s.ok())
    return s;
  if (Status s = out.write(text.data(), text.size()); !s.ok())
    return s;
  if (Status s = out.finish(); !s.ok())
    return s;
  return save_state(file + kStateSuffix);
}

// A state that is there and of no use goes; other files stay as they are.
Status Chat::save_state(const std::string &file) const {
  const bool mine = is_slot_file(file), shown = isatty(0);
  std::vector<int32_t> ids;
  bool has_media = false;
  for (const Item &item : held) {
    ids.push_back(item.id);
    has_media |= item.id < 0;
  }
  // A step that failed leaves rows that nobody knows.
  if (ids.empty() || has_media ||
      slot_length(*program.engine, 0) != int64_t(ids.size())) {
    if (mine && unlink(file.c_str()))
      return failure(RESOURCES, "cannot remove '%.200s': %s", file.c_str(),
                     strerror(errno));
    if (has_media && shown)
      fputs("note: with media in it, the conversation is computed again when "
            "it is loaded\n",
            stderr);
    return {};
  }
  if (!mine && access(file.c_str(), F_OK) == 0)
    return failure(RESOURCES,
                   "'%.200s' is no saved state and is not written over; the "
                   "conversation itself is saved",
                   file.c_str());
  SlotWriter writer(program, 0);
  Status s = writer.begin(ids, file);
  for (bool done = false; s.ok() && !done;)
    s = writer.advance(done);
  if (s.ok() && shown)
    fprintf(stderr, "%s: %.1f MB, so that nothing is computed again\n",
            file.c_str(), double(writer.bytes()) / 1e6);
  return s;
}

// Whatever is wrong with it, the conversation itself is there.
Status Chat::load_state(const std::string &file) {
  if (access(file.c_str(), F_OK) != 0)
    return {};
  SlotReader reader(program, 0);
  Status problem = reader.open(file);
  if (problem.ok()) {
    if (Status s = generator.rewind(0); !s.ok())
      return s;
    held.clear();
    problem = reader.begin();
    for (bool done = false; problem.ok() && !done;)
      problem = reader.advance(done);
  }
  if (problem.ok()) {
    generator.restored();
    for (int32_t id : reader.ids())
      held.push_back({id});
    return {};
  }
  fprintf(stderr, "note: %s; the conversation is computed again\n",
          problem.text);
  return {};
}

Status Chat::load(const std::string &file) {
  Conversation other;
  const size_t own = media.size();
  Status s = open_conversation(program, file, other, media);
  if (s.ok())
    s = media.measure();
  if (s.ok() && media.size() > own && settings.no_media)
    s = failure(USAGE, "%.200s has media, and this chat keeps no room for them",
                file.c_str());
  if (!s.ok()) {
    media.erase(own, media.size() - own);
    return s;
  }
  talk = std::move(other);
  media.erase(0, own);
  return load_state(file + kStateSuffix);
}

Status Chat::print_stats() {
  Items items;
  size_t count = 0, answers = 0;
  if (talk.messages.size() > size_t(has_system()))
    if (Status s = encode(talk, items, count); !s.ok())
      return s;
  for (const Message &m : talk.messages)
    answers += m.role == "assistant";
  fprintf(stderr, "context: %zu of %lld tokens, %s; thinking %s, %s, %s\n",
          count, (long long)program.plan.context,
          count_of(answers, "answer").c_str(),
          talk.enable_thinking ? "on" : "off",
          count_of(talk.tools.size(), "tool").c_str(),
          has_system() ? "a system turn" : "no system turn");
  if (last)
    last->print(seed, loaded(*program.engine));
  return {};
}

} // namespace gm
