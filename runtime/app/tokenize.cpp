// `PROGRAM tokenize` and `PROGRAM detokenize`: text <-> ids; a conversation
// with its media as the ids that stand for it. They map the tokenizer and
// nothing of the model.
#include "runtime/app/commands.h"
#include "runtime/app/conversation.h"
#include "runtime/app/json.h"
#include "runtime/manifest_generated.h"

#include <algorithm>
#include <cstdint>
#include <unistd.h>

namespace gm {
namespace {

// Every command takes these; here they change nothing.
std::vector<Flag> unused_machine_flags(Options &options) {
  std::vector<Flag> flags = machine_flags(options);
  for (Flag &flag : flags)
    flag.help = "as in the other commands; not used here";
  return flags;
}

//===- tokenize -----------------------------------------------------------===//

struct TokenizeRequest {
  Options machine;
  TextInput input;
  MediaStyle style;
  std::optional<std::string> messages;
  bool no_special = false, pieces = false, json = false, allow_special = false;

  Syntax syntax();
  Status check();
};

Syntax TokenizeRequest::syntax() {
  Syntax s = {"tokenize",
              "Prints the token ids of a text on one line. Nothing is added, "
              "no <bos> either. Of a conversation: of\nthe prompt that 'run' "
              "makes of it; media are decoded for the number of their tokens, "
              "and not encoded.",
              input.flags("the text"), input.argument("the text")};
  std::vector<Flag> own = {
      messages_flag(messages),
      allow_special_flag(allow_special),
      {"--no-special", "", "",
       "special tokens written in the text are plain text", &no_special},
      {"--pieces", "", "",
       "a line per token: id, tab, piece as a JSON string (U+2581 = space, "
       "<0xHH> = a byte)",
       &pieces},
      {"--json", "", "",
       "print JSON: lists of the ids and of their pieces; of a conversation "
       "also of media, with the place of their first token",
       &json},
  };
  for (std::vector<Flag> more :
       {own, style.style_flags(), unused_machine_flags(machine)})
    s.flags.insert(s.flags.end(), more.begin(), more.end());
  return s;
}

Status TokenizeRequest::check() {
  if (Status s = input.settle("tokenize", ", --messages FILE", bool(messages));
      !s.ok())
    return s;
  if (pieces && json)
    return failure(USAGE, "--pieces and --json exclude each other");
  if (messages && no_special)
    return failure(USAGE, "--messages holds text, in which control tokens are "
                          "text without --no-special, too");
  return style.check();
}

// Ids, and which of them stand for media.
struct Tokens {
  std::vector<int32_t> ids;
  struct Part {
    const char *kind;
    size_t first, tokens;
  };
  std::vector<Part> media; // of a film each frame

  Status read(Program &program, const TokenizeRequest &request);
};

Status Tokens::read(Program &program, const TokenizeRequest &request) {
  Media media(program, request.style);
  Items items;
  if (Status s = expand_conversation(program, *request.messages, false,
                                     request.allow_special, INT32_MAX, media,
                                     items, ids);
      !s.ok())
    return s;
  for (size_t i = 0, n; i < items.size(); i += n) {
    for (n = 0; i + n < items.size() && items.list[i + n].id < 0;)
      ++n;
    for (const char *kind : Medium::kNames)
      if (const auto *m = medium_of(program.file, kind);
          n && m && m->soft() == ids[i])
        this->media.push_back({kind, i, n});
    n = std::max<size_t>(n, 1);
  }
  return {};
}

std::string json_of(const Tokenizer &tokenizer, const Tokens &tokens,
                    bool conversation) {
  Json j;
  j.open("ids", '[');
  for (int32_t id : tokens.ids)
    j.raw(std::to_string(id));
  j.close(']');
  j.open("pieces", '[');
  for (int32_t id : tokens.ids)
    j.raw(json_string(std::string(tokenizer.piece(id))));
  j.close(']');
  if (conversation) {
    j.open("media", '[');
    for (const Tokens::Part &part : tokens.media) {
      j.begin('{');
      j.add("kind", part.kind);
      j.add("first", uint64_t(part.first));
      j.add("tokens", uint64_t(part.tokens));
      j.close('}');
    }
    j.close(']');
  }
  return j.out + "}\n";
}

Status tokenize(TokenizeRequest &request) {
  if (Status s = request.check(); !s.ok())
    return s;
  Program program;
  if (Status s = program.open(false); !s.ok())
    return s;
  if (Status s = program.need_tokenizer(); !s.ok())
    return s;
  Tokens tokens;
  if (request.messages) {
    if (Status s = tokens.read(program, request); !s.ok())
      return s;
  } else {
    std::string text;
    if (Status s = request.input.read(text, {}); !s.ok())
      return s;
    program.tokenizer.encode(text, !request.no_special, tokens.ids);
  }
  if (request.json) {
    write_output(json_of(program.tokenizer, tokens, bool(request.messages)));
    return finish_output();
  }
  std::string out;
  for (int32_t id : tokens.ids) {
    if (request.pieces)
      out += std::to_string(id) + "\t" +
             json_string(std::string(program.tokenizer.piece(id))) + "\n";
    else
      out += (out.empty() ? "" : " ") + std::to_string(id);
  }
  write_output(request.pieces ? out : out + "\n");
  return finish_output();
}

//===- detokenize ---------------------------------------------------------===//

struct DetokenizeRequest {
  Options machine;
  std::optional<std::string> file;
  std::vector<std::string> ids;

  Syntax syntax();
};

Syntax DetokenizeRequest::syntax() {
  Syntax s = {"detokenize",
              "Prints the text of token ids, special tokens included. Nothing "
              "is added to it, except a\nline break on a terminal.",
              {},
              {"IDS...", "token ids, also as a JSON list", &ids, SIZE_MAX}};
  s.flags = {
      {"--file", "-f", "FILE",
       "a file of token ids, - = standard input (default: what comes in a "
       "pipe)",
       &file},
  };
  std::vector<Flag> more = unused_machine_flags(machine);
  s.flags.insert(s.flags.end(), more.begin(), more.end());
  return s;
}

Status detokenize(DetokenizeRequest &request) {
  if (request.ids.size() == 1 && request.ids[0] == "-")
    request.ids.clear(), request.file = "-";
  if (request.ids.empty() && !request.file && !isatty(0))
    request.file = "-";
  if (request.ids.empty() == !request.file)
    return failure(USAGE, "detokenize expects IDS or -f FILE, got %s",
                   request.file ? "both" : "none");
  Program program;
  if (Status s = program.open(false); !s.ok())
    return s;
  if (Status s = program.need_tokenizer(); !s.ok())
    return s;
  std::string words;
  for (const std::string &id : request.ids)
    words += (words.empty() ? "" : " ") + id;
  if (request.file)
    if (Status s = read_input(*request.file, words); !s.ok())
      return s;
  std::string source =
      request.file ? name_of_input(*request.file) : "the command line";
  std::vector<int32_t> ids;
  if (Status s = parse_ids(words, program.tokenizer.vocab(), source, ids,
                           request.file ? BAD_INPUT : USAGE);
      !s.ok())
    return s;
  write_model_text(program.tokenizer.decode(ids.data(), ids.size(), true));
  if (isatty(1))
    write_output("\n");
  return finish_output();
}

} // namespace

int tokenize_main(const Invocation &call) {
  return run_command(call, tokenize);
}
int detokenize_main(const Invocation &call) {
  return run_command(call, detokenize);
}

} // namespace gm
