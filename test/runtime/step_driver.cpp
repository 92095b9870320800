// Drives generated code through the core, for what no command can ask for:
// other slots in the same step, rolling back. Linked by a test with the object
// of `gemmac --emit=obj`; usage: STEP_DRIVER PROGRAM, where PROGRAM is the file
// of the same model (weights and manifest). The logits of a row must have the
// same bits whatever surrounds it.
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
  Session(const File &file, const Options &options)
      : vocab(file.manifest->model()->vocab()) {
    demand(make_plan(file, options, plan), "plan");
    demand(start(file, gm_model, options, plan, engine), "start");
  }
  ~Session() { stop(engine); }

  const std::vector<Logits> &run(const std::vector<Row> &rows) {
    got.clear();
    Job job;
    job.rows = rows.data();
    job.count = int32_t(rows.size());
    job.ask.output = Output::Hidden;
    demand(step(*engine, job), "step");
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

private:
  int64_t vocab;
  Plan plan;
  Engine *engine = nullptr;
  std::vector<Logits> got;
};

class Driver {
public:
  explicit Driver(const char *path) {
    demand(open_file(path, file), "open");
    vocab = file.manifest->model()->vocab();
    window = file.manifest->model()->window();
    for (int i = 0; i < 4 * window + 200; ++i)
      ids.push_back(random_id());
  }

  void make_reference() {
    Options o;
    o.threads = 1;
    o.batch = 64;
    Session session(file, o);
    for (size_t at = 0; at < ids.size(); at += 64) {
      std::vector<Row> rows;
      for (size_t i = at; i < std::min(at + 64, ids.size()); ++i)
        rows.push_back({ids[i], 0, int32_t(i), true});
      for (const Logits &l : session.run(rows))
        reference.push_back(l);
    }
  }

  // Slot 1 holds the text, in pieces of random length; slots 0, 2, 3 hold
  // others, which begin anew now and then.
  void other_slots(int most) {
    Options o;
    o.threads = 3;
    o.batch = 4 * most;
    o.slots = 4;
    o.poison = true;
    Session session(file, o);
    int32_t noise[4] = {0, 0, 0, 0};
    for (size_t at = 0; at < ids.size();) {
      std::vector<Row> rows;
      size_t begin = at;
      int first = int(rng() % 4);
      for (int i = 0; i < 4; ++i) {
        int slot = (first + i) % 4, n = 1 + int(rng() % unsigned(most));
        if (slot != 1 && (noise[slot] + n > 2 * window || rng() % 20 == 0))
          noise[slot] = 0;
        for (; n > 0; --n)
          if (slot != 1)
            rows.push_back({random_id(), slot, noise[slot]++, false});
          else if (at < ids.size()) {
            rows.push_back({ids[at], slot, int32_t(at), true});
            ++at;
          }
      }
      compare("other slots", begin, session.run(rows));
    }
  }

  // At every position: three rows of something else, back by three, the text.
  void rollback() {
    Options o;
    o.threads = 2;
    o.batch = 8;
    o.poison = true;
    Session session(file, o);
    for (size_t at = 0; at < ids.size(); ++at) {
      int32_t pos = int32_t(at);
      session.run({{ids[at], 0, pos, true},
                   {random_id(), 0, pos + 1, true},
                   {random_id(), 0, pos + 2, false},
                   {random_id(), 0, pos + 3, true}});
      compare("rollback", at, session.run({{ids[at], 0, pos, true}}));
    }
  }

  // Workers one after another between barriers, in random orders.
  void orders() {
    for (uint64_t seed = 1; seed <= 4; ++seed) {
      Options o;
      o.threads = int64_t(seed) + 1;
      o.batch = seed % 2 ? 5 : 40;
      o.shuffle = seed;
      o.poison = true;
      Session session(file, o);
      for (size_t at = 0; at < ids.size(); at += size_t(o.batch)) {
        std::vector<Row> rows;
        for (size_t i = at; i < std::min(at + size_t(o.batch), ids.size()); ++i)
          rows.push_back({ids[i], 0, int32_t(i), true});
        compare("orders", at, session.run(rows));
      }
    }
  }

  // Results of a row are the same bits in any group of rows, of which few and
  // many are computed by different code.
  void heads() {
    Options o;
    o.threads = 2;
    o.batch = 64;
    o.outputs = 40;
    o.poison = true;
    Plan plan;
    Engine *engine;
    demand(make_plan(file, o, plan), "plan");
    demand(start(file, gm_model, o, plan, engine), "start");
    std::vector<Row> rows;
    for (int32_t i = 0; i < 40; ++i)
      rows.push_back({ids[size_t(i)], 0, i, true});
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
  int vocab = 0, window = 0, compared = 0, wrong = 0;
  std::mt19937 rng{11};
  std::vector<int32_t> ids;
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
  driver.orders();
  driver.heads();
  return driver.finish();
}
