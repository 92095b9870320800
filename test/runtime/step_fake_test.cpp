// Steps over the fake model: whatever the chunks, slots, workers, their order
// and roll-backs, each wanted row sees exactly the keys it should.
#include "test/runtime/fake_model.h"

#include "runtime/abi.h"

#include <atomic>
#include <cstring>
#include <gtest/gtest.h>
#include <random>
#include <unistd.h>

using namespace gm;

namespace {

// The tests take minutes under ThreadSanitizer without this.
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
enum { LONG = 300 };
#else
enum { LONG = 1500 };
#endif
#endif

struct Collected {
  std::vector<std::vector<float>> hidden;
  std::vector<std::vector<float>> logits;
  std::vector<std::vector<int32_t>> top;
};

void collect(void *user, const Group &g) {
  Collected &c = *static_cast<Collected *>(user);
  EXPECT_EQ(size_t(g.first), c.hidden.size());
  EXPECT_LE(g.rows, 8);
  for (int r = 0; r < g.rows; ++r) {
    const float *h = g.hidden + r * g.hidden_stride;
    c.hidden.push_back({h, h + fake::HIDDEN});
    if (g.logits)
      c.logits.push_back({g.logits + r * g.logits_stride,
                          g.logits + r * g.logits_stride + fake::VOCAB});
    if (g.top_ids)
      c.top.push_back({g.top_ids + r * GM_TOP, g.top_ids + (r + 1) * GM_TOP});
  }
}

class Steps : public testing::Test {
protected:
  void SetUp() override {
    path = "/tmp/gm_step_test." + std::to_string(getpid());
    fake::write_file(path, fake::program_bytes());
    ASSERT_TRUE(open_file(path.c_str(), file).ok());
  }
  void TearDown() override {
    stop(engine);
    close_file(file);
    unlink(path.c_str());
    EXPECT_EQ(fake::complaints(), "");
  }
  void begin(const Options &options) {
    stop(engine);
    engine = nullptr;
    Plan plan;
    ASSERT_TRUE(make_plan(file, options, plan).ok());
    Status s = start(file, options, plan, engine);
    ASSERT_TRUE(s.ok()) << s.text;
    text.assign(size_t(options.slots), {});
  }

  // Appends rows of `slot` to the job and to its text, from position `pos` on.
  void push(int slot, int pos, int count, bool want) {
    std::vector<int32_t> &t = text[size_t(slot)];
    t.resize(size_t(pos));
    for (int i = 0; i < count; ++i) {
      t.push_back(int32_t(rng() % fake::VOCAB));
      rows.push_back({t.back(), slot, pos + i, want});
      if (want)
        expected.push_back(fake::expected_hidden(t));
    }
  }
  int32_t best = 64;
  Status run(Output output = Output::Hidden, const uint32_t *mask = nullptr) {
    Job job;
    job.rows = rows.data();
    job.count = int32_t(rows.size());
    job.output = output;
    job.best = best;
    job.mask = mask;
    job.sink = collect;
    job.user = &got;
    got = {};
    Status s = step(*engine, job);
    rows.clear();
    return s;
  }
  void run_and_compare(Output output = Output::Hidden) {
    Status s = run(output);
    ASSERT_TRUE(s.ok()) << s.text;
    EXPECT_EQ(got.hidden, expected);
    expected.clear();
  }

