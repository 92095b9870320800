// See eval_input.h.
#include "runtime/app/eval_input.h"

#include <algorithm>

namespace gm {

Status EvalInput::survey() {
  if (source.ids) {
    ready.ids = *source.ids;
    ready.ends = {ready.ids.size()};
    total = most = ready.ids.size();
    surveyed = all_held = true;
    return {};
  }
  if (!source.token_file)
    if (Status s = program.need_tokenizer(); !s.ok())
      return s;
  const std::optional<std::string> &path =
      source.token_file ? source.token_file : source.text->path();
  if (path) {
    if (Status s = reader.open(*path); !s.ok())
      return s;
  } else {
    reader.open_text(source.text->given());
  }
  begin();
  surveying = true;
  while (!ended) {
    if (Status s = read_more(); !s.ok())
      return s;
    if (counts_only || ready.ids.size() + filled <= source.held)
      continue;
    if (!reader.is_lasting())
      return surveying = false, Status();
    counts_only = true;
    ready = {};
  }
  surveying = false;
  surveyed = true;
  all_held = !counts_only;
  counts_only = false;
  return {};
}

Status EvalInput::rewind() {
  given = 0;
  ready.next = 0;
  if (!surveyed || all_held)
    return {};
  begin();
  return reader.rewind();
}

void EvalInput::begin() {
  if (source.token_file)
    parser.emplace(*source.token_file, program.vocab());
  else
    encoder.emplace(program.tokenizer, true);
  ended = text_begun = repeats_bos = false;
  offset = filled = 0;
  half.clear();
  waiting.clear();
  fresh.clear();
  window.clear();
  ready = {};
}

Status EvalInput::next(std::vector<int32_t> &out, int64_t context) {
  out.clear();
  while (ready.next == ready.ends.size()) {
    if (all_held || ended)
      return given == total || !surveyed ? Status() : changed();
    ready.ids.clear();
    ready.ends.clear();
    ready.next = 0;
    if (Status s = read_more(); !s.ok())
      return s;
    if (filled > uint64_t(context) && !ready.ends.size())
      return too_long(context);
  }
  const size_t from = ready.next ? ready.ends[ready.next - 1] : 0,
               to = ready.ends[ready.next++];
  if (to - from > uint64_t(context))
    return too_long(context);
  out.assign(ready.ids.begin() + ptrdiff_t(from),
             ready.ids.begin() + ptrdiff_t(to));
  given += to - from;
  return !surveyed || given <= total ? Status() : changed();
}

std::string EvalInput::name() const {
  return source.token_file ? name_of_input(*source.token_file)
                           : source.text->name();
}

Status EvalInput::changed() const {
  return failure(BAD_INPUT, "%s has changed while it was read", name().c_str());
}

Status EvalInput::too_long(int64_t context) const {
  return failure(RUN_ERROR,
                 "%s has a text of more than %lld tokens, which are all that "
                 "the context holds; score it in pieces with --window, or give "
                 "a larger -c",
                 name().c_str(), (long long)context);
}

Status EvalInput::read_more() {
  std::string_view piece;
  if (Status s = reader.next(piece); !s.ok())
    return s;
  ended = piece.empty();
  if (!source.token_file)
    return take_text(piece);
  Status s = ended ? parser->finish(fresh) : parser->push(piece, fresh);
  if (s.ok())
    take_ids(ended);
  return s;
}

Status EvalInput::take_text(std::string_view piece) {
  half += piece;
  const size_t bad = first_bad_utf8(half);
  uint32_t code;
  if (bad < half.size() &&
      (ended || read_char(std::string_view(half).substr(bad), code) < 0))
    return not_utf8(name(), (unsigned char)half[bad], offset + bad);
  offset += bad;
  if (!offset && ended)
    return check_text("", name());
  // A single text that is larger has more tokens than the context, whatever
  // they are.
  if (!source.split && !source.window)
    if (InputLimit limit = limit_for(program, source.context);
        offset > limit.bytes)
      return too_large(source.text->path().value_or("-"), limit);
  if (source.split) {
    waiting.append(half, 0, bad);
    take_texts();
  } else {
    take_part(std::string_view(half).substr(0, bad), ended);
  }
  half.erase(0, bad);
  return {};
}

// Cuts what waits where a line is the separator. The line break at the end of
// the input belongs to no text, so the last byte waits too.
void EvalInput::take_texts() {
  if (ended && waiting.ends_with('\n'))
    waiting.pop_back();
  const std::string line = '\n' + *source.split + '\n';
  const std::string_view seen(waiting.data(),
                              waiting.size() - !(ended || waiting.empty()));
  size_t from = 0;
  for (size_t at; (at = seen.find(line, from)) != seen.npos;
       from = at + line.size())
    take_part(seen.substr(from, at - from), true);
  size_t to = seen.size();
  if (!ended)
    to = std::max(from, to - std::min(to, line.size() - 1));
  take_part(seen.substr(from, to - from), ended);
  waiting.erase(0, to);
}

void EvalInput::take_part(std::string_view text, bool text_ends) {
  encoder->push(text, fresh);
  if (text_ends)
    encoder->finish(fresh);
  take_ids(text_ends);
}

// Moves `fresh` into windows.
void EvalInput::take_ids(bool text_ends) {
  const int32_t bos =
      program.has_tokenizer() ? program.tokenizer.named(GM_TOK_BOS) : -1;
  if (!text_begun && (!fresh.empty() || text_ends)) {
    if (!source.token_file && bos >= 0 && (fresh.empty() || fresh[0] != bos))
      fresh.insert(fresh.begin(), bos);
    text_begun = true;
    repeats_bos = bos >= 0 && !fresh.empty() && fresh[0] == bos;
  }
  for (int32_t id : fresh) {
    if (source.window && filled == uint64_t(source.window)) {
      end_window();
      if (repeats_bos)
        add(bos);
    }
    add(id);
  }
  fresh.clear();
  if (!text_ends)
    return;
  end_window();
  text_begun = false;
}

// No window that counts is longer than the model's context.
void EvalInput::add(int32_t id) {
  if (!counts_only && window.size() <= size_t(program.max_context()))
    window.push_back(id);
  ++filled;
}

void EvalInput::end_window() {
  if (!filled)
    return;
  if (surveying) {
    total += filled;
    most = std::max(most, filled);
  }
  if (!counts_only) {
    ready.ids.insert(ready.ids.end(), window.begin(), window.end());
    ready.ends.push_back(ready.ids.size());
  }
  window.clear();
  filled = 0;
}

} // namespace gm
