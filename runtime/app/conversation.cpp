// See conversation.h.
#include "runtime/app/conversation.h"
#include "runtime/manifest_generated.h"

#include <algorithm>

namespace gm {

Flag messages_flag(std::optional<std::string> &file) {
  return {"--messages", "", "FILE",
          "a conversation in JSON as OpenAI's API has it, with image_url and "
          "input_audio parts (paths, file: and data: URLs), - = standard input",
          &file};
}

static bool is_medium(const Part &part) {
  return std::find(std::begin(Medium::kNames), std::end(Medium::kNames),
                   part.type) != std::end(Medium::kNames);
}

Status open_conversation(const Program &program, const std::string &file,
                         Conversation &conversation, Media &media) {
  if (program.manifest().chat() == gemmac::manifest::Chat_None)
    return failure(UNSUPPORTED,
                   "--messages: this program was made without a chat template");
  if (Status s = program.need_tokenizer(); !s.ok())
    return s;
  if (Status s = read_conversation(file, conversation); !s.ok())
    return s;
  size_t next = media.size();
  for (const NamedMedium &each : conversation.media)
    if (Status s = media.add(each.kind, each.file, "--messages"); !s.ok())
      return s;
  for (Message &message : conversation.messages)
    for (Part &part : message.content.parts)
      if (is_medium(part))
        part.stamps = media[next++].stamps();
  return {};
}

void put_in_front(const Media &media, size_t first, Message &message) {
  if (first == media.size())
    return;
  std::vector<Part> parts;
  for (size_t i = first; i < media.size(); ++i)
    parts.push_back({Medium::kNames[media[i].what()], "", media[i].stamps()});
  parts.push_back({"text", message.content.text});
  message.content = {Content::Parts, "", std::move(parts), {}};
}

size_t media_in(const std::vector<Message> &messages) {
  size_t count = 0;
  for (const Message &message : messages)
    count += size_t(std::count_if(message.content.parts.begin(),
                                  message.content.parts.end(), is_medium));
  return count;
}

Status encode_conversation(const Program &program,
                           const Conversation &conversation,
                           bool generation_prompt, bool allow_special,
                           int64_t most, std::vector<int32_t> &ids,
                           size_t &count) {
  ChatOptions options;
  options.large = program.manifest().chat() == gemmac::manifest::Chat_Large;
  options.enable_thinking = conversation.enable_thinking;
  options.generation_prompt = generation_prompt;
  options.repair = true;
  Prompt rendered;
  std::string problem =
      render_chat(conversation.messages, conversation.tools, options, rendered);
  if (!problem.empty())
    return failure(BAD_INPUT, "the conversation cannot be rendered: %s",
                   problem.c_str());
  count = encode_prompt(program, rendered, allow_special, ids, most);
  return {};
}

Status expand_conversation(const Program &program, const std::string &file,
                           bool complete, bool allow_special, int64_t most,
                           Media &media, Items &items,
                           std::vector<int32_t> &ids) {
  Conversation conversation;
  if (Status s = open_conversation(program, file, conversation, media); !s.ok())
    return s;
  if (Status s = media.measure(); !s.ok())
    return s;
  const std::string &last = conversation.messages.back().role;
  const bool answered = complete && (last == "assistant" || last == "model");
  std::vector<int32_t> rendered;
  size_t count;
  if (Status s = encode_conversation(program, conversation, !answered,
                                     allow_special, most, rendered, count);
      !s.ok())
    return s;
  if (Status s = check_length(count + size_t(media.added(media.size())), most);
      !s.ok())
    return s;
  return media.place(rendered, media.size(), items, &ids);
}

} // namespace gm
