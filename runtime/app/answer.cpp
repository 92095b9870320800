// See answer.h.
#include "runtime/app/answer.h"
#include "runtime/app/json_value.h"

#include <algorithm>

namespace gm {
namespace {

constexpr std::string_view kHeading = "thought\n";

// Bytes of `text` up to an unfinished character.
size_t whole_characters(std::string_view text) {
  uint32_t code;
  for (size_t back = 1; back <= 3 && back <= text.size(); ++back)
    if ((text[text.size() - back] & 0xC0) != 0x80)
      return read_char(text.substr(text.size() - back), code) == 0
                 ? text.size() - back
                 : text.size();
  return text.size();
}

} // namespace

std::string_view AnswerReader::spelled(int tag) {
  constexpr std::string_view names[Tags] = {
      "<|channel>", "<channel|>",       "<|tool_call>", "<tool_call|>",
      "<turn|>",    "<|tool_response>", "<eos>",        "<|\"|>"};
  return names[tag];
}

AnswerReader::AnswerReader(const AnswerOptions &options)
    : options(options), searching(true),
      mode(options.in_thought ? Mode::Thought : Mode::Text) {
  std::fill(std::begin(ids), std::end(ids), -1);
}

AnswerReader::AnswerReader(const Tokenizer &tokenizer,
                           const AnswerOptions &options)
    : AnswerReader(options) {
  constexpr gm_tok_name names[Tags] = {GM_TOK_CHANNEL_OPEN,
                                       GM_TOK_CHANNEL_CLOSE,
                                       GM_TOK_TOOL_CALL_OPEN,
                                       GM_TOK_TOOL_CALL_CLOSE,
                                       GM_TOK_TURN_CLOSE,
                                       GM_TOK_TOOL_RESPONSE_OPEN,
                                       GM_TOK_EOS,
                                       GM_TOK_QUOTE};
  this->tokenizer = &tokenizer;
  decoder = std::make_unique<StreamDecoder>(tokenizer, /*specials=*/true);
  searching = false;
  for (int i = 0; i < Tags; ++i)
    searching |= (ids[i] = tokenizer.named(names[i])) < 0;
}

void AnswerReader::push(int32_t id, std::vector<AnswerEvent> &events) {
  out = &events;
  if (ended != AnswerEnd::Open)
    return;
  const auto *found = std::find(std::begin(ids), std::end(ids), id);
  std::string decoded;
  if (found == std::end(ids)) {
    decoder->push(id, decoded);
    return search(decoded);
  }
  decoder->flush(decoded);
  search(decoded);
  text(tail); // a control token is in between
  tail.clear();
  if (ended == AnswerEnd::Open)
    tag(int(found - ids));
}

void AnswerReader::push(std::string_view text,
                        std::vector<AnswerEvent> &events) {
  out = &events;
  if (ended == AnswerEnd::Open)
    characters(text);
}

void AnswerReader::finish(std::vector<AnswerEvent> &events) {
  out = &events;
  if (ended == AnswerEnd::Open) {
    std::string rest = std::move(partial);
    if (decoder)
      decoder->flush(rest);
    search(rest);
  }
  if (ended == AnswerEnd::Open) {
    text(tail);
    stop(AnswerEnd::Open);
  }
}

// A piece of text may end inside a character.
void AnswerReader::characters(std::string_view text) {
  partial += text;
  std::string rest = partial.substr(whole_characters(partial));
  partial.resize(partial.size() - rest.size());
  search(partial);
  partial = std::move(rest);
}

// Finds the tags that are no tokens.
void AnswerReader::search(std::string_view more) {
  if (!searching)
    return text(more);
  std::string all = std::move(tail);
  tail.clear();
  all += more;
  std::string_view rest = all;
  for (size_t at = 0; (at = rest.find('<', at)) != rest.npos;) {
    const std::string_view from = rest.substr(at);
    bool begins = false;
    int is = Tags;
    for (int i = 0; i < Tags; ++i)
      if (ids[i] < 0) {
        if (from.starts_with(spelled(i)))
          is = i;
        begins |= spelled(i).starts_with(from);
      }
    if (is == Tags && !begins) {
      ++at;
      continue;
    }
    text(rest.substr(0, at));
    if (is == Tags) {
      tail = from;
      return;
    }
    tag(is);
    if (ended != AnswerEnd::Open)
      return;
    rest.remove_prefix(at + spelled(is).size());
    at = 0;
  }
  text(rest);
}

void AnswerReader::text(std::string_view more) {
  if (more.empty())
    return;
  if (mode == Mode::Thought)
    return thought(more);
  if (mode == Mode::Text)
    return give(AnswerEvent::Text, answer, more);
  call.push(more);
  show_call();
}

// A heading is dropped and one line break is held back: that in front of
// <channel|> belongs to the format.
void AnswerReader::thought(std::string_view more) {
  held += more;
  if (heading) {
    if (held.starts_with(kHeading))
      held.erase(0, kHeading.size());
    else if (kHeading.starts_with(held))
      return; // not yet known
    heading = false;
  }
  const bool last = held.ends_with('\n');
  give(AnswerEvent::Thought, thoughts,
       std::string_view(held).substr(0, held.size() - last));
  held = last ? "\n" : "";
}

void AnswerReader::leave_thought(bool closed) {
  if (!closed || (held != "\n" && !(heading && held == "thought")))
    give(AnswerEvent::Thought, thoughts, held);
  held.clear();
  heading = false;
}

void AnswerReader::give(AnswerEvent::Kind kind, Trimmed &state,
                        std::string_view text) {
  if (!options.trimmed) {
    if (!text.empty())
      event(kind).text += text;
    return;
  }
  const std::string_view kept = trim(text);
  if (kept.empty()) {
    if (state.begun)
      state.white += text;
    return;
  }
  const size_t end = size_t(kept.data() - text.data()) + kept.size();
  std::string &to = event(kind).text;
  if (state.begun)
    (to += state.white) += text.substr(0, end);
  else
    to += kept;
  state.begun = true;
  state.white = text.substr(end);
}

void AnswerReader::tag(int which) {
  switch (which) {
  case ChannelOpen:
    if (mode == Mode::Call)
      return text(spelled(which));
    if (mode == Mode::Thought)
      leave_thought(false);
    mode = Mode::Thought;
    heading = true;
    return;
  case ChannelClose:
    if (mode == Mode::Call)
      return text(spelled(which));
    if (mode == Mode::Thought)
      leave_thought(true);
    mode = Mode::Text;
    return;
  case CallOpen:
    if (mode == Mode::Call)
      end_call();
    if (mode == Mode::Thought)
      leave_thought(false);
    mode = Mode::Call;
    call = CallReader();
    shown = 0;
    return;
  case CallClose:
    if (mode == Mode::Call)
      end_call();
    return; // of nothing that is open: dropped, in a thought too
  case TurnClose:
    return stop(AnswerEnd::Turn);
  case ResponseOpen:
    return stop(AnswerEnd::ToolResponse);
  case Eos:
    return stop(AnswerEnd::Eos);
  case Quote:
    if (mode != Mode::Call)
      return text(spelled(which));
    call.quote();
    return show_call();
  }
}

void AnswerReader::stop(AnswerEnd end) {
  if (mode == Mode::Call)
    end_call();
  if (mode == Mode::Thought)
    leave_thought(false);
  mode = Mode::Text;
  ended = end;
}

// What has become certain of the call.
void AnswerReader::show_call() {
  if (!call.named() || call.json().size() == shown)
    return;
  if (!shown) {
    event(AnswerEvent::CallBegin).text = call.name();
    ++count;
  }
  event(AnswerEvent::Arguments).text += call.json().substr(shown);
  shown = call.json().size();
}

void AnswerReader::end_call() {
  mode = Mode::Text;
  call.finish();
  show_call();
  if (!call.named())
    return;
  AnswerEvent &end = event(AnswerEvent::CallEnd);
  // It is JSON, within the limits but for how many values there are.
  if (!read_json(call.json(), "", end.arguments).ok()) {
    end.arguments = {};
    end.arguments.kind = Value::Map;
  }
}

// One more, or the last one if that can take more text.
AnswerEvent &AnswerReader::event(AnswerEvent::Kind kind) {
  const bool more = kind == AnswerEvent::Thought || kind == AnswerEvent::Text ||
                    kind == AnswerEvent::Arguments;
  if (!more || out->empty() || out->back().kind != kind) {
    out->push_back({kind, {}, 0, {}});
    if (kind != AnswerEvent::Thought && kind != AnswerEvent::Text)
      out->back().index = count - (kind != AnswerEvent::CallBegin);
  }
  return out->back();
}

void Answer::add(const std::vector<AnswerEvent> &events) {
  for (const AnswerEvent &event : events)
    switch (event.kind) {
    case AnswerEvent::Thought:
      thought += event.text;
      break;
    case AnswerEvent::Text:
      text += event.text;
      break;
    case AnswerEvent::CallBegin:
      calls.push_back({event.text, {}, {}});
      break;
    case AnswerEvent::Arguments:
      calls.back().json += event.text;
      break;
    case AnswerEvent::CallEnd:
      calls.back().arguments = event.arguments;
      break;
    }
}

} // namespace gm
