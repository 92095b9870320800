// The scheduler over the fake model, whose tokens are wrong as soon as one key
// is: whatever neighbours, reuse, pages and cancellations, everybody gets the
// tokens that plain loops give for the prompt alone.
#include "runtime/abi.h"
#include "runtime/serve/batch.h"
#include "runtime/serve/scheduler.h"
#include "test/runtime/fake_model.h"

#include <atomic>
#include <cmath>
#include <condition_variable>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <future>
#include <gtest/gtest.h>
#include <mutex>
#include <random>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>

using namespace gm;

namespace {

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
enum { LONG = 1 };
#else
enum { LONG = 4 };
#endif
#else
enum { LONG = 4 };
#endif

enum : int32_t { STOP = 7, LIMIT = 97 };
using Ids = std::vector<int32_t>;

// Ids by turns: those that give 0, 1, 2 modulo 3.
class Turns : public Constraint {
public:
  void allow(uint32_t *mask) override {
    for (int id = 0; id < fake::VOCAB; ++id)
      if (id % 3 != state)
        mask[id / 32] &= ~(1u << id % 32);
  }
  bool accept(int32_t id) override {
    if (id % 3 != state)
      return false;
    state = (state + 1) % 3;
    return true;
  }
  std::unique_ptr<Constraint> clone() const override {
    return std::make_unique<Turns>(*this);
  }

private:
  int state = 0;
};

struct Request {
  Ids prompt;
  int64_t most = -1;
  Sampling sampling;
  uint64_t seed = 0;
  bool ignore_stop = false, constrained = false;
  int32_t logprobs = -1;
  LogitChanges changes;
  int32_t slot = -1;
};

class Client : public Listener {
public:
  bool drawn(const Drawn &d) override {
    {
      std::lock_guard lock(mutex);
      ids.push_back(d.id);
      tokens.push_back(d);
    }
    changed.notify_all();
    if (on_token)
      on_token();
    return int64_t(ids.size()) != leaves;
  }
  void finished(Finish how, const Status &s, const Usage &u) override {
    std::lock_guard lock(mutex);
    ++ends;
    why = how;
    status = s;
    usage = u;
    changed.notify_all();
  }
  void wait() {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return ends > 0; });
  }
  void wait_for(size_t count) {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return ends > 0 || ids.size() >= count; });
  }

  std::function<void()> on_token;
  int64_t leaves = -1; // after so many tokens
  std::mutex mutex;
  std::condition_variable changed;
  Ids ids;
  std::vector<Drawn> tokens;
  int ends = 0;
  Finish why = Finish::Failed;
  Status status;
  Usage usage;
};

//===- by plain loops -----------------------------------------------------===//

std::vector<float> logits_of(const Ids &text) {
  const std::vector<float> hidden = fake::expected_hidden(text);
  std::vector<float> logits;
  for (int id = 0; id < fake::VOCAB; ++id)
    logits.push_back(fake::expected_logit(hidden.data(), id));
  return logits;
}

// The ids that follow, at most `room` rows in all.
Ids alone(const Request &r, int64_t room) {
  Ids text = r.prompt, out;
  Random random{r.seed};
  Turns turns;
  while (int64_t(out.size()) != r.most) {
    std::vector<float> logits = logits_of(text);
    uint32_t mask[(fake::VOCAB + 31) / 32];
    std::fill(std::begin(mask), std::end(mask), ~0u);
    for (int id : {3, 50, 97, 98, 99})
      mask[id / 32] &= ~(1u << id % 32);
    if (r.constrained)
      turns.allow(mask);
    for (int id = 0; id < fake::VOCAB; ++id) {
      const auto count = std::count(out.begin(), out.end(), id);
      const bool seen =
          count || std::count(r.prompt.begin(), r.prompt.end(), id);
      double x = logits[size_t(id)];
      if (seen)
        x = x > 0 ? x / r.changes.repeat : x * r.changes.repeat;
      x -= r.changes.frequency * double(count) +
           (count ? r.changes.presence : 0);
      for (auto [which, bias] : r.changes.bias)
        x += which == id ? bias : 0;
      logits[size_t(id)] = float(x);
    }
    std::vector<Candidate> list;
    for (int id = 0; id < fake::VOCAB; ++id)
      if (mask[id / 32] >> id % 32 & 1)
        list.push_back({logits[size_t(id)], id});
    int32_t id;
    if (top_is_enough(r.sampling)) {
      std::sort(list.begin(), list.end(), [](auto &a, auto &b) {
        return a.value > b.value || (a.value == b.value && a.id < b.id);
      });
      int32_t ids[GM_TOP + 1];
      float values[GM_TOP];
      std::fill(std::begin(ids), std::end(ids), -1);
      for (size_t i = 0; i < std::min<size_t>(GM_TOP, list.size()); ++i)
        ids[i] = list[i].id, values[i] = list[i].value;
      id = sample_top(ids, values, r.sampling, random);
    } else {
      list.resize(fake::VOCAB);
      id = sample_logits(logits.data(), fake::VOCAB, mask, r.sampling, random,
                         list.data());
    }
    out.push_back(id);
    if (r.constrained)
      EXPECT_TRUE(turns.accept(id));
    if ((!r.ignore_stop && id == STOP) || int64_t(text.size()) == room)
      break;
    text.push_back(id);
  }
  return out;
}

