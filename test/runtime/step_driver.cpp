// Drives generated code through the core, for what no command can ask for:
// other slots in the same step, rolling back. Linked by a test with the object
// of `gemmac --emit=obj`; usage: STEP_DRIVER PROGRAM, where PROGRAM is the file
// of the same model (weights and manifest). The logits of a row must have the
// same bits whatever surrounds it. Models that take soft rows get some, and
// those with blocks get blocks, which stay whole whatever the chunks are. Texts
// are shorter on devices, which are emulated.
#include "runtime/abi.h"
#include "runtime/gemma.h"
#include "runtime/manifest_generated.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <vector>

using namespace gm;

namespace {

void demand(const Status &s, const char *what) {
  if (s.ok())
    return;
  fprintf(stderr, "FAIL: %s: %s\n", what, s.text);
  exit(1);
}

using Logits = std::vector<float>;

// Owns an engine; collects the logits of the wanted rows of each step.
class Session {
public:
  Session(const File &file, const Options &options,
          const std::vector<float> &soft)
      : vocab(file.manifest->model()->vocab()), soft(soft),
        stride((file.manifest->model()->hidden() + 31) / 32 * 32) {
    demand(make_plan(file, options, plan), "plan");
    demand(start(file, gm_model, options, plan, engine), "start");
  }
  ~Session() { stop(engine); }

  const std::vector<Logits> &run(const std::vector<Row> &rows) {
    got.clear();
    Status s = attempt(rows);
    demand(s, "step");
    const int32_t wanted = results(*engine).rows;
    for (int32_t first = 0; first < wanted; first += int32_t(plan.outputs)) {
      Ask ask;
      ask.output = Output::Logits;
      demand(head(*engine, ask, first,
                  std::min(int32_t(plan.outputs), wanted - first)),
             "head");
      const Results &g = results(*engine);
      for (int32_t r = 0; r < g.rows; ++r)
        got.emplace_back(g.logits + r * g.logits_stride,
                         g.logits + r * g.logits_stride + vocab);
    }
    return got;
  }

  Status attempt(const std::vector<Row> &rows) {
    Job job;
    job.rows = rows.data();
    job.count = int32_t(rows.size());
    job.soft = soft.data();
    job.soft_count = int32_t(int64_t(soft.size()) / stride);
    job.ask.output = Output::Hidden;
    return step(*engine, job);
  }

  Engine *engine = nullptr;

private:
  int64_t vocab;
  const std::vector<float> &soft;
  int64_t stride;
  Plan plan;
  std::vector<Logits> got;
};

class Driver {
public:
  explicit Driver(const char *path) {
    demand(open_file(path, file), "open");
    vocab = file.manifest->model()->vocab();
    window = file.manifest->model()->window();
    onDevice = file.manifest->target()->sm() > 0;
    const int length = onDevice ? 2 * window + 40 : 4 * window + 200;
    for (int i = 0; i < length; ++i)
      ids.push_back(random_id());
    ends.resize(ids.size());
    if (file.manifest->model()->soft_rows())
      add_soft_rows();
  }

  // Sound, a block, two side by side, one longer than a page of keys, one
  // longer than the window, one of few rows over the edge of a split, one of
  // one.
  void add_soft_rows() {
    const int stride = (file.manifest->model()->hidden() + 31) / 32 * 32;
    std::normal_distribution<float> normal;
    soft.resize(size_t(30 * stride));
    for (float &x : soft)
      x = normal(rng);
    const int length = int(ids.size());
    struct {
      int begin, end;
      bool sees;
    } spans[] = {{length - 9, length - 3, false},
                 {3, 9, true},
                 {20, 25, true},
                 {25, 31, true},
                 {40, 110, true},
                 {120, 121, true},
                 {130, 132 + window, true},
                 {253, 258, true}};
    int row = 0;
    for (auto [begin, end, sees] : spans) {
      if (end > length || (begin == 253 && 132 + window > 253))
        continue;
      for (int i = begin; i < end; ++i) {
        ids[size_t(i)] = -1 - row++ % 30;
        if (sees && file.manifest->model()->image_blocks())
          ends[size_t(i)] = end;
      }
      if (sees && file.manifest->model()->image_blocks())
        longest = std::max(longest, end - begin);
    }
  }

  // Rows [at, at + n) of the text, fewer where that would split a block; all of
  // a longer block that comes first.
  std::vector<Row> piece(size_t at, size_t n, int32_t slot = 0) {
    size_t end = std::min(at + n, ids.size());
    while (end > at && is_inner(end))
      --end;
    if (end == at)
      end = size_t(ends[at]);
    std::vector<Row> rows;
    for (size_t i = at; i < end; ++i)
      rows.push_back({ids[i], slot, int32_t(i), true, ends[i]});
    return rows;
  }
  bool is_inner(size_t i) const { return i > 0 && size_t(ends[i - 1]) > i; }

