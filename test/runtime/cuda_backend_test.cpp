// Steps of the fake model on the emulated card: whatever the chunks, slots and
// roll-backs, each wanted row sees exactly what it should; and what is said of
// machines that cannot run a program.
#include "runtime/abi.h"
#include "runtime/cuda/copies.h"
#include "runtime/cuda/kernels.h"
#include "runtime/cuda/weights.h"
#include "runtime/file.h"
#include "runtime/host/clock.h"
#include "runtime/host/probe.h"
#include "runtime/host/synthetic.h"
#include "test/cuda/driver.h"
#include "test/runtime/cuda_fake_model.h"
#include "test/runtime/fake_model.h"

#include <cmath>
#include <cstring>
#include <gtest/gtest.h>
#include <random>
#include <unistd.h>

using namespace gm;
using namespace fake;

namespace {

const std::string &ptx() {
  static const std::string text = fake::fake_ptx;
  return text;
}

gm_image image_of(int32_t sm, const std::string &data) {
  return {sm, int64_t(data.size() + 1),
          reinterpret_cast<const uint8_t *>(data.c_str())};
}

//===- running it ---------------------------------------------------------===//

class CudaSteps : public testing::Test {
protected:
  void SetUp() override {
    reset();
    path = "/tmp/gm_cuda_test." + std::to_string(getpid());
    write([](gemmac::manifest::ProgramT &) {});
  }
  void TearDown() override {
    stop(engine);
    close_file(file);
    unlink(path.c_str());
    reset();
  }
  static void reset() {
    cuemu::driver().sticky = CUDA_SUCCESS;
    cuemu::settings().setSm(80);
    cuemu::machine() = {13000, 1, 4, 16ull << 30, false};
    fault = false;
    memset(recorded, 0, sizeof recorded);
  }
  void write(const Change &change) {
    write_file(path, device_program_bytes(change));
    close_file(file);
    Status s = open_file(path.c_str(), file);
    ASSERT_TRUE(s.ok()) << s.text;
  }
  Status try_begin(const Options &options) {
    stop(engine);
    engine = nullptr;
    if (Status s = make_plan(file, options, plan); !s.ok())
      return s;
    text.assign(size_t(options.slots), {});
    return start(file, program, options, plan, engine);
  }
  void begin(const Options &options) {
    Status s = try_begin(options);
    ASSERT_TRUE(s.ok()) << s.text;
  }

  void push(int slot, int pos, int count, bool want) {
    std::vector<int32_t> &t = text[size_t(slot)];
    t.resize(size_t(pos));
    for (int i = 0; i < count; ++i) {
      t.push_back(int32_t(rng() % fake::VOCAB));
      rows.push_back({t.back(), slot, pos + i, want});
      if (want)
        expected.push_back(expected_row(t));
    }
  }
  // Hidden state of the last of `ids`, its rope tables behind.
  static std::vector<float> expected_row(const std::vector<int32_t> &ids) {
    std::vector<float> row = fake::expected_hidden(ids);
    const double theta[] = {10000, 1000000};
    const int pairs[] = {fake::LOCAL_PAIRS, fake::GLOBAL_PAIRS},
              dim[] = {2 * fake::LOCAL_PAIRS, 4 * fake::GLOBAL_PAIRS};
    for (int kind : {0, 1})
      for (int i = 0; i < pairs[kind]; ++i) {
        const double angle = double(ids.size() - 1) *
                             std::pow(theta[kind], -2.0 * i / dim[kind]);
        row.push_back(float(std::cos(angle)));
        row.push_back(float(std::sin(angle)));
      }
    return row;
  }