class Serving : public testing::Test {
protected:
  void SetUp() override {
    path = "/tmp/gm_scheduler_test." + std::to_string(getpid());
    fake::write_file(path, fake::program_bytes([](auto &p) {
                       p.sampling =
                           std::make_unique<gemmac::manifest::SamplingT>();
                       p.sampling->stop = {STOP};
                       p.sampling->suppress = {3, 50};
                       p.sampling->limit = LIMIT;
                     }));
    options.context = 640;
    options.batch = 48;
    options.slots = 4;
    options.checkpoints = 4;
    options.threads = 1;
  }
  void TearDown() override {
    end();
    unlink(path.c_str());
    EXPECT_EQ(fake::complaints(), "");
  }

  void begin(int64_t queue = 64) {
    end();
    program = std::make_unique<Program>();
    ASSERT_TRUE(open_file(path.c_str(), program->file).ok());
    prepare_for_scheduler(options);
    ASSERT_TRUE(make_plan(program->file, options, program->plan).ok());
    Status s =
        start(program->file, gm_model, options, program->plan, program->engine);
    ASSERT_TRUE(s.ok()) << s.text;
    scheduler = std::make_unique<Scheduler>(*program, queue);
  }
  // All pages are found again.
  void end() {
    scheduler.reset();
    if (!program)
      return;
    Engine &e = *program->engine;
    for (int32_t s = 0; s < program->plan.slots; ++s)
      EXPECT_TRUE(slot_truncate(e, s, 0).ok());
    for (int32_t c = 0; c < program->plan.checkpoints; ++c)
      EXPECT_TRUE(checkpoint(e, Keep::Drop, c, 0).ok());
    EXPECT_EQ(pages_left(e), program->plan.pages[GM_GLOBAL]);
    program.reset();
  }

  Status submit(const Request &r, std::shared_ptr<Client> client,
                int64_t &number) {
    Sequence s;
    s.prompt = Items(r.prompt);
    s.most = r.most;
    s.sampling = r.sampling;
    s.seed = r.seed;
    s.ignore_stop = r.ignore_stop;
    s.logprobs = r.logprobs;
    s.changes = r.changes;
    s.slot = r.slot;
    if (r.constrained)
      s.constraint = std::make_unique<Turns>();
    s.listener = client;
    return scheduler->submit(std::move(s), number);
  }
  std::shared_ptr<Client> start_one(const Request &r) {
    auto client = std::make_shared<Client>();
    int64_t number;
    Status s = submit(r, client, number);
    EXPECT_TRUE(s.ok()) << s.text;
    return client;
  }
  std::shared_ptr<Client> run_one(const Request &r) {
    auto client = start_one(r);
    client->wait();
    return client;
  }
  // Holds the scheduler's thread, so that what is submitted until `open` comes
  // at once.
  struct Gate {
    std::mutex mutex;
    std::shared_ptr<Client> client = std::make_shared<Client>();
    void open() {
      mutex.unlock();
      client->wait();
    }
  };
  void close(Gate &gate) {
    gate.mutex.lock();
    gate.client->on_token = [&] { std::lock_guard wait(gate.mutex); };
    gate.client->leaves = 1;
    Request r;
    r.prompt = {0};
    int64_t number;
    ASSERT_TRUE(submit(r, gate.client, number).ok());
    gate.client->wait_for(1);
  }
  int64_t room() const {
    return std::min(program->plan.context,
                    program->plan.pages[GM_GLOBAL] * GM_PAGE_KEYS);
  }
  void check(const Request &r, const Client &c) const {
    ASSERT_EQ(c.ends, 1);
    ASSERT_NE(c.why, Finish::Failed) << c.status.text;
    const Ids all = alone(r, room());
    EXPECT_EQ(c.ids, all);
    EXPECT_EQ(c.usage.prompt, int64_t(r.prompt.size()));
    EXPECT_EQ(c.usage.generated, int64_t(all.size()));
    EXPECT_EQ(c.why, !r.ignore_stop && !all.empty() && all.back() == STOP
                         ? Finish::Stop
                     : int64_t(all.size()) == r.most ? Finish::Length
                                                     : Finish::Context);
  }

