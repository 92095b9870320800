// `PROGRAM bench`: tokens per second of prompts (pp) and of generation (tg),
// at depths, on random tokens; of pictures and sounds; with what a token reads
// and computes, as shares of what the machine gives (runtime/host/probe.h).
#include "runtime/app/bench_media.h"
#include "runtime/app/bench_report.h"
#include "runtime/app/commands.h"
#include "runtime/app/media_plan.h"
#include "runtime/app/profile.h"
#include "runtime/app/program.h"
#include "runtime/app/signals.h"
#include "runtime/app/work.h"
#include "runtime/host/clock.h"
#include "runtime/manifest_generated.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <optional>

namespace gm {

namespace mf = gemmac::manifest;

namespace {

struct Request {
  Options machine;
  std::string depths = "0", threads, sequences = "1";
  std::optional<std::string> prompts, generated, images, audios, profile;
  int64_t repetitions = 5, image_tokens = 0;
  bool markdown = false, json = false, probe = false, no_probe = false,
       no_kv_skip = false, all_logits = false, synthetic = false;

  Syntax syntax();
};

Syntax Request::syntax() {
  Syntax s = {
      "bench",
      "Measures tokens per second on random tokens: ppN processes a prompt of "
      "N "
      "tokens,\ntgN generates N tokens one by one, each a whole step with the "
      "best token of the\nvocabulary, as a greedy 'run'; '@ dN' after N "
      "tokens that are in the caches already, 'xN' N sequences that generate "
      "at\n"
      "once. -p, -n, -d, -t and -np take several numbers: 0,4096.\nGB/token: "
      "weights and cached keys and values "
      "that a token reads, each once a step (of a\nhead that is scanned what "
      "all tokens read, without the rows that are computed "
      "exactly);\nGOP/token: multiplications and "
      "additions with weights. Their shares are of what the\nmachine reads and "
      "of its int8 rate, measured before and after each test.\n--image and "
      "--audio measure how a picture or a sound of noise becomes soft "
      "tokens,\nfrom decoded pixels (scaling, patches, tower) or samples "
      "(log-mel, tower) on, in ms\neach; -p and -n have no tests then, unless "
      "they are given.",
      {},
      {}};
  s.flags = {
      {"--n-prompt", "-p", "N,...",
       "tokens of a prompt, 0 = no such test (default: 512)", &prompts},
      {"--n-gen", "-n", "N,...",
       "tokens to generate, 0 = no such test (default: 128)", &generated},
      {"--n-depth", "-d", "N,...",
       "tokens in the caches before a test (default: 0)", &depths},
      {"--parallel", "-np", "N,...",
       "sequences that generate at once, a row of each in a step (default: 1)",
       &sequences},
      {"--image", "", "WxH,...", "pictures of so many pixels: 768x768",
       &images},
      image_tokens_flag(image_tokens),
      {"--audio", "", "N,...", "sounds of so many seconds: 30", &audios},
      {"--threads", "-t", "N,...", "worker threads (default: physical cores)",
       &threads, 0, 0, has_device()},
      {"--repetitions", "-r", "N", "repetitions of a test (default: 5)",
       &repetitions, 1, 10000},
      {"--no-kv-skip", "", "",
       "prompts: compute all layers for all tokens, not only for the last",
       &no_kv_skip},
      {"--all-logits", "", "",
       "compute all logits of a token, not only what the best one needs",
       &all_logits},
      {"--synthetic", "", "",
       "with made-up weights, nothing read from the file: all that a program "
       "compiled with --weights=none can do; the speeds are those of its real "
       "ones but where work depends on them (a scanned head, the choice of "
       "experts)",
       &synthetic},
      {"--probe", "", "",
       has_device()
           ? "show what the card gives before and after each test: reads of "
             "its memory, int8 products, time of a launch in a recorded row"
           : "show what the machine gives before and after each test, on 1 and "
             "all threads",
       &probe},
      {"--no-probe", "", "",
       std::string("do not measure the ") +
           (has_device() ? "card" : "machine") + ": no shares",
       &no_probe},
      {"--profile", "", "FILE",
       "write a trace of all kernel calls of the one test's repetitions for "
       "ui.perfetto.dev; print a summary",
       &profile},
      {"--md", "", "", "print a markdown table", &markdown},
      {"--json", "", "", "print JSON: a list with an object per test", &json},
  };
  for (Flag &flag : machine_flags(machine))
    if (flag.name == "--ctx-size") {
      flag.help = "room for tokens (default: what the tests need)";
      s.flags.push_back(flag);
    } else if (flag.name != "--threads")
      s.flags.push_back(flag);
  return s;
}

// Numbers separated by commas.
Status parse_list(const char *flag, const std::string &text, int64_t low,
                  int64_t high, std::vector<int64_t> &list) {
  for (size_t at = 0; at <= text.size();) {
    size_t comma = std::min(text.find(',', at), text.size());
    std::string word = text.substr(at, comma - at);
    char *end;
    errno = 0;
    long long x = strtoll(word.c_str(), &end, 10);
    if (word.empty() || word[0] < '0' || word[0] > '9' || *end || errno ||
        x < low || x > high)
      return failure(USAGE,
                     "%s expects whole numbers from %lld to %lld, separated by "
                     "commas, got '%.100s'",
                     flag, (long long)low, (long long)high, text.c_str());
    list.push_back(x);
    at = comma + 1;
  }
  return {};
}

struct Tests {
  std::vector<int64_t> prompts, generated, depths, threads, sequences;
  std::vector<MediaTest> media;

