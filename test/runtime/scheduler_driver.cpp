// Drives generated code through the scheduler. Linked by a test with the object
// of `gemmac --emit=obj`; usage: SCHEDULER_DRIVER PROGRAM, where PROGRAM is the
// file of the same model (weights and manifest): many clients on few slots get
// the ids that each gets alone from the engine, soft rows and blocks included
// where the model takes them. SCHEDULER_DRIVER PROGRAM SEQUENCES PROMPT OUT
// prints how fast so many generate, instead.
#include "runtime/abi.h"
#include "runtime/host/clock.h"
#include "runtime/manifest_generated.h"
#include "runtime/serve/scheduler.h"

#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <random>
#include <thread>

using namespace gm;

namespace {

void demand(const Status &s, const char *what) {
  if (s.ok())
    return;
  fprintf(stderr, "FAIL: %s: %s\n", what, s.text);
  exit(1);
}

void demand(bool good, const char *what) {
  if (good)
    return;
  fprintf(stderr, "FAIL: %s\n", what);
  exit(1);
}

using Ids = std::vector<int32_t>;

struct Request {
  std::vector<Item> prompt;
  int64_t most;
  Sampling sampling;
  uint64_t seed;
  LogitChanges changes;
  int32_t logprobs;
};

class Client : public Listener {
public:
  bool drawn(const Drawn &d) override { return ids.push_back(d.id), true; }
  void finished(Finish how, const Status &s, const Usage &u) override {
    std::lock_guard lock(mutex);
    demand(s, "sequence");
    why = how;
    usage = u;
    done = true;
    changed.notify_all();
  }
  void wait() {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return done; });
  }

  Ids ids;
  Finish why = Finish::Failed;
  Usage usage;

private:
  std::mutex mutex;
  std::condition_variable changed;
  bool done = false;
};

class Driver {
public:
  explicit Driver(const char *path) : path(path) {
    Program program;
    demand(open_file(path, program.file), "open");
    const gemmac::manifest::Model &m = *program.manifest().model();
    vocab = m.vocab();
    window = m.window();
    blocks = m.image_blocks();
    stride = (m.hidden() + 31) / 32 * 32;
    soft.resize(m.soft_rows() ? size_t(SOFT * stride) : 0);
    std::normal_distribution<float> normal;
    for (float &x : soft)
      x = normal(rng);
  }

  void test();
  void measure(int64_t sequences, int64_t prompt, int64_t out);

private:
  enum : int64_t { SOFT = 400, ROOM = 24 }; // soft rows: all; at a time

  void begin(Program &program, Options options) {
    demand(open_file(path, program.file), "open");
    if (program.has_tokenizer())
      demand(
          program.tokenizer
              .open(program.file.tokenizer.data, program.file.tokenizer.bytes)
              .empty(),
          "tokenizer");
    demand(make_plan(program.file, options, program.plan), "plan");
    demand(start(program.file, gm_model, options, program.plan, program.engine),
           "start");
  }
  Ids alone(Program &program, const Request &r);
  Status bring(std::vector<float> &room, const Item *items, int64_t &count,
               int32_t &first) const;
  Request some_request();
  void push_text(std::vector<Item> &prompt, int64_t count) {
    for (int64_t i = 0; i < count; ++i)
      prompt.push_back({int32_t(rng() % uint64_t(vocab))});
  }

  const char *const path;
  int64_t vocab, window, stride;
  bool blocks;
  std::vector<float> soft;
  std::vector<std::vector<Item>> beginnings;
  std::mt19937 rng{3};
};