  Status run(const Ask &ask = {.output = Output::Hidden}) {
    Job job;
    job.rows = rows.data();
    job.count = int32_t(rows.size());
    job.ask = ask;
    Status s = step(*engine, job);
    rows.clear();
    return s;
  }
  // The results of the step are those of `expected`.
  void compare(const Ask &ask = {.output = Output::Hidden}) {
    Status s = run(ask);
    ASSERT_TRUE(s.ok()) << s.text;
    compare_results(0, int(expected.size()), ask);
    expected.clear();
  }
  void compare_results(int first, int count, const Ask &ask) {
    const Results &r = results(*engine);
    ASSERT_EQ(r.rows, count);
    for (int i = 0; i < count; ++i) {
      const std::vector<float> &want = expected[size_t(first + i)];
      const float *hidden = r.hidden + i * r.hidden_stride;
      ASSERT_EQ(std::vector<float>(hidden, hidden + want.size()), want)
          << "row " << first + i;
      std::vector<int> ids;
      const uint32_t *mask = ask.mask ? ask.mask + i * 4 : nullptr;
      for (int v = 0; v < fake::VOCAB; ++v)
        if (!mask || mask[v / 32] >> v % 32 & 1)
          ids.push_back(v);
      auto order = [&](int v) {
        return std::pair(-fake::expected_logit(want.data(), v), v);
      };
      std::sort(ids.begin(), ids.end(),
                [&](int a, int b) { return order(a) < order(b); });
      ids.resize(GM_TOP, -1);
      if (ask.output == Output::Top)
        EXPECT_EQ(std::vector<int>(r.top_ids + i * GM_TOP,
                                   r.top_ids + (i + 1) * GM_TOP),
                  ids);
      if (ask.output == Output::Logits)
        for (int v = 0; v < fake::VOCAB; ++v)
          EXPECT_EQ(r.logits[i * r.logits_stride + v],
                    fake::expected_logit(want.data(), v));
    }
  }