  Status parse(const Request &request);
  size_t count() const {
    return ((prompts.size() + generated.size() * sequences.size()) *
                depths.size() +
            media.size()) *
           threads.size();
  }
  // Tokens that the longest test needs.
  int64_t longest() const {
    int64_t most = 0;
    for (const auto *list : {&prompts, &generated})
      for (int64_t n : *list)
        most = std::max(most, n);
    return most + *std::max_element(depths.begin(), depths.end());
  }
};

Status Tests::parse(const Request &r) {
  const int64_t most = 1 << 24;
  if (Status s = parse_media_tests(r.images, r.audios, media); !s.ok())
    return s;
  const bool tokens = media.empty();
  if (Status s = parse_list("-p", r.prompts.value_or(tokens ? "512" : "0"), 0,
                            most, prompts);
      !s.ok())
    return s;
  if (Status s = parse_list("-n", r.generated.value_or(tokens ? "128" : "0"), 0,
                            most, generated);
      !s.ok())
    return s;
  if (Status s = parse_list("-d", r.depths, 0, most, depths); !s.ok())
    return s;
  if (Status s = parse_list("-np", r.sequences, 1, 4096, sequences); !s.ok())
    return s;
  if (r.threads.empty())
    threads = {has_device() ? 0 : default_threads()};
  else if (Status s = parse_list("-t", r.threads, 1, 256, threads); !s.ok())
    return s;
  std::erase(prompts, 0);
  std::erase(generated, 0);
  if (!count())
    return failure(USAGE, "bench: -p 0 and -n 0 leave no test");
  return {};
}

// The format of most bytes, and that of the head where it is another.
std::string format_of(const mf::Program &p) {
  std::string head = p.weight_format() ? p.weight_format()->str() : "";
  std::map<std::string, uint64_t> bytes;
  if (p.weights())
    for (const mf::Weight *w : *p.weights()) {
      bool is_ple = p.ple() && p.ple()->weight() && w->name() &&
                    w->name()->str() == p.ple()->weight()->str();
      if (w->name() && w->format() && !is_ple &&
          w->name()->str().compare(0, 5, "embed") != 0)
        bytes[w->format()->str()] += w->bytes();
    }
  auto most = std::max_element(
      bytes.begin(), bytes.end(),
      [](const auto &a, const auto &b) { return a.second < b.second; });
  if (most == bytes.end() || most->first == head)
    return head;
  return most->first + ", head " + head;
}

// The token of each position: random, but no special one; the same for every
// test, so that caches filled by one serve the next.
std::vector<int32_t> random_tokens(const Program &program, int64_t count) {
  Random random{20260831};
  uint64_t vocab = uint64_t(program.has_tokenizer() ? program.tokenizer.vocab()
                                                    : program.vocab());
  std::vector<int32_t> ids;
  for (int tries = 0; int64_t(ids.size()) < count; ++tries) {
    int32_t id = int32_t(random.next() % vocab);
    bool special = program.has_tokenizer() &&
                   (program.tokenizer.flags(id) & GM_TOK_SPECIAL);
    if (special && tries < 1000) // a vocabulary of special tokens alone
      continue;
    ids.push_back(id);
    tries = 0;
  }
  return ids;
}

class Bench {
public:
  Bench(Program &program, const Request &request, const Tests &tests,
        BenchReport &report)
      : program(program), request(request), tests(tests), report(report),
        ids(random_tokens(program, tests.longest())) {}

