// Any text as what a model writes: the same whatever the pieces it comes in,
// events in order, arguments that are JSON. As JSON, it is a tool's
// declaration: brackets are closed, whatever the schema. The first byte says
// how to cut.
#include "runtime/app/answer.h"
#include "runtime/app/json_value.h"
#include "runtime/app/tool_schema.h"

#include <algorithm>
#include <cstdlib>

using namespace gm;

namespace {

void require(bool good) {
  if (!good)
    std::abort();
}

struct Read {
  Answer answer;
  AnswerEnd end = AnswerEnd::Open;
};

// `seed`: 0 for one piece.
Read read(std::string_view text, const AnswerOptions &options, unsigned seed) {
  Read read;
  AnswerReader reader(options);
  std::vector<AnswerEvent> all, events;
  while (!text.empty()) {
    seed = seed * 1664525;
    const size_t bytes =
        seed ? std::min<size_t>(text.size(), 1 + (seed >> 24) % 7)
             : text.size();
    events.clear();
    reader.push(text.substr(0, bytes), events);
    all.insert(all.end(), events.begin(), events.end());
    text.remove_prefix(bytes);
  }
  events.clear();
  reader.finish(events);
  all.insert(all.end(), events.begin(), events.end());
  size_t calls = 0;
  bool open = false;
  for (const AnswerEvent &event : all)
    switch (event.kind) {
    case AnswerEvent::Thought:
    case AnswerEvent::Text:
      require(!open && !event.text.empty());
      break;
    case AnswerEvent::CallBegin:
      require(!open && event.index == calls++);
      open = true;
      break;
    case AnswerEvent::Arguments:
      require(open && event.index == calls - 1 && !event.text.empty());
      break;
    case AnswerEvent::CallEnd:
      require(open && event.index == calls - 1 &&
              event.arguments.kind == Value::Map);
      open = false;
      break;
    }
  require(!open && calls == reader.calls());
  read.answer.add(all);
  read.end = reader.end();
  return read;
}

void asTool(std::string_view text) {
  Value tool;
  if (!read_json(text, "it is", tool).ok())
    return;
  // What is read is written so that it is read again.
  Value again;
  const std::string written = to_json(tool);
  require(read_json(written, "it is", again).ok());
  require(to_json(again) == written);
  const Value normal = normal_tool(tool);
  require(to_json(normal_tool(normal)) == to_json(normal));
  Prompt prompt;
  append_declaration(normal, prompt);
  append_declaration(tool, prompt);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (!size)
    return 0;
  const std::string_view text(reinterpret_cast<const char *>(data) + 1,
                              size - 1);
  for (int i = 0; i < 4; ++i) {
    const AnswerOptions options = {bool(i & 1), bool(i & 2)};
    const Read whole = read(text, options, 0);
    const Read pieces = read(text, options, 2u * data[0] + 1);
    require(whole.end == pieces.end);
    require(whole.answer.thought == pieces.answer.thought);
    require(whole.answer.text == pieces.answer.text);
    require(whole.answer.calls.size() == pieces.answer.calls.size());
    for (size_t c = 0; c < whole.answer.calls.size(); ++c) {
      const Answer::Call &call = whole.answer.calls[c];
      require(call.name == pieces.answer.calls[c].name);
      require(call.json == pieces.answer.calls[c].json);
      Value arguments;
      require(read_json(call.json, "it is", arguments).ok());
    }
  }
  asTool(text);
  return 0;
}
