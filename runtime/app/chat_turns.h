// The turns of a chat: the conversation so far, what of it the caches hold, and
// the media that wait for the next message. Knows the chat format and
// generation; must not know command lines.
#pragma once

#include "runtime/app/answer.h"
#include "runtime/app/conversation.h"
#include "runtime/app/generate.h"

#include <optional>
#include <string>
#include <vector>

namespace gm {

struct ChatSettings {
  std::optional<std::string> system; // a turn before the conversation
  bool allow_special = false, timings = false, no_media = false;
};

// Each turn renders the whole conversation and computes only what the caches do
// not hold yet, media included: those of earlier turns are decoded and encoded
// again only where their rows have to be computed again.
class Chat {
public:
  // `media`: those that stand in front of the first message, measured.
  Chat(Program &program, const ChatSettings &settings, Media &media,
       const GenerateOptions &options)
      : program(program), settings(settings), media(media),
        seed(options.random.state), generator(program, options) {
    begin();
  }

  void reset() {
    media.erase(0, media.size());
    begin();
  }
  // Puts a medium in front of the next message.
  Status attach(Medium::Kind kind, const char *command,
                const std::string &file);
  // Forgets the oldest turns until the rest takes half of the context or is
  // the last turn.
  Status drop();
  // Prints the answer to `text`. A refused turn is not part of the
  // conversation; its media wait for the next one, unless they are the reason.
  Status turn(const std::string &text);

private:
  void begin() {
    talk.messages.clear();
    if (settings.system)
      talk.messages.push_back(text_message("system", *settings.system));
  }
  // `count`: how many tokens there are; `items` has them if they fit.
  Status encode(const Conversation &talk, Items &items, size_t &count);
  size_t lasting(const Items &items);
  Message answered(const Answer &answer) const;
  Status check_room(size_t tokens) const;
  Status generate(Items items, Answer &answer, End &end);

  Program &program;
  const ChatSettings &settings;
  Media &media; // of the messages, then those that wait for the next one
  const uint64_t seed;
  Generator generator;
  Conversation talk;
  std::vector<Item> held;       // what the caches hold: generator.length()
  std::vector<int32_t> written; // of the last answer, outside of thoughts
};

} // namespace gm