  Ids some_ids(size_t count) {
    Ids ids;
    while (ids.size() < count)
      ids.push_back(int32_t(rng() % fake::VOCAB));
    return ids;
  }
  // Prompts that often begin alike, drawn in every way.
  Request some_request(const std::vector<Ids> &beginnings) {
    Request r;
    if (rng() % 3) {
      r.prompt = beginnings[rng() % beginnings.size()];
      r.prompt.resize(1 + rng() % r.prompt.size());
    }
    for (int32_t id : some_ids(1 + rng() % 60))
      r.prompt.push_back(id);
    r.most = int64_t(rng() % 40);
    r.seed = rng();
    r.ignore_stop = rng() % 2;
    r.constrained = rng() % 4 == 0;
    switch (rng() % 4) {
    case 0:
      r.sampling = {1, 0, 0.9, 0};
      break;
    case 1:
      r.sampling = {0.8, int64_t(1 + rng() % 64), 0.95, 0.01};
      break;
    case 2:
      r.sampling = {0.8, 64, 0.95, 0};
      break;
    }
    if (rng() % 3 == 0)
      r.changes = {double(rng() % 3),
                   double(rng() % 3) / 2,
                   1 + double(rng() % 3) / 4,
                   {}};
    if (rng() % 6 == 0)
      r.changes.bias = {{int32_t(rng() % 90), -5.0f}, {20, -INFINITY}};
    if (rng() % 6 == 0)
      r.changes.bias.push_back({int32_t(rng() % 90), 4.5f});
    if (rng() % 8 == 0)
      r.changes.presence = -1;
    if (rng() % 5 == 0)
      r.logprobs = int32_t(rng() % 6);
    return r;
  }

  std::string path;
  Options options;
  std::unique_ptr<Program> program;
  std::unique_ptr<Scheduler> scheduler;
  std::mt19937 rng{11};
};

//===- tests --------------------------------------------------------------===//

TEST_F(Serving, ManyClientsGetWhatEachGetsAlone) {
  for (int round = 0; round < 2 * LONG; ++round) {
    options.batch = round % 2 ? 40 : 9;
    options.slot_rows = 0;
    options.checkpoints = round % 3 * 3;
    options.pages = round % 4 == 3 ? 12 : 0;
    options.scatter = uint64_t(round % 2);
    options.threads = 1 + round % 2;
    begin();
    std::vector<Ids> beginnings = {some_ids(200), some_ids(90)};
    beginnings.push_back(beginnings[0]);
    beginnings[2].resize(150);
    std::vector<std::vector<Request>> requests(16);
    for (auto &mine : requests)
      while (mine.size() < 6)
        mine.push_back(some_request(beginnings));
    std::vector<std::vector<std::shared_ptr<Client>>> clients(16);
    std::vector<std::thread> threads;
    for (size_t i = 0; i < 16; ++i)
      threads.emplace_back([&, i] {
        for (const Request &r : requests[i])
          clients[i].push_back(run_one(r));
      });
    for (std::thread &t : threads)
      t.join();
    int64_t cached = 0;
    for (size_t i = 0; i < 16; ++i)
      for (size_t k = 0; k < requests[i].size(); ++k) {
        check(requests[i][k], *clients[i][k]);
        cached += clients[i][k]->usage.cached;
      }
    EXPECT_GT(cached, 0);
    const SchedulerStats s = scheduler->stats();
    EXPECT_EQ(s.requests, 96);
    EXPECT_EQ(s.failed, 0);
    EXPECT_EQ(s.cached_tokens, cached);
    EXPECT_EQ(s.waiting + s.busy, 0);
  }
}

// The best 64 of many are enough, or it is said that they are not.
TEST(Draw, SameFromTopAsFromLogits) {
  gemmac::manifest::ProgramT p;
  p.model = std::make_unique<gemmac::manifest::ModelT>();
  p.model->vocab = 500;
  p.target = std::make_unique<gemmac::manifest::TargetT>();
  flatbuffers::FlatBufferBuilder builder;
  builder.Finish(gemmac::manifest::Program::Pack(builder, &p));
  const TokenRules rules(*flatbuffers::GetRoot<gemmac::manifest::Program>(
      builder.GetBufferPointer()));
  std::mt19937 rng(1);
  std::vector<Candidate> list(500);
  DrawScratch scratch;
  scratch.candidates = list.data();
  int needed = 0, different = 0;
  for (int round = 0; round < 3000; ++round) {
    std::vector<float> logits(500);
    for (float &x : logits)
      x = float(int(rng() % 400) - 200) / 8;
    uint32_t mask[16];
    for (uint32_t &word : mask)
      word = round % 3 ? ~0u : rng() & (round % 2 ? rng() & rng() : ~0u);
    std::vector<Candidate> best;
    ASSERT_TRUE(best_of(logits.data(), 500, mask, GM_TOP, best));
    int32_t ids[GM_TOP];
    float values[GM_TOP];
    std::fill(std::begin(ids), std::end(ids), -1);
    for (size_t i = 0; i < best.size(); ++i)
      ids[i] = best[i].id, values[i] = best[i].value;
    Results top = {}, all = {};
    top.top_ids = ids;
    top.top_values = values;
    all.logits = logits.data();
    all.logits_stride = 500;
    LogitChanges changes = {double(rng() % 2), double(rng() % 2), 1, {}};
    if (rng() % 2)
      changes.repeat = 1 + double(rng() % 4) * double(rng() % 100);
    for (size_t i = 0; i < rng() % 80; ++i)
      changes.bias.push_back({int32_t(rng() % 500), -float(rng() % 30)});
    Sampling sampling;
    if (rng() % 2)
      sampling = {0.9, int64_t(1 + rng() % 32), 0.95, 0};
    Draw one(sampling, Random{uint64_t(round)}, changes),
        other(sampling, Random{uint64_t(round)}, changes);
    ASSERT_EQ(one.output(), Output::Top);
    const size_t seen = rng() % (best.size() + 1);
    for (Draw *d : {&one, &other}) // most of the best
      for (size_t i = 0; i < seen; ++i)
        d->read(best[i].id);
    const int32_t from_all = other.next(all, 0, rules, mask, scratch);
    int32_t id = one.next(top, 0, rules, mask, scratch);
    different += from_all != ids[0];
    if (id == Draw::NEEDS_LOGITS) {
      ++needed;
      id = one.next(all, 0, rules, mask, scratch);
    }
    ASSERT_EQ(id, from_all) << round;
    // And what counts as generated is the same.
    ASSERT_EQ(one.next(all, 0, rules, mask, scratch),
              other.next(all, 0, rules, mask, scratch));
  }
  EXPECT_GT(needed, 100);
  EXPECT_LT(needed, 1500);
  EXPECT_GT(different, 1000);
}

