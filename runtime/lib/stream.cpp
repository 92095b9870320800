// See stream.h.
#include "runtime/lib/stream.h"
#include "runtime/app/answer.h"
#include "runtime/lib/gemma.h"

#include <algorithm>
#include <chrono>
#include <optional>

namespace gm::lib {

//===- between threads ----------------------------------------------------===//

void Stream::push(Piece piece) {
  std::lock_guard lock(mutex);
  Piece *last = pieces.empty() ? nullptr : &pieces.back();
  if (last && last->kind == piece.kind && last->call == piece.call &&
      piece.kind != GEMMA_CALL) {
    last->text += piece.text;
    last->ids.insert(last->ids.end(), piece.ids.begin(), piece.ids.end());
  } else {
    pieces.push_back(std::move(piece));
  }
  come.notify_all();
}

void Stream::end(int32_t finish, const Status &why, const Usage &cost,
                 std::vector<int32_t> ids) {
  std::lock_guard lock(mutex);
  ended = {finish, why, cost};
  // Without memory for the last piece the end is told all the same.
  come.notify_all();
  pieces.push_back({GEMMA_END, 0, "", std::move(ids)});
}

bool Stream::next(int64_t milliseconds, Piece &out) {
  // Longer than anybody waits; clocks do not overflow.
  const int64_t most = int64_t(365) * 86400 * 1000;
  std::unique_lock lock(mutex);
  auto ready = [&] { return !pieces.empty() || ended.finish; };
  if (milliseconds < 0)
    come.wait(lock, ready);
  else if (!come.wait_for(
               lock, std::chrono::milliseconds(std::min(milliseconds, most)),
               ready))
    return false;
  if (pieces.empty()) {
    out = {GEMMA_END, 0, "", {}};
    return true;
  }
  out = std::move(pieces.front());
  pieces.pop_front();
  return true;
}

Stream::End Stream::ending() const {
  std::lock_guard lock(mutex);
  return ended;
}

//===- the scheduler's side -----------------------------------------------===//

namespace {

class Reader final : public Listener {
public:
  Reader(const Context &context, const Generation &generation,
         const Reading &how, std::shared_ptr<Stream> stream)
      : context(context), one_call(generation.one_call), stop(generation.stops),
        stream(std::move(stream)) {
    const Tokenizer &tokenizer = context.program.tokenizer;
    if (how.chat)
      reader.emplace(tokenizer, AnswerOptions{how.in_thought, how.trimmed});
    else if (context.program.has_tokenizer())
      decoder.emplace(tokenizer, false);
  }

  bool drawn(const Drawn &token) override {
    try {
      take(token.id);
    } catch (...) {
      no_memory = true;
    }
    return !enough && !no_memory;
  }

  void finished(Finish why, const Status &status, const Usage &usage) override {
    try {
      if (!enough && !no_memory)
        flush();
    } catch (...) {
      no_memory = true;
    }
    Status s;
    if (no_memory)
      s = failure(RESOURCES, "no memory left for the answer");
    else if (why == Finish::Failed)
      s = status.ok() ? failure(RUN_ERROR, "the model failed") : status;
    try {
      stream->end(s.ok() ? meaning(why) : int32_t(GEMMA_FAILED), s, usage,
                  std::move(ids));
    } catch (...) { // it is told without its last ids
    }
  }

private:
  int32_t meaning(Finish why) const {
    if (why == Finish::Length || why == Finish::Context)
      return GEMMA_LENGTH;
    if (why == Finish::Cancelled && !enough)
      return GEMMA_CANCELLED;
    return reader && reader->calls() && stop.found().empty() ? GEMMA_CALLED
                                                             : GEMMA_STOPPED;
  }

  void take(int32_t id) {
    ids.push_back(id);
    std::string text;
    if (!context.program.has_tokenizer())
      return give(GEMMA_TEXT, 0, text, true);
    // Stop ids are no text, and with ignore_stop the text goes on behind them.
    if (id < 0 || id >= int32_t(context.program.tokenizer.vocab()) ||
        context.is_stop(id))
      return;
    if (reader)
      reader->push(id, events);
    else
      decoder->push(id, text);
    if (!reader)
      answer(text);
    read_events();
  }

  // More of the answer, which a stop text may end.
  void answer(const std::string &text) {
    std::string sure;
    enough |= stop.push(text, sure);
    give(GEMMA_TEXT, 0, sure);
  }

  void read_events() {
    for (AnswerEvent &event : events) {
      if (enough)
        break;
      if (event.kind == AnswerEvent::Thought)
        give(GEMMA_THOUGHT, 0, event.text);
      if (event.kind == AnswerEvent::Text)
        answer(event.text);
      if (event.kind == AnswerEvent::CallBegin) {
        std::string sure;
        stop.flush(sure);
        give(GEMMA_TEXT, 0, sure);
        give(GEMMA_CALL, event.index, event.text, true);
      }
      if (event.kind == AnswerEvent::Arguments)
        give(GEMMA_ARGUMENTS, event.index, event.text);
      if (event.kind == AnswerEvent::CallEnd)
        enough |= one_call;
    }
    events.clear();
  }

  void flush() {
    std::string text;
    if (reader)
      reader->finish(events);
    else if (decoder)
      decoder->flush(text);
    answer(text);
    read_events();
    if (enough)
      return;
    std::string sure;
    stop.flush(sure);
    give(GEMMA_TEXT, 0, sure);
  }

  // Ids without a text yet wait for it.
  void give(int32_t kind, size_t call, const std::string &text,
            bool empty = false) {
    if (text.empty() && !empty)
      return;
    stream->push({kind, call, text, std::move(ids)});
    ids.clear();
  }

  const Context &context;
  const bool one_call;
  StopText stop;
  std::shared_ptr<Stream> stream;
  std::optional<AnswerReader> reader;
  std::optional<StreamDecoder> decoder;
  std::vector<AnswerEvent> events;
  std::vector<int32_t> ids; // that no piece has yet
  bool enough = false, no_memory = false;
};

} // namespace

std::shared_ptr<Listener> listen(const Context &context,
                                 const Generation &generation,
                                 const Reading &reading,
                                 std::shared_ptr<Stream> stream) {
  return std::make_shared<Reader>(context, generation, reading,
                                  std::move(stream));
}

} // namespace gm::lib
