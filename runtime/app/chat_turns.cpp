// See chat_turns.h.
#include "runtime/app/chat_turns.h"
#include "runtime/app/answer_lines.h"
#include "runtime/app/output.h"
#include "runtime/manifest_generated.h"

#include <algorithm>
#include <cstdio>
#include <unistd.h>

namespace gm {

Status Chat::encode(const Conversation &talk, Items &items, size_t &count) {
  std::vector<int32_t> ids;
  if (Status s =
          encode_conversation(program, talk, true, settings.allow_special,
                              program.plan.context, ids, count);
      !s.ok())
    return s;
  const size_t shown = media_in(talk.messages);
  count += size_t(media.added(shown));
  return count > size_t(program.plan.context) ? Status()
                                              : media.place(ids, shown, items);
}

Status Chat::attach(Medium::Kind kind, const char *command,
                    const std::string &file) {
  if (settings.no_media)
    return failure(USAGE,
                   "%s: this chat keeps no room for media: it began with "
                   "--no-media, or with too little memory",
                   command);
  if (is_standard_input(file))
    return failure(USAGE,
                   "%s expects a file: the standard input is the conversation",
                   command);
  if (Status s = media.add(kind, file, command); !s.ok())
    return s;
  if (Status s = media.measure(); !s.ok()) {
    media.erase(media.size() - 1, 1);
    return s;
  }
  const Medium &last = media[media.size() - 1];
  if (isatty(0))
    fprintf(stderr, "%s: %s in front of the next message\n",
            last.name().c_str(),
            count_of(uint64_t(last.rows()), "token").c_str());
  return {};
}

Status Chat::check_room(size_t tokens) const {
  if (tokens <= size_t(program.plan.context))
    return {};
  return failure(RUN_ERROR,
                 "the conversation has %zu tokens, but the context holds "
                 "%lld; forget the oldest turns with /drop, start anew with "
                 "/reset, or chat with a larger -c",
                 tokens, (long long)program.plan.context);
}

Status Chat::drop() {
  std::vector<Message> &messages = talk.messages;
  const size_t kept = has_system(), half = program.plan.context / 2;
  size_t dropped = 0;
  for (;;) {
    Items items;
    size_t count;
    if (Status s = encode(talk, items, count); !s.ok())
      return s;
    // A turn is a question and what follows it up to the next.
    size_t next = kept + 1;
    while (next < messages.size() && messages[next].role != "user")
      ++next;
    if (count <= half || next >= messages.size()) {
      fprintf(stderr, "%s forgotten; the conversation has %s\n",
              count_of(dropped, "turn").c_str(),
              count_of(count, "token").c_str());
      return {};
    }
    const auto first = messages.begin() + ptrdiff_t(kept),
               last = messages.begin() + ptrdiff_t(next);
    media.erase(0, media_in({first, last}));
    messages.erase(first, last);
    ++dropped;
  }
}

// Rows of media have numbers of their own (Media), so what is equal here is
// equal.
static size_t common(const std::vector<Item> &a, const std::vector<Item> &b) {
  const size_t most = std::min(a.size(), b.size());
  return size_t(
      std::mismatch(a.begin(), a.begin() + ptrdiff_t(most), b.begin(),
                    [](const Item &x, const Item &y) { return x.id == y.id; })
          .first -
      a.begin());
}

// How much of a prompt every later turn begins with, whatever the answer: the
// large models' empty thought is not part of the history.
size_t Chat::lasting(const Items &items) {
  Conversation later = talk;
  later.messages.push_back(text_message("assistant", "."));
  later.messages.back().ids = {INT32_MIN}; // like no id and no row
  Items next;
  size_t count;
  return encode(later, next, count).ok() ? common(items.list, next.list) : 0;
}

// The answer as a message, with its tokens if they are what history shows of
// it: the text without blanks around it. Calls of declared tools get results;
// others stay what the model wrote.
Message Chat::answered(const Answer &answer) const {
  if (!talk.tools.empty() && !answer.calls.empty()) {
    Message m = text_message("assistant", std::string(trim(answer.text)));
    for (size_t i = 0; i < answer.calls.size(); ++i)
      m.tool_calls.push_back({"call_" + std::to_string(i + 1),
                              answer.calls[i].name, answer.calls[i].arguments});
    return m;
  }
  const Tokenizer &t = program.tokenizer;
  // Stop ids that were passed over, and ends of what did not begin, are not
  // shown, but the model goes on from them.
  auto hidden = [&](int32_t id) {
    return generator.is_stop(id) || id == t.named(GM_TOK_CHANNEL_CLOSE) ||
           (id == t.named(GM_TOK_TOOL_CALL_CLOSE) && answer.calls.empty());
  };
  auto blank = [&](int32_t id) {
    return hidden(id) || trim(t.decode(&id, 1, true)).empty();
  };
  auto begin = written.begin(), end = written.end();
  while (begin != end && blank(*begin))
    ++begin;
  while (begin != end && blank(end[-1]))
    --end;
  std::vector<int32_t> ids(begin, end);
  // What the model took for a place of a medium is none.
  for (const char *kind : Medium::kNames)
    if (const auto *medium = medium_of(program.file, kind);
        medium && std::find(begin, end, medium->soft()) != end)
      ids.clear();
  std::vector<int32_t> shown;
  std::copy_if(begin, end, std::back_inserter(shown),
               [&](int32_t id) { return !hidden(id); });
  const std::string text = t.decode(shown.data(), shown.size(), true);
  Message m = text_message("assistant", answer.calls.empty()
                                            ? std::string(trim(answer.text))
                                            : text);
  if (text == m.content.text)
    m.ids = std::move(ids);
  return m;
}

namespace {

// Thoughts, dim, where the answer is shown on a terminal; elsewhere a word at
// the standard error.
class ThoughtPrinter {
public:
  void show(const std::string &text, bool inside) {
    if (!terminal)
      return notice.show(inside);
    if (!text.empty() && !dim)
      write_output("\033[2m"), dim = true;
    write_model_text(text);
    if (dim && !inside)
      write_output("\033[0m\n"), dim = false;
  }

private:
  const bool terminal = isatty(1);
  bool dim = false;
  Notice notice{"(thinking)"};
};

} // namespace

// Streams the answer. Goes on after the longest beginning of `items` that the
// caches or the checkpoint hold; at least the last token is computed, for its
// logits.
Status Chat::generate(Items items, Answer &answer, End &end) {
  if (Status s = generator.rewind(
          int64_t(std::min(common(held, items.list), items.size() - 1)));
      !s.ok())
    return s;
  const size_t same = size_t(generator.length()), keep = lasting(items);
  held = items.list;
  items.list.erase(items.list.begin(), items.list.begin() + ptrdiff_t(same));
  written.clear();

  AnswerLines lines(program.tokenizer);
  ThoughtPrinter thinking;
  last.emplace(items.size());
  Timings &timings = *last;
  const auto begin = now_ns();
  Status s = generator.run(
      items,
      [&](int32_t id) {
        timings.token();
        held.push_back({id});
        std::string shown, thought;
        const bool known = id < int32_t(program.tokenizer.vocab()),
                   inside = lines.in_thought();
        if (known && !generator.is_stop(id))
          lines.push(id, shown, &thought);
        if (known && !inside && !lines.in_thought())
          written.push_back(id);
        thinking.show(thought, lines.in_thought());
        return write_model_text(shown);
      },
      end, int64_t(keep));
  if (end == End::Stop && !written.empty() && written.back() == held.back().id)
    written.pop_back(); // the stop id
  std::string rest;
  lines.finish(rest);
  thinking.show("", false);
  write_model_text(rest + "\n");
  answer = lines.answer();
  if (s.ok() && settings.timings) {
    std::vector<Encoding> encoded = media.encodings();
    std::erase_if(encoded, [&](const Encoding &e) { return e.begin < begin; });
    print_encodings(encoded);
    timings.print(seed, loaded(*program.engine));
  }
  held.resize(size_t(generator.length()));
  return s;
}

Status Chat::turn(const std::string &text) {
  const size_t before = media_in(talk.messages);
  talk.messages.push_back(text_message("user", text));
  put_in_front(media, before, talk.messages.back());
  return answer(1, before);
}

Status Chat::again() {
  std::vector<Message> &messages = talk.messages;
  size_t end = messages.size();
  while (end && messages[end - 1].role == "assistant")
    --end;
  if (end == messages.size() || end == size_t(has_system()))
    return failure(USAGE, "/regen: there is no answer yet");
  const std::vector<Message> old(messages.begin() + ptrdiff_t(end),
                                 messages.end());
  messages.resize(end);
  // Media that wait for the next message are none of this one.
  Status s = answer(0, media.size());
  if (!s.ok() && messages.size() == end)
    messages.insert(messages.end(), old.begin(), old.end());
  return s;
}

// Calls of the last turn that have no result yet, the first of them.
static const ToolCall *open_call(const std::vector<Message> &messages,
                                 size_t &left) {
  size_t results = 0, at = messages.size();
  while (at && messages[at - 1].role == "tool")
    --at, ++results;
  if (!at || messages[at - 1].tool_calls.size() <= results)
    return nullptr;
  left = messages[at - 1].tool_calls.size() - results;
  return &messages[at - 1].tool_calls[results];
}

Status Chat::result(const std::string &text) {
  size_t left = 0;
  const ToolCall *call = open_call(talk.messages, left);
  if (!call)
    return failure(USAGE, "/result: no call of a tool waits for one");
  Message message = text_message("tool", text);
  message.tool_call_id = call->id;
  message.name = call->name;
  talk.messages.push_back(std::move(message));
  return left > 1 ? Status() : answer(1, media.size());
}

Status Chat::answer(size_t added, size_t media_before) {
  std::vector<Message> &messages = talk.messages;
  const size_t before = messages.size() - added;
  Items items;
  size_t count;
  Status fits = encode(talk, items, count);
  if (fits.ok())
    fits = check_room(count);
  if (!fits.ok()) {
    messages.resize(before);
    return fits;
  }
  Answer answer;
  End end = End::Stop;
  Status s = generate(std::move(items), answer, end);
  if (!s.ok()) {
    messages.resize(before);
    // One of them may be broken.
    media.erase(media_before, media.size() - media_before);
    return s;
  }
  if (answer.text.empty() && answer.calls.empty() && end == End::Interrupted)
    messages.resize(before); // as if it had not been asked
  else
    messages.push_back(answered(answer));
  if (end == End::Context)
    return failure(RUN_ERROR,
                   "the answer is cut off: the context of %lld tokens is full; "
                   "forget the oldest turns with /drop, start anew with "
                   "/reset, or chat with a larger -c",
                   (long long)program.plan.context);
  return finish_output();
}

} // namespace gm
