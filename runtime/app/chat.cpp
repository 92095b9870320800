// `PROGRAM chat`: a conversation, turn by turn. Each turn renders the whole
// conversation and computes only what the caches do not hold yet.
#include "runtime/app/commands.h"
#include "runtime/app/line_input.h"
#include "runtime/app/sampling_flags.h"
#include "runtime/app/template.h"
#include "runtime/app/timings.h"
#include "runtime/manifest_generated.h"

#include <algorithm>
#include <cstdio>
#include <unistd.h>

namespace gm {
namespace {

struct Request {
  Options machine;
  SamplingFlags sampling;
  std::vector<std::string> first;
  std::optional<std::string> system;
  int64_t most = -1;
  bool allow_special = false, timings = false, ignore_stop = false;

  Syntax syntax();
  void explain(Syntax &s) { SamplingFlags::explain(s); }
};

Syntax Request::syntax() {
  Syntax s = {"chat",
              "Holds a conversation: each line of the standard input is a "
              "turn, or the lines between\n\"\"\" and \"\"\". Ctrl-C stops an "
              "answer; lines that are commands: /help, /drop, /reset, /quit.",
              {},
              {"TEXT", "the first turn", &first, 1}};
  s.flags = {
      {"--predict", "-n", "N",
       "most tokens of an answer (default: until it stops or the context is "
       "full)",
       &most, -1, 1 << 30},
      {"--ignore-eos", "", "", "go on after tokens that end an answer",
       &ignore_stop},
      {"--system", "", "TEXT", "a system turn before the conversation",
       &system},
      checkpoints_flag(machine, 1),
      allow_special_flag(allow_special),
      {"--timings", "", "",
       "print after each answer how many tokens were read and generated, how "
       "fast, and the seed",
       &timings},
  };
  for (std::vector<Flag> more : {sampling.flags(), machine_flags(machine)})
    s.flags.insert(s.flags.end(), more.begin(), more.end());
  return s;
}

const char commands_help[] =
    "/reset   forget the conversation (a system turn stays)\n"
    "/drop    forget the oldest turns, until half of the context is free\n"
    "/quit    end; so do /exit, /bye and the end of the input (Ctrl-D)\n"
    "/help    print this\n"
    "Lines between \"\"\" and \"\"\" are one turn; so is what is pasted.\n"
    "Ctrl-C stops an answer; pressed again, or twice at the prompt, it ends "
    "the chat.\n";

const char ending_help[] = "press Ctrl-C again or type /quit to end\n";

class Chat {
public:
  Chat(Program &program, const Request &request, const GenerateOptions &options)
      : program(program), request(request), seed(options.random.state),
        generator(program, options) {
    reset();
  }

  void reset() {
    messages.clear();
    if (request.system)
      messages.push_back(text_message("system", *request.system));
  }
  // Forgets the oldest turns until the rest takes half of the context or is
  // the last turn.
  Status drop();
  // Prints the answer to `text`. A refused turn is not part of the
  // conversation.
  Status turn(const std::string &text);

private:
  // The ids that the context holds; `count`: how many there are.
  Status encode(const std::vector<Message> &messages, std::vector<int32_t> &ids,
                size_t &count) const;
  size_t lasting(const std::vector<int32_t> &ids) const;
  Message answered(const std::string &answer) const;
  Status check_room(size_t tokens) const;
  Status generate(const std::vector<int32_t> &ids, std::string &answer,
                  End &end);

