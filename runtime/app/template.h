// The chat protocol of Gemma 4 in C++: messages -> the text of the prompt, byte
// for byte what the checkpoints' template of 2026-07-09 renders (answer.h reads
// what comes back). What the template writes is control, what messages
// hold is text, whatever it reads (see Prompt). Knows no JSON, no tokenization
// of the prompt and no terminal.
#pragma once

#include "runtime/app/tokenizer.h"
#include "runtime/app/tool_text.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace gm {

// One element of a content that is a list. Types: text; image, image_url;
// audio, input_audio; video. Others render as nothing.
struct Part {
  std::string type, text;
  // Of a video: what stands in front of each frame, "00:07".
  std::vector<std::string> stamps = {};
};

struct Content {
  enum Kind { None, Text, Parts, Other };
  Kind kind = None;
  std::string text;
  std::vector<Part> parts;
  Value other; // of a tool message: neither text nor parts
};

struct ToolCall {
  std::string id, name;
  Value arguments; // Map or Null
};

struct ToolResponse {
  std::string name; // empty = "unknown"
  Value response;
};

struct Message {
  std::string role; // system, developer, user, assistant, tool, ...
  Content content;
  std::string reasoning;
  std::vector<ToolCall> tool_calls;
  std::vector<ToolResponse> tool_responses;
  std::string tool_call_id, name; // role tool
  // The model's own tokens of content.text, if that is what they say; empty:
  // unknown.
  std::vector<int32_t> ids;
};

// A message with plain text.
Message text_message(std::string role, std::string text);

struct ChatOptions {
  bool large = false; // the template of 12B, 26B-A4B and 31B
  bool enable_thinking = false;
  bool preserve_thinking = false;
  bool generation_prompt = true;
};

// Appends the prompt, `<bos>` included, to `out`. `tools`: declarations as
// given by OpenAI's API, {"type": "function", "function": {...}}. Returns an
// empty string, or what cannot be rendered (arguments that are no mapping,
// ...).
std::string render_chat(const std::vector<Message> &messages,
                        const std::vector<Value> &tools,
                        const ChatOptions &options, Prompt &out);

// Whether what a model writes after the prompt begins inside a thought.
bool ends_in_thought(const Prompt &prompt);

// Model text without its <|channel>...<channel|> spans, trimmed: what goes back
// into the history.
std::string strip_thoughts(std::string_view text);

} // namespace gm
