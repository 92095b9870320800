// See completion.h.
#include "runtime/serve/completion.h"
#include "runtime/app/answer.h"
#include "runtime/serve/http_text.h"

#include <algorithm>

namespace gm {

//===- one choice ---------------------------------------------------------===//

// On the scheduler's thread.
class Completion::Choice final : public Listener {
public:
  Choice(std::shared_ptr<Completion> owner, size_t index, const Reading &how)
      : owner(std::move(owner)), index(index),
        tokenizer(this->owner->context.program.tokenizer),
        stop(this->owner->generation.stops) {
    if (how.chat)
      reader.emplace(tokenizer, AnswerOptions{how.in_thought, how.trimmed});
    else
      decoder.emplace(tokenizer, false);
  }

  bool drawn(const Drawn &token) override {
    try {
      return take(token);
    } catch (...) {
      no_memory = true;
      return false;
    }
  }

  void scored(const Drawn &token) override {
    try {
      delta.prompt.push_back(token);
    } catch (...) {
      no_memory = true;
    }
  }

  void finished(Finish why, const Status &status, const Usage &given) override {
    try {
      if (!enough)
        flush();
      Usage usage = given;
      usage.generated = count;
      const bool length = why == Finish::Length || why == Finish::Context ||
                          owner->generation.most == 0;
      const bool calls = reader && reader->calls() && stop.found().empty();
      owner->finish(index,
                    {length  ? "length"
                     : calls ? "tool_calls"
                             : "stop",
                     stop.found(), outcome(why, status), usage, thought_count});
    } catch (...) {
      // The reply goes away unfinished, and says so.
    }
    owner.reset();
  }

private:
  Status outcome(Finish why, const Status &status) const {
    if (no_memory)
      return failure(RESOURCES, "no memory left for the answer");
    if (why == Finish::Failed)
      return status.ok() ? failure(RUN_ERROR, "the model failed") : status;
    // By us, or because the server ends.
    if (why == Finish::Cancelled && !enough && !owner->reply->left())
      return failure(RESOURCES, "the server ended the answer");
    return {};
  }

  bool take(const Drawn &token) {
    Completion &c = *owner;
    if (c.generation.most == 0) { // the prompt alone was scored
      enough = true;
      give(true);
      return false;
    }
    ++count;
    // Harnesses that score texts count on one token behind the prompt,
    // whichever it is; a chat has none but those of its text.
    if ((c.generation.logprobs >= 0 || c.generation.tokens) &&
        (!reader || !c.context.is_stop(token.id)))
      delta.tokens.push_back(token);
    std::string text;
    // Stop ids are no text, and with ignore_eos the text goes on behind them.
    if (token.id >= 0 && token.id < int32_t(tokenizer.vocab()) &&
        !c.context.is_stop(token.id)) {
      if (reader)
        reader->push(token.id, events);
      else
        decoder->push(token.id, text);
      thought_count += reader && reader->in_thought();
    }
    enough = stop.push(text, delta.text) || read_events();
    give();
    return !enough && !c.dropped && !c.reply->left();
  }

  // True: what is wanted is there.
  bool read_events() {
    bool done = false;
    for (AnswerEvent &event : events) {
      if (!stop.found().empty())
        break;
      switch (event.kind) {
      case AnswerEvent::Thought:
        delta.thought += event.text;
        break;
      case AnswerEvent::Text:
        done |= stop.push(event.text, delta.text);
        break;
      case AnswerEvent::CallBegin:
        stop.flush(delta.text);
        delta.calls.push_back(
            {event.index, "call_" + random_hex(24), event.text, ""});
        break;
      case AnswerEvent::Arguments:
        if (delta.calls.empty() || delta.calls.back().index != event.index)
          delta.calls.push_back({event.index, "", "", ""});
        delta.calls.back().arguments += event.text;
        break;
      case AnswerEvent::CallEnd:
        done |= owner->generation.one_call;
        break;
      }
      if (done)
        break;
    }
    events.clear();
    return done;
  }

  void flush() {
    std::string text;
    if (reader)
      reader->finish(events);
    else
      decoder->flush(text);
    if (!(stop.push(text, delta.text) || read_events()))
      stop.flush(delta.text);
    give(true);
  }

  // Tokens without a text yet wait for it.
  void give(bool last = false) {
    if (delta.text.empty() && delta.thought.empty() && delta.calls.empty() &&
        !(last && !delta.empty()))
      return;
    owner->take(index, std::move(delta));
    delta = {};
  }