// One sequence, without any reuse, in its own chunks.
Ids Driver::alone(Program &program, const Request &r) {
  Engine &e = *program.engine;
  const TokenRules rules(program.manifest());
  DrawScratch scratch;
  scratch.candidates = candidates(e);
  Draw draw(r.sampling, Random{r.seed}, r.changes);
  for (const Item &item : r.prompt)
    if (item.id >= 0)
      draw.read(item.id);
  Ids out;
  std::vector<Item> text = r.prompt;
  int64_t at = 0;
  for (;;) {
    const int64_t n = step_items(&text[size_t(at)], int64_t(text.size()) - at,
                                 program.plan.batch);
    std::vector<Row> rows;
    for (int64_t i = at; i < at + n; ++i)
      rows.push_back({text[size_t(i)].id, 0, int32_t(i),
                      i + 1 == int64_t(text.size()),
                      blocks ? text[size_t(i)].end_at(i) : 0});
    Job job;
    job.rows = rows.data();
    job.count = int32_t(n);
    job.soft = soft.data();
    job.soft_count = SOFT;
    at += n;
    const bool last = at == int64_t(text.size());
    job.ask.output = last ? Output::Logits : Output::Hidden;
    demand(step(e, job), "step");
    if (!last)
      continue;
    const int32_t id = draw.next(results(e), 0, rules, rules.mask(), scratch);
    demand(id >= 0, "a token");
    out.push_back(id);
    if (rules.is_stop(id) || int64_t(out.size()) == r.most ||
        at == program.plan.context)
      break;
    text.push_back({id});
  }
  demand(slot_truncate(e, 0, 0), "truncate");
  return out;
}

// Soft rows in a place for few of them.
Status Driver::bring(std::vector<float> &room, const Item *items,
                     int64_t &count, int32_t &first) const {
  int64_t n = 0, begin = -1;
  for (int64_t i = 0; i < count; ++i) {
    if (items[i].id < 0) {
      if (begin < 0)
        begin = ~items[i].id;
      if (~items[i].id < begin || ~items[i].id >= begin + ROOM)
        break;
    }
    if (items[i].left <= 1)
      n = i + 1;
  }
  demand(n > 0, "room for a block");
  count = n;
  first = int32_t(begin);
  for (int64_t i = 0; i < ROOM && begin + i < SOFT; ++i)
    std::copy_n(&soft[size_t((begin + i) * stride)], stride,
                &room[size_t(i * stride)]);
  return {};
}

Request Driver::some_request() {
  Request r;
  if (rng() % 3) {
    r.prompt = beginnings[rng() % beginnings.size()];
    size_t n = 1 + rng() % r.prompt.size();
    while (n < r.prompt.size() && r.prompt[n - 1].left > 1)
      ++n;
    r.prompt.resize(n);
  }
  push_text(r.prompt, 1 + int64_t(rng() % 40));
  r.most = 1 + int64_t(rng() % 24);
  r.seed = rng();
  switch (rng() % 3) {
  case 0:
    r.sampling = {1, 64, 0.95, 0};
    break;
  case 1:
    r.sampling = {0.7, 0, 0.9, 0.05};
    break;
  }
  if (rng() % 4 == 0)
    r.changes = {0.5, 0.25, 1.25, {{1, -2.0f}}};
  r.logprobs = rng() % 5 ? -1 : 2;
  return r;
}

