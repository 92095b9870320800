// `PROGRAM run` and `PROGRAM "text"`: a prompt in, generated text or ids out.
#include "runtime/app/answer_lines.h"
#include "runtime/app/commands.h"
#include "runtime/app/conversation.h"
#include "runtime/app/grammar_flags.h"
#include "runtime/app/profile.h"
#include "runtime/app/sampling_flags.h"
#include "runtime/app/thought_budget.h"
#include "runtime/app/timings.h"
#include "runtime/manifest_generated.h"

#include <cstdio>

namespace gm {
namespace {

struct Request {
  Options machine;
  SamplingFlags sampling;
  GrammarFlags grammar;
  ThinkFlags think;
  TextInput input;
  MediaFlags media;
  std::optional<std::string> messages;
  Conversation conversation; // of messages
  std::optional<std::string> token_file, system, profile, test_items;
  int64_t most = -1;
  bool ignore_eos = false, raw = false, print_tokens = false,
       allow_special = false, timings = false, no_kv_skip = false;

  Syntax syntax();
  void explain(Syntax &s) { SamplingFlags::explain(s); }
  Status check();
};

Syntax Request::syntax() {
  Syntax s = {"run",
              "Generates what follows a prompt. Text in a pipe is the prompt, "
              "or, after TEXT or -p TEXT\nand an empty line, its end.",
              input.flags("the prompt"), input.argument("the prompt")};
  std::vector<Flag> own = {
      {"--tokens", "", "FILE",
       "a file of token ids, - = standard input; nothing is added",
       &token_file},
      {"--predict", "-n", "N",
       "most tokens to generate (default: until it stops or the context is "
       "full)",
       &most, -1, 1 << 30},
      messages_flag(messages),
      {"--system", "", "TEXT", "a system turn before the prompt", &system},
      {"--raw", "", "",
       "no chat format around the prompt, only <bos>; control tokens in it "
       "count",
       &raw},
      allow_special_flag(allow_special),
      {"--ignore-eos", "", "", "go on after a stop token", &ignore_eos},
      {"--print-tokens", "", "", "print ids instead of text", &print_tokens},
      {"--profile", "", "FILE",
       "write a trace of all kernel calls, those of towers too, for "
       "ui.perfetto.dev; print a summary",
       &profile},
      {"--timings", "", "",
       "print at the end how many tokens were read and generated, how fast, "
       "and the seed; before it how long pictures and sounds took",
       &timings},
      // For tests: what `bench --no-kv-skip` measures computes the same.
      {"--no-kv-skip", "", "", "", &no_kv_skip, 0, 0, true},
      // For tests: the prompt, as its number of items, Item for each, and the
      // f32 soft rows.
      {"--test-items", "", "FILE", "", &test_items, 0, 0, true},
  };
  for (std::vector<Flag> more :
       {own, think.flags(), grammar.flags(), media.flags(), sampling.flags(),
        machine_flags(machine)})
    s.flags.insert(s.flags.end(), more.begin(), more.end());
  return s;
}

Status Request::check() {
  if (Status s = input.settle("run", ", --tokens FILE, --messages FILE",
                              bool(token_file) + bool(messages));
      !s.ok())
    return s;
  if (messages && (media.any() || system || raw))
    return failure(USAGE, "--messages holds the whole conversation, so it "
                          "excludes --image, --audio, --system and --raw");
  if (system && system->empty())
    system.reset(); // no turn, as an empty variable of a script means it
  if ((system || media.any()) && (raw || token_file))
    return failure(USAGE,
                   "%s needs the chat format, so it excludes --raw and "
                   "--tokens",
                   system ? "--system" : media.first_flag());
  if (think.any() && (raw || token_file))
    return failure(USAGE, "--think needs the chat format, so it excludes --raw "
                          "and --tokens");
  conversation.enable_thinking = think.any();
  if (Status s = grammar.check(ignore_eos); !s.ok())
    return s;
  return media.check();
}

Status encode_chat(const Program &program, const Request &request,
                   const Conversation &conversation, int64_t context,
                   std::vector<int32_t> &ids) {
  size_t count;
  if (Status s =
          encode_conversation(program, conversation, true,
                              request.allow_special, context, ids, count);
      !s.ok())
    return s;
  return check_length(count, context);
}

// The chat format around a text, or the text with <bos>; an error if it does
// not fit into `context`.
Status encode_text(const Program &program, const Request &request,
                   const Media &media, const std::string &text, int64_t context,
                   std::vector<int32_t> &ids) {
  auto chat = program.manifest().chat();
  if (request.raw || chat == gemmac::manifest::Chat_None) {
    if (request.system || media.size() || request.think.any())
      return failure(UNSUPPORTED,
                     "%s: this program was made without a chat template",
                     request.system        ? "--system"
                     : request.think.any() ? "--think"
                                           : request.media.first_flag());
    return check_length(encode_raw(program, text, ids, context), context);
  }
  Conversation conversation;
  conversation.enable_thinking = request.think.any();
  if (request.system)
    conversation.messages.push_back(text_message("system", *request.system));
  conversation.messages.push_back(text_message("user", text));
  put_in_front(media, 0, conversation.messages.back());
  return encode_chat(program, request, conversation, context, ids);
}

Status read_prompt(const Program &program, const Request &request,
                   const Media &media, int64_t context,
                   std::vector<int32_t> &ids) {
  if (request.token_file) {
    size_t count;
    Status s =
        read_ids(*request.token_file, program.vocab(), context, ids, count);
    return s.ok() ? check_length(count, context) : s;
  }
  if (Status s = program.need_tokenizer(); !s.ok())
    return s;
  if (request.messages)
    return encode_chat(program, request, request.conversation, context, ids);
  std::string text;
  if (Status s = request.input.read(text, limit_for(program, context),
                                    !request.media.take_standard_input());
      !s.ok())
    return s;
  if (request.system)
    if (size_t bad = first_bad_utf8(*request.system);
        bad != request.system->size())
      return failure(BAD_INPUT, "--system is not UTF-8 at offset %zu", bad);
  return encode_text(program, request, media, text, context, ids);
}

// Prints what is generated as it comes.
class Printer {
public:
  Printer(const Program &program, const Generator &generator,
          const Request &request)
      : generator(generator),
        ids(request.print_tokens || !program.has_tokenizer()) {
    if (ids)
      return;
    bool chat = !request.raw && !request.token_file &&
                program.manifest().chat() != gemmac::manifest::Chat_None;
    if (chat)
      lines.emplace(program.tokenizer);
    else
      decoder.emplace(program.tokenizer, false);
    vocab = int32_t(program.tokenizer.vocab());
  }