TEST_F(Serving, LogprobsAreTheModels) {
  begin();
  Request r;
  r.prompt = some_ids(20);
  r.most = 5;
  r.ignore_stop = true;
  r.logprobs = 3;
  r.constrained = true;
  r.changes.presence = 2;
  auto client = run_one(r);
  check(r, *client);
  Ids text = r.prompt;
  for (const Drawn &d : client->tokens) {
    const std::vector<float> logits = logits_of(text);
    double sum = 0;
    for (float x : logits)
      sum += std::exp(double(x));
    EXPECT_NEAR(d.logprob, logits[size_t(d.id)] - std::log(sum), 1e-5);
    ASSERT_EQ(d.likely.size(), 3u);
    std::vector<float> sorted = logits;
    std::sort(sorted.rbegin(), sorted.rend());
    for (size_t i = 0; i < 3; ++i) {
      EXPECT_EQ(logits[size_t(d.likely[i].first)], sorted[i]);
      EXPECT_NEAR(d.likely[i].second, sorted[i] - std::log(sum), 1e-5);
    }
    text.push_back(d.id);
  }
}

// A conversation goes on where it was, though what it wrote is rendered anew.
TEST_F(Serving, ConversationsGoOn) {
  begin();
  Request r;
  r.prompt = some_ids(100);
  r.most = 10;
  r.ignore_stop = true;
  for (int turn = 0; turn < 4; ++turn) {
    auto client = run_one(r);
    check(r, *client);
    EXPECT_EQ(client->usage.cached,
              turn ? int64_t(r.prompt.size()) - 25 - (turn % 2 ? 3 : 0) : 0);
    r.prompt.insert(r.prompt.end(), client->ids.begin(), client->ids.end() - 1);
    if (turn % 2 == 0) // the last three are not in the history
      r.prompt.resize(r.prompt.size() - 3);
    for (int i = 0; i < (turn % 2 ? 25 : 28); ++i)
      r.prompt.push_back(int32_t(rng() % fake::VOCAB));
    if (turn % 2 == 0) { // nor do they come by chance
      int32_t &next = r.prompt[r.prompt.size() - 28];
      next = (client->ids[6] + 1) % fake::VOCAB;
    }
  }
}

// What many prompts begin with is computed once: by those that come together,
// and later, when the slot that computed it has long gone on.
TEST_F(Serving, BeginningsAreComputedOnce) {
  begin();
  const Ids system = some_ids(300);
  auto with = [&](int32_t first) {
    Request r;
    r.prompt = system;
    r.prompt.push_back(first);
    for (int32_t id : some_ids(20))
      r.prompt.push_back(id);
    r.most = 150; // beyond what the sliding caches hold
    r.ignore_stop = true;
    return r;
  };
  for (int round = 0; round < 3; ++round) {
    std::vector<Request> requests;
    std::vector<std::shared_ptr<Client>> clients;
    Gate gate;
    close(gate);
    for (int i = 0; i < 6; ++i) {
      requests.push_back(with(10 * round + i));
      clients.push_back(start_one(requests.back()));
    }
    gate.open();
    for (size_t i = 0; i < 6; ++i) {
      clients[i]->wait();
      check(requests[i], *clients[i]);
      EXPECT_EQ(clients[i]->usage.cached, round || i ? 300 : 0);
    }
  }
}

// An equal prompt is computed once, but for its last token.
TEST_F(Serving, EqualPrompts) {
  begin();
  Request r;
  r.prompt = some_ids(200);
  r.most = 5;
  r.ignore_stop = true;
  Gate gate;
  close(gate);
  auto first = start_one(r), second = start_one(r);
  gate.open();
  first->wait();
  second->wait();
  auto third = run_one(r);
  EXPECT_EQ(first->usage.cached + second->usage.cached, 199);
  EXPECT_EQ(third->usage.cached, 199);
  for (auto &c : {first, second, third})
    check(r, *c);
}