  Options options() const {
    Options o;
    o.block = longest;
    return o;
  }
  // Devices have none.
  int64_t workers(int64_t count) const { return onDevice ? 0 : count; }

  void make_reference() {
    Options o = options();
    o.threads = workers(1);
    o.batch = 64;
    Session session(file, o, soft);
    while (reference.size() < ids.size())
      for (const Logits &l : session.run(piece(reference.size(), 64)))
        reference.push_back(l);
  }

  // Slot 1 holds the text, in pieces of random length; slots 0, 2, 3 hold
  // others, which begin anew now and then; all of slot 2 is blocks.
  void other_slots(int most) {
    Options o = options();
    o.threads = workers(3);
    o.batch = 4 * most + longest;
    o.slots = 4;
    o.poison = true;
    o.scatter = uint64_t(most);
    Session session(file, o, soft);
    int32_t noise[4] = {0, 0, 0, 0};
    for (size_t at = 0; at < ids.size();) {
      std::vector<Row> rows;
      size_t begin = at;
      int first = int(rng() % 4);
      for (int i = 0; i < 4; ++i) {
        int slot = (first + i) % 4, n = 1 + int(rng() % unsigned(most));
        if (slot != 1 && (noise[slot] + n > 2 * window || rng() % 20 == 0))
          noise[slot] = 0;
        if (slot == 1) {
          std::vector<Row> mine = piece(at, size_t(n), 1);
          rows.insert(rows.end(), mine.begin(), mine.end());
          at += mine.size();
          continue;
        }
        const int32_t end = slot == 2 && longest ? noise[slot] + n : 0;
        for (; n > 0; --n)
          rows.push_back({end ? -1 - n % 30 : random_id(), slot, noise[slot]++,
                          false, end});
      }
      compare("other slots", begin, session.run(rows));
    }
  }

  // At every position: three rows of something else, back by three, the text.
  void rollback() {
    Options o = options();
    o.threads = workers(2);
    o.batch = 8;
    o.block += longest ? 3 : 0;
    o.poison = true;
    Session session(file, o, soft);
    for (size_t at = 0; at < ids.size();) {
      std::vector<Row> rows = piece(at, 1), more = rows;
      int32_t pos = int32_t(at + rows.size());
      more.push_back({random_id(), 0, pos, true});
      more.push_back({random_id(), 0, pos + 1, false});
      more.push_back({random_id(), 0, pos + 2, true});
      session.run(more);
      compare("rollback", at, session.run(rows));
      at += rows.size();
    }
  }

  // What a checkpoint keeps goes on as if nothing had been, and so does a fork.
  void checkpoints() {
    Options o = options();
    o.threads = workers(2);
    o.batch = 16;
    o.slots = 2;
    o.checkpoints = 1;
    Session session(file, o, soft);
    Engine &e = *session.engine;
    for (size_t at = 0; at < ids.size();) {
      std::vector<Row> rows = piece(at, 7);
      demand(checkpoint(e, Keep::Save, 0, 0), "save");
      demand(slot_fork(e, 0, 1), "fork");
      compare("before a checkpoint", at, session.run(rows));
      std::vector<Row> others = {
          {random_id(), 0, int32_t(at + rows.size()), false}};
      session.run(others);
      compare("fork", at, session.run(piece(at, 7, 1)));
      demand(checkpoint(e, Keep::Restore, 0, 0), "restore");
      compare("checkpoint", at, session.run(rows));
      at += rows.size();
    }
  }

  // Refused, and nothing is changed by it.
  void refusals() {
    Options o = options();
    o.threads = workers(1);
    o.batch = 32;
    Session session(file, o, soft);
    auto refuse = [&](const char *what, const Status &s, Code code) {
      ++compared;
      if (s.code != code && ++wrong <= 5)
        printf("%s: ended with %d: %s\n", what, s.code, s.text);
    };
    const bool takes_soft = !soft.empty();
    refuse("a soft row too many", session.attempt({{-31, 0, 0, true}}),
           takes_soft ? USAGE : BAD_INPUT);
    refuse("the least id", session.attempt({{INT32_MIN, 0, 0, true}}),
           takes_soft ? USAGE : BAD_INPUT);
    refuse("half a block", session.attempt({{1, 0, 0, true, 2}}), USAGE);
    refuse("a block of two ends",
           session.attempt({{1, 0, 0, true, 3},
                            {1, 0, 1, true, 3},
                            {1, 0, 2, true, 4},
                            {1, 0, 3, true, 4}}),
           USAGE);
    refuse("an end before its row",
           session.attempt({{1, 0, 0, true}, {1, 0, 1, true, 1}}), USAGE);
    if (!longest)
      return refuse("a block", session.attempt({{1, 0, 0, true, 1}}), USAGE);
    session.run(piece(0, 12));
    refuse("a step inside a block", session.attempt(piece(5, 1)), RUN_ERROR);
    refuse("a cut inside a block", slot_truncate(*session.engine, 0, 4),
           RUN_ERROR);
    compare("behind a block", 9, session.run(piece(9, 3)));
    demand(slot_truncate(*session.engine, 0, 3), "a cut before a block");
    compare("before a block", 3, session.run(piece(3, 6)));
  }

