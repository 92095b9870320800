// Steps over the fake model: whatever the chunks, slots, workers, their order
// and roll-backs, each wanted row sees exactly the keys it should.
#include "test/runtime/fake_model.h"

#include "runtime/abi.h"

#include <atomic>
#include <cmath>
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

void collect(Collected &c, const Results &g) {
  EXPECT_EQ(size_t(g.first), c.hidden.size());
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
    ASSERT_TRUE(make_plan(file, options, plan).ok());
    Status s = start(file, gm_model, options, plan, engine);
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
    job.ask.best = best;
    got = {};
    int32_t wanted = 0;
    for (const Row &row : rows)
      wanted += row.want;
    // More results than a step gives come from `head`.
    const int32_t most =
        output == Output::Hidden ? wanted : int32_t(plan.outputs);
    job.ask.output = wanted > most ? Output::Hidden : output;
    job.ask.mask = mask;
    Status s = step(*engine, job);
    rows.clear();
    if (!s.ok() || wanted <= most) {
      if (s.ok())
        collect(got, results(*engine));
      return s;
    }
    Ask ask = job.ask;
    ask.output = output;
    for (int32_t first = 0; first < wanted; first += most) {
      ask.mask = mask ? mask + first * ((fake::VOCAB + 31) / 32) : nullptr;
      s = head(*engine, ask, first, std::min(most, wanted - first));
      if (!s.ok())
        return s;
      collect(got, results(*engine));
    }
    return s;
  }
  void run_and_compare(Output output = Output::Hidden) {
    Status s = run(output);
    ASSERT_TRUE(s.ok()) << s.text;
    EXPECT_EQ(got.hidden, expected);
    expected.clear();
  }

  // A slot outside of the engine.
  struct Outside {
    SlotState state;
    std::vector<std::vector<uint8_t>> pieces;
  };
  template <typename Use>
  void each_piece(const SlotState &state, Use use) {
    const int64_t end = (state.rows + GM_PAGE_KEYS - 1) / GM_PAGE_KEYS;
    for (int kind : {GM_LOCAL, GM_GLOBAL})
      for (int64_t page = kind == GM_LOCAL ? state.first / GM_PAGE_KEYS : 0;
           page < end; ++page)
        for (int64_t array = 0; piece_bytes(*engine, kind, array); ++array)
          use(SlotPiece{kind, page, array}, piece_bytes(*engine, kind, array));
  }
  Outside take(int slot) {
    Outside out = {slot_state(*engine, slot), {}};
    each_piece(out.state, [&](const SlotPiece &piece, uint64_t bytes) {
      out.pieces.emplace_back(bytes);
      EXPECT_TRUE(
          slot_piece(*engine, slot, piece, out.pieces.back().data(), false)
              .ok());
    });
    return out;
  }
  // False: there are too few pages.
  bool put(int slot, Outside from) {
    const auto &[rows, first] = from.state;
    if (Status s = slot_allocate(*engine, slot, rows, first); !s.ok()) {
      EXPECT_EQ(s.code, RESOURCES) << s.text;
      EXPECT_EQ(slot_length(*engine, slot), 0);
      return false;
    }
    const int64_t begin = slot_state(*engine, slot).first;
    auto piece = from.pieces.begin();
    each_piece(from.state, [&](const SlotPiece &at, uint64_t) {
      uint8_t *data = piece++->data();
      if (at.kind == GM_GLOBAL || at.page * GM_PAGE_KEYS >= begin)
        EXPECT_TRUE(slot_piece(*engine, slot, at, data, true).ok());
    });
    return true;
  }

  std::string path;
  File file;
  Plan plan;
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
    job.ask.output = Output::Top;
    job.last_only = true;
    // A mask of one row: id 77 alone is allowed.
    std::vector<uint32_t> mask((fake::VOCAB + 31) / 32);
    mask[77 / 32] = 1u << 77 % 32;
    job.ask.mask = mask.data();
    ASSERT_TRUE(step(*engine, job).ok());
    const Results &last = results(*engine);
    EXPECT_EQ(last.first, count - 1);
    ASSERT_EQ(last.rows, 1);
    EXPECT_EQ(std::vector<float>(last.hidden, last.hidden + fake::HIDDEN),
              expected.back());
    EXPECT_EQ(last.top_ids[0], 77);
    EXPECT_EQ(last.top_ids[1], -1);
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
  while (pos < 400) { // the ring has 128 keys
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
  // Pages 2 and 3 are held: position 166 sees keys from 127 on, 128 is kept.
  const std::vector<int32_t> kept = text[0];
  push(0, 166, 1, true);
  expected.clear();
  EXPECT_EQ(run().code, RUN_ERROR);
  text[0] = kept; // nothing happened
  push(0, 167, 1, true);
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

// Random steps, truncations, forks and checkpoints in a pool that is too small
// for all slots: every row sees what its own sequence says, whatever shares its
// pages, and a refused step changes nothing.
TEST_F(Steps, RandomSlotsPagesAndCheckpoints) {
  for (uint64_t seed = 1; seed <= 12; ++seed) {
    Options o;
    o.threads = 1 + int64_t(seed % 3);
    o.context = 700;
    o.batch = 132;
    o.slots = 4;
    o.slot_rows = 33;
    o.outputs = 24;
    o.checkpoints = 3;
    o.pages = 13;
    o.scatter = seed % 2 ? seed : 0;
    begin(o);
    rng.seed(uint32_t(seed));
    std::vector<std::vector<int32_t>> kept(3);
    int refused = 0, restored = 0, carried = 0;
    for (int i = 0; i < 500; ++i) {
      const int slot = int(rng() % 4), other = int(rng() % 4),
                index = int(rng() % 3);
      std::vector<int32_t> &mine = text[size_t(slot)];
      // -1 means all that it has.
      auto some_length = [&](const std::vector<int32_t> &of) {
        const int64_t length = int64_t(of.size()) - int64_t(rng() % 30);
        return length == -1 ? -2 : length;
      };
      switch (rng() % 9) {
      case 0: {
        int64_t length = int64_t(mine.size()) - int64_t(rng() % 30);
        bool possible = length >= 0 && can_continue(*engine, slot, length);
        EXPECT_EQ(slot_truncate(*engine, slot, length).ok(), possible);
        if (possible)
          mine.resize(size_t(length));
        break;
      }
      case 1: {
        const int64_t length = some_length(mine);
        const bool possible =
            length >= 0 && can_continue(*engine, slot, length);
        EXPECT_EQ(slot_fork(*engine, slot, other, length).ok(), possible);
        if (possible)
          text[size_t(other)] = {mine.begin(), mine.begin() + length};
        break;
      }
      case 2: {
        const int64_t length = some_length(mine);
        const bool possible =
            length >= 0 && can_continue(*engine, slot, length);
        EXPECT_EQ(checkpoint(*engine, Keep::Save, index, slot, length).ok(),
                  possible);
        if (!possible)
          break;
        kept[size_t(index)] = {mine.begin(), mine.begin() + length};
        EXPECT_EQ(checkpoint_length(*engine, index), length);
        break;
      }
      case 3: {
        const std::vector<int32_t> &k = kept[size_t(index)];
        int64_t length = int64_t(k.size());
        EXPECT_TRUE(can_restore(*engine, index, length));
        if (length && can_restore(*engine, index, length - 1))
          --length;
        ASSERT_TRUE(
            checkpoint(*engine, Keep::Restore, index, slot, length).ok());
        restored += !k.empty();
        mine = {k.begin(), k.begin() + length};
        break;
      }
      case 4:
        if (rng() % 4 == 0) {
          ASSERT_TRUE(checkpoint(*engine, Keep::Drop, index, slot).ok());
          kept[size_t(index)].clear();
        }
        break;
      case 5: // out of the engine, and in again
        if (put(other, take(slot)))
          text[size_t(other)] = mine, ++carried;
        else
          text[size_t(other)].clear();
        break;
      default: {
        const std::vector<std::vector<int32_t>> before = text;
        int order[] = {0, 1, 2, 3};
        std::shuffle(order, order + 4, rng);
        for (int s : order) {
          int n = int(rng() % 2 ? rng() % 3 : rng() % 33),
              at = int(text[size_t(s)].size());
          if (at + n > 600)
            at = 0;
          push(s, at, n, rng() % 3);
        }
        if (rows.empty())
          break;
        Status s = run(Output::Top);
        ASSERT_TRUE(s.ok() || s.code == RESOURCES) << s.text;
        if (s.ok()) {
          ASSERT_EQ(got.hidden, expected);
        } else { // make room
          ++refused;
          text = before;
          ASSERT_TRUE(slot_truncate(*engine, slot, 0).ok());
          text[size_t(slot)].clear();
        }
        expected.clear();
      }
      }
      for (int s = 0; s < 4; ++s)
        ASSERT_EQ(slot_length(*engine, s), int64_t(text[size_t(s)].size()));
    }
    EXPECT_GT(refused, 0);
    EXPECT_GT(restored, 0);
    EXPECT_GT(carried, 0);
    // All is given back.
    for (int s = 0; s < 4; ++s)
      ASSERT_TRUE(slot_truncate(*engine, s, 0).ok());
    for (int c = 0; c < 3; ++c)
      ASSERT_TRUE(checkpoint(*engine, Keep::Drop, c, 0).ok());
    EXPECT_EQ(pages_left(*engine), 13);
  }
}

// A state goes into an engine whose slots keep fewer keys of sliding layers,
// and what is no state is refused.
TEST_F(Steps, StatesGoElsewhere) {
  Options o;
  o.context = 700;
  o.batch = 300;
  begin(o);
  push(0, 0, 300, false);
  push(0, 300, 299, false);
  const std::vector<Row> all = std::move(rows);
  for (size_t half : {size_t(0), size_t(300)}) {
    rows = {all.begin() + ptrdiff_t(half),
            all.begin() + ptrdiff_t(half ? all.size() : 300)};
    ASSERT_TRUE(run().ok());
  }
  const Outside state = take(0);
  const std::vector<int32_t> ids = text[0];
  o.batch = 16;
  o.scatter = 3;
  begin(o);
  ASSERT_TRUE(put(0, state));
  EXPECT_GT(slot_state(*engine, 0).first, state.state.first);
  text[0] = ids;
  push(0, 590, 12, true);
  run_and_compare();
  for (auto [length, first] : std::initializer_list<std::pair<int, int>>{
           {701, 576}, {-1, 0}, {599, 63}, {599, 576}, {599, 640}, {599, -64}})
    EXPECT_EQ(slot_allocate(*engine, 0, length, first).code, BAD_INPUT)
        << length << " " << first;
  EXPECT_EQ(slot_allocate(*engine, 1, 10, 0).code, RUN_ERROR);
  EXPECT_EQ(slot_length(*engine, 0), 602);
}

// What is said of pages before sequences grow is what is left behind them.
TEST_F(Steps, PagesAfterGrowth) {
  Options o;
  o.context = 700;
  o.batch = 64;
  o.slots = 4;
  o.checkpoints = 2;
  for (uint32_t seed = 0; seed < 30; ++seed) {
    begin(o);
    rng.seed(seed);
    auto feed = [&](int slot, int64_t rows) {
      while (int64_t(text[size_t(slot)].size()) < rows) {
        const auto at = int(text[size_t(slot)].size());
        push(slot, at, int(std::min<int64_t>(60, rows - at)), true);
        run_and_compare();
      }
    };
    auto fork = [&](int from, int to, int64_t length) {
      while (!can_continue(*engine, from, length))
        ++length;
      ASSERT_TRUE(slot_fork(*engine, from, to, length).ok());
      text[size_t(to)] = {text[size_t(from)].begin(),
                          text[size_t(from)].begin() + length};
    };
    feed(0, 1 + rng() % 200);
    fork(0, 1, slot_length(*engine, 0) - int64_t(rng() % 2));
    if (rng() % 2)
      feed(int(rng() % 2), 200 + rng() % 30);
    fork(1, 2, std::max<int64_t>(0, slot_length(*engine, 1) - rng() % 40));
    ASSERT_TRUE(checkpoint(*engine, Keep::Save, 1, 2).ok());
    feed(2, 300);
    // Slot 2 is not kept, a checkpoint of it goes on in slot 3.
    Growth list[] = {{0, slot_length(*engine, 0), 0},
                     {1, slot_length(*engine, 1), 0},
                     {5, checkpoint_length(*engine, 1), 0}};
    for (Growth &g : list)
      g.total = g.rows + 1 + int64_t(rng() % 300);
    const int64_t left = pages_after(*engine, list, 3);
    text[3] = {text[2].begin(), text[2].begin() + list[2].rows};
    ASSERT_TRUE(checkpoint(*engine, Keep::Restore, 1, 3).ok());
    ASSERT_TRUE(checkpoint(*engine, Keep::Drop, 1, 0).ok());
    ASSERT_TRUE(slot_truncate(*engine, 2, 0).ok());
    feed(3, list[2].total);
    feed(0, list[0].total);
    feed(1, list[1].total);
    // Both holders of a page that is not full ask for a copy, one makes it.
    EXPECT_GE(pages_left(*engine), left) << seed;
    EXPECT_LE(pages_left(*engine), left + 1) << seed;
  }
}

// Any checkpoint of any length can be restored, however far the slot has gone.
TEST_F(Steps, CheckpointsOutliveTheRing) {
  Options o;
  o.batch = 16;
  o.checkpoints = 1;
  begin(o);
  for (int length : {1, 39, 40, 63, 64, 65, 127, 128, 200}) {
    while (int(text[0].size()) < length)
      push(0, int(text[0].size()), 1, false), run_and_compare();
    const std::vector<int32_t> kept = text[0];
    ASSERT_TRUE(checkpoint(*engine, Keep::Save, 0, 0).ok());
    for (int i = 0; i < 400; i += 16)
      push(0, int(text[0].size()), 16, i % 3 == 0), run_and_compare();
    ASSERT_TRUE(checkpoint(*engine, Keep::Restore, 0, 0).ok());
    text[0] = kept;
    ASSERT_EQ(slot_length(*engine, 0), length);
    push(0, length, 9, true);
    run_and_compare();
    ASSERT_TRUE(checkpoint(*engine, Keep::Restore, 0, 0).ok());
    text[0] = kept;
  }
  EXPECT_FALSE(checkpoint(*engine, Keep::Save, 1, 0).ok());
  EXPECT_FALSE(checkpoint(*engine, Keep::Save, 0, 1).ok());
}

TEST_F(Steps, RowsOfOneSlotAreBounded) {
  Options o;
  o.batch = 64;
  o.slots = 2;
  o.slot_rows = 10;
  begin(o);
  push(0, 0, 11, false);
  Status s = run();
  EXPECT_EQ(s.code, RUN_ERROR);
  EXPECT_NE(strstr(s.text, "11 rows in one step"), nullptr) << s.text;
  push(0, 0, 10, true);
  push(1, 0, 10, true);
  run_and_compare();
}

TEST_F(Steps, ResultsOfMoreRowsThanPlannedAreRefused) {
  Options o;
  o.outputs = 16;
  begin(o);
  push(0, 0, 17, true);
  Job job;
  job.rows = rows.data();
  job.count = 17;
  Status s = step(*engine, job);
  EXPECT_EQ(s.code, RUN_ERROR);
  EXPECT_NE(strstr(s.text, "results of 16 rows"), nullptr) << s.text;
  EXPECT_EQ(slot_length(*engine, 0), 0);
  job.ask.output = Output::Hidden;
  ASSERT_TRUE(step(*engine, job).ok());
  EXPECT_EQ(results(*engine).rows, 17);
  EXPECT_EQ(head(*engine, {}, 0, 17).code, RUN_ERROR);
  EXPECT_EQ(head(*engine, {}, 2, 16).code, RUN_ERROR);
  EXPECT_EQ(head(*engine, {}, -1, 2).code, RUN_ERROR);
  EXPECT_TRUE(head(*engine, {}, 1, 16).ok());
  EXPECT_EQ(results(*engine).first, 1);
  EXPECT_EQ(results(*engine).rows, 16);
  expected.clear();
}

TEST_F(Steps, LogSumExp) {
  begin({});
  push(0, 0, 3, true);
  Job job;
  job.rows = rows.data();
  job.count = 3;
  job.ask.logsumexp = true;
  ASSERT_TRUE(step(*engine, job).ok());
  for (int r = 0; r < 3; ++r) {
    double sum = 0;
    for (int v = 0; v < fake::VOCAB; ++v)
      sum +=
          std::exp(double(fake::expected_logit(expected[size_t(r)].data(), v)));
    EXPECT_NEAR(results(*engine).logsumexp[r], std::log(sum), 1e-5);
  }
  expected.clear();
}

} // namespace
