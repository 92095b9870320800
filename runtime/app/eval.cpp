// `PROGRAM eval`: the negative log-likelihood of a text or of ids, each
// predicted from those before it; optionally all logits and final hidden
// states, or the divergence from a reference's logits.
#include "runtime/app/commands.h"
#include "runtime/app/divergence.h"
#include "runtime/app/json.h"
#include "runtime/app/program.h"
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
  std::optional<std::string> token_file, split, logits, hidden, kl;
  int64_t window = 0; // 0: one sequence
  bool json = false;

  Syntax syntax();
};

Syntax Request::syntax() {
  Syntax s = {"eval",
              "Scores a text, each token predicted from those before it: "
              "prints the number of "
              "predicted\ntokens, the sum and mean of their negative "
              "log-likelihoods, and the "
              "perplexity. <bos> is added to a text.",
              input.flags("the text"), input.argument("the text")};
  std::vector<Flag> own = {
      {"--tokens", "", "FILE",
       "a file of token ids, - = standard input; nothing is added",
       &token_file},
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
  };
  for (std::vector<Flag> more : {own, machine_flags(machine)})
    s.flags.insert(s.flags.end(), more.begin(), more.end());
  return s;
}

// Tokens [begin, end) that are one sequence.
struct Window {
  size_t begin, end;
};

class Scorer {
public:
  Scorer(Program &program, const std::vector<int32_t> &ids,
         const std::vector<Window> &windows)
      : program(program), ids(ids), windows(windows) {}

  Status run();

  size_t predicted = 0;
  double nll = 0;
  TensorFile logits, hidden;
  ReferenceFile reference;
  Divergence divergence;

private:
  Status take(const Results &results);
  Status compare(const float *row, int32_t target);