  // All tests with one number of threads; stops at an interrupt.
  Status run(int64_t threads);
  size_t done = 0; // tests

private:
  Status feed(int32_t slot, int64_t begin, int64_t end, bool wanted);
  Status generate(int64_t sequences, int64_t at);
  Status compute(int64_t count, bool result, bool last_only);
  Status fill(int32_t slot, int64_t depth);
  Status once(bool prompt, int64_t n, int64_t depth, int64_t sequences,
              double *tok_s);
  // Repetitions of what gives tokens per second; `warm` comes first.
  using Once = std::function<Status(double *tok_s)>;
  Status measure(BenchResult result, const Once &warm, const Once &once);
  Status test(bool prompt, int64_t n, int64_t depth, int64_t sequences);
  Status test(const MediaTest &medium);
  void count_work(bool prompt, int64_t n, BenchResult &result) const;

  Program &program;
  const Request &request;
  const Tests &tests;
  BenchReport &report;
  std::vector<int32_t> ids;
  std::vector<Row> rows;
};

// `last_only` as in Job.
Status Bench::compute(int64_t count, bool result, bool last_only) {
  Job job;
  job.rows = rows.data();
  job.count = int32_t(count);
  job.ask.output = !result              ? Output::Hidden
                   : request.all_logits ? Output::Logits
                                        : Output::Top;
  job.ask.best = 1; // as a greedy 'run'
  job.last_only = last_only;
  return step(*program.engine, job);
}

// Position `at` of all sequences, each of other tokens.
Status Bench::generate(int64_t sequences, int64_t at) {
  for (int64_t s = 0; s < sequences; ++s)
    rows[size_t(s)] = {ids[size_t(at + s * 17) % ids.size()], int32_t(s),
                       int32_t(at), true};
  return compute(sequences, true, false);
}

// Positions [begin, end) in steps of a batch; the last one's output is wanted.
Status Bench::feed(int32_t slot, int64_t begin, int64_t end, bool wanted) {
  bool all = wanted && request.no_kv_skip;
  for (int64_t at = begin; at < end && !interrupted();) {
    int64_t n = std::min(end - at, program.plan.batch);
    bool last = at + n == end;
    for (int64_t r = 0; r < n; ++r)
      rows[size_t(r)] = {ids[size_t(at + r + slot * 17) % ids.size()], slot,
                         int32_t(at + r),
                         all || (wanted && last && r == n - 1)};
    if (Status s = compute(n, last, true); !s.ok())
      return s;
    at += n;
  }
  return {};
}

// Makes a slot hold `depth` tokens: from what it holds, if the caches of
// sliding layers allow it.
Status Bench::fill(int32_t slot, int64_t depth) {
  int64_t from = std::min(slot_length(*program.engine, slot), depth);
  if (!can_continue(*program.engine, slot, from))
    from = 0;
  return feed(slot, from, depth, false);
}

Status Bench::once(bool prompt, int64_t n, int64_t depth, int64_t sequences,
                   double *tok_s) {
  for (int64_t slot = 0; slot < sequences; ++slot)
    if (Status s = fill(int32_t(slot), depth); !s.ok())
      return s;
  int64_t begin = now_ns();
  if (prompt)
    if (Status s = feed(0, depth, depth + n, true); !s.ok())
      return s;
  for (int64_t at = 0; !prompt && at < n && !interrupted(); ++at)
    if (Status s = generate(sequences, depth + at); !s.ok())
      return s;
  *tok_s = double(n * sequences) / (double(now_ns() - begin) * 1e-9);
  return {};
}

void Bench::count_work(bool prompt, int64_t n, BenchResult &r) const {
  const char *head = request.all_logits ? "logits" : "top";
  if (!prompt) {
    // The middle token of the test.
    int64_t keys = r.depth + (n + 1) / 2;
    int64_t window = program.manifest().model()->window();
    Extent extent;
    extent.rows = int32_t(r.sequences);
    extent.keys[GM_LOCAL] = std::min(window, keys) * r.sequences;
    extent.keys[GM_GLOBAL] = keys * r.sequences;
    for (const char *segment : {"body", "tail", head}) {
      Work w = work_of(segment, extent);
      r.bytes_per_token += w.bytes / double(r.sequences);
      r.ops_per_token += w.ops / double(r.sequences);
    }
    return;
  }
  auto add = [&](const char *segment, int64_t rows) {
    Extent extent; // the keys of a prompt are few bytes per token
    extent.rows = int32_t(rows);
    Work w = work_of(segment, extent);
    r.bytes_per_token += w.bytes / double(n);
    r.ops_per_token += w.ops / double(n);
  };
  for (int64_t at = 0; at < n; at += program.plan.batch) {
    int64_t rows = std::min(program.plan.batch, n - at);
    bool last = at + rows == n;
    add("body", rows);
    if (request.no_kv_skip || last)
      add("tail", request.no_kv_skip ? rows : 1);
    if (last)
      add(head, 1);
  }
}

Status Bench::test(bool prompt, int64_t n, int64_t depth, int64_t sequences) {
  BenchResult r;
  r.test = (prompt ? "pp" : "tg") + std::to_string(n);
  if (sequences > 1)
    r.test += " x" + std::to_string(sequences);
  r.sequences = sequences;
  r.depth = depth;
  count_work(prompt, n, r);
  const int64_t warm = std::min<int64_t>(n, prompt ? program.plan.batch : 2);
  auto run = [&](int64_t tokens) {
    return [=, this](double *tok_s) {
      return once(prompt, tokens, depth, sequences, tok_s);
    };
  };
  return measure(r, run(warm), run(n));
}

Status Bench::test(const MediaTest &medium) {
  MediaBench bench(program, medium, request.image_tokens);
  BenchResult r;
  r.test = medium.name();
  auto once = [&](double *tok_s) {
    const int64_t begin = now_ns();
    Status s = bench.once();
    const int64_t ns = now_ns() - begin;
    *tok_s = double(bench.tokens()) / (double(ns) * 1e-9);
    return s;
  };
  // What a soft token needs is known after the first time.
  double unused;
  if (Status s = once(&unused); !s.ok())
    return interrupted() ? Status() : s;
  r.media_tokens = bench.tokens();
  for (const MediaBench::Ran &ran : bench.ran()) {
    Extent extent;
    extent.rows = int32_t(ran.rows);
    const Work w = work_of(ran.segment, extent);
    r.bytes_per_token += w.bytes / double(bench.tokens());
    r.ops_per_token += w.ops / double(bench.tokens());
  }
  return measure(r, nullptr, once);
}

Status Bench::measure(BenchResult r, const Once &warm, const Once &once) {
  r.threads = program.plan.threads;
  r.batch = program.plan.batch;
  r.kv_skip = !request.no_kv_skip;
  r.has_probe = !request.no_probe;
  r.detailed = request.probe;
  double tok_s;
  if (warm)
    if (Status s = warm(&tok_s); !s.ok())
      return s;
  auto probe_machine = [&](Probe &to, const char *when) {
    if (!r.has_probe || interrupted())
      return Status();
    if (!has_device())
      to = probe(int(r.threads), r.detailed);
    else if (Status s = probe_device(request.machine.device, to); !s.ok())
      return s;
    if (r.detailed && !request.json)
      fprintf(stderr, "probe %s %s: %s\n", when, title_of(r).c_str(),
              text_of(to, r.threads).c_str());
    return Status();
  };
  if (Status s = probe_machine(r.before, "before"); !s.ok())
    return s;
  Profile profile;
  if (request.profile)
    if (Status s = profile.start(program, *request.profile); !s.ok())
      return s;
  for (int64_t i = 0; i < request.repetitions && !interrupted(); ++i) {
    if (Status s = once(&tok_s); !s.ok())
      return interrupted() ? Status() : s;
    r.tok_s.push_back(tok_s);
  }
  if (request.profile)
    if (Status s = profile.finish(); !s.ok())
      return s;
  if (Status s = probe_machine(r.after, "after"); !s.ok())
    return s;
  if (interrupted())
    return {};
  report.add(r);
  ++done;
  return finish_output(); // the rest is for nobody if this fails
}

Status Bench::run(int64_t threads) {
  Options options = request.machine;
  options.threads = threads;
  options.slots =
      *std::max_element(tests.sequences.begin(), tests.sequences.end());
  options.slot_rows = options.batch;
  options.batch = std::max(options.batch, options.slots);
  if (Status s = reserve_tests(program.file, tests.media, request.image_tokens,
                               options);
      !s.ok())
    return s;
  stop(program.engine);
  program.engine = nullptr;
  if (Status s = program.start(options); !s.ok())
    return request.machine.context == tests.longest()
               ? failure(s.code, "%.400s; or smaller -d, -p, -n", s.text)
               : s;
  rows.resize(size_t(program.plan.batch));
  for (const MediaTest &medium : tests.media) {
    if (interrupted())
      return {};
    if (Status s = test(medium); !s.ok())
      return s;
  }
  for (int64_t depth : tests.depths)
    for (bool prompt : {true, false})
      for (int64_t n : prompt ? tests.prompts : tests.generated) {
        const std::vector<int64_t> one = {1};
        for (int64_t sequences : prompt ? one : tests.sequences) {
          if (interrupted())
            return {};
          if (Status s = test(prompt, n, depth, sequences); !s.ok())
            return s;
        }
      }
  return {};
}

Status resolve_context(const Program &program, const Tests &tests,
                       int64_t image_tokens, int64_t &context) {
  int64_t need = tests.longest(), most = program.max_context();
  // A plan has room for a picture as a block of the context.
  if (!tests.media.empty())
    need = std::max(need, std::max(image_budget(program.file, image_tokens),
                                   kMostSoundRows));
  if (need > most)
    return failure(USAGE,
                   "the longest of -p, -n after the longest of -d are %lld "
                   "tokens, but the model's context is at most %lld",
                   (long long)need, (long long)most);
  if (!context)
    context = need;
  if (context < need)
    return failure(USAGE,
                   "-c %lld is too small: the longest of -p, -n after the "
                   "longest of -d are %lld tokens",
                   (long long)context, (long long)need);
  return {};
}

Status bench(Request &request) {
  if (request.markdown && request.json)
    return failure(USAGE, "--md excludes --json");
  if (request.probe && request.no_probe)
    return failure(USAGE, "--probe excludes --no-probe");
  Tests tests;
  if (Status s = tests.parse(request); !s.ok())
    return s;
  if (request.profile && tests.count() > 1)
    return failure(USAGE,
                   "--profile traces one test, but there are %zu: give -p 0 or "
                   "-n 0, and one number each",
                   tests.count());
  if (request.synthetic && request.machine.load != Load::Auto)
    return failure(USAGE, "--synthetic excludes --load");
  if (request.synthetic)
    request.machine.load = Load::Synthetic;
  Program program;
  if (Status s = program.open(!request.synthetic); !s.ok())
    return s;
  if (Status s = resolve_context(program, tests, request.image_tokens,
                                 request.machine.context);
      !s.ok())
    return s;
  const mf::Program &p = program.manifest();
  Options unused;
  if (Status s = reserve_tests(program.file, tests.media, request.image_tokens,
                               unused);
      !s.ok())
    return s;
  BenchReport report(request.json       ? BenchReport::Json
                     : request.markdown ? BenchReport::Markdown
                                        : BenchReport::Table,
                     {p.model()->name() ? p.model()->name()->str() : "",
                      format_of(p) + (request.synthetic ? ", synthetic" : ""),
                      p.weights_bytes(), p.model()->parameters(),
                      request.synthetic},
                     !tests.media.empty());
  watch_signals();
  Bench bench(program, request, tests, report);
  report.begin();
  Status s;
  for (size_t i = 0; i < tests.threads.size() && s.ok() && !interrupted(); ++i)
    s = bench.run(tests.threads[i]);
  report.end();
  if (s.ok() && bench.done < tests.count())
    s = failure(RUN_ERROR, "interrupted after %zu of %zu tests", bench.done,
                tests.count());
  return s.ok() ? finish_output() : s;
}

} // namespace

int bench_main(const Invocation &call) { return run_command(call, bench); }

} // namespace gm