// States of slots in files: a later process goes on where this one was, while
// others are served.
TEST_F(Serving, SlotsInFiles) {
  const std::string folder = path + ".states";
  ASSERT_EQ(mkdir(folder.c_str(), 0700), 0);
  std::vector<Request> talks(2);
  auto task = [&](SlotTask what, int32_t slot, const std::string &name) {
    std::promise<SlotDone> promise;
    Status s =
        scheduler->submit(what, slot, folder + "/" + name,
                          [&](const SlotDone &d) { promise.set_value(d); });
    if (!s.ok())
      return SlotDone{s};
    return promise.get_future().get();
  };
  begin();
  for (int32_t i = 0; i < 2; ++i) {
    Request &r = talks[size_t(i)];
    r.prompt = some_ids(size_t(150 + 200 * i));
    r.most = 9;
    r.ignore_stop = true;
    r.slot = i;
    auto client = run_one(r);
    check(r, *client);
    r.prompt.insert(r.prompt.end(), client->ids.begin(), client->ids.end());
    const SlotDone done = task(SlotTask::Save, i, std::to_string(i));
    ASSERT_TRUE(done.status.ok()) << done.status.text;
    EXPECT_EQ(done.tokens, int64_t(r.prompt.size()) - 1);
    EXPECT_EQ(done.bytes,
              std::filesystem::file_size(folder + "/" + std::to_string(i)));
  }
  begin(); // a new process
  std::vector<Request> others;
  std::vector<std::shared_ptr<Client>> clients;
  for (int i = 0; i < 8; ++i) {
    others.push_back(some_request({some_ids(100)}));
    others.back().most = 60;
    others.back().slot = 2 + i % 2;
    clients.push_back(start_one(others.back()));
  }
  for (int32_t i = 0; i < 2; ++i) { // each into the other's place
    const SlotDone done = task(SlotTask::Restore, 1 - i, std::to_string(i));
    ASSERT_TRUE(done.status.ok()) << done.status.text;
    EXPECT_EQ(done.tokens, int64_t(talks[size_t(i)].prompt.size()) - 1);
  }
  for (int32_t i = 0; i < 2; ++i) {
    Request &r = talks[size_t(i)];
    const auto known = int64_t(r.prompt.size()) - 1;
    for (int32_t id : some_ids(30))
      r.prompt.push_back(id);
    r.slot = -1;
    auto client = run_one(r);
    check(r, *client);
    EXPECT_GE(client->usage.cached, known);
  }
  for (size_t i = 0; i < clients.size(); ++i) {
    clients[i]->wait();
    check(others[i], *clients[i]);
  }
  while (scheduler->stats().busy) // what is shown is that of the last turn
    std::this_thread::yield();
  const int64_t held = scheduler->slots()[2].held;
  const SlotDone erased = task(SlotTask::Erase, 2, "");
  EXPECT_TRUE(erased.status.ok());
  EXPECT_EQ(erased.tokens, held);
  EXPECT_EQ(scheduler->slots()[2].held, 0);

  // What is wrong leaves an empty slot or the one that was.
  EXPECT_EQ(task(SlotTask::Erase, 4, "").status.code, USAGE);
  EXPECT_EQ(task(SlotTask::Restore, 0, "none").status.code, BAD_INPUT);
  EXPECT_EQ(task(SlotTask::Save, 0, "no/folder").status.code, RESOURCES);
  std::ifstream in(folder + "/0", std::ios::binary);
  const std::string good{std::istreambuf_iterator<char>(in), {}};
  auto restore = [&](const std::string &bytes) {
    fake::write_file(folder + "/bad", bytes);
    return task(SlotTask::Restore, 0, "bad").status;
  };
  for (size_t length :
       {size_t(0), size_t(5), size_t(31), good.size() / 2, good.size() - 1})
    EXPECT_EQ(restore(good.substr(0, length)).code, BAD_INPUT) << length;
  EXPECT_EQ(restore(good + "x").code, BAD_INPUT);
  for (size_t at = 0; at < good.size(); at += at < 100 ? 1 : good.size() / 50) {
    std::string bad = good;
    bad[at] = char(bad[at] ^ 0x40);
    EXPECT_EQ(restore(bad).code, BAD_INPUT) << at;
  }
  EXPECT_TRUE(restore(good).ok());
  options.context = 128;
  begin();
  const Status small = restore(good);
  EXPECT_EQ(small.code, BAD_INPUT);
  EXPECT_NE(strstr(small.text, "larger -c"), nullptr) << small.text;
  std::filesystem::remove_all(folder);
}

