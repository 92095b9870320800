// `PROGRAM eval`: the negative log-likelihood of a text, of ids or of a
// conversation with its media, each token predicted from those before it;
// optionally all logits and final hidden states, or the divergence from a
// reference's logits.
#include "runtime/app/commands.h"
#include "runtime/app/conversation.h"
#include "runtime/app/divergence.h"
#include "runtime/app/eval_input.h"
#include "runtime/app/json.h"
#include "runtime/app/reference_file.h"
#include "runtime/app/signals.h"
#include "runtime/app/tensor_file.h"
#include "runtime/manifest_generated.h"

#include <algorithm>
#include <cinttypes>
#include <cmath>
#include <cstdio>

namespace gm {
namespace {

struct Request {
  Options machine;
  TextInput input;
  MediaStyle style;
  std::optional<std::string> token_file, messages, split, logits, hidden, kl,
      media;
  int64_t window = 0; // 0: one sequence
  int64_t held = EvalInput::HELD;
  bool json = false, allow_special = false;

  Syntax syntax();
  Status check();
};

Syntax Request::syntax() {
  Syntax s = {"eval",
              "Scores a text, each token predicted from those before it: "
              "prints the number of "
              "predicted\ntokens, the sum and mean of their negative "
              "log-likelihoods, and the "
              "perplexity. <bos> is added to a text. Of a conversation, "
              "rows of media and the tokens around\nthem are not predicted.",
              input.flags("the text"), input.argument("the text")};
  std::vector<Flag> own = {
      {"--tokens", "", "FILE",
       "a file of token ids, - = standard input; nothing is added",
       &token_file},
      messages_flag(messages),
      allow_special_flag(allow_special),
      {"--split", "", "SEP",
       "the text is several texts, separated by lines that hold only SEP: "
       "score each on its own",
       &split},
      {"--window", "", "N",
       "score pieces of at most N tokens, each on its own (<bos> in front of "
       "each that the text begins with)",
       &window, 2, HUGE_VAL},
      {"--logits", "", "OUT",
       "write logits, F32 [tokens, vocabulary], and input_ids to a safetensors "
       "file",
       &logits},
      {"--hidden", "", "OUT",
       "write hidden states after the final norm, F32 [tokens, width]",
       &hidden},
      {"--kl", "", "REFERENCE",
       "compare with logits that 'eval --logits' wrote for the same tokens: KL "
       "divergence, share of\n                             equal top tokens, "
       "perplexity ratio; - = standard input",
       &kl},
      {"--json", "", "", "print JSON", &json},
      // For tests: so many tokens are kept as they are.
      {"--test-held", "", "N", "", &held, 0, EvalInput::HELD, true},
      // For tests: per token of the window a pair of i32 (row of the f32 rows
      // that follow, or -1; Item::left).
      {"--test-media", "", "FILE", "", &media, 0, 0, true},
  };
  for (std::vector<Flag> more :
       {own, style.style_flags(), machine_flags(machine)})
    s.flags.insert(s.flags.end(), more.begin(), more.end());
  return s;
}

Status Request::check() {
  if (Status s = input.settle("eval", ", --tokens FILE, --messages FILE",
                              bool(token_file) + bool(messages));
      !s.ok())
    return s;
  if (split && (token_file || messages))
    return failure(USAGE, "--split needs a text: TEXT, -p TEXT or -f FILE");
  if (messages && window)
    return failure(USAGE, "--messages is scored as one piece, so it excludes "
                          "--window");
  if (kl == "-" &&
      (input.is_standard_input() || token_file == "-" || messages == "-"))
    return failure(USAGE, "the standard input cannot be both the input and "
                          "the reference of --kl");
  return style.check();
}

// What --test-media says of the tokens of a window.
struct TestMedia {
  std::vector<Item> items; // id: the row, or -1
  std::vector<float> soft;

  Status read(const std::string &path, size_t tokens);
  int64_t longest_block() const {
    int32_t most = 0;
    for (const Item &item : items)
      most = std::max(most, item.left);
    return most;
  }
  void put_into(Items &window) const {
    for (size_t i = 0; i < std::min(items.size(), window.size()); ++i)
      window.list[i] = {items[i].id < 0 ? window.list[i].id : ~items[i].id,
                        items[i].left};
  }
};

Status TestMedia::read(const std::string &path, size_t tokens) {
  FILE *file = fopen(path.c_str(), "rb");
  if (!file)
    return failure(BAD_INPUT, "cannot read '%s'", path.c_str());
  items.resize(tokens);
  for (Item &item : items)
    if (fread(&item, sizeof item, 1, file) != 1)
      item = {-1, 0};
  for (float x; fread(&x, sizeof x, 1, file) == 1;)
    soft.push_back(x);
  fclose(file);
  return {};
}

class Scorer {
public:
  Scorer(Program &program, EvalInput &input) : program(program), input(input) {}

  Status run();

