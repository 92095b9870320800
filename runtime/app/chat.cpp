// `PROGRAM chat`: a conversation, line by line, and what lines ask for that are
// commands.
#include "runtime/app/chat_turns.h"
#include "runtime/app/commands.h"
#include "runtime/app/grammar_flags.h"
#include "runtime/app/line_input.h"
#include "runtime/app/sampling_flags.h"
#include "runtime/app/thought_budget.h"
#include "runtime/manifest_generated.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <unistd.h>

namespace gm {
namespace {

std::string command_names();

struct Request {
  Options machine;
  SamplingFlags sampling;
  GrammarFlags grammar;
  ThinkFlags think;
  MediaFlags media;
  ChatSettings settings;
  std::vector<std::string> first;
  int64_t most = -1;
  bool ignore_stop = false;

  Syntax syntax();
  void explain(Syntax &s) { SamplingFlags::explain(s); }
  Status check();
};

Syntax Request::syntax() {
  Syntax s = {"chat",
              "Holds a conversation: each line of the standard input is a "
              "turn, or the lines between\n\"\"\" and \"\"\". Ctrl-C stops an "
              "answer. Media that flags name stand in front of the first turn. "
              "Lines that are commands,\nwhich /help explains: " +
                  command_names() + ".",
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
       &settings.system},
      checkpoints_flag(machine, 1),
      allow_special_flag(settings.allow_special),
      {"--timings", "", "",
       "print after each answer how many tokens were read and generated, how "
       "fast, and the seed",
       &settings.timings},
      {"--no-media", "", "",
       "keep no room for media: /image, /audio and /video are not available "
       "('info --media' shows what the room takes)",
       &settings.no_media},
  };
  for (std::vector<Flag> more :
       {think.flags(), grammar.flags(), media.flags(/*piped=*/false),
        sampling.flags(), machine_flags(machine)})
    s.flags.insert(s.flags.end(), more.begin(), more.end());
  return s;
}

Status Request::check() {
  if (settings.system && settings.system->empty())
    settings.system.reset(); // as an empty variable of a script means it
  if (settings.system)
    if (Status s = check_text(*settings.system, "--system"); !s.ok())
      return s;
  if (settings.no_media && media.any())
    return failure(USAGE, "%s and --no-media exclude each other",
                   media.first_flag());
  if (media.take_standard_input())
    return failure(USAGE,
                   "%s expects a file: the standard input is the conversation",
                   media.first_flag());
  if (Status s = grammar.check(ignore_stop); !s.ok())
    return s;
  return media.check();
}

const char lines_help[] =
    "Lines between \"\"\" and \"\"\" are one turn; so is what is pasted.\n"
    "Ctrl-C stops an answer; pressed again, or twice at the prompt, it ends "
    "the chat.\n";

const char ending_help[] = "press Ctrl-C again or type /quit to end\n";

// The file that the rest of a line names: blanks belong to it. Terminals put
// quotes around what is dropped on them, or backslashes in front of blanks;
// these are part of the name only where a file is called so.
std::string file_of(std::string_view rest) {
  std::string name(trim(rest));
  const size_t at = name.starts_with('@'); // a list of pictures
  if (const char *home = getenv("HOME"); home && name.substr(at, 2) == "~/")
    name.replace(at, 1, home);
  if (access(name.c_str(), F_OK) != 0 && name.size() > 1) {
    const char quote = name.front();
    if ((quote == '\'' || quote == '"') && name.back() == quote) {
      name = name.substr(1, name.size() - 2);
    } else {
      std::string plain;
      for (size_t i = 0; i < name.size(); ++i)
        plain += name[i] == '\\' && i + 1 < name.size() ? name[++i] : name[i];
      if (access(plain.c_str(), F_OK) == 0)
        name = plain;
    }
  }
  return name;
}

Status attach(Chat &chat, Medium::Kind kind, const char *command,
              const std::string &rest) {
  return chat.attach(kind, command, file_of(rest));
}

struct Command {
  const char *name;
  const char *argument; // null: none; in brackets: it may be left out
  const char *about;
  Status (*run)(Chat &chat, const std::string &rest);
};

Status help(Chat &, const std::string &);

const Command commands[] = {
    {"/image", "FILE",
     "put a picture in front of the next message; may be given again",
     [](Chat &chat, const std::string &rest) {
       return attach(chat, Medium::Picture, "/image", rest);
     }},
    {"/audio", "FILE", "put a sound in front of it",
     [](Chat &chat, const std::string &rest) {
       return attach(chat, Medium::Sound, "/audio", rest);
     }},
    {"/video", "FILE", "put a film in front of it",
     [](Chat &chat, const std::string &rest) {
       return attach(chat, Medium::Film, "/video", rest);
     }},
    {"/system", "[TEXT]",
     "put TEXT, or nothing, as a system turn in front of the conversation",
     [](Chat &chat, const std::string &rest) {
       return chat.set_system(rest), Status{};
     }},
    {"/think", "on|off", "let the model think before it answers, or not",
     [](Chat &chat, const std::string &rest) {
       if (rest != "on" && rest != "off")
         return failure(USAGE, "/think expects on or off, got '%.40s'",
                        rest.c_str());
       return chat.set_thinking(rest == "on"), Status{};
     }},
    {"/tools", "[FILE]",
     "tools that the model may call, a list in JSON as OpenAI's API has it; "
     "without FILE none",
     [](Chat &chat, const std::string &rest) {
       return chat.set_tools(rest.empty() ? rest : file_of(rest));
     }},
    {"/result", "TEXT", "what a call of a tool has given",
     [](Chat &chat, const std::string &rest) { return chat.result(rest); }},
    {"/regen", nullptr, "another answer to the last message",
     [](Chat &chat, const std::string &) { return chat.again(); }},
    {"/reset", nullptr,
     "forget the conversation (a system turn stays) and media that wait",
     [](Chat &chat, const std::string &) { return chat.reset(), Status{}; }},
    {"/drop", nullptr,
     "forget the oldest turns, until half of the context is free",
     [](Chat &chat, const std::string &) { return chat.drop(); }},
    {"/save", "FILE",
     "write the conversation, as --messages reads it, and beside it in "
     "FILE.state what was computed of it",
     [](Chat &chat, const std::string &rest) {
       return chat.save(file_of(rest));
     }},
    {"/load", "FILE", "go on with such a conversation instead of this one",
     [](Chat &chat, const std::string &rest) {
       return chat.load(file_of(rest));
     }},
    {"/stats", nullptr, "how full the context is, how fast the last answer was",
     [](Chat &chat, const std::string &) { return chat.print_stats(); }},
    {"/quit", nullptr,
     "end; so do /exit, /bye and the end of the input (Ctrl-D)", nullptr},
    {"/help", nullptr, "print this", help},
};

std::string command_names() {
  std::string out;
  for (const Command &c : commands)
    out += (out.empty() ? "" : ", ") + std::string(c.name);
  return out;
}

Status help(Chat &, const std::string &) {
  for (const Command &c : commands) {
    const std::string head =
        c.name + (c.argument ? std::string(" ") + c.argument : "");
    printf("%-14s %s\n", head.c_str(), c.about);
  }
  fputs(lines_help, stdout);
  return finish_output();
}

// What a line asks for; text starts a turn.
Status handle(Chat &chat, const std::string &line, bool &quit) {
  const std::string text(trim(line));
  if (text.empty())
    return {};
  if (Status s = check_text(line, "the turn"); !s.ok())
    return s;
  const size_t end = std::min(text.find_first_of(" \t\n"), text.size());
  const std::string word = text.substr(0, end), rest(trim(text.substr(end)));
  if (text == "/quit" || text == "/exit" || text == "/bye")
    return quit = true, Status{};
  for (const Command &c : commands) {
    if (word != c.name || !c.run)
      continue;
    if (!c.argument && !rest.empty())
      break; // a sentence that begins so
    // Files have names of one line.
    if (text.find('\n') != text.npos && word != "/system" && word != "/result")
      break;
    if (c.argument && c.argument[0] != '[' && rest.empty())
      return failure(USAGE, "%s expects %s", c.name, c.argument);
    return c.run(chat, rest);
  }
  // One word after the slash, so that paths and sentences are text.
  if (text[0] == '/' && text.find_first_of(" \t/\n", 1) == text.npos)
    return failure(USAGE, "unknown command '%.100s'; /help lists them",
                   text.c_str());
  return chat.turn(text);
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

// Room for media, as long as it fits: who shows none can chat without.
Status make_room(Program &program, Request &request, Media &media) {
  if (request.settings.no_media)
    return {};
  Options with = request.machine;
  media.reserve_any(with);
  if (Status s = media.add(request.media); !s.ok())
    return s;
  if (Status s = media.measure(); !s.ok())
    return s;
  Plan plan;
  if (Status s = make_plan(program.file, with, plan); !s.ok())
    return s;
  if (media.size() || check_plan(program.file, with, plan).ok()) {
    request.machine = with;
    return {};
  }
  request.settings.no_media = true;
  if (with.soft_rows)
    fprintf(stderr,
            "note: there is no memory for pictures, sounds and films; a "
            "smaller -c or -b may leave some\n");
  return {};
}

Status chat(Request &request) {
  if (Status s = request.check(); !s.ok())
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
  const bool thinks = request.settings.think = request.think.any();
  if (Status s = request.grammar.compile(program, thinks, options.constraint);
      !s.ok())
    return s;
  options.constraint =
      bound_thought(program, request.think.most, false, options.constraint);
  request.machine.all_logits = !top_is_enough(options.sampling);
  Media media(program, request.media);
  if (Status s = make_room(program, request, media); !s.ok())
    return s;
  watch_signals();
  hold_signals(); // the workers are started with them held
  if (Status s = program.start(request.machine); !s.ok())
    return s;
  options.random = request.sampling.random();
  if (isatty(0))
    fprintf(stderr, "a context of %lld tokens; /help lists the commands\n",
            (long long)program.plan.context);
  Chat conversation(program, request.settings, media, options);
  return converse(conversation, limit_for(program, program.plan.context),
                  request.first);
}

} // namespace

int chat_main(const Invocation &call) { return run_command(call, chat); }

} // namespace gm
