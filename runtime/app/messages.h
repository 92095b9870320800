// A conversation as OpenAI's API has it, from a JSON file: messages for the
// chat format, and what pictures and sounds they name. Knows JSON; must not
// know how a conversation is rendered or media are read.
#pragma once

#include "runtime/app/medium.h"
#include "runtime/app/template.h"
#include "runtime/gemma.h"

#include <string>
#include <vector>

namespace gm {

struct NamedMedium {
  Medium::Kind kind;
  std::string file; // as read_media takes it
};

struct Conversation {
  std::vector<Message> messages;
  std::vector<Value> tools;
  bool enable_thinking = false;
  std::vector<NamedMedium> media; // in the order of their parts
};

// `text`: a list of messages, or an object with `messages` and, if there are
// any, `tools` and `enable_thinking`. Content is a text or a list of parts of
// type text, image_url, image, input_audio, audio, video_url or video. A medium
// is a URL, base64 text or a path, relative to `folder` ("": to where the
// program runs). Errors name the message and what was found.
Status parse_conversation(const std::string &text, const std::string &source,
                          const std::string &folder, Conversation &out);
// One JSON value; BAD_INPUT begins with `called`, "the schema is".
Status parse_json(const std::string &text, const char *called, Value &out);
// Of a file; "-" is the standard input.
Status read_conversation(const std::string &path, Conversation &out);

} // namespace gm
