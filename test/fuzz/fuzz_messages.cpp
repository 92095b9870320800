// Any text as a conversation in JSON: an error, or messages whose parts stand
// for as many media as are named, and a prompt of them. Media that are data:
// URLs are read; paths are not.
#include "runtime/app/media_source.h"
#include "runtime/app/messages.h"

#include <cstdlib>
#include <cstring>

using namespace gm;

namespace {

void require(bool good) {
  if (!good)
    std::abort();
}

// That are media.
size_t parts(const Conversation &conversation) {
  size_t count = 0;
  for (const Message &message : conversation.messages)
    for (const Part &part : message.content.parts)
      count += part.type != "text";
  return count;
}

void check_medium(const std::string &named) {
  require(!named.empty());
  if (named.rfind("data:", 0) != 0)
    return;
  MediaSource source;
  const Status s = read_media(named, source, 1000);
  require(s.ok() == !s.text[0]);
  require(!s.ok() || (!source.bytes.empty() && source.bytes.size() <= 1000));
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  const std::string text(reinterpret_cast<const char *>(data), size);
  Conversation conversation;
  const Status s =
      parse_conversation(text, "the input", "folder/", conversation);
  require(s.ok() == !s.text[0]);
  if (!s.ok())
    return 0;
  require(!conversation.messages.empty());
  require(parts(conversation) == conversation.media.size());
  for (const NamedMedium &medium : conversation.media)
    check_medium(medium.file);
  for (const bool large : {false, true}) {
    ChatOptions options;
    options.large = large;
    options.enable_thinking = conversation.enable_thinking;
    Prompt prompt;
    const std::string why =
        render_chat(conversation.messages, conversation.tools, options, prompt);
    require(!why.empty() || !prompt.controls.empty());
    for (size_t i = 0; i < prompt.controls.size(); ++i)
      require(prompt.controls[i] < prompt.text.size() &&
              (!i || prompt.controls[i - 1] < prompt.controls[i]));
  }
  return 0;
}
