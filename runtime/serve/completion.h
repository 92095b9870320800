// An answer in the making: its sequences' tokens become texts, thoughts and
// tool calls, until a stop string, and go to the client as they come or at the
// end. Knows the tokenizer and the scheduler; the form of an answer is its
// derived classes'.
#pragma once

#include "runtime/serve/generation.h"
#include "runtime/serve/stop_text.h"

#include <mutex>
#include <optional>

namespace gm {

// More of a tool call.
struct CallDelta {
  size_t index = 0;
  std::string id, name; // at its beginning only
  std::string arguments;
};

// More of a choice.
struct Delta {
  std::string text, thought;
  std::vector<CallDelta> calls;
  std::vector<Drawn> tokens;      // of it, if they or logprobs are asked
  std::vector<Drawn> prompt = {}; // of the prompt, if it is scored

  bool empty() const {
    return text.empty() && thought.empty() && calls.empty() && tokens.empty() &&
           prompt.empty();
  }
};

// How the ids of a choice are read.
struct Reading {
  bool chat = false;       // thoughts and calls are told apart
  bool in_thought = false; // the prompt ends inside a thought
  bool trimmed = true;     // without white space around texts
};

class Completion : public std::enable_shared_from_this<Completion> {
public:
  Completion(Context &context, std::shared_ptr<HttpReply> reply,
             const Generation &generation);
  virtual ~Completion();

  // Submits prompts.size() times n sequences. If that fails, none goes on and
  // the reply is still to be given.
  MaybeError start(const std::vector<Items> &prompts, const Reading &reading);

protected:
  // More of a choice, in a stream; the first time `first`.
  virtual void give(size_t choice, const Delta &delta, bool first) = 0;
  // A choice's end, in a stream.
  virtual void close(size_t choice, const char *reason) = 0;
  // What one event of a stream is, about a choice or (null) about all.
  virtual Tree chunk(Tree choice) const = 0;
  // The whole answer.
  virtual Tree whole() = 0;

  // What a stream ends with when all choices have ended.
  virtual void close_all();
  // The end of a stream that failed.
  virtual void give_error(const ApiError &error) { event(error.tree()); }

  // One event of a stream; with an `event` line if it has a name.
  void event(const Tree &tree, const char *name = nullptr);
  Tree usage() const { return Context::usage_of(total, thought_tokens); }
  Tree timings() const { return Context::timings_of(total); }

  // What a choice has become.
  struct Made {
    Delta all;
    // At its end: "stop", "length" or "tool_calls".
    const char *reason = nullptr;
    std::string stop; // the stop string that ended it
    bool begun = false;
    Usage usage; // at its end
  };

  Context &context;
  const Generation generation;
  const int64_t created;
  std::vector<Made> made;
  Usage total;
  int64_t prompt_tokens = 0, thought_tokens = 0;

private:
  class Choice;
  struct Ending {
    const char *reason;
    std::string stop;
    Status status;
    Usage usage;
    int64_t thought = 0;
  };
  void take(size_t choice, Delta &&delta);
  void finish(size_t choice, const Ending &ending);
  void finish_all();
  void event_text(const std::string &text);
  void fail(const Status &status);
  void cancel();

  std::mutex mutex; // of all below and of `made`
  std::shared_ptr<HttpReply> reply;
  std::vector<int64_t> numbers; // of the scheduler
  size_t ended = 0;
  bool streaming = false;            // the stream's head is out
  std::atomic<bool> dropped = false; // it has failed: nothing more is wanted
};

} // namespace gm