// Tasks wait for slots and pages, and are told of an end.
TEST_F(Serving, SlotTasksWait) {
  options.slots = 2;
  options.pages = 11;
  begin();
  const std::string file = path + ".state";
  std::mutex mutex;
  std::vector<SlotDone> done;
  auto task = [&](SlotTask what, int32_t slot) {
    Status s = scheduler->submit(what, slot, file, [&](const SlotDone &d) {
      std::lock_guard lock(mutex);
      done.push_back(d);
    });
    EXPECT_TRUE(s.ok()) << s.text;
  };
  Request r;
  r.prompt = some_ids(400);
  r.most = 100;
  r.ignore_stop = true;
  r.slot = 0;
  auto first = run_one(r); // 8 of 11 pages
  task(SlotTask::Save, 0);
  r.prompt[0] ^= 1;
  auto again = start_one(r);
  task(SlotTask::Restore, 1); // not before that one has ended
  again->wait();
  check(r, *again);
  task(SlotTask::Save, 1);
  while ([&] {
    std::lock_guard lock(mutex);
    return done.size() < 3;
  }())
    std::this_thread::yield();
  for (const SlotDone &d : done) {
    EXPECT_TRUE(d.status.ok()) << d.status.text;
    EXPECT_EQ(d.tokens, 499);
  }
  // A task for a busy slot stands in front of one that has begun, and there are
  // no pages for both.
  Request busy;
  busy.prompt = some_ids(60);
  busy.most = 30;
  busy.ignore_stop = true;
  busy.slot = 0;
  auto other = start_one(busy);
  task(SlotTask::Restore, 0);
  task(SlotTask::Restore, 1);
  other->wait();
  auto count = [&] {
    std::lock_guard lock(mutex);
    return done.size();
  };
  while (count() < 5)
    std::this_thread::yield();
  EXPECT_TRUE(done[3].status.ok() && done[4].status.ok());
  // One that waits for its slot is passed by others.
  busy.most = -1;
  busy.slot = 1;
  auto first_there = std::make_shared<Client>();
  first_there->on_token = [] { usleep(1000); }; // so that it lasts
  int64_t number;
  ASSERT_TRUE(submit(busy, first_there, number).ok());
  first_there->wait_for(1);
  busy.most = 3;
  auto waits = start_one(busy);
  busy.slot = -1;
  run_one(busy);
  EXPECT_EQ(first_there->ends, 0);
  // The end is told to a task whose slot is never idle.
  task(SlotTask::Save, 1);
  scheduler.reset();
  waits->wait();
  ASSERT_EQ(done.size(), 6u);
  EXPECT_EQ(done[5].status.code, RUN_ERROR);
  unlink(file.c_str());
}

// A conversation whose slot another one took goes on from a checkpoint.
TEST_F(Serving, ConversationsOutliveTheirSlots) {
  options.slots = 1;
  begin();
  std::vector<Request> talks(3);
  for (Request &r : talks) {
    r.prompt = some_ids(150);
    r.most = 8;
    r.ignore_stop = true;
  }
  for (int turn = 0; turn < 3; ++turn)
    for (Request &r : talks) {
      auto client = run_one(r);
      check(r, *client);
      if (turn)
        EXPECT_GE(client->usage.cached, 150);
      else
        EXPECT_EQ(client->usage.cached, 0);
      r.prompt.insert(r.prompt.end(), client->ids.begin(), client->ids.end());
      for (int32_t id : some_ids(10))
        r.prompt.push_back(id);
    }
}

TEST_F(Serving, CancelledAtAnyTime) {
  options.pages = 16;
  begin(1000);
  for (int round = 0; round < 6 * LONG; ++round) {
    const std::vector<Ids> beginnings = {some_ids(200)};
    std::vector<Request> requests;
    std::vector<std::shared_ptr<Client>> clients;
    std::vector<int64_t> numbers;
    for (int i = 0; i < 24; ++i) {
      requests.push_back(some_request(beginnings));
      requests.back().most = 60;
      auto client = std::make_shared<Client>();
      if (rng() % 4 == 0)
        client->leaves = int64_t(1 + rng() % 20);
      clients.push_back(client);
      numbers.emplace_back();
      ASSERT_TRUE(submit(requests.back(), client, numbers.back()).ok());
    }
    for (int i = 0; i < 12; ++i) {
      std::this_thread::sleep_for(std::chrono::microseconds(rng() % 500));
      scheduler->cancel(numbers[rng() % numbers.size()]);
    }
    scheduler->cancel(-1);
    scheduler->cancel(1 << 30);
    for (size_t i = 0; i < clients.size(); ++i) {
      Client &c = *clients[i];
      c.wait();
      ASSERT_EQ(c.ends, 1);
      ASSERT_NE(c.why, Finish::Failed) << c.status.text;
      Ids all = alone(requests[i], room());
      if (c.why != Finish::Cancelled) {
        EXPECT_EQ(c.ids, all);
        continue;
      }
      ASSERT_LE(c.ids.size(), all.size());
      all.resize(c.ids.size());
      EXPECT_EQ(c.ids, all);
    }
  }
}