  std::string path;
  File file;
  Engine *engine = nullptr;
  std::mt19937 rng{5};
  std::vector<std::vector<int32_t>> text; // ids of each slot
  std::vector<Row> rows;
  std::vector<std::vector<float>> expected;
  Collected got;
};

// All wanted rows run through the tail, the last one's output comes.
TEST_F(Steps, LastOnly) {
  for (int count : {1, 8, 9, 20}) {
    begin({});
    push(0, 0, count, true);
    Job job;
    job.rows = rows.data();
    job.count = count;
    job.output = Output::Top;
    job.last_only = true;
    // A mask of one row: id 77 alone is allowed.
    std::vector<uint32_t> mask((fake::VOCAB + 31) / 32);
    mask[77 / 32] = 1u << 77 % 32;
    job.mask = mask.data();
    struct Last {
      int calls = 0;
      Group group;
      int32_t top[2];
      std::vector<float> hidden;
    } last;
    job.user = &last;
    job.sink = [](void *user, const Group &g) {
      Last &l = *static_cast<Last *>(user);
      ++l.calls;
      l.group = g;
      l.top[0] = g.top_ids[0], l.top[1] = g.top_ids[1];
      l.hidden.assign(g.hidden, g.hidden + fake::HIDDEN);
    };
    ASSERT_TRUE(step(*engine, job).ok());
    EXPECT_EQ(last.calls, 1);
    EXPECT_EQ(last.group.first, count - 1);
    EXPECT_EQ(last.group.rows, 1);
    EXPECT_EQ(last.hidden, expected.back());
    EXPECT_EQ(last.top[0], 77);
    EXPECT_EQ(last.top[1], -1);
    rows.clear();
    expected.clear();
  }
}

// What `watch` installs is called by every worker, until it is taken away.
TEST_F(Steps, Hooks) {
  static std::atomic<int> barriers, marks, ends;
  static Hooks before;
  Options o;
  o.threads = 3;
  begin(o);
  before = watch(*engine, {[](gm_ctx *ctx, int32_t worker) {
                             ++barriers;
                             before.barrier(ctx, worker);
                           },
                           [](gm_ctx *, int32_t, int32_t call) {
                             ++(call < 0 ? ends : marks);
                           }});
  push(0, 0, 4, true);
  run_and_compare(Output::Top);
  EXPECT_EQ(barriers, 3 * 2); // one in the tail, one in the head
  EXPECT_EQ(marks, 3);        // one in the body
  EXPECT_EQ(ends, 3);
  watch(*engine, before);
  push(0, 4, 4, true);
  run_and_compare(Output::Top);
  EXPECT_EQ(barriers, 3 * 2);
  EXPECT_EQ(marks, 3);
}

TEST_F(Steps, ChunksAndWorkers) {
  for (int chunk : {1, 7, 8, 9, 64, 200})
    for (int threads : {1, 2, 3, 5}) {
      Options o;
      o.threads = threads;
      o.batch = chunk;
      begin(o);
      for (int pos = 0; pos < LONG / 2; pos += chunk) {
        push(0, pos, chunk, true);
        run_and_compare();
      }
    }
}

TEST_F(Steps, RandomOrdersOfWorkers) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    Options o;
    o.threads = 1 + int64_t(seed % 7);
    o.batch = 30;
    o.shuffle = seed;
    o.poison = true;
    begin(o);
    for (int pos = 0; pos < 300;) {
      int n = 1 + int(rng() % 30);
      push(0, pos, n, true);
      run_and_compare(Output::Logits);
      pos += n;
    }
  }
}

TEST_F(Steps, OnlyWantedRowsComeOut) {
  Options o;
  o.threads = 2;
  o.batch = 64;
  begin(o);
  for (int pos = 0; pos < 600;) {
    for (int i = 0; i < 40; ++i, ++pos)
      push(0, pos, 1, rng() % 3 == 0);
    run_and_compare();
  }
  push(0, 600, 20, false);
  run_and_compare(Output::Top);
  EXPECT_TRUE(got.hidden.empty());
}

TEST_F(Steps, OtherSlotsInTheSameStep) {
  Options o;
  o.threads = 2;
  o.batch = 100;
  o.slots = 5;
  begin(o);
  for (int i = 0; i < 120; ++i) {
    int order[] = {0, 1, 2, 3, 4};
    std::shuffle(order, order + 5, rng);
    for (int slot : order) {
      int n = int(rng() % 3 ? rng() % 4 : rng() % 19),
          at = int(text[size_t(slot)].size());
      if (at + n > 1900)
        at = 0; // begins anew
      push(slot, at, n, rng() % 2);
    }
    if (!rows.empty())
      run_and_compare();
  }
}

TEST_F(Steps, RollbackOfThreeRowsAtEveryRingPosition) {
  Options o;
  o.threads = 1;
  o.batch = 8;
  o.context = 512;
  begin(o);
  int pos = 0;
  while (pos < 400) { // the ring has 64 keys
    push(0, pos, 4, true);
    run_and_compare();
    push(0, pos + 1, 3, true); // three rows back, other tokens
    run_and_compare();
    pos += 1;
    ASSERT_EQ(slot_length(*engine, 0), pos + 3);
  }
}