  // Workers one after another between barriers, in random orders.
  void orders() {
    if (onDevice) // an emulated one has orders of its own
      return;
    for (uint64_t seed = 1; seed <= 4; ++seed) {
      Options o = options();
      o.threads = workers(int64_t(seed) + 1);
      o.batch = seed % 2 ? 5 : 40;
      o.shuffle = seed;
      o.poison = true;
      Session session(file, o, soft);
      for (size_t at = 0; at < ids.size();) {
        std::vector<Row> rows = piece(at, size_t(o.batch));
        compare("orders", at, session.run(rows));
        at += rows.size();
      }
    }
  }

  // Results of a row are the same bits in any group of rows, of which few and
  // many are computed by different code.
  void heads() {
    Options o;
    o.threads = workers(2);
    o.batch = 64;
    o.outputs = 40;
    o.poison = true;
    Plan plan;
    Engine *engine;
    demand(make_plan(file, o, plan), "plan");
    demand(start(file, gm_model, o, plan, engine), "start");
    std::vector<Row> rows;
    for (int32_t i = 0; i < 40; ++i)
      rows.push_back({std::max(ids[size_t(i)], 0), 0, i, true});
    Job job;
    job.rows = rows.data();
    job.count = 40;
    job.ask.output = Output::Hidden;
    demand(step(*engine, job), "step");
    const size_t words = size_t(vocab + 31) / 32;
    std::vector<uint32_t> mask(40 * words);
    for (uint32_t &word : mask)
      word = uint32_t(rng()) | uint32_t(rng());
    for (bool masked : {false, true})
      for (Output output : {Output::Top, Output::Logits}) {
        std::vector<std::vector<char>> alone;
        auto take = [&](int32_t first, int32_t count) {
          Ask ask;
          ask.output = output;
          ask.mask = masked ? mask.data() + size_t(first) * words : nullptr;
          demand(head(*engine, ask, first, count), "head");
          std::vector<std::vector<char>> got;
          const Results &r = results(*engine);
          for (int32_t i = 0; i < count; ++i) {
            std::vector<char> &row = got.emplace_back();
            auto add = [&](const void *data, size_t bytes) {
              const char *from = static_cast<const char *>(data);
              row.insert(row.end(), from, from + bytes);
            };
            if (output == Output::Top) {
              add(r.top_ids + i * GM_TOP, GM_TOP * 4);
              add(r.top_values + i * GM_TOP, GM_TOP * 4);
            } else {
              add(r.logits + i * r.logits_stride, size_t(vocab) * 4);
            }
          }
          return got;
        };
        for (int32_t i = 0; i < 40; ++i)
          alone.push_back(take(i, 1)[0]);
        for (int32_t count : {2, 3, 8, 9, 16, 33, 40}) {
          std::vector<std::vector<char>> group = take(40 - count, count);
          for (int32_t i = 0; i < count; ++i, ++compared)
            if (group[size_t(i)] != alone[size_t(40 - count + i)] &&
                ++wrong <= 5)
              printf("%s of %d rows%s: row %d differs\n",
                     output == Output::Top ? "top" : "logits", count,
                     masked ? " with a mask" : "", 40 - count + i);
        }
      }
    stop(engine);
  }

  int finish() const {
    printf("%s: %zu rows, %d comparisons, %d differ\n", wrong ? "FAIL" : "PASS",
           ids.size(), compared, wrong);
    return wrong ? 1 : 0;
  }

private:
  int32_t random_id() { return int32_t(rng() % unsigned(vocab)); }

  void compare(const char *what, size_t first, const std::vector<Logits> &got) {
    for (size_t i = 0; i < got.size(); ++i) {
      const Logits &expected = reference[first + i];
      ++compared;
      if (memcmp(got[i].data(), expected.data(),
                 expected.size() * sizeof(float)) == 0)
        continue;
      if (++wrong <= 5)
        printf("%s: row %zu differs\n", what, first + i);
    }
  }

  File file;
  bool onDevice = false;
  int vocab = 0, window = 0, longest = 0, compared = 0, wrong = 0;
  std::mt19937 rng{11};
  std::vector<int32_t> ids, ends; // ends: of blocks, 0 outside
  std::vector<float> soft;        // 30 rows
  std::vector<Logits> reference;
};

} // namespace

int main(int argc, char **argv) {
  if (argc != 2)
    return fprintf(stderr, "usage: %s PROGRAM\n", argv[0]), 2;
  Driver driver(argv[1]);
  driver.make_reference();
  driver.other_slots(2);
  driver.other_slots(30);
  driver.rollback();
  driver.checkpoints();
  driver.refusals();
  driver.orders();
  driver.heads();
  return driver.finish();
}