  size_t predicted = 0;
  double nll = 0;
  TensorFile logits, hidden;
  ReferenceFile reference;
  Divergence divergence;
  TestMedia media;
  Items talk; // a conversation, instead of the ids of the only window

private:
  Status score();
  Status take(const Results &results);
  Status compare(const float *row, int32_t target);
  int32_t target_of(size_t token) const;

  Program &program;
  EvalInput &input;
  Items window;
  size_t begin = 0;  // first token of this step, in the window
  uint64_t done = 0; // tokens of all windows
};

Status Scorer::compare(const float *row, int32_t target) {
  const float *expected;
  if (Status s = reference.next_row(expected); !s.ok())
    return s;
  switch (divergence.add(expected, row, program.vocab(), target)) {
  case RowCheck::Fine:
    return {};
  case RowCheck::ReferenceNotFinite:
    return reference.bad_row("holds values that are not finite");
  case RowCheck::NotFinite:
    break;
  }
  return failure(RUN_ERROR, "the logits of token %zu are not finite",
                 size_t(divergence.rows()));
}

// What is predicted from a token; negative: nothing. What stands for media is
// not, nor are the tokens that mark its begin and end: no model learns these.
int32_t Scorer::target_of(size_t token) const {
  const std::vector<Item> &list = window.list;
  const size_t at = token + 1;
  if (at >= list.size())
    return -1;
  const bool beside =
      list[at - 1].id < 0 || (at + 1 < list.size() && list[at + 1].id < 0);
  const int32_t id = list[at].id;
  if (beside)
    for (const char *kind : Medium::kNames)
      if (const auto *m = medium_of(program.file, kind);
          m && (id == m->begin() || id == m->end()))
        return -1;
  return id;
}

Status Scorer::take(const Results &g) {
  Status problem;
  for (int32_t r = 0; r < g.rows && problem.ok(); ++r) {
    const float *row = g.logits + r * g.logits_stride;
    size_t token = begin + size_t(g.first + r);
    const int32_t target = target_of(token);
    predicted += target >= 0;
    if (reference.is_open())
      problem = compare(row, target);
    else if (target >= 0)
      nll += loss(row, program.vocab(), target);
    if (logits.is_open() && problem.ok())
      problem = logits.write_row(row);
    if (hidden.is_open() && problem.ok())
      problem = hidden.write_row(g.hidden + r * g.hidden_stride);
  }
  return problem;
}

// Scores the window.
Status Scorer::score() {
  std::vector<Row> rows(size_t(program.plan.rows));
  const bool has_blocks = program.manifest().model()->image_blocks();
  for (begin = 0; begin < window.size();) {
    const int64_t left = int64_t(window.size() - begin),
                  most = program.plan.batch;
    const size_t n =
        size_t(has_blocks ? step_items(&window.list[begin], left, most)
                          : std::min(left, most));
    for (size_t r = 0; r < n; ++r) {
      const Item &item = window.list[begin + r];
      rows[r] = {item.id, 0, int32_t(begin + r), true,
                 has_blocks ? item.end_at(int64_t(begin + r)) : 0};
    }
    Job job;
    job.rows = rows.data();
    job.count = int32_t(n);
    job.soft = window.soft;
    job.soft_count = window.soft_count;
    job.ask.output = Output::Hidden;
    if (Status s = step(*program.engine, job); !s.ok())
      return s;
    Ask ask;
    ask.output = Output::Logits;
    for (size_t first = 0; first < n;) {
      size_t rows = std::min(n - first, size_t(program.plan.outputs));
      if (Status s = head(*program.engine, ask, int32_t(first), int32_t(rows));
          !s.ok())
        return s;
      if (Status s = take(results(*program.engine)); !s.ok())
        return s;
      first += rows;
    }
    begin += n;
    done += n;
    if (interrupted()) {
      const std::string of =
          input.is_surveyed() ? " of " + std::to_string(input.tokens()) : "";
      return failure(RUN_ERROR, "interrupted after %llu%s tokens",
                     (unsigned long long)done, of.c_str());
    }
  }
  return {};
}

Status Scorer::run() {
  if (Status s = input.rewind(); !s.ok())
    return s;
  do {
    std::vector<int32_t> ids;
    if (Status s = input.next(ids, program.plan.context); !s.ok())
      return s;
    window = talk.size() && ids.size() ? talk : Items(ids);
    if (!media.items.empty()) {
      media.put_into(window);
      window.soft = soft_rows(*program.engine);
      window.soft_count = int32_t(program.plan.soft_rows);
    }
    if (Status s = score(); !s.ok())
      return s;
  } while (window.size());
  if (reference.is_open())
    nll = divergence.nll();
  return {};
}

void print(const Request &request, const Scorer &scorer) {
  double mean = scorer.predicted ? scorer.nll / double(scorer.predicted) : 0;
  std::vector<std::pair<const char *, double>> values = {
      {"nll", scorer.nll}, {"mean", mean}, {"ppl", std::exp(mean)}};
  const Divergence &d = scorer.divergence;
  if (request.kl)
    values.insert(values.end(), {{"kl_mean", d.mean()},
                                 {"kl_median", d.quantile(0.5)},
                                 {"kl_p99", d.quantile(0.99)},
                                 {"kl_max", d.quantile(1)},
                                 {"same_top", d.same_top()},
                                 {"ppl_ratio", d.perplexity_ratio()}});
  Json j;
  j.add("tokens", uint64_t(scorer.predicted));
  if (request.kl)
    j.add("rows", d.rows());
  for (auto [name, value] : values)
    j.add(name, value);
  if (request.json) {
    printf("%s}\n", j.out.c_str());
    return;
  }
  printf("tokens %zu\n", scorer.predicted);
  if (request.kl)
    printf("rows %" PRIu64 "\n", d.rows());
  for (auto [name, value] : values)
    printf("%s %s\n", name, exact(value).c_str());
}

// The files of a row per token, of which those of ids begin with all ids.
Status open_files(const Request &request, const Program &program,
                  EvalInput &input, Scorer &scorer) {
  const int64_t rows = int64_t(input.tokens());
  if (request.kl)
    if (Status s =
            scorer.reference.open(*request.kl, uint64_t(rows), program.vocab());
        !s.ok())
      return s;
  if (request.logits)
    if (Status s = scorer.logits.create(*request.logits, "logits", rows,
                                        program.vocab(), true);
        !s.ok())
      return s;
  if (request.hidden)
    if (Status s = scorer.hidden.create(*request.hidden, "hidden", rows,
                                        program.manifest().model()->hidden());
        !s.ok())
      return s;
  std::vector<int32_t> ids;
  Status s = request.kl || request.logits ? input.rewind() : Status();
  while (s.ok() && (request.kl || request.logits)) {
    s = input.next(ids, program.plan.context);
    if (ids.empty())
      break;
    if (s.ok() && request.kl)
      s = scorer.reference.check_ids(ids);
    if (s.ok() && request.logits)
      s = scorer.logits.write_ids(ids);
  }
  return s;
}

Status eval(Request &request) {
  if (Status s = request.check(); !s.ok())
    return s;
  Program program;
  if (Status s = program.open(); !s.ok())
    return s;
  const int64_t most = program.max_context();
  Media media(program, request.style);
  Items talk;
  std::vector<int32_t> ids;
  if (request.messages)
    if (Status s = expand_conversation(
            program, *request.messages, true, request.allow_special,
            request.machine.context ? request.machine.context : most, media,
            talk, ids);
        !s.ok())
      return s;
  EvalInput input(program,
                  {&request.input, request.token_file,
                   request.messages ? &ids : nullptr, request.split,
                   request.window,
                   request.machine.context ? request.machine.context : most,
                   uint64_t(request.held)});
  if (Status s = input.survey(); !s.ok())
    return s;
  if (!input.is_surveyed() && (request.logits || request.hidden || request.kl))
    return failure(USAGE, "--logits, --hidden and --kl need to know how many "
                          "tokens there are: give so many in a file, not in a "
                          "pipe");
  const uint64_t longest =
      input.is_surveyed() ? input.longest() : uint64_t(request.window);
  if (!request.machine.context)
    request.machine.context =
        std::min(most, std::max(int64_t(std::min(longest, uint64_t(most))),
                                std::min<int64_t>(most, 8192)));
  if (Status s = check_length(longest, request.machine.context); !s.ok())
    return s;
  Scorer scorer(program, input);
  if (request.media) {
    if (Status s = scorer.media.read(*request.media, longest); !s.ok())
      return s;
    request.machine.block = scorer.media.longest_block();
  }
  if (Status s = media.reserve(request.machine); !s.ok())
    return s;
  const int64_t given = int64_t(scorer.media.soft.size()) /
                        ((program.manifest().model()->hidden() + 31) / 32 * 32);
  request.machine.soft_rows = std::max(request.machine.soft_rows, given);
  if (Status s = program.start(request.machine); !s.ok())
    return s;
  if (given)
    if (Status s =
            set_soft_rows(*program.engine, scorer.media.soft.data(), given);
        !s.ok())
      return s;

  watch_signals();
  if (Status s = media.encode(); !s.ok())
    return s;
  if (media.size())
    talk.soft = soft_rows(*program.engine);
  scorer.talk = std::move(talk);
  if (Status s = open_files(request, program, input, scorer); !s.ok())
    return s;
  if (Status s = scorer.run(); !s.ok())
    return s;
  for (TensorFile *file : {&scorer.logits, &scorer.hidden})
    if (file->is_open())
      if (Status s = file->finish(); !s.ok())
        return s;
  print(request, scorer);
  return finish_output();
}

} // namespace

int eval_main(const Invocation &call) { return run_command(call, eval); }

} // namespace gm