  std::string path;
  File file;
  Plan plan;
  Engine *engine = nullptr;
  std::vector<gm_image> images = {image_of(0, ptx()), {}};
  gm_program program = device_program(images.data());
  std::mt19937 rng{5};
  std::vector<std::vector<int32_t>> text; // ids of each slot
  std::vector<Row> rows;
  std::vector<std::vector<float>> expected;
};

TEST_F(CudaSteps, Chunks) {
  for (int chunk : {1, 7, 8, 9, 64}) {
    Options o;
    o.batch = chunk;
    begin(o);
    for (int pos = 0; pos < 300; pos += chunk) {
      push(0, pos, chunk, true);
      compare();
    }
  }
}

// Back inside the window and past it, steps that want some rows alone.
TEST_F(CudaSteps, Positions) {
  Options o;
  o.batch = 100;
  begin(o);
  push(0, 0, 100, false), push(0, 100, 0, true);
  ASSERT_TRUE(run().ok());
  for (int pos : {100, 101, 96, 64, 63}) {
    push(0, pos, 2, false), push(0, pos + 2, 3, true);
    compare({.output = Output::Top});
  }
  push(0, 0, 30, true);
  compare();
}

TEST_F(CudaSteps, Slots) {
  Options o;
  o.slots = 5;
  o.batch = 60;
  o.outputs = 60;
  o.scatter = 7;
  begin(o);
  for (int round = 0; round < 12; ++round) {
    for (int slot : {3, 1, 4, 0, 2})
      if ((rng() % 3 && slot != round % 5) || slot == 1)
        push(slot, int(text[size_t(slot)].size()), 1 + int(rng() % 11),
             rng() % 4 != 0 || slot == 1);
    compare({.output = round % 2 ? Output::Top : Output::Logits});
  }
}

// Pages are copied when a sequence goes on that another one shares.
TEST_F(CudaSteps, ForksAndCheckpoints) {
  Options o;
  o.slots = 2;
  o.checkpoints = 1;
  begin(o);
  push(0, 0, 90, true);
  compare();
  ASSERT_TRUE(checkpoint(*engine, Keep::Save, 0, 0).ok());
  ASSERT_TRUE(slot_fork(*engine, 0, 1).ok());
  text[1] = text[0];
  const std::vector<int32_t> kept = text[0];
  push(1, 90, 3, true);
  compare();
  push(0, 90, 3, true);
  compare();
  push(1, 93, 1, true);
  compare();
  ASSERT_TRUE(checkpoint(*engine, Keep::Restore, 0, 1).ok());
  text[1] = kept;
  push(1, 90, 2, true), push(0, 93, 2, true);
  compare();
  // Where the slot's own table named other pages.
  push(1, 0, 80, true);
  compare();
  ASSERT_TRUE(checkpoint(*engine, Keep::Restore, 0, 1).ok());
  text[1] = kept;
  push(1, 90, 1, true);
  compare();
}

TEST_F(CudaSteps, Poison) {
  Options o;
  o.poison = true;
  begin(o);
  for (int pos = 0; pos < 40; pos += 10) {
    push(0, pos, 10, true);
    compare();
    push(0, pos + 10, 1, true);
    compare({.output = Output::Top});
  }
}

TEST_F(CudaSteps, Masks) {
  Options o;
  o.outputs = 3;
  begin(o);
  uint32_t mask[3][4];
  for (int round = 0; round < 5; ++round) {
    for (auto &row : mask)
      for (uint32_t &word : row)
        word = uint32_t(rng() & rng());
    push(0, 3 * round, 3, true);
    compare({.output = Output::Top, .mask = round == 2 ? nullptr : mask[0]});
  }
  push(0, 15, 1, true);
  Ask both{.output = Output::Top, .logsumexp = true};
  compare(both);
  EXPECT_GT(results(*engine).logsumexp[0], 0);
}

// Results of rows of the last step, some at a time.
TEST_F(CudaSteps, Heads) {
  begin({});
  push(0, 0, 20, true);
  ASSERT_TRUE(run().ok());
  for (int first : {0, 8, 16, 3}) {
    const int count = first == 16 ? 4 : 8;
    const Ask ask{.output = first == 3 ? Output::Logits : Output::Top};
    ASSERT_TRUE(head(*engine, ask, first, count).ok());
    compare_results(first, count, ask);
  }
}

// Recorded once for each shape, whatever the position.
TEST_F(CudaSteps, ReusesGraphs) {
  Options o;
  o.batch = 16;
  begin(o);
  const Ask ask{.output = Output::Top};
  push(0, 0, 1, true);
  compare(ask);
  EXPECT_EQ(recorded[GM_BODY], 1);
  EXPECT_EQ(recorded[GM_HEAD], 1);
  for (int pos = 1; pos < 200; ++pos) {
    push(0, pos, 1, true);
    compare(ask);
  }
  EXPECT_EQ(recorded[GM_BODY], 1); // one local and one global split
  for (int pos = 200; pos < 700; ++pos) {
    push(0, pos, 1, true);
    ASSERT_TRUE(run(ask).ok());
  }
  // Two splits of one kind, of both, three and four are the same.
  EXPECT_LE(recorded[GM_BODY], 5);
  const int before = recorded[GM_BODY];
  expected.clear();
  push(0, 700, 5, true), rows.back().want = false, expected.pop_back();
  compare();
  push(0, 705, 7, false);
  ASSERT_TRUE(run().ok());
  EXPECT_EQ(recorded[GM_BODY], before + 2);
}

// Marks are told after the step, with the card's times, in their order.
TEST_F(CudaSteps, Watched) {
  struct Told {
    int32_t call, rows;
    int64_t ns;
  };
  static std::vector<Told> told;
  static Engine *watched;
  begin({});
  watched = engine;
  told.clear();
  push(0, 0, 3, true);
  compare();
  const Hooks before =
      watch(*engine, {[](gm_ctx *, int32_t) {},
                      [](gm_ctx *ctx, int32_t, int32_t call) {
                        told.push_back({call, ctx->rows, moment(*watched)});
                      }});
  for (int pos : {3, 6}) {
    const int64_t begin = now_ns();
    push(0, pos, 3, true);
    compare();
    ASSERT_EQ(told.size(), 2u);
    EXPECT_EQ(told[0].call, 0);
    EXPECT_EQ(told[1].call, -1);
    EXPECT_EQ(told[1].rows, 3);
    EXPECT_GE(told[0].ns, begin);
    EXPECT_GT(told[1].ns, told[0].ns); // the body's kernel runs between them
    EXPECT_LE(told[1].ns, now_ns());
    told.clear();
  }
  EXPECT_EQ(recorded[GM_BODY], 3); // anew each time that it is watched
  watch(*engine, before);
  push(0, 9, 3, true);
  compare();
  EXPECT_TRUE(told.empty());
  EXPECT_EQ(recorded[GM_BODY], 3);
}

// More shapes than are kept.
TEST_F(CudaSteps, ForgetsGraphs) {
  Options o;
  o.outputs = 8;
  begin(o);
  push(0, 0, 200, true);
  ASSERT_TRUE(run().ok());
  const Ask ask{.output = Output::Top};
  // What is used again and again stays.
  for (int first = 1; first < 100; ++first)
    for (int row : {first, 0}) {
      ASSERT_TRUE(head(*engine, ask, row, 1).ok());
      compare_results(row, 1, ask);
    }
  EXPECT_EQ(recorded[GM_HEAD], 100);
  for (int row : {1, 99}) {
    ASSERT_TRUE(head(*engine, ask, row, 1).ok());
    compare_results(row, 1, ask);
  }
  EXPECT_EQ(recorded[GM_HEAD], 101);
}

TEST_F(CudaSteps, CountsMemory) {
  Options o;
  ASSERT_TRUE(make_plan(file, o, plan).ok());
  uint64_t host = 0, device = 0;
  for (int i = 0; i < plan.terms; ++i) {
    const Term &t = plan.term[i];
    host += t.where == Where::Device ? 0 : t.bytes;
    device += t.where == Where::Host ? 0 : t.bytes;
    const std::string name = t.name;
    EXPECT_EQ(t.where == Where::Device,
              name.starts_with("cache") || name == "row" || name == "worker" ||
                  name == "key" || name == "weights" || name == "graphs")
        << name;
    EXPECT_NE(name, "stacks");
  }
  EXPECT_EQ(plan.total, host);
  EXPECT_EQ(plan.device, device);
  EXPECT_EQ(plan.threads, 1);
  EXPECT_GT(plan.device_only, 0u);
  EXPECT_LT(plan.device_only, plan.allocated);
  begin(o);
  // All of it, with the gap that the emulator leaves: the kernels' own aside.
  EXPECT_LE(cuemu::memory().used(), plan.device);
  o.threads = 2;
  EXPECT_EQ(make_plan(file, o, plan).code, USAGE);
}

TEST_F(CudaSteps, StopsClean) {
  const uint64_t before = cuemu::memory().used();
  begin({});
  EXPECT_GT(cuemu::memory().used(), before);
  stop(engine);
  engine = nullptr;
  EXPECT_EQ(cuemu::memory().used(), before);
}

//===- synthetic weights --------------------------------------------------===//

// The card makes what this machine makes, and nothing between weights.
TEST_F(CudaSteps, SyntheticWeights) {
  write([](gemmac::manifest::ProgramT &p) {
    p.weightless = true;
    fake::add_weights(p);
  });
  Card card;
  ASSERT_TRUE(card.open(0).ok());
  Weights weights;
  Addresses addresses;
  Loaded loaded;
  Status s = weights.load(card, nullptr, file, true, addresses, loaded);
  ASSERT_TRUE(s.ok()) << s.text;
  const gemmac::manifest::Program &p = *file.manifest;
  for (const gemmac::manifest::Weight *w : *p.weights()) {
    const uint64_t at = addresses.find(loaded.weights + w->offset());
    EXPECT_EQ(at == 0, is_ple_table(p, *w)) << w->name()->c_str();
    if (!at)
      continue;
    std::vector<uint8_t> want(w->bytes()), got(w->bytes());
    synthesize(synthetic_words(*w), w->offset(), want.data(), want.size());
    ASSERT_EQ(cuMemcpyDtoH_v2(got.data(), at, got.size()), CUDA_SUCCESS);
    EXPECT_EQ(got, want) << w->name()->c_str();
  }
  const char untouched = char(0xee);
  char got = 0;
  ASSERT_EQ(cuMemcpyDtoH_v2(&got, addresses.find(loaded.weights + 1000), 1),
            CUDA_SUCCESS);
  EXPECT_EQ(got, untouched);
}

// A program without weights runs on them, and on no others.
TEST_F(CudaSteps, Weightless) {
  write([](gemmac::manifest::ProgramT &p) { p.weightless = true; });
  EXPECT_EQ(try_begin({}).code, UNSUPPORTED);
  begin({.load = Load::Synthetic});
  push(0, 0, 2, false);
  Status s = run();
  EXPECT_TRUE(s.ok()) << s.text;
}

//===- what the card gives ------------------------------------------------===//

// Beside a started program, which goes on; nothing is left behind.
TEST_F(CudaSteps, Probe) {
  begin({});
  push(0, 0, 5, true);
  compare();
  const uint64_t before = cuemu::memory().used();
  Probe p;
  Status s = probe_device(0, p);
  ASSERT_TRUE(s.ok()) << s.text;
  EXPECT_TRUE(p.is_device);
  EXPECT_GT(p.read_all, 0);
  EXPECT_GT(p.int8_all, 0);
  EXPECT_GT(p.launch, 0);
  EXPECT_EQ(cuemu::memory().used(), before);
  push(0, 5, 1, true);
  compare();
  stop(engine); // in a context of its own again
  engine = nullptr;
  EXPECT_LT(cuemu::memory().used(), before);
}

TEST_F(CudaSteps, ProbeWithoutMemory) {
  begin({});
  cuemu::machine().memory = cuemu::memory().used() + (1 << 19);
  Probe p;
  Status s = probe_device(0, p);
  ASSERT_TRUE(s.ok()) << s.text;
  EXPECT_EQ(p.read_all, 0);
  EXPECT_GT(p.int8_all, 0);
  cuemu::machine().devices = 0;
  EXPECT_EQ(probe_device(0, p).code, MACHINE);
}

//===- machines that cannot -----------------------------------------------===//

TEST_F(CudaSteps, NeedsMemory) {
  Options o;
  o.context = 2048;
  ASSERT_TRUE(make_plan(file, o, plan).ok());
  cuemu::machine().memory = plan.device - 10000;
  Status s = try_begin(o);
  ASSERT_EQ(s.code, RESOURCES);
  char needed[200];
  snprintf(needed, sizeof needed,
           "context 2048 with batches of 512 rows needs %.1f MiB of the memory "
           "of 'emulated sm_80', but %.1f MiB of %.1f are free; the largest "
           "that fits is -c ",
           double(plan.device) * 0x1p-20, double(plan.device - 10000) * 0x1p-20,
           double(plan.device - 10000) * 0x1p-20);
  EXPECT_EQ(std::string(s.text).find(needed), 0u) << s.text;
  const char *flag = strstr(s.text, "-c ");
  ASSERT_NE(flag, nullptr);
  const int64_t largest = atoll(flag + 3);
  o.context = largest + 1;
  EXPECT_EQ(try_begin(o).code, RESOURCES);
  o.context = largest;
  begin(o);
}

TEST_F(CudaSteps, NeedsCapability) {
  write([](gemmac::manifest::ProgramT &p) { p.target->sm = 90; });
  Status s = try_begin({});
  EXPECT_EQ(s.code, MACHINE);
  EXPECT_STREQ(s.text,
               "this program needs a card of compute capability 9.0 or later, "
               "'emulated sm_80' has 8.0; compile the model for another target "
               "(gemmac --list-targets)");
}

TEST_F(CudaSteps, NeedsACard) {
  cuemu::machine().devices = 0;
  Status s = try_begin({});
  EXPECT_EQ(s.code, MACHINE);
  EXPECT_NE(strstr(s.text, "no NVIDIA card"), nullptr) << s.text;
  cuemu::machine().devices = 2;
  for (int64_t device : {-1, 2}) {
    Options o;
    o.device = device;
    s = try_begin(o);
    EXPECT_EQ(s.code, USAGE);
    EXPECT_NE(strstr(s.text, "must be 0 to 1, this machine has 2 cards, got"),
              nullptr)
        << s.text;
  }
  DeviceFacts facts;
  ASSERT_TRUE(find_device(0, facts).ok());
  EXPECT_STREQ(facts.name, "emulated sm_80");
  EXPECT_EQ(facts.sm, 80);
  EXPECT_EQ(facts.driver, 13000);
  EXPECT_EQ(facts.memory, 16ull << 30);
}

// Machine code that the driver does not take gives way to PTX.
TEST_F(CudaSteps, Images) {
  const std::string cubin = "\x7f"
                            "ELF",
                    broken = ".version 7.4\n.target sm_80\n"
                             ".address_size 64\nfrob;\n";
  images = {image_of(80, cubin), image_of(0, ptx()), image_of(90, cubin), {}};
  program = device_program(images.data());
  begin({});
  push(0, 0, 3, true);
  compare();
  images = {image_of(80, cubin), {}};
  program = device_program(images.data());
  Status s = try_begin({});
  EXPECT_EQ(s.code, MACHINE);
  EXPECT_NE(strstr(s.text, "no kernels for compute capability 8.0 (emulated "
                           "sm_80)"),
            nullptr)
      << s.text;
  images = {image_of(0, broken), {}};
  program = device_program(images.data());
  s = try_begin({});
  EXPECT_EQ(s.code, RUN_ERROR);
  EXPECT_NE(strstr(s.text, "frob"), nullptr) << s.text;
}

TEST_F(CudaSteps, RefusesKernels) {
  std::vector<gm_kernel> changed(device_kernels, device_kernels + KERNELS);
  program.kernel = changed.data();
  changed[TOP].name = 75;
  Status s = try_begin({});
  EXPECT_EQ(s.code, BAD_INPUT);
  EXPECT_NE(strstr(s.text, "no kernel 'ake_fault'"), nullptr) << s.text;
  changed.assign(device_kernels, device_kernels + KERNELS);
  changed[BODY].units = 0;
  s = try_begin({});
  EXPECT_EQ(s.code, BAD_INPUT);
  EXPECT_NE(strstr(s.text, "its kernel 'fake_body' is damaged"), nullptr)
      << s.text;
  changed.assign(device_kernels, device_kernels + KERNELS);
  changed[BODY].rows = -GM_TOP; // blocks of a row
  s = try_begin({});
  EXPECT_TRUE(s.ok()) << s.text;
  changed[BODY].rows = -GM_TOP - 1;
  s = try_begin({});
  EXPECT_EQ(s.code, BAD_INPUT);
  changed.assign(device_kernels, device_kernels + KERNELS);
  changed[TAIL].shared = 200 << 10;
  s = try_begin({});
  EXPECT_EQ(s.code, MACHINE);
  EXPECT_NE(strstr(s.text, "204800 bytes that the kernel 'fake_tail' needs"),
            nullptr)
      << s.text;
  // A kernel that keeps values in memory of its own.
  changed.assign(device_kernels, device_kernels + KERNELS);
  std::string text = ptx();
  const size_t at = text.find("{", text.find(".entry fake_top("));
  text.insert(at + 1, "\n.local .align 8 .b8 depot[16];\n.reg .b64 %own;\n"
                      "mov.u64 %own, depot;\n");
  images = {image_of(0, text), {}};
  program = device_program(images.data());
  s = try_begin({});
  EXPECT_EQ(s.code, MACHINE);
  EXPECT_NE(strstr(s.text, "'fake_top' has 16 bytes of local memory"), nullptr)
      << s.text;
}

// What fails on the card is a step's failure, and that of all later ones.
TEST_F(CudaSteps, Fails) {
  begin({});
  push(0, 0, 2, true);
  compare();
  fault = true;
  push(0, 2, 3, true);
  testing::internal::CaptureStderr();
  Status s = run();
  testing::internal::GetCapturedStderr();
  EXPECT_EQ(s.code, RUN_ERROR);
  EXPECT_NE(strstr(s.text, "CUDA_ERROR_ILLEGAL_ADDRESS"), nullptr) << s.text;
  fault = false;
  push(0, 5, 1, true);
  EXPECT_EQ(run().code, RUN_ERROR);
}

//===- the kernel that copies ---------------------------------------------===//

// Pieces of any alignment and length, through the table.
TEST_F(CudaSteps, Copies) {
  Card card;
  ASSERT_TRUE(card.open(0).ok());
  Kernels loaded;
  ASSERT_TRUE(loaded.load(card, program).ok());
  enum : uint64_t { BYTES = 1 << 18, MOST = 100 };
  void *host, *memory;
  CUdeviceptr device;
  ASSERT_EQ(cuMemHostAlloc(&host, BYTES, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuMemHostAlloc(&memory, CopyTable::bytes(MOST), 0), CUDA_SUCCESS);
  ASSERT_EQ(cuMemAlloc_v2(&device, BYTES), CUDA_SUCCESS);
  auto *from = static_cast<uint8_t *>(host);
  for (uint64_t i = 0; i < BYTES; ++i)
    from[i] = uint8_t(rng());
  CopyTable table;
  table.place(memory, MOST);
  for (int blocks : {1, 7, 64})
    for (int round = 0; round < 10; ++round) {
      std::vector<uint8_t> want(BYTES, 0xaa), got(BYTES);
      cuMemsetD8_v2(device, 0xaa, BYTES);
      table.clear();
      for (uint64_t at = 0;;) {
        const uint64_t align = uint64_t(1) << rng() % 6,
                       bytes = rng() % 3 ? rng() % 300 : rng() % 60000;
        at = (at + rng() % 100) / align * align + align;
        const uint64_t source = rng() % (BYTES - 60000) / align * align;
        if (at + bytes > BYTES)
          break;
        ASSERT_TRUE(table.add(uint64_t(from) + source, device + at, bytes));
        memcpy(want.data() + at, from + source, bytes);
        at += bytes;
        if (rng() % 20 == 0)
          break;
      }
      uint64_t parameter = uint64_t(memory), none = 0;
      void *parameters[] = {&parameter, &none};
      ASSERT_EQ(cuLaunchKernel(loaded.copy(), unsigned(blocks), 1, 1,
                               COPY_THREADS, 1, 1, 0, nullptr, parameters,
                               nullptr),
                CUDA_SUCCESS);
      ASSERT_EQ(cuMemcpyDtoH_v2(got.data(), device, BYTES), CUDA_SUCCESS);
      EXPECT_EQ(got, want);
    }
  table.clear();
  EXPECT_FALSE(table.add(uint64_t(from), device, (MOST + 1) * 16384));
  cuMemFreeHost(host), cuMemFreeHost(memory), cuMemFree_v2(device);
}

} // namespace
