// The turns of a chat: the conversation so far, what of it the caches hold, and
// the media that wait for the next message. Knows the chat format and
// generation; must not know command lines.
#pragma once

#include "runtime/app/answer.h"
#include "runtime/app/conversation.h"
#include "runtime/app/generate.h"
#include "runtime/app/timings.h"

#include <optional>
#include <string>
#include <vector>

namespace gm {

struct ChatSettings {
  std::optional<std::string> system; // a turn before the conversation
  bool think = false;                // at its beginning
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
    talk.enable_thinking = settings.think;
    if (settings.system)
      set_system(*settings.system);
  }

  // Forgets the conversation, but what begins it.
  void reset() {
    media.erase(0, media.size());
    talk.messages.resize(size_t(has_system()));
  }
  // From now on at the beginning of the conversation; empty: nothing.
  void set_system(const std::string &text);
  void set_thinking(bool on) { talk.enable_thinking = on; }
  // Tools that the model may call, a list in JSON as OpenAI's API has it;
  // empty: none.
  Status set_tools(const std::string &file);
  // The conversation as --messages reads it, with paths of its media; and what
  // was computed of it as FILE.state, unless there are media in it.
  Status save(const std::string &file) const;
  // In place of this one, which stays if that cannot be. Without a FILE.state
  // of this program all of it is computed again.
  Status load(const std::string &file);
  // Another answer to the last message.
  Status again();
  // On stderr: the context, what the model is told, the last answer's times.
  Status print_stats();
  // Puts a medium in front of the next message.
  Status attach(Medium::Kind kind, const char *command,
                const std::string &file);
  // Forgets the oldest turns until the rest takes half of the context or is
  // the last turn.
  Status drop();
  // Prints the answer to `text`. A refused turn is not part of the
  // conversation; its media wait for the next one, unless they are the reason.
  Status turn(const std::string &text);
  // What the first call without one has given; the last one is answered.
  Status result(const std::string &text);

private:
  Status save_state(const std::string &file) const;
  Status load_state(const std::string &file);
  bool has_system() const {
    return !talk.messages.empty() && talk.messages[0].role == "system";
  }
  // Answers the conversation, whose last `added` messages are new and go away
  // with the media behind the first `media_before` if it cannot be.
  Status answer(size_t added, size_t media_before);
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
  std::optional<Timings> last;  // of the last answer
  std::vector<Item> held;       // what the caches hold: generator.length()
  std::vector<int32_t> written; // of the last answer, outside of thoughts
};

} // namespace gm