  Program &program;
  const std::vector<int32_t> &ids;
  const std::vector<Window> &windows;
  size_t begin = 0, end = 0; // first token of this step, end of its window
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

Status Scorer::take(const Results &g) {
  Status problem;
  for (int32_t r = 0; r < g.rows && problem.ok(); ++r) {
    const float *row = g.logits + r * g.logits_stride;
    size_t token = begin + size_t(g.first + r);
    int32_t target = token + 1 < end ? ids[token + 1] : -1;
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

Status Scorer::run() {
  std::vector<Row> rows(size_t(program.plan.batch));
  for (const Window &window : windows)
    for (begin = window.begin, end = window.end; begin < end;) {
      size_t n = std::min(rows.size(), end - begin);
      for (size_t r = 0; r < n; ++r)
        rows[r] = {ids[begin + r], 0, int32_t(begin + r - window.begin), true};
      Job job;
      job.rows = rows.data();
      job.count = int32_t(n);
      job.ask.output = Output::Hidden;
      if (Status s = step(*program.engine, job); !s.ok())
        return s;
      Ask ask;
      ask.output = Output::Logits;
      for (size_t first = 0; first < n;) {
        size_t rows = std::min(n - first, size_t(program.plan.outputs));
        if (Status s =
                head(*program.engine, ask, int32_t(first), int32_t(rows));
            !s.ok())
          return s;
        if (Status s = take(results(*program.engine)); !s.ok())
          return s;
        first += rows;
      }
      if (interrupted())
        return failure(RUN_ERROR, "interrupted after %zu of %zu tokens",
                       begin + n, ids.size());
      begin += n;
    }
  if (reference.is_open())
    nll = divergence.nll();
  return {};
}

// Adds a sequence to `ids` in windows of at most `most` tokens (0: one window).
// What the sequence begins with if that is <bos> then stands in front of every
// window.
void add_sequence(const Program &program, const std::vector<int32_t> &sequence,
                  int64_t most, std::vector<int32_t> &ids,
                  std::vector<Window> &windows) {
  const size_t length =
      most ? std::min(size_t(most), sequence.size()) : sequence.size();
  const bool bos = length < sequence.size() && program.has_tokenizer() &&
                   sequence[0] == program.tokenizer.named(GM_TOK_BOS);
  for (size_t at = bos; at < sequence.size();) {
    size_t begin = ids.size(), n = std::min(length - bos, sequence.size() - at);
    if (bos)
      ids.push_back(sequence[0]);
    ids.insert(ids.end(), sequence.begin() + ptrdiff_t(at),
               sequence.begin() + ptrdiff_t(at + n));
    windows.push_back({begin, ids.size()});
    at += n;
  }
}

// The texts between lines that hold only `separator`; the newline at the end of
// a file belongs to no text.
std::vector<std::string> split(std::string bytes,
                               const std::string &separator) {
  if (bytes.ends_with('\n'))
    bytes.pop_back();
  const std::string line = '\n' + separator + '\n';
  std::vector<std::string> texts;
  size_t from = 0;
  for (size_t at; (at = bytes.find(line, from)) != std::string::npos;
       from = at + line.size())
    texts.push_back(bytes.substr(from, at - from));
  texts.push_back(bytes.substr(from));
  return texts;
}

Status read_sequences(const Program &program, const Request &request,
                      std::vector<int32_t> &ids, std::vector<Window> &windows) {
  // One sequence is as long as the context at most; many may be any number.
  const bool one = !request.window && !request.split;
  const int64_t context =
      request.machine.context ? request.machine.context : program.max_context();
  std::string bytes;
  std::vector<int32_t> sequence;
  if (request.token_file) {
    size_t count;
    if (Status s = read_ids(*request.token_file, program.vocab(),
                            one ? context : INT64_MAX, sequence, count);
        !s.ok())
      return s;
    if (Status s = one ? check_length(count, context) : Status(); !s.ok())
      return s;
    add_sequence(program, sequence, request.window, ids, windows);
    return {};
  }
  if (Status s = program.need_tokenizer(); !s.ok())
    return s;
  if (Status s = request.input.read(bytes, one ? limit_for(program, context)
                                               : InputLimit());
      !s.ok())
    return s;
  for (const std::string &text :
       request.split ? split(bytes, *request.split) : std::vector{bytes}) {
    sequence.clear();
    encode_raw(program, text, sequence);
    add_sequence(program, sequence, request.window, ids, windows);
  }
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

Status eval(Request &request) {
  if (Status s = request.input.settle("eval", ", --tokens FILE",
                                      bool(request.token_file));
      !s.ok())
    return s;
  if (request.split && request.token_file)
    return failure(USAGE, "--split needs a text: TEXT, -p TEXT or -f FILE");
  Program program;
  if (Status s = program.open(); !s.ok())
    return s;
  std::vector<int32_t> ids;
  if (request.kl == "-" &&
      (request.input.is_standard_input() || request.token_file == "-"))
    return failure(USAGE, "the standard input cannot be both the input and "
                          "the reference of --kl");
  std::vector<Window> windows;
  if (Status s = read_sequences(program, request, ids, windows); !s.ok())
    return s;
  size_t longest = 0;
  for (const Window &window : windows)
    longest = std::max(longest, window.end - window.begin);
  int64_t most = program.max_context();
  if (!request.machine.context)
    request.machine.context =
        std::min(most, std::max<int64_t>(int64_t(longest),
                                         std::min<int64_t>(most, 8192)));
  if (Status s = check_length(longest, request.machine.context); !s.ok())
    return s;
  if (Status s = program.start(request.machine); !s.ok())
    return s;

  watch_signals();
  Scorer scorer(program, ids, windows);
  int64_t rows = int64_t(ids.size());
  if (request.kl)
    if (Status s = scorer.reference.open(*request.kl, ids, program.vocab());
        !s.ok())
      return s;
  if (request.logits)
    if (Status s = scorer.logits.create(*request.logits, "logits", rows,
                                        program.vocab(), &ids);
        !s.ok())
      return s;
  if (request.hidden)
    if (Status s = scorer.hidden.create(*request.hidden, "hidden", rows,
                                        program.manifest().model()->hidden());
        !s.ok())
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