// Large and small ones in few pages: nobody fails, none waits for ever.
TEST_F(Serving, FewPages) {
  for (int64_t checkpoints : {0, 4}) {
    options.pages = 10;
    options.checkpoints = checkpoints;
    begin(1000);
    EXPECT_EQ(room(), 640);
    std::atomic<bool> stop = false;
    // Small ones come all the time.
    std::vector<std::thread> threads;
    for (int i = 0; i < 3; ++i)
      threads.emplace_back([&, i] {
        for (int k = 0; !stop; ++k) {
          Request r;
          r.prompt = Ids(size_t(40 + i), (k + i) % fake::VOCAB);
          r.most = 30;
          check(r, *run_one(r));
        }
      });
    for (int k = 0; k < 5; ++k) {
      Request large;
      large.prompt = some_ids(size_t(300 + k));
      large.most = k % 2 ? -1 : 200;
      large.ignore_stop = true;
      check(large, *run_one(large));
    }
    stop = true;
    for (std::thread &t : threads)
      t.join();
    EXPECT_EQ(scheduler->stats().failed, 0);
  }
}

// A prompt of many steps beside one that generates: it gets a token each step.
TEST_F(Serving, LongPromptsStopNobody) {
  options.batch = 8;
  begin();
  Request talk;
  talk.prompt = some_ids(10);
  talk.most = 500;
  talk.ignore_stop = true;
  auto client = std::make_shared<Client>();
  std::vector<int64_t> steps; // when tokens came
  client->on_token = [&] { steps.push_back(scheduler->stats().steps); };
  int64_t number;
  Gate gate;
  close(gate);
  ASSERT_TRUE(submit(talk, client, number).ok());
  std::vector<Request> prompts(2);
  std::vector<std::shared_ptr<Client>> others;
  for (Request &r : prompts) {
    r.prompt = some_ids(600);
    r.most = 3;
    others.push_back(start_one(r));
  }
  gate.open();
  for (size_t i = 0; i < 2; ++i) {
    others[i]->wait();
    check(prompts[i], *others[i]);
  }
  client->wait();
  check(talk, *client);
  ASSERT_EQ(steps.size(), 500u);
  for (size_t i = 1; i < steps.size(); ++i)
    ASSERT_EQ(steps[i], steps[i - 1] + 1);
}

TEST_F(Serving, Refused) {
  options.slots = 1;
  begin(1);
  auto client = std::make_shared<Client>();
  int64_t number = 0;
  auto refuse = [&](const Request &r, Code code, const char *word) {
    Status s = submit(r, client, number);
    EXPECT_EQ(s.code, code) << s.text;
    EXPECT_NE(strstr(s.text, word), nullptr) << s.text;
  };
  Request good;
  good.prompt = {1, 2, 3};
  Request r;
  refuse(r, RUN_ERROR, "empty");
  r.prompt = some_ids(641);
  refuse(r, RUN_ERROR, "641 tokens");
  r.prompt = {5, 100};
  refuse(r, BAD_INPUT, "token id 100 at 1");
  r.prompt = {5, -1};
  refuse(r, BAD_INPUT, "soft row 0");
  r = good;
  r.changes.repeat = 0;
  refuse(r, USAGE, "penalties");
  r = good;
  r.sampling.temperature = NAN;
  refuse(r, USAGE, "sampling");
  r = good;
  r.changes.bias = {{100, 1.0f}};
  refuse(r, USAGE, "bias");
  // One runs, one waits.
  good.ignore_stop = true;
  Gate gate;
  close(gate);
  auto second = start_one(good);
  refuse(good, RESOURCES, "2 sequences");
  scheduler->drain(1000);
  refuse(good, RUN_ERROR, "ending");
  EXPECT_EQ(gate.client->ends, 0);
  gate.open();
  scheduler->drain(INT64_MAX);
  EXPECT_EQ(second->ends, 1);
  check(good, *second);
  EXPECT_EQ(client->ends, 0);
}

// Who hears of an end finds its place free.
TEST_F(Serving, OneAfterAnotherWithoutQueue) {
  options.slots = 1;
  begin(0);
  for (int i = 0; i < 200 * LONG; ++i) {
    Request r;
    r.prompt = {i % 90};
    r.most = 1;
    auto client = std::make_shared<Client>();
    int64_t number;
    Status s = submit(r, client, number);
    ASSERT_TRUE(s.ok()) << s.text;
    client->wait();
  }
}

TEST_F(Serving, NothingToGenerateAndFullSlots) {
  begin();
  Request r;
  r.prompt = some_ids(10);
  r.most = 0;
  check(r, *run_one(r));
  r.prompt = some_ids(640);
  r.most = -1;
  r.ignore_stop = true;
  auto client = run_one(r);
  EXPECT_EQ(client->ids.size(), 1u);
  EXPECT_EQ(client->why, Finish::Context);
  check(r, *client);
}

