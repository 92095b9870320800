// See program.h.
#include "runtime/app/program.h"
#include "runtime/abi.h"
#include "runtime/app/signals.h"
#include "runtime/host/synthetic.h"
#include "runtime/manifest_generated.h"

#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <cstring>

namespace gm {

bool has_device() { return gm_model.kernels > 0; }

std::vector<Flag> machine_flags(Options &o) {
  const double any = HUGE_VAL;
  const bool device = has_device();
  std::vector<Flag> flags = {
      // Refused by the plan of programs for devices.
      {"--threads", "-t", "N", "worker threads (default: physical cores)",
       &o.threads, 1, 256, device},
      {"--ctx-size", "-c", "N",
       "most tokens of the sequence (default: min(model maximum, 8192))",
       &o.context, 1, any},
      {"--batch-size", "-b", "ROWS",
       "most tokens computed at once (default: 512)", &o.batch, 1, 1 << 20},
      {"--no-memory-check", "", "",
       "start also if the memory plan does not seem to fit", &o.unchecked},
      {"--load", "", "auto|map|copy",
       "map: weights stay in the page cache; copy: into huge pages, 0.2 "
       "s per GB or more; auto: copy if the page cache has them in small "
       "pages, "
       "which slow every token, and memory is left (default: auto)",
       &o.load, 0, 0, device},
      // The tests' own. --rope-offset: positions of the rope tables alone move
      // by N. --test-nan: the arena is NaN before each step. --test-order: the
      // workers run one after another between barriers, in random orders.
      // --test-pages: caches in pages at random places.
      {"--rope-offset", "", "N", "", &o.rope_offset, -1e9, 1e9, true},
      {"--test-nan", "", "", "", &o.poison, 0, 0, true},
      {"--test-order", "", "SEED", "", &o.shuffle, 0, 0, true},
      {"--test-pages", "", "SEED", "", &o.scatter, 0, 0, true},
  };
  if (device)
    flags.insert(flags.begin(), {"--device", "", "N",
                                 "number of the card (default: 0)", &o.device});
  return flags;
}

Flag checkpoints_flag(Options &o, int64_t otherwise) {
  o.checkpoints = otherwise;
  return {"--checkpoints",
          "",
          "N",
          "states of a conversation that are kept, so that no turn computes "
          "what an earlier one did (default: " +
              std::to_string(otherwise) + ")",
          &o.checkpoints,
          0,
          64};
}

Program::~Program() {
  stop(engine);
  close_file(file);
}

Status Program::open(bool weights) {
  if (Status s = open_file(nullptr, file, weights); !s.ok())
    return s;
  if (weights)
    if (Status s = need_weights(file); !s.ok())
      return s;
  return open_tokenizer();
}

Status Program::open_library(const Span &sections, const char *path) {
  is_library = true;
  if (Status s = sections.bytes ? open_memory(sections, path, file)
                                : open_file(path, file);
      !s.ok())
    return s;
  if (Status s = need_weights(file); !s.ok())
    return s;
  return open_tokenizer();
}

Status Program::open_tokenizer() {
  if (!has_tokenizer())
    return {};
  std::string problem =
      tokenizer.open(file.tokenizer.data, file.tokenizer.bytes);
  if (!problem.empty())
    return failure(BAD_INPUT,
                   "the tokenizer of '%s' is damaged: %s; make the program "
                   "again with gemmac",
                   file.path, problem.c_str());
  if (tokenizer.vocab() > vocab())
    return failure(BAD_INPUT,
                   "the tokenizer of '%s' has %u tokens, the model has %lld",
                   file.path, tokenizer.vocab(), (long long)vocab());
  return {};
}

Status Program::start(const Options &given) {
  Options options = given;
  device = options.device;
  if (!is_library)
    options.ends = interrupted;
  if (Status s = make_plan(file, options, plan); !s.ok())
    return s;
  if (Status s = check_plan(file, options, plan); !s.ok())
    return s;
  std::string weights = file.path;
  if (manifest().external())
    weights = weights.substr(0, weights.rfind('/') + 1) +
              manifest().external_name()->str();
  if (!is_library)
    name_bus_errors(weights.c_str());
  return gm::start(file, gm_model, options, plan, engine);
}

Status Program::need_tokenizer() const {
  if (has_tokenizer())
    return {};
  return failure(UNSUPPORTED,
                 "this program has no tokenizer, because its checkpoint had no "
                 "tokenizer.json when it was compiled; it "
                 "knows ids alone, see --tokens of 'run' and 'eval'");
}

int64_t Program::vocab() const { return manifest().model()->vocab(); }
int64_t Program::max_context() const {
  return manifest().model()->max_context();
}

//===- inputs -------------------------------------------------------------===//

static const char kIdSpace[] = " \t\n\v\f\r,[]";

static Status no_ids(const std::string &source) {
  return failure(USAGE, "%s holds no token ids", source.c_str());
}

// `before`: entries that stand in front of `text`.
static Status parse_some(size_t before, const std::string &text, int64_t vocab,
                         const std::string &source, std::vector<int32_t> &ids,
                         Code code) {
  for (size_t at = text.find_first_not_of(kIdSpace); at != std::string::npos;) {
    size_t end = std::min(text.find_first_of(kIdSpace, at), text.size());
    std::string word = text.substr(at, std::min<size_t>(end - at, 40));
    char *rest;
    errno = 0;
    long long id = strtoll(word.c_str(), &rest, 10);
    if (end - at > 40 || *rest || errno || word[0] == '+')
      return failure(code, "%s: entry %zu is not a token id: '%s'",
                     source.c_str(), before + ids.size(), word.c_str());
    if (id < 0 || id >= vocab)
      return failure(code, "%s: entry %zu is %lld, but token ids are 0 to %lld",
                     source.c_str(), before + ids.size(), id,
                     (long long)vocab - 1);
    ids.push_back(int32_t(id));
    at = text.find_first_not_of(kIdSpace, end);
  }
  return {};
}

Status parse_ids(const std::string &text, int64_t vocab,
                 const std::string &source, std::vector<int32_t> &ids,
                 Code code) {
  Status s = parse_some(0, text, vocab, source, ids, code);
  return s.ok() && ids.empty() ? no_ids(source) : s;
}

Status IdParser::take(size_t end, std::vector<int32_t> &ids) {
  const size_t had = ids.size();
  Status s = parse_some(size_t(count) - had, rest.substr(0, end), vocab,
                        name_of_input(path), ids, BAD_INPUT);
  count += ids.size() - had;
  rest.erase(0, end);
  return s;
}

Status IdParser::push(std::string_view text, std::vector<int32_t> &ids) {
  rest += text;
  size_t end = rest.find_last_of(kIdSpace) + 1;
  // What has no end within 64 bytes is no number.
  return take(rest.size() - end > 64 ? rest.size() : end, ids);
}

Status IdParser::finish(std::vector<int32_t> &ids) {
  Status s = take(rest.size(), ids);
  return s.ok() && !count ? no_ids(name_of_input(path)) : s;
}

Status read_ids(const std::string &path, int64_t vocab, int64_t most,
                std::vector<int32_t> &ids, size_t &count) {
  IdParser parser(path, vocab);
  std::vector<int32_t> more;
  auto keep = [&](Status s) {
    for (size_t i = 0; i < more.size() && int64_t(ids.size()) <= most; ++i)
      ids.push_back(more[i]);
    more.clear();
    return s;
  };
  Status s = read_pieces(path, [&](std::string_view piece) {
    return keep(parser.push(piece, more));
  });
  if (s.ok())
    s = keep(parser.finish(more));
  count = size_t(parser.found());
  return s;
}

InputLimit limit_for(const Program &program, int64_t context) {
  return {size_t(context + 1) * program.tokenizer.longest_piece(), context};
}

size_t encode_raw(const Program &program, const std::string &text,
                  std::vector<int32_t> &ids, int64_t most) {
  size_t count = program.tokenizer.encode(text, true, ids, size_t(most));
  int32_t bos = program.tokenizer.named(GM_TOK_BOS);
  if (bos < 0 || (!ids.empty() && ids[0] == bos))
    return count;
  ids.insert(ids.begin(), bos);
  return count + 1;
}

size_t encode_prompt(const Program &program, const Prompt &prompt,
                     bool allow_special, std::vector<int32_t> &ids,
                     int64_t most) {
  return program.tokenizer.encode(prompt, allow_special, ids, size_t(most));
}

Flag allow_special_flag(bool &allow) {
  return {"--allow-special", "", "",
          "control tokens like <turn|> written in a text count as such "
          "(default: they are text)",
          &allow};
}

Status check_length(size_t ids, int64_t context) {
  if (ids <= size_t(context))
    return {};
  return failure(
      RUN_ERROR,
      "the prompt has %zu tokens, but the context holds %lld; shorten it or "
      "give a larger -c",
      ids, (long long)context);
}

} // namespace gm