  bool give(int32_t id) {
    std::string out;
    if (ids)
      out = (count ? " " : "") + std::to_string(id);
    else if (id < vocab && !generator.is_stop(id)) {
      if (lines)
        lines->push(id, out);
      else
        decoder->push(id, out);
    }
    ++count;
    thinking.show(lines && lines->in_thought());
    return write_model_text(out);
  }

  void finish() {
    std::string out;
    if (lines)
      lines->finish(out);
    thinking.show(false);
    if (decoder)
      decoder->flush(out);
    if (count)
      write_model_text(out + "\n");
  }

private:
  const Generator &generator;
  bool ids;
  std::optional<AnswerLines> lines;
  std::optional<StreamDecoder> decoder;
  Notice thinking{"(thinking)"};
  int32_t vocab = 0;
  int64_t count = 0;
};

Status write_items(const std::string &path, const Items &items,
                   int64_t columns) {
  const int64_t stride = (columns + 31) / 32 * 32;
  const auto count = int32_t(items.size());
  FILE *file = fopen(path.c_str(), "wb");
  bool good = file && fwrite(&count, sizeof count, 1, file) == 1 &&
              fwrite(items.list.data(), sizeof(Item), items.size(), file) ==
                  items.size();
  for (int64_t r = 0; good && r < items.soft_count; ++r)
    good = fwrite(items.soft + r * stride, sizeof(float), size_t(columns),
                  file) == size_t(columns);
  if (file && fclose(file))
    good = false;
  return good ? Status()
              : failure(RESOURCES, "cannot write '%.200s'", path.c_str());
}

Status run(Request &request) {
  if (Status s = request.check(); !s.ok())
    return s;
  Program program;
  if (Status s = program.open(); !s.ok())
    return s;
  GenerateOptions options;
  options.sampling = request.sampling.resolve(program);
  options.most = request.most;
  options.ignore_stop = request.ignore_eos;
  options.no_kv_skip = request.no_kv_skip;
  request.machine.all_logits = !top_is_enough(options.sampling);
  Media media(program, request.media);
  if (Status s = request.messages
                     ? open_conversation(program, *request.messages,
                                         request.conversation, media)
                     : media.add(request.media);
      !s.ok())
    return s;
  if (Status s = request.grammar.compile(
          program, request.conversation.enable_thinking, options.constraint);
      !s.ok())
    return s;
  if (request.think.most >= 0)
    options.constraint =
        bound_thought(program, request.think.most, false, options.constraint);
  if (Status s = media.reserve(request.machine); !s.ok())
    return s;
  Plan plan;
  if (Status s = make_plan(program.file, request.machine, plan); !s.ok())
    return s;
  std::vector<int32_t> prompt;
  if (Status s = read_prompt(program, request, media, plan.context, prompt);
      !s.ok())
    return s;
  if (Status s = program.start(request.machine); !s.ok())
    return s;
  options.random = request.sampling.random();
  const uint64_t seed = options.random.state;

  watch_signals();
  Profile profile;
  if (request.profile)
    if (Status s = profile.start(program, *request.profile); !s.ok())
      return s;
  Items items;
  if (Status s = media.encode(); !s.ok())
    return s;
  if (Status s = media.place(prompt, media.size(), items); !s.ok())
    return s;
  if (Status s = check_length(items.size(), plan.context); !s.ok())
    return s;
  if (request.test_items)
    if (Status s = write_items(*request.test_items, items,
                               program.manifest().model()->hidden());
        !s.ok())
      return s;
  Generator generator(program, options);
  Printer printer(program, generator, request);
  Timings timings(items.size());
  End end;
  Status s = generator.run(
      items,
      [&](int32_t id) {
        timings.token();
        return printer.give(id);
      },
      end);
  printer.finish();
  if (s.ok() && end == End::Context)
    fprintf(stderr, "note: the context of %lld tokens is full\n",
            (long long)program.plan.context);
  if (s.ok() && request.timings) {
    print_encodings(media.encodings());
    timings.print(seed, loaded(*program.engine));
  }
  if (s.ok() && request.profile)
    s = profile.finish(media.encodings());
  return s.ok() ? finish_output() : s;
}

} // namespace

int run_main(const Invocation &call) { return run_command(call, run); }

} // namespace gm