  std::shared_ptr<Completion> owner;
  const size_t index;
  const Tokenizer &tokenizer;
  std::optional<AnswerReader> reader;
  std::optional<StreamDecoder> decoder;
  StopText stop;
  std::vector<AnswerEvent> events;
  Delta delta;
  int64_t count = 0, thought_count = 0;
  bool enough = false, no_memory = false;
};

//===- all of them --------------------------------------------------------===//

Completion::Completion(Context &context, std::shared_ptr<HttpReply> reply,
                       const Generation &generation)
    : context(context), generation(generation), created(now_seconds()),
      reply(std::move(reply)) {}

Completion::~Completion() = default;

MaybeError Completion::start(const std::vector<Items> &prompts,
                             const Reading &reading) {
  made.resize(prompts.size() * size_t(generation.n));
  for (const Items &prompt : prompts)
    prompt_tokens += int64_t(prompt.size());
  if (generation.most == 0 && !generation.scored) {
    for (size_t i = 0; i < made.size(); ++i) {
      Usage usage;
      usage.prompt = int64_t(prompts[i / size_t(generation.n)].size());
      finish(i, {"length", "", {}, usage});
    }
    return {};
  }
  for (size_t i = 0; i < made.size(); ++i) {
    Sequence sequence =
        generation.sequence(prompts[i / size_t(generation.n)], i);
    sequence.listener =
        std::make_shared<Choice>(shared_from_this(), i, reading);
    int64_t number;
    Status s = context.scheduler.submit(std::move(sequence), number);
    if (s.ok()) {
      std::lock_guard lock(mutex);
      numbers.push_back(number);
      continue;
    }
    cancel();
    std::lock_guard lock(mutex);
    const bool failed = dropped.exchange(true);
    if (failed || streaming) { // another choice has begun the answer
      if (!failed)
        fail(s);
      return {};
    }
    return s.code == RUN_ERROR
               ? ApiError(400, s.text, "", "context_length_exceeded")
               : ApiError(s);
  }
  std::weak_ptr<Completion> self = weak_from_this();
  std::lock_guard lock(mutex);
  if (ended < made.size())
    reply->when_left([self] {
      if (auto held = self.lock()) {
        ++held->context.counters.left;
        held->cancel();
      }
    });
  return {};
}

// Not by the scheduler's thread, which asks `dropped` instead.
void Completion::cancel() {
  std::vector<int64_t> all;
  {
    std::lock_guard lock(mutex);
    all = numbers;
  }
  for (int64_t number : all)
    context.scheduler.cancel(number);
}

void Completion::event(const Tree &tree, const char *name) {
  const std::string line = name ? "event: " + std::string(name) + "\n" : "";
  event_text(line + "data: " + dump(tree) + "\n\n");
}

void Completion::event_text(const std::string &text) {
  if (!streaming)
    reply->begin(200, "text/event-stream");
  streaming = true;
  reply->write(text);
}

void Completion::close_all() {
  if (generation.include_usage) {
    Tree last = chunk({});
    last["usage"] = usage();
    last["timings"] = timings();
    event(last);
  }
  event_text("data: [DONE]\n\n");
}

void Completion::take(size_t choice, Delta &&delta) {
  std::lock_guard lock(mutex);
  if (dropped)
    return;
  Made &m = made[choice];
  if (generation.stream) {
    give(choice, delta, !m.begun);
  } else {
    m.all.text += delta.text;
    m.all.thought += delta.thought;
    for (const CallDelta &call : delta.calls) {
      if (call.index >= m.all.calls.size())
        m.all.calls.push_back({call.index, call.id, call.name, ""});
      m.all.calls[call.index].arguments += call.arguments;
    }
    for (Drawn &token : delta.tokens)
      m.all.tokens.push_back(std::move(token));
    for (Drawn &token : delta.prompt)
      m.all.prompt.push_back(std::move(token));
  }
  m.begun = true;
}

void Completion::finish(size_t choice, const Ending &ending) {
  const Usage &usage = ending.usage;
  std::lock_guard lock(mutex);
  if (dropped)
    return;
  if (!ending.status.ok()) {
    dropped = true;
    return fail(ending.status);
  }
  if (choice % size_t(generation.n) == 0) {
    total.prompt += usage.prompt;
    total.cached += usage.cached;
    total.prompt_ns += usage.prompt_ns;
  }
  total.generated += usage.generated;
  total.waited_ns = std::max(total.waited_ns, usage.waited_ns);
  total.generate_ns = std::max(total.generate_ns, usage.generate_ns);
  thought_tokens += ending.thought;
  Made &m = made[choice];
  m.reason = ending.reason;
  m.stop = ending.stop;
  m.usage = usage;
  if (generation.stream) {
    if (!m.begun)
      give(choice, {}, true);
    close(choice, m.reason);
  }
  if (++ended == made.size())
    finish_all();
}

void Completion::finish_all() {
  if (reply->left()) {
    // What there is is no answer; a client that has shut down its side only
    // sees the connection end.
  } else if (generation.stream) {
    close_all();
    reply->end();
  } else {
    reply->send(200, "application/json", dump(whole()));
  }
  reply.reset();
}

void Completion::fail(const Status &status) {
  ++context.counters.errors;
  const ApiError error(status);
  if (streaming) {
    give_error(error);
    reply->end();
  } else {
    reply->send(error.status, "application/json", dump(error.tree()));
  }
}

} // namespace gm