TEST_F(Steps, RollbackBeyondTheRingIsRefused) {
  Options o;
  o.batch = 8;
  begin(o);
  for (int pos = 0; pos < 200; pos += 8) {
    push(0, pos, 8, false);
    run_and_compare();
  }
  push(0, 192, 1, true); // 8 rows back
  run_and_compare();
  // written = 200, ring = 64: position 174 sees keys from 135 on, 136 is kept
  const std::vector<int32_t> kept = text[0];
  push(0, 174, 1, true);
  expected.clear();
  EXPECT_EQ(run().code, RUN_ERROR);
  text[0] = kept; // nothing happened
  push(0, 175, 1, true);
  run_and_compare();
  push(0, 0, 3, true);
  run_and_compare();
}

TEST_F(Steps, TopAndLogits) {
  Options o;
  o.threads = 3;
  begin(o);
  push(0, 0, 21, true);
  std::vector<uint32_t> mask(21 * 4, ~0u);
  for (size_t r = 0; r < 21; ++r)
    mask[r * 4] = ~(1u << r); // row r may not give id r
  ASSERT_TRUE(run(Output::Top, mask.data()).ok());
  ASSERT_EQ(got.top.size(), 21u);
  for (size_t r = 0; r < 21; ++r) {
    std::vector<std::pair<float, int>> all;
    for (int v = 0; v < fake::VOCAB; ++v)
      if (v != int(r))
        all.push_back({-fake::expected_logit(expected[r].data(), v), v});
    std::sort(all.begin(), all.end());
    for (size_t i = 0; i < GM_TOP; ++i)
      EXPECT_EQ(got.top[r][i], all[i].second);
  }
  expected.clear();
  push(0, 21, 13, true);
  run_and_compare(Output::Logits);
  ASSERT_EQ(got.logits.size(), 13u);
  for (size_t r = 0; r < 13; ++r)
    for (int v = 0; v < fake::VOCAB; ++v)
      EXPECT_EQ(got.logits[r][size_t(v)],
                fake::expected_logit(got.hidden[r].data(), v));
}

TEST_F(Steps, BadJobsAreRefusedAndChangeNothing) {
  Options o;
  o.slots = 2;
  o.batch = 16;
  o.context = 100;
  begin(o);
  push(0, 0, 10, true);
  run_and_compare();
  auto refused = [&](std::vector<Row> bad, Code code, const char *part) {
    rows = std::move(bad);
    Status s = run();
    EXPECT_EQ(s.code, code) << s.text;
    EXPECT_NE(strstr(s.text, part), nullptr) << s.text;
    EXPECT_EQ(slot_length(*engine, 0), 10);
  };
  refused({}, RUN_ERROR, "1 to 16 rows");
  refused(std::vector<Row>(17, Row{0, 0, 10, false}), RUN_ERROR,
          "1 to 16 rows");
  refused({{fake::VOCAB, 0, 10, true}}, BAD_INPUT, "outside the vocabulary");
  refused({{-1, 0, 10, true}}, BAD_INPUT, "outside the vocabulary");
  refused({{1, 2, 0, true}}, RUN_ERROR, "slot 2");
  refused({{1, 0, 11, true}}, RUN_ERROR, "cannot go on");
  refused({{1, 0, 100, true}}, RUN_ERROR, "context");
  refused({{1, 0, 10, true}, {1, 0, 12, true}}, RUN_ERROR,
          "expects position 11");
  refused({{1, 0, 10, true}, {1, 1, 0, true}, {1, 0, 11, true}}, RUN_ERROR,
          "stand together");
  for (int32_t wrong : {0, 65}) {
    best = wrong;
    refused({{1, 0, 10, true}}, RUN_ERROR, "the best 1 to 64 ids");
  }
  best = 64;
  push(0, 10, 5, true);
  run_and_compare();
}

TEST_F(Steps, TheAllocationIsThePlan) {
  Options o;
  o.batch = 100;
  o.threads = 2;
  Plan plan;
  ASSERT_TRUE(make_plan(file, o, plan).ok());
  uint64_t sum = 0;
  for (int i = 0; i < plan.terms; ++i)
    if (strcmp(plan.term[i].name, "weights") &&
        strcmp(plan.term[i].name, "program") &&
        strcmp(plan.term[i].name, "allowance"))
      sum += plan.term[i].bytes;
  EXPECT_GE(plan.allocated, sum);
  EXPECT_LT(plan.allocated, sum + 65536);
}

} // namespace