// Everything ends when the scheduler does.
TEST_F(Serving, DestroyedWhileBusy) {
  for (int i = 0; i < 20; ++i) {
    begin(100);
    std::vector<std::shared_ptr<Client>> clients;
    for (int k = 0; k < 10; ++k) {
      Request r;
      r.prompt = some_ids(50);
      r.ignore_stop = true;
      clients.push_back(start_one(r));
    }
    std::this_thread::sleep_for(std::chrono::microseconds(rng() % 2000));
    scheduler.reset();
    for (auto &c : clients) {
      EXPECT_EQ(c->ends, 1);
      EXPECT_TRUE(c->why == Finish::Cancelled || c->why == Finish::Context);
      EXPECT_EQ(c.use_count(), 1);
    }
  }
}

TEST_F(Serving, ManyShortOnes) {
  begin(8);
  for (int i = 0; i < 500 * LONG; ++i) {
    Request r;
    r.prompt = some_ids(1 + rng() % 5);
    r.most = 1 + int64_t(rng() % 3);
    check(r, *run_one(r));
  }
}

//===- faults -------------------------------------------------------------===//

// Barriers at which the second row becomes NaN: tail and head have one each,
// and the tail overwrites it.
std::atomic<int> bad_barriers = 0;
Hooks genuine;

TEST_F(Serving, RowsThatAreNotFiniteEndTheirSequenceAlone) {
  begin();
  Hooks hooks = genuine = watch(*program->engine, {});
  hooks.barrier = [](gm_ctx *c, int32_t worker) {
    genuine.barrier(c, worker);
    if (bad_barriers > 0 && c->rows > 1) {
      --bad_barriers;
      static_cast<float *>(c->io[GM_IO_hidden])[32] = NAN;
    }
  };
  watch(*program->engine, hooks);
  std::vector<Request> requests(3);
  std::vector<std::shared_ptr<Client>> clients;
  Gate gate;
  close(gate);
  for (Request &r : requests) {
    r.prompt = some_ids(5);
    r.ignore_stop = true;
    clients.push_back(std::make_shared<Client>());
    if (clients.size() == 3)
      clients[2]->on_token = [&] {
        if (clients[2]->ids.size() == 20)
          bad_barriers = 2;
      };
    int64_t number;
    ASSERT_TRUE(submit(r, clients.back(), number).ok());
  }
  gate.open();
  int failed = 0;
  for (size_t i = 0; i < 3; ++i) {
    clients[i]->wait();
    if (clients[i]->why != Finish::Failed) {
      check(requests[i], *clients[i]);
      continue;
    }
    ++failed;
    EXPECT_EQ(clients[i]->status.code, RUN_ERROR);
    EXPECT_NE(strstr(clients[i]->status.text, "not finite at position"),
              nullptr);
    Ids all = alone(requests[i], room());
    all.resize(clients[i]->ids.size());
    EXPECT_EQ(clients[i]->ids, all);
  }
  EXPECT_EQ(failed, 1);
  check(requests[0], *run_one(requests[0]));
}

// A listener that finds no memory ends what runs, not the process.
TEST_F(Serving, NoMemory) {
  begin();
  Request r;
  r.prompt = some_ids(5);
  r.ignore_stop = true;
  r.most = 40;
  auto bad = std::make_shared<Client>();
  bad->on_token = [] { throw std::bad_alloc(); };
  int64_t number;
  ASSERT_TRUE(submit(r, bad, number).ok());
  bad->wait();
  EXPECT_EQ(bad->why, Finish::Failed);
  EXPECT_EQ(bad->status.code, RESOURCES);
  check(r, *run_one(r));
}

// The table of embeddings cannot be read any more: an engine that fails.
TEST_F(Serving, AnEngineThatFailsEndsAll) {
  const std::string folder = path + ".d", file = folder + "/p";
  mkdir(folder.c_str(), 0700);
  fake::write_file(file, fake::program_bytes([](auto &p) {
                     p.external = true;
                     p.external_name = "w";
                   }));
  fake::write_file(folder + "/w", fake::weights_bytes("0123456789abcdef"));
  std::swap(path, const_cast<std::string &>(file));
  begin(100);
  std::vector<std::shared_ptr<Client>> clients;
  Gate gate;
  close(gate);
  for (int i = 0; i < 20; ++i) {
    Request r;
    r.prompt = some_ids(50);
    r.ignore_stop = true;
    clients.push_back(start_one(r));
  }
  ASSERT_EQ(truncate((folder + "/w").c_str(), 4096), 0);
  gate.open();
  int failed = 0;
  for (auto &c : clients) {
    c->wait();
    failed += c->why == Finish::Failed;
  }
  EXPECT_EQ(failed, 20);
  Request r;
  r.prompt = {1};
  auto client = std::make_shared<Client>();
  int64_t number;
  Status s;
  for (int i = 0; i < 3; ++i) {
    client = std::make_shared<Client>();
    s = submit(r, client, number);
    if (s.ok())
      client->wait();
  }
  EXPECT_EQ(s.code, BAD_INPUT) << s.text;
  EXPECT_NE(strstr(s.text, "shorter"), nullptr) << s.text;
  end();
  for (const char *name : {"/p", "/w"})
    unlink((folder + name).c_str());
  rmdir(folder.c_str());
}

} // namespace