  Program &program;
  const Request &request;
  const uint64_t seed;
  Generator generator;
  std::vector<Message> messages;
  std::vector<int32_t> held;    // what the caches hold: generator.length() ids
  std::vector<int32_t> written; // of the last answer, outside of thoughts
};

Status Chat::encode(const std::vector<Message> &messages,
                    std::vector<int32_t> &ids, size_t &count) const {
  ChatOptions options;
  options.large = program.manifest().chat() == gemmac::manifest::Chat_Large;
  Prompt rendered;
  std::string problem = render_chat(messages, {}, options, rendered);
  if (!problem.empty())
    return failure(BAD_INPUT, "the conversation cannot be rendered: %s",
                   problem.c_str());
  count = encode_prompt(program, rendered, request.allow_special, ids,
                        program.plan.context);
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
  const size_t kept = request.system ? 1 : 0, half = program.plan.context / 2;
  size_t dropped = 0;
  for (;;) {
    std::vector<int32_t> ids;
    size_t count;
    if (Status s = encode(messages, ids, count); !s.ok())
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
    messages.erase(messages.begin() + ptrdiff_t(kept),
                   messages.begin() + ptrdiff_t(next));
    ++dropped;
  }
}

size_t common(const std::vector<int32_t> &a, const std::vector<int32_t> &b) {
  size_t most = std::min(a.size(), b.size());
  return size_t(
      std::mismatch(a.begin(), a.begin() + ptrdiff_t(most), b.begin()).first -
      a.begin());
}

// How much of a prompt every later turn begins with, whatever the answer: the
// large models' empty thought is not part of the history.
size_t Chat::lasting(const std::vector<int32_t> &ids) const {
  std::vector<Message> later = messages;
  later.push_back(text_message("assistant", "."));
  later.back().ids = {-1}; // like no id
  std::vector<int32_t> next;
  size_t count;
  return encode(later, next, count).ok() ? common(ids, next) : 0;
}

// The answer as a message, with its tokens if they are what history shows of
// it: the text without blanks around it.
Message Chat::answered(const std::string &answer) const {
  Message m = text_message("assistant", strip_thoughts(answer));
  const Tokenizer &t = program.tokenizer;
  // Stop ids that were passed over, and ends of thoughts that did not begin,
  // are not shown, but the model goes on from them.
  auto hidden = [&](int32_t id) {
    return generator.is_stop(id) || id == t.named(GM_TOK_CHANNEL_CLOSE);
  };
  auto blank = [&](int32_t id) {
    return hidden(id) || trim(t.decode(&id, 1, true)).empty();
  };
  auto begin = written.begin(), end = written.end();
  while (begin != end && blank(*begin))
    ++begin;
  while (begin != end && blank(end[-1]))
    --end;
  m.ids.assign(begin, end);
  std::vector<int32_t> shown;
  std::copy_if(begin, end, std::back_inserter(shown),
               [&](int32_t id) { return !hidden(id); });
  if (t.decode(shown.data(), shown.size(), true) != m.content.text)
    m.ids.clear();
  return m;
}

// Streams the answer. Goes on after the longest beginning of `ids` that the
// caches or the checkpoint hold; at least the last token is computed, for its
// logits.
Status Chat::generate(const std::vector<int32_t> &ids, std::string &answer,
                      End &end) {
  if (Status s = generator.rewind(
          int64_t(std::min(common(held, ids), ids.size() - 1)));
      !s.ok())
    return s;
  const size_t same = size_t(generator.length());
  held = ids;
  written.clear();

  OutputSplitter splitter(program.tokenizer);
  std::string thought;
  size_t shown = 0;
  Notice thinking("(thinking)");
  Timings timings(ids.size() - same);
  auto show = [&] {
    thinking.show(splitter.in_thought());
    bool read = write_model_text(std::string_view(answer).substr(shown));
    shown = answer.size();
    return read;
  };
  Status s = generator.run(
      {ids.begin() + ptrdiff_t(same), ids.end()},
      [&](int32_t id) {
        timings.token();
        held.push_back(id);
        bool known = id < int32_t(program.tokenizer.vocab()),
             inside = splitter.in_thought();
        if (known && !generator.is_stop(id))
          splitter.push(id, answer, thought);
        if (known && !inside && !splitter.in_thought())
          written.push_back(id);
        thought.clear();
        return show();
      },
      end, int64_t(lasting(ids)));
  if (end == End::Stop && !written.empty() && written.back() == held.back())
    written.pop_back(); // the stop id
  splitter.flush(answer, thought);
  thinking.show(false);
  write_model_text(answer.substr(shown) + "\n");
  if (s.ok() && request.timings)
    timings.print(seed, loaded(*program.engine));
  held.resize(size_t(generator.length()));
  return s;
}

Status Chat::turn(const std::string &text) {
  messages.push_back(text_message("user", text));
  std::vector<int32_t> ids;
  size_t count;
  Status fits = encode(messages, ids, count);
  if (fits.ok())
    fits = check_room(count);
  if (!fits.ok()) {
    messages.pop_back();
    return fits;
  }
  std::string answer;
  End end = End::Stop;
  Status s = generate(ids, answer, end);
  if (!s.ok()) {
    messages.pop_back();
    return s;
  }
  if (answer.empty() && end == End::Interrupted)
    messages.pop_back(); // as if it had not been asked
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

// What a line asks for; text starts a turn.
Status handle(Chat &chat, const std::string &line, bool &quit) {
  std::string text(trim(line));
  if (text.empty())
    return {};
  if (Status s = check_text(line, "the turn"); !s.ok())
    return s;
  // One word after the slash, so that paths are text.
  if (text[0] != '/' || text.find_first_of(" \t/\n", 1) != text.npos) {
    return chat.turn(text);
  }
  if (text == "/quit" || text == "/exit" || text == "/bye")
    return quit = true, Status{};
  if (text == "/reset")
    return chat.reset(), Status{};
  if (text == "/drop")
    return chat.drop();
  if (text == "/help")
    return fputs(commands_help, stdout), finish_output();
  return failure(USAGE, "unknown command '%.100s'; /help lists them",
                 text.c_str());
}

// On a terminal a mistake is shown and the conversation goes on; a script ends
// with it.
Status converse(Chat &chat, const InputLimit &limit,
                const std::vector<std::string> &first) {
  bool terminal = isatty(0), quit = false;
  int pressed = 0; // signals since the last line
  size_t begun = 0;
  LineInput input(limit);
  std::string line;
  while (!quit) {
    Input kind = Input::Turn;
    if (begun < first.size())
      line = first[begun++];
    else if (Status s = input.next(line, kind); !s.ok()) {
      if (!terminal || s.code != RUN_ERROR)
        return s;
      report(s);
      continue;
    }
    if (kind == Input::End) {
      if (!input.breaks_lines())
        fputc('\n', stdout);
      break;
    }
    if (kind == Input::Signal) {
      if (!input.breaks_lines())
        fputc('\n', stdout);
      if (terminated() || ++pressed > 1)
        break;
      clear_interrupt();
      fputs(ending_help, stderr);
      continue;
    }
    pressed = 0;
    release_signals();
    Status s = handle(chat, line, quit);
    hold_signals();
    if (terminated())
      break;
    if (interrupted()) {
      pressed = 1;
      clear_interrupt();
      fputs(ending_help, stderr);
    }
    if (!s.ok() && (!terminal || s.code == RESOURCES))
      return s;
    report(s);
  }
  return finish_output();
}

Status chat(Request &request) {
  if (request.system && request.system->empty())
    request.system.reset(); // as an empty variable of a script means it
  if (request.system)
    if (Status s = check_text(*request.system, "--system"); !s.ok())
      return s;
  Program program;
  if (Status s = program.open(); !s.ok())
    return s;
  if (Status s = program.need_tokenizer(); !s.ok())
    return s;
  if (program.manifest().chat() == gemmac::manifest::Chat_None)
    return failure(UNSUPPORTED,
                   "this program was made without a chat template (a base "
                   "model, or gemmac --chat-template=none); use 'run', which "
                   "continues text");
  GenerateOptions options;
  options.sampling = request.sampling.resolve(program);
  options.most = request.most;
  options.ignore_stop = request.ignore_stop;
  request.machine.all_logits = !top_is_enough(options.sampling);
  watch_signals();
  hold_signals(); // the workers are started with them held
  if (Status s = program.start(request.machine); !s.ok())
    return s;
  options.random = request.sampling.random();
  if (isatty(0))
    fprintf(stderr, "a context of %lld tokens; /help lists the commands\n",
            (long long)program.plan.context);
  Chat conversation(program, request, options);
  return converse(conversation, limit_for(program, program.plan.context),
                  request.first);
}

} // namespace

int chat_main(const Invocation &call) { return run_command(call, chat); }

} // namespace gm
