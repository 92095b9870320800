// `PROGRAM tokenize` and `PROGRAM detokenize`: text <-> ids. They map the
// tokenizer and nothing of the model.
#include "runtime/app/commands.h"
#include "runtime/app/program.h"

#include <cstdint>
#include <cstdio>
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

void write(const std::string &out) {
  fwrite(out.data(), 1, out.size(), stdout);
}

//===- tokenize -----------------------------------------------------------===//

struct TokenizeRequest {
  Options machine;
  std::optional<std::string> text, file;
  std::vector<std::string> positional;
  bool no_special = false, pieces = false;

  Syntax syntax();
  Status check();
};

Syntax TokenizeRequest::syntax() {
  Syntax s = {"tokenize",
              "Prints the token ids of a text on one line. Nothing is added, "
              "no <bos> either.",
              {},
              {"TEXT", "the text", &positional, 1}};
  s.flags = {
      {"--prompt", "-p", "TEXT", "the text", &text},
      {"--file", "-f", "FILE", "a file with the text, - = standard input",
       &file},
      {"--no-special", "", "",
       "special tokens written in the text are plain text", &no_special},
      {"--pieces", "", "",
       "a line per token: id, tab, piece as a JSON string (U+2581 = space, "
       "<0xHH> = a byte)",
       &pieces},
  };
  std::vector<Flag> more = unused_machine_flags(machine);
  s.flags.insert(s.flags.end(), more.begin(), more.end());
  return s;
}

Status TokenizeRequest::check() {
  int sources = int(positional.size()) + bool(text) + bool(file);
  if (sources != 1)
    return failure(USAGE,
                   "tokenize expects one of TEXT, -p TEXT, -f FILE, got %s",
                   sources ? "several" : "none");
  if (!positional.empty())
    text = positional[0];
  return {};
}

Status tokenize(TokenizeRequest &request) {
  if (Status s = request.check(); !s.ok())
    return s;
  Program program;
  if (Status s = program.open(); !s.ok())
    return s;
  if (Status s = program.need_tokenizer(); !s.ok())
    return s;
  std::string text = request.text.value_or("");
  if (request.file)
    if (Status s = read_input(*request.file, text); !s.ok())
      return s;
  std::string source =
      request.file ? "'" + *request.file + "'" : std::string("the text");
  if (Status s = check_text(text, source); !s.ok())
    return s;
  std::vector<int32_t> ids;
  program.tokenizer.encode(text, !request.no_special, ids);
  std::string out;
  for (int32_t id : ids) {
    if (request.pieces)
      out += std::to_string(id) + "\t" +
             json_string(std::string(program.tokenizer.piece(id))) + "\n";
    else
      out += (out.empty() ? "" : " ") + std::to_string(id);
  }
  write(request.pieces ? out : out + "\n");
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
              {"IDS...", "token ids", &ids, SIZE_MAX}};
  s.flags = {
      {"--file", "-f", "FILE", "a file of token ids, - = standard input",
       &file},
  };
  std::vector<Flag> more = unused_machine_flags(machine);
  s.flags.insert(s.flags.end(), more.begin(), more.end());
  return s;
}

Status detokenize(DetokenizeRequest &request) {
  if (request.ids.empty() == !request.file)
    return failure(USAGE, "detokenize expects IDS or -f FILE, got %s",
                   request.file ? "both" : "none");
  Program program;
  if (Status s = program.open(); !s.ok())
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
      request.file ? "'" + *request.file + "'" : "the command line";
  std::vector<int32_t> ids;
  if (Status s = parse_ids(words, program.tokenizer.vocab(), source, ids);
      !s.ok())
    return s;
  write(program.tokenizer.decode(ids.data(), ids.size(), true));
  if (isatty(1))
    write("\n");
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
