// `PROGRAM eval`: the negative log-likelihood of a text or of ids, each
// predicted from those before it; optionally all logits and final hidden
// states.
#include "runtime/app/commands.h"
#include "runtime/app/program.h"
#include "runtime/app/tensor_file.h"
#include "runtime/manifest_generated.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace gm {
namespace {

struct Request {
  Options machine;
  std::optional<std::string> text_file, token_file, logits, hidden;
  bool json = false;

  Syntax syntax();
};

Syntax Request::syntax() {
  Syntax s = {"eval",
              "Scores a text, each token predicted from those before it: "
              "prints the number of "
              "predicted\ntokens, the sum and mean of their negative "
              "log-likelihoods, and the "
              "perplexity.",
              {},
              {}};
  s.flags = {
      {"--file", "-f", "FILE",
       "a file with the text, - = standard input; <bos> is added", &text_file},
      {"--tokens", "", "FILE",
       "a file of token ids, - = standard input; nothing is added",
       &token_file},
      {"--logits", "", "OUT",
       "write logits, F32 [tokens, vocabulary], to a safetensors file",
       &logits},
      {"--hidden", "", "OUT",
       "write hidden states after the final norm, F32 [tokens, width]",
       &hidden},
      {"--json", "", "", "print JSON", &json},
  };
  std::vector<Flag> more = machine_flags(machine);
  s.flags.insert(s.flags.end(), more.begin(), more.end());
  return s;
}

// -log softmax(logits)[target], in double.
double loss(const float *logits, int64_t vocab, int32_t target) {
  double best = *std::max_element(logits, logits + vocab), sum = 0;
  for (int64_t i = 0; i < vocab; ++i)
    sum += std::exp(double(logits[i]) - best);
  return std::log(sum) + best - double(logits[target]);
}

class Scorer {
public:
  Scorer(Program &program, const std::vector<int32_t> &ids)
      : program(program), ids(ids) {}

  Status run();

  double nll = 0;
  TensorFile logits, hidden;

private:
  static void sink(void *self, const Group &group) {
    static_cast<Scorer *>(self)->take(group);
  }
  void take(const Group &group);

  Program &program;
  const std::vector<int32_t> &ids;
  size_t begin = 0; // first token of this step
  Status problem;
};

void Scorer::take(const Group &g) {
  for (int32_t r = 0; r < g.rows && problem.ok(); ++r) {
    const float *row = g.logits + r * g.logits_stride;
    size_t token = begin + size_t(g.first + r);
    if (token + 1 < ids.size())
      nll += loss(row, program.vocab(), ids[token + 1]);
    if (logits.is_open())
      problem = logits.write_row(row);
    if (hidden.is_open() && problem.ok())
      problem = hidden.write_row(g.hidden + r * g.hidden_stride);
  }
}

Status Scorer::run() {
  std::vector<Row> rows(size_t(program.plan.batch));
  while (begin < ids.size()) {
    size_t n = std::min(rows.size(), ids.size() - begin);
    for (size_t r = 0; r < n; ++r)
      rows[r] = {ids[begin + r], 0, int32_t(begin + r), true};
    Job job;
    job.rows = rows.data();
    job.count = int32_t(n);
    job.output = Output::Logits;
    job.sink = sink;
    job.user = this;
    if (Status s = step(*program.engine, job); !s.ok())
      return s;
    if (!problem.ok())
      return problem;
    if (interrupted())
      return failure(RUN_ERROR, "interrupted after %zu of %zu tokens",
                     begin + n, ids.size());
    begin += n;
  }
  return {};
}

Status read_ids(const Program &program, const Request &request,
                std::vector<int32_t> &ids) {
  std::string bytes;
  const std::string &path =
      request.token_file ? *request.token_file : *request.text_file;
  if (!request.token_file)
    if (Status s = program.need_tokenizer(); !s.ok())
      return s;
  if (Status s = read_input(path, bytes); !s.ok())
    return s;
  if (request.token_file)
    return parse_ids(bytes, program.vocab(), "'" + path + "'", ids);
  if (Status s = check_text(bytes, "'" + path + "'"); !s.ok())
    return s;
  encode_raw(program, bytes, ids);
  return {};
}

void print(const Request &request, size_t tokens, double nll) {
  double mean = tokens ? nll / double(tokens) : 0;
  printf(request.json
             ? "{\"tokens\": %zu, \"nll\": %s, \"mean\": %s, \"ppl\": %s}\n"
             : "tokens %zu\nnll %s\nmean %s\nppl %s\n",
         tokens, exact(nll).c_str(), exact(mean).c_str(),
         exact(std::exp(mean)).c_str());
}

Status eval(Request &request) {
  if (bool(request.text_file) == bool(request.token_file))
    return failure(USAGE,
                   "eval expects one of -f FILE and --tokens FILE, got %s",
                   request.text_file ? "both" : "none");
  Program program;
  if (Status s = program.open(); !s.ok())
    return s;
  std::vector<int32_t> ids;
  if (Status s = read_ids(program, request, ids); !s.ok())
    return s;
  int64_t most = program.max_context();
  if (!request.machine.context)
    request.machine.context =
        std::min(most, std::max<int64_t>(int64_t(ids.size()),
                                         std::min<int64_t>(most, 8192)));
  if (Status s = check_length(ids.size(), request.machine.context); !s.ok())
    return s;
  if (Status s = program.start(request.machine); !s.ok())
    return s;

  watch_signals();
  Scorer scorer(program, ids);
  int64_t rows = int64_t(ids.size());
  if (request.logits)
    if (Status s = scorer.logits.create(*request.logits, "logits", rows,
                                        program.vocab());
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
  print(request, ids.size() - 1, scorer.nll);
  return finish_output();
}

} // namespace

int eval_main(const Invocation &call) { return run_command(call, eval); }

} // namespace gm
