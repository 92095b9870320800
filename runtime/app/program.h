// What the commands share: the opened program with its tokenizer, the flags of
// every command that runs the model, reading of prompts and token files.
#pragma once

#include "runtime/app/cli.h"
#include "runtime/app/text_input.h"
#include "runtime/app/tokenizer.h"
#include "runtime/gemma.h"

#include <string>
#include <string_view>
#include <vector>

namespace gm {

// Whether this program's kernels run on a card, which -t says nothing of.
bool has_device();
// -t or --device, -c, -b, and the hidden flags of tests.
std::vector<Flag> machine_flags(Options &options);

// --checkpoints; `otherwise` is what a command has without it.
Flag checkpoints_flag(Options &options, int64_t otherwise);

class Program {
public:
  Program() = default;
  Program(const Program &) = delete;
  ~Program();

  // Opens this program's own file, and its tokenizer if it has one. Without
  // `weights` it need not have any, and an external weight file is not needed.
  Status open(bool weights = true);
  // Of a library that this code is in: `sections` of its memory, and `path` of
  // its weights (open_memory); where there are none, `path` of itself.
  Status open_library(const Span &sections, const char *path);
  // Plans, checks that the plan fits, allocates, starts the workers.
  Status start(const Options &options);

  // UNSUPPORTED, with the reason, in a program made without tokenizer.json.
  Status need_tokenizer() const;
  bool has_tokenizer() const { return file.tokenizer.data; }

  const gemmac::manifest::Program &manifest() const { return *file.manifest; }
  int64_t vocab() const;
  int64_t max_context() const;

  File file;
  Tokenizer tokenizer; // if has_tokenizer()
  Plan plan;           // after start
  int64_t device = 0;  // its number, after start
  Engine *engine = nullptr;

private:
  Status open_tokenizer();
  bool is_library = false; // in a process whose signals are not ours
};

// Ids below `vocab`, separated by white space or as a JSON list. The error,
// with code `code`, names index and value.
Status parse_ids(const std::string &text, int64_t vocab,
                 const std::string &source, std::vector<int32_t> &ids,
                 Code code = BAD_INPUT);
// Ids (parse_ids) of a text that comes piece by piece, cut anywhere.
class IdParser {
public:
  IdParser(const std::string &path, int64_t vocab) : path(path), vocab(vocab) {}
  // Appends the ids that are complete.
  Status push(std::string_view text, std::vector<int32_t> &ids);
  Status finish(std::vector<int32_t> &ids);
  uint64_t found() const { return count; }

private:
  Status take(size_t end, std::vector<int32_t> &ids);

  const std::string path;
  const int64_t vocab;
  std::string rest; // the beginning of a number
  uint64_t count = 0;
};
// Appends the ids of a file (parse_ids) as long as `ids` has at most `most`;
// `count`: how many it holds.
Status read_ids(const std::string &path, int64_t vocab, int64_t most,
                std::vector<int32_t> &ids, size_t &count);
// Of a text that `context` tokens may hold.
InputLimit limit_for(const Program &program, int64_t context);
// Ids of a text as it is, special tokens recognised, <bos> in front once; at
// most `most` of them. Gives how many there are.
size_t encode_raw(const Program &program, const std::string &text,
                  std::vector<int32_t> &ids, int64_t most);
// Ids of a rendered conversation, the same. `allow_special`: control tokens
// that stand in the messages' text count as such.
size_t encode_prompt(const Program &program, const Prompt &prompt,
                     bool allow_special, std::vector<int32_t> &ids,
                     int64_t most);
// --allow-special of run and chat.
Flag allow_special_flag(bool &allow);
// RUN_ERROR if `ids` do not fit into `context`.
Status check_length(size_t ids, int64_t context);

} // namespace gm