void Driver::test() {
  for (int i = 0; i < 3; ++i) {
    std::vector<Item> &b = beginnings.emplace_back();
    push_text(b, window + 20 * i);
    for (int k = 0; !soft.empty() && k < 3; ++k) {
      const int64_t first = int64_t(rng() % (SOFT - ROOM)),
                    count = 2 + int64_t(rng() % (ROOM - 2));
      const bool block = rng() % 2;
      for (int64_t j = 0; j < count; ++j)
        b.push_back({int32_t(-1 - first - j), block ? int32_t(count - j) : 0});
      push_text(b, int64_t(rng() % 12));
    }
  }
  std::vector<Request> requests;
  while (requests.size() < 48)
    requests.push_back(some_request());
  Options single;
  single.context = 4 * window + 200;
  single.all_logits = true;
  single.block = blocks ? ROOM : 0;
  std::vector<Ids> expected;
  {
    Program program;
    begin(program, single);
    for (const Request &r : requests)
      expected.push_back(alone(program, r));
  }
  Options options = single;
  options.slots = 4;
  options.batch = 40;
  options.checkpoints = 4;
  options.threads = 2;
  prepare_for_scheduler(options);
  Program program;
  begin(program, options);
  std::vector<std::shared_ptr<Client>> clients(requests.size());
  // Of each sequence; they outlive the scheduler.
  std::vector<std::vector<float>> rooms(requests.size());
  Scheduler scheduler(program, 16);
  std::vector<std::thread> threads;
  for (size_t t = 0; t < 16; ++t)
    threads.emplace_back([&, t] {
      for (size_t i = t; i < requests.size(); i += 16) {
        const Request &r = requests[i];
        clients[i] = std::make_shared<Client>();
        Sequence s;
        s.prompt.list = r.prompt;
        s.prompt.soft = soft.data();
        s.prompt.soft_count = soft.empty() ? 0 : SOFT;
        if (i % 2) {
          rooms[i].resize(size_t(ROOM * stride));
          s.prompt.soft = rooms[i].data();
          s.prompt.soft_count = ROOM;
          s.prompt.bring = [this, room = &rooms[i]](const Item *items,
                                                    int64_t &count,
                                                    int32_t &first) {
            return bring(*room, items, count, first);
          };
        }
        s.most = r.most;
        s.sampling = r.sampling;
        s.seed = r.seed;
        s.changes = r.changes;
        s.logprobs = r.logprobs;
        s.listener = clients[i];
        int64_t number;
        demand(scheduler.submit(std::move(s), number), "submit");
        clients[i]->wait();
      }
    });
  for (std::thread &t : threads)
    t.join();
  for (size_t i = 0; i < requests.size(); ++i)
    if (clients[i]->ids != expected[i]) {
      fprintf(stderr, "FAIL: request %zu has other ids than alone\n", i);
      exit(1);
    }
  const SchedulerStats stats = scheduler.stats();
  printf("%zu sequences alike, %lld of %lld prompt tokens reused\n",
         requests.size(), (long long)stats.cached_tokens,
         (long long)stats.prompt_tokens);
  demand(stats.cached_tokens > stats.prompt_tokens / 8, "reuse");
}

void Driver::measure(int64_t sequences, int64_t prompt, int64_t out) {
  Options options;
  options.context = prompt + out;
  options.slots = sequences;
  prepare_for_scheduler(options);
  Program program;
  begin(program, options);
  Scheduler scheduler(program, 0);
  for (int round = 0; round < 3; ++round) {
    std::vector<std::shared_ptr<Client>> clients;
    const int64_t began = now_ns();
    for (int64_t i = 0; i < sequences; ++i) {
      Sequence s;
      push_text(s.prompt.list, prompt);
      s.most = out;
      s.ignore_stop = true;
      s.listener = clients.emplace_back(std::make_shared<Client>());
      int64_t number;
      demand(scheduler.submit(std::move(s), number), "submit");
    }
    double generate = 0;
    for (auto &c : clients) {
      c->wait();
      generate +=
          double(c->usage.generated - 1) * 1e9 / double(c->usage.generate_ns);
    }
    printf("%lld sequences, %lld + %lld tokens: %.2f tokens/s in all, "
           "%.2f while they generate, longest step %.0f ms\n",
           (long long)sequences, (long long)prompt, (long long)out,
           double(sequences * out) * 1e9 / double(now_ns() - began), generate,
           double(scheduler.stats().longest_step_ns) * 1e-6);
  }
}

} // namespace

int main(int argc, char **argv) {
  demand(argc == 2 || argc == 5, "usage");
  Driver driver(argv[1]);
  if (argc == 2)
    driver.test();
  else
    driver.measure(atoll(argv[2]), atoll(argv[3]), atoll(argv[4]));
}
