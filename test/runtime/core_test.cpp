// The core without steps: opening of good and broken files, the memory plan,
// sampling.
#include "test/runtime/fake_model.h"

#include "runtime/abi.h"
#include "runtime/file.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <gtest/gtest.h>
#include <linux/magic.h>
#include <random>
#include <sys/vfs.h>
#include <unistd.h>

using namespace gm;

namespace {

class Folder : public testing::Test {
protected:
  void SetUp() override {
    char name[] = "/tmp/gm_core_test.XXXXXX";
    folder = mkdtemp(name);
  }
  void TearDown() override {
    close_file(file);
    std::filesystem::remove_all(folder);
  }
  // Opens these bytes as a program.
  Status open(const std::string &bytes) {
    close_file(file);
    fake::write_file(folder + "/program", bytes);
    return open_file((folder + "/program").c_str(), file);
  }
  void expect(const Status &s, Code code, const char *part) {
    EXPECT_EQ(s.code, code) << s.text;
    EXPECT_NE(strstr(s.text, part), nullptr) << s.text;
  }

  std::string folder;
  File file;
};

gm_trailer trailer_of(const std::string &bytes) {
  gm_trailer t;
  memcpy(&t, bytes.data() + bytes.size() - sizeof t, sizeof t);
  return t;
}

std::string with_trailer(std::string bytes, const gm_trailer &t) {
  memcpy(bytes.data() + bytes.size() - sizeof t, &t, sizeof t);
  fake::seal(bytes);
  return bytes;
}

TEST(Failure, KeepsBothEndsOfALongMessage) {
  std::string path;
  while (path.size() < 4000)
    path += "fold\u00E9r/";
  Status s =
      failure(BAD_INPUT, "'%s' is damaged: bytes are missing; make it again",
              path.c_str());
  EXPECT_EQ(strlen(s.text), sizeof s.text - 1) << s.text;
  EXPECT_TRUE(std::string(s.text).starts_with("'fold\u00E9r/fold")) << s.text;
  EXPECT_TRUE(std::string(s.text).ends_with(
      "fold\u00E9r/' is damaged: bytes are missing; make it again"))
      << s.text;
  EXPECT_NE(strstr(s.text, "..."), nullptr);
  for (size_t n = 0; n < 8; ++n) { // never half a character
    Status t = failure(BAD_INPUT, "%s%s", path.c_str() + n, "x");
    std::string text = t.text;
    EXPECT_EQ(text.find("\xC3..."), std::string::npos) << text;
    EXPECT_EQ(text.find("...\xA9"), std::string::npos) << text;
  }
}

using Open = Folder;

TEST_F(Open, GoodFile) {
  ASSERT_TRUE(open(fake::program_bytes()).ok());
  EXPECT_EQ(file.manifest->model()->vocab(), fake::VOCAB);
  EXPECT_EQ(file.tokenizer.data, nullptr);
  EXPECT_EQ(file.code_bytes, 65536u);
}

TEST_F(Open, StrippedOrCut) {
  std::string bytes = fake::program_bytes();
  expect(open(bytes.substr(0, 65536)), BAD_INPUT, "stripped");
  expect(open(bytes.substr(0, bytes.size() - 1)), BAD_INPUT, "stripped");
  expect(open(""), BAD_INPUT, "stripped");
  expect(open("x"), BAD_INPUT, "stripped");
}

TEST_F(Open, Absent) {
  expect(open_file((folder + "/none").c_str(), file), BAD_INPUT, "none");
}

TEST_F(Open, OtherVersionNamesBoth) {
  std::string bytes = fake::program_bytes();
  gm_trailer t = trailer_of(bytes);
  t.abi = 77;
  Status s = open(with_trailer(bytes, t));
  expect(s, BAD_INPUT, "version 77");
  expect(s, BAD_INPUT, ("version " + std::to_string(GM_ABI)).c_str());
  expect(open(fake::program_bytes([](auto &p) { p.abi = 78; })), BAD_INPUT,
         "version 78");
}

TEST_F(Open, OffsetsOutsideTheFile) {
  const std::string bytes = fake::program_bytes();
  const uint64_t values[] = {1,          65536, bytes.size(), bytes.size() * 2,
                             1ull << 63, ~0ull, ~0ull - 4096};
  uint64_t gm_trailer::*const fields[] = {
      &gm_trailer::weights_offset,   &gm_trailer::weights_bytes,
      &gm_trailer::tokenizer_offset, &gm_trailer::tokenizer_bytes,
      &gm_trailer::manifest_offset,  &gm_trailer::manifest_bytes};
  for (auto field : fields)
    for (uint64_t value : values) {
      gm_trailer t = trailer_of(bytes);
      if (t.*field == value)
        continue;
      t.*field = value;
      Status s = open(with_trailer(bytes, t));
      // Harmless: an empty section anywhere, or a tokenizer somewhere inside.
      bool harmless = field == &gm_trailer::tokenizer_offset ||
                      field == &gm_trailer::tokenizer_bytes ||
                      field == &gm_trailer::weights_offset;
      if (!s.ok() || !harmless)
        EXPECT_EQ(s.code, BAD_INPUT) << value;
    }
}

TEST_F(Open, MutatedManifestNeverCrashes) {
  const std::string good = fake::program_bytes();
  gm_trailer t = trailer_of(good);
  std::mt19937 rng(1);
  int refused = 0;
  for (int i = 0; i < 2000; ++i) {
    std::string bytes = good;
    for (int j = 0; j < 1 + i % 8; ++j)
      bytes[t.manifest_offset + rng() % t.manifest_bytes] = char(rng());
    fake::seal(bytes);
    Status s = open(bytes);
    refused += !s.ok();
    Plan plan;
    if (s.ok())
      (void)make_plan(file, Options(), plan);
  }
  EXPECT_GT(refused, 100);
}

TEST_F(Open, EveryDamagedByteIsNoticed) {
  const std::string good = fake::program_bytes();
  for (size_t at = trailer_of(good).manifest_offset; at < good.size();
       at += 11) {
    std::string bytes = good;
    bytes[at] ^= char(1 << at % 8);
    EXPECT_EQ(open(bytes).code, BAD_INPUT) << at;
  }
}

TEST_F(Open, AbsurdManifest) {
  expect(open(fake::program_bytes([](auto &p) { p.model->vocab = 0; })),
         BAD_INPUT, "out of range");
  expect(open(fake::program_bytes([](auto &p) { p.model->window = -5; })),
         BAD_INPUT, "out of range");
  expect(open(fake::program_bytes([](auto &p) { p.model.reset(); })), BAD_INPUT,
         "no model");
  expect(open(fake::program_bytes([](auto &p) { p.memory.clear(); })),
         BAD_INPUT, "memory");
  expect(open(fake::program_bytes([](auto &p) { p.memory[0]->row = ~0ull; })),
         BAD_INPUT, "memory");
  expect(open(fake::program_bytes([](auto &p) { p.ple->rows = 0; })), BAD_INPUT,
         "embedding");
  expect(open(fake::program_bytes([](auto &p) { p.ple->offset = 190000; })),
         BAD_INPUT, "embedding");
  expect(open(fake::program_bytes(
             [](auto &p) { p.ple->slices[1]->bytes = 4081; })),
         BAD_INPUT, "slices");
  expect(open(fake::program_bytes([](auto &p) { p.weights_bytes = 5; })),
         BAD_INPUT, "embedding");
}

// What a program takes beside text: sizes that it computes with, and tokens.
TEST_F(Open, ChecksMedia) {
  auto with =
      [this](const std::function<void(gemmac::manifest::MediumT &)> &change,
             bool audio = false) {
        return open(fake::program_bytes([&](auto &p) {
          auto m = std::make_unique<gemmac::manifest::MediumT>();
          m->kind = audio ? "audio" : "image";
          m->tower = true;
          m->begin = 3, m->soft = 4, m->end = -1;
          m->budget = 280, m->patch = 16, m->pool = 3;
          m->theta = 100, m->pairs = 16, m->positions = 64, m->width = 64;
          m->columns = audio ? 128 : 768;
          change(*m);
          p.media.push_back(std::move(m));
        }));
      };
  EXPECT_TRUE(with([](auto &) {}).ok());
  EXPECT_TRUE(with([](auto &) {}, true).ok());
  EXPECT_TRUE(with([](auto &m) {
                m.tower = false;
                m.columns = 6912, m.pairs = 0, m.theta = 0;
              }).ok());
  for (auto change :
       std::initializer_list<std::function<void(gemmac::manifest::MediumT &)>>{
           [](auto &m) { m.soft = fake::VOCAB; }, [](auto &m) { m.end = -2; },
           [](auto &m) { m.begin = 1 << 30; }})
    expect(with(change), BAD_INPUT, "tokens of a medium");
  for (auto change :
       std::initializer_list<std::function<void(gemmac::manifest::MediumT &)>>{
           [](auto &m) { m.budget = 0; }, [](auto &m) { m.patch = 0; },
           [](auto &m) { m.pool = 9; }, [](auto &m) { m.columns = 767; },
           [](auto &m) { m.tower = false; }, [](auto &m) { m.pairs = 0; },
           [](auto &m) { m.theta = -1; }, [](auto &m) { m.positions = 0; },
           [](auto &m) { m.width = 0; }, [](auto &m) { m.width = -1; },
           [](auto &m) { m.width = 1 << 30; }})
    expect(with(change), BAD_INPUT, "sizes of a medium");
  expect(with([](auto &m) { m.columns = 0; }, true), BAD_INPUT,
         "sizes of a medium");
}

TEST_F(Open, MissingFeature) {
  expect(open(fake::program_bytes(
             [](auto &p) { p.target->required = {"unheard-of"}; })),
         MACHINE, "unheard-of");
}

TEST_F(Open, ExternalWeights) {
  auto external = [](auto &p) {
    p.external = true;
    p.external_name = "w";
  };
  expect(open(fake::program_bytes(external)), BAD_INPUT,
         "needs this weight file");
  fake::write_file(folder + "/w", fake::weights_bytes("other"));
  Status s = open(fake::program_bytes(external));
  expect(s, BAD_INPUT, "'other'");
  expect(s, BAD_INPUT, "'0123456789abcdef'");
  fake::write_file(folder + "/w", fake::weights_bytes("0123456789abcdef"));
  ASSERT_TRUE(open(fake::program_bytes(external)).ok());
  EXPECT_NE(file.weights_fd, file.fd);
  expect(open(fake::program_bytes([](auto &p) {
           p.external = true;
           p.external_name = "../w";
         })),
         BAD_INPUT, "external");
}

using Planning = Folder;

TEST_F(Planning, TotalIsTheSumAndFollowsTheFormula) {
  ASSERT_TRUE(open(fake::program_bytes()).ok());
  Options o;
  o.context = 1000;
  o.batch = 20;
  o.threads = 3;
  o.slots = 2;
  Plan p;
  ASSERT_TRUE(make_plan(file, o, p).ok());
  uint64_t sum = 0;
  for (int i = 0; i < p.terms; ++i)
    sum += p.term[i].bytes;
  EXPECT_EQ(p.total, sum);
  EXPECT_EQ(p.rows, 24);
  EXPECT_EQ(p.splits, 4);
  // 39 keys before 20 rows touch at most 2 pages.
  EXPECT_EQ(p.ring, 128);
  EXPECT_EQ(p.pages[GM_LOCAL], 2 * 2);
  EXPECT_EQ(p.pages[GM_GLOBAL], 2 * 16);
  EXPECT_EQ(p.term[0].bytes, 2u * 2 * 1024);
  EXPECT_EQ(p.term[1].bytes, 2u * 16 * 1024);
  // A checkpoint holds a window of local pages and copies one global page.
  o.checkpoints = 3;
  o.slot_rows = 4;
  ASSERT_TRUE(make_plan(file, o, p).ok());
  EXPECT_EQ(p.pages[GM_LOCAL], 2 * 2 + 3 * 2);
  EXPECT_EQ(p.pages[GM_GLOBAL], 2 * 16 + 3);
  // The table of per-layer embeddings is not counted.
  for (int i = 0; i < p.terms; ++i)
    if (!strcmp(p.term[i].name, "weights"))
      EXPECT_LT(p.term[i].bytes, 65536u * 9 - 100 * 4096 + 3 * 65536);
}

// A block goes into one step whatever the batch, and into the ring of its slot;
// models without blocks take no notice.
TEST_F(Planning, PlanHasRoomForABlock) {
  for (bool blocks : {true, false}) {
    ASSERT_TRUE(open(fake::program_bytes([=](auto &p) {
                  p.model->image_blocks = blocks;
                })).ok());
    Options o;
    Plan p, wide;
    o.batch = o.slot_rows = 4;
    o.context = 1000;
    o.block = 150;
    ASSERT_TRUE(make_plan(file, o, p).ok());
    EXPECT_EQ(p.batch, 4);
    EXPECT_EQ(p.rows, blocks ? 152 : 8);
    EXPECT_EQ(p.slot_rows, blocks ? 150 : 4);
    o.batch = o.slot_rows = 150;
    o.block = 0;
    ASSERT_TRUE(make_plan(file, o, wide).ok());
    EXPECT_EQ(blocks, p.ring == wide.ring);
    o.block = 1001;
    if (blocks)
      expect(make_plan(file, o, p), USAGE, "a block of 1001 rows");
    o.block = -1;
    expect(make_plan(file, o, p), USAGE, "block");
  }
}

TEST_F(Planning, RingIsLongEnoughForRollback) {
  ASSERT_TRUE(open(fake::program_bytes()).ok());
  for (int batch : {1, 8, 9, 17, 100, 500}) {
    Options o;
    o.batch = batch;
    Plan p;
    ASSERT_TRUE(make_plan(file, o, p).ok());
    EXPECT_GE(p.ring, fake::WINDOW - 1 + std::max(batch, 8));
    EXPECT_LT(p.ring, fake::WINDOW - 1 + std::max(batch, 8) + 2 * 64);
  }
}

TEST_F(Planning, Limits) {
  ASSERT_TRUE(open(fake::program_bytes()).ok());
  Plan p;
  Options o;
  o.context = fake::MAX_CONTEXT + 1;
  expect(make_plan(file, o, p), USAGE, "2048");
  o = Options();
  o.threads = 100000;
  expect(make_plan(file, o, p), USAGE, "256");
  o = Options();
  ASSERT_TRUE(make_plan(file, o, p).ok());
  EXPECT_EQ(p.context, fake::MAX_CONTEXT);
  EXPECT_EQ(p.batch, 512);
}

TEST_F(Planning, TooLargeNamesTheLargestThatFits) {
  // A page of 4 GiB per cache: some contexts fit, the maximum does not.
  const uint64_t page = std::min<uint64_t>(available_memory() / 8, 4ull << 30);
  ASSERT_TRUE(open(fake::program_bytes([&](auto &p) {
                p.caches[1]->k_page = page;
              })).ok());
  Plan p;
  Options o;
  ASSERT_TRUE(make_plan(file, o, p).ok());
  Status s = check_plan(file, o, p);
  expect(s, RESOURCES, "the largest");
  const char *number = strstr(s.text, "-c ");
  ASSERT_NE(number, nullptr);
  o.context = atoll(number + 3);
  ASSERT_TRUE(make_plan(file, o, p).ok());
  EXPECT_TRUE(check_plan(file, o, p).ok());
  o.context += 64;
  ASSERT_TRUE(make_plan(file, o, p).ok());
  EXPECT_FALSE(check_plan(file, o, p).ok());
  // Sizes that overflow 64 bits saturate.
  ASSERT_TRUE(open(fake::program_bytes([&](auto &p) {
                p.caches[1]->k_page = 1ull << 45;
                p.memory[0]->row = 1ull << 46;
              })).ok());
  o = Options();
  o.slots = 4096;
  o.batch = 1 << 20;
  ASSERT_TRUE(make_plan(file, o, p).ok());
  EXPECT_EQ(p.total, UINT64_MAX);
  expect(check_plan(file, o, p), RESOURCES, "no context fits");
}

// What the plan has to leave free, and what a file system in memory has taken
// already.
TEST_F(Planning, Fits) {
  auto leave = [&](uint64_t bytes) {
    std::filesystem::create_directories(folder + "/proc");
    fake::write_file(folder + "/proc/meminfo",
                     "MemAvailable: " + std::to_string(bytes / 1024) + " kB\n");
  };
  Plan p;
  Options o;
  auto fits = [&] { return check_plan(file, o, p, folder.c_str()).ok(); };
  ASSERT_TRUE(open(fake::program_bytes()).ok());
  ASSERT_TRUE(make_plan(file, o, p).ok());
  struct statfs here;
  ASSERT_EQ(statfs(folder.c_str(), &here), 0);
  const bool in_memory = here.f_type == TMPFS_MAGIC;
  uint64_t weights = 0;
  for (int i = 0; i < p.terms; ++i)
    if (!strcmp(p.term[i].name, "weights"))
      weights = p.term[i].bytes;
  const uint64_t need = p.total - (in_memory ? weights : 0);
  leave(need + p.total / 100);
  EXPECT_FALSE(
      fits()); // to the byte is too little for what is read in a circle
  leave(need + p.total / 40);
  EXPECT_TRUE(fits());
  leave(1 << 20);
  EXPECT_FALSE(fits());
  o.unchecked = true;
  EXPECT_TRUE(fits());
  o.unchecked = false;

  // The same file where its pages are memory that is used already.
  struct statfs shm;
  if (in_memory || statfs("/dev/shm", &shm) != 0 || shm.f_type != TMPFS_MAGIC)
    GTEST_SKIP() << "/dev/shm and this folder are no two file systems";
  const std::string path = "/dev/shm/gm_core_test." + std::to_string(getpid());
  fake::write_file(path, fake::program_bytes());
  close_file(file);
  ASSERT_TRUE(open_file(path.c_str(), file).ok());
  std::filesystem::remove(path);
  leave(p.total - weights + p.total / 40);
  EXPECT_TRUE(fits());
  leave(p.total - weights + p.total / 100);
  EXPECT_FALSE(fits());
}

//===- sampling -----------------------------------------------------------===//

std::vector<double> frequencies(const std::vector<float> &logits,
                                const Sampling &s, bool top) {
  Random random = {42};
  std::vector<double> count(logits.size());
  std::vector<Candidate> scratch(logits.size());
  int32_t ids[GM_TOP];
  float values[GM_TOP];
  const int draws = 200000;
  for (int i = 0; i < draws; ++i) {
    int32_t id;
    if (top) { // the fixture's logits descend
      for (int j = 0; j < GM_TOP; ++j) {
        ids[j] = j < int(logits.size()) ? j : -1;
        values[j] = j < int(logits.size()) ? logits[size_t(j)] : -1e30f;
      }
      id = sample_top(ids, values, s, random);
    } else {
      id = sample_logits(logits.data(), int64_t(logits.size()), nullptr, s,
                         random, scratch.data());
    }
    count[size_t(id)] += 1.0 / draws;
  }
  return count;
}

TEST(Sampling, DrawsFollowTheDistribution) {
  const std::vector<float> logits = {2.0f, 1.5f, 1.0f, 0.0f, -1.0f};
  struct {
    Sampling s;
    size_t kept;
  } const cases[] = {
      {{1, 0, 1, 0}, 5},    {{0.5, 0, 1, 0}, 5}, {{1, 3, 1, 0}, 3},
      {{1, 0, 0.8, 0}, 3}, // 0.45 + 0.27 < 0.8 <= 0.45 + 0.27 + 0.17
      {{1, 0, 1, 0.3}, 3}, // e^-1 >= 0.3 > e^-2
      {{1, 2, 0.99, 0}, 2},
  };
  for (const auto &c : cases)
    for (bool top : {false, true}) {
      double sum = 0;
      for (size_t i = 0; i < c.kept; ++i)
        sum += std::exp(logits[i] / c.s.temperature);
      std::vector<double> f = frequencies(logits, c.s, top);
      for (size_t i = 0; i < logits.size(); ++i)
        EXPECT_NEAR(
            f[i], i < c.kept ? std::exp(logits[i] / c.s.temperature) / sum : 0,
            0.005)
            << c.s.temperature << " " << c.s.top_k << " " << c.s.top_p << " "
            << c.s.min_p << " " << i;
    }
}

TEST(Sampling, GreedyTakesTheLowestIdOfEqualOnes) {
  std::vector<float> logits = {1, 3, 3, 2};
  Candidate scratch[4];
  Random random;
  EXPECT_EQ(sample_logits(logits.data(), 4, nullptr, {}, random, scratch), 1);
  uint32_t mask = 0b1101;
  EXPECT_EQ(sample_logits(logits.data(), 4, &mask, {}, random, scratch), 2);
  mask = 0;
  EXPECT_EQ(sample_logits(logits.data(), 4, &mask, {}, random, scratch), -1);
}

// Of a vocabulary, no order in it: as many draws of each as of the sorted ones.
TEST(Sampling, DrawsFromAVocabulary) {
  std::mt19937 engine(3);
  std::normal_distribution<float> normal(0, 3);
  std::vector<float> logits(12000); // more than a block
  for (float &x : logits)
    x = std::round(4 * normal(engine)) / 4; // many are equal
  std::vector<Candidate> sorted(logits.size()), scratch(logits.size());
  for (size_t i = 0; i < logits.size(); ++i)
    sorted[i] = {logits[i], int32_t(i)};
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](auto &a, auto &b) { return a.value > b.value; });
  for (Sampling s :
       {Sampling{1, 0, 1, 0}, Sampling{0.7, 0, 0.9, 0}, Sampling{2, 0, 1, 0.05},
        Sampling{1.5, 0, 0.5, 0.01}, Sampling{1, 2000, 0.95, 0}}) {
    int64_t all = s.top_k ? s.top_k : int64_t(logits.size());
    double sum = 0, kept = 0, before = 0;
    auto w = [&](int64_t i) {
      return std::exp(
          (double(sorted[size_t(i)].value) - double(sorted[0].value)) /
          s.temperature);
    };
    for (int64_t i = 0; i < all; ++i)
      sum += w(i);
    int64_t n = 0;
    for (; n < all; ++n) {
      if (n && ((s.top_p < 1 && before >= s.top_p * sum) || w(n) < s.min_p))
        break;
      before += w(n);
    }
    kept = before;
    // Rank of each draw, in ten parts of equal probability.
    std::vector<int> part(logits.size(), -1);
    before = 0;
    for (int64_t i = 0; i < n; ++i) {
      part[size_t(sorted[size_t(i)].id)] = int(before / kept * 10);
      before += w(i);
    }
    double count[10] = {}, expected[10] = {};
    for (int64_t i = 0; i < n; ++i)
      expected[part[size_t(sorted[size_t(i)].id)]] += w(i) / kept;
    Random random = {11};
    const int draws = 3000;
    for (int i = 0; i < draws; ++i) {
      int32_t id = sample_logits(logits.data(), int64_t(logits.size()), nullptr,
                                 s, random, scratch.data());
      ASSERT_GE(part[size_t(id)], 0) << "not in the prefix: " << id;
      count[part[size_t(id)]] += 1.0 / draws;
    }
    for (int i = 0; i < 10; ++i)
      EXPECT_NEAR(count[i], expected[i], 0.03)
          << s.temperature << " " << s.top_p << " " << s.min_p << " " << i;
  }
}

// Sorting a vocabulary takes up to 47 ms a token.
TEST(Sampling, AllTokensOfAVocabularyAreFast) {
  std::mt19937 engine(4);
  std::normal_distribution<float> normal(0, 1);
  std::vector<float> flat(262144), peaks(flat.size());
  for (size_t i = 0; i < flat.size(); ++i) {
    flat[i] = normal(engine) / 100;
    // As models have it, few are likely.
    peaks[i] = normal(engine) * 3 + (i % 5000 ? 0.f : 20.f);
  }
  std::vector<Candidate> scratch(flat.size());
  auto cpu = [] {
    timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return 1e3 * double(t.tv_sec) + 1e-6 * double(t.tv_nsec);
  };
  int number = 0;
  for (const std::vector<float> &logits : {peaks, flat})
    for (Sampling s :
         {Sampling{1, 0, 1, 0}, Sampling{1, 0, 0.95, 0}, Sampling{1, 0, 0.5, 0},
          Sampling{1, 0, 1, 0.01}, Sampling{1, 100000, 0.9, 0}}) {
      double best = 1e9;
      for (int i = 0; i < 5; ++i) {
        Random random = {uint64_t(i)};
        double begin = cpu();
        sample_logits(logits.data(), int64_t(logits.size()), nullptr, s, random,
                      scratch.data());
        best = std::min(best, cpu() - begin);
      }
      RecordProperty("ms_" + std::to_string(number++), std::to_string(best));
      EXPECT_LT(best, 20) << number; // 2 to 9; debug builds are slower
    }
}

TEST(Sampling, WhatIsNoNumberIsAnError) {
  std::vector<float> logits(300, 0.5f);
  std::vector<Candidate> scratch(logits.size());
  Random random = {1};
  for (float bad : {NAN, -NAN, INFINITY})
    for (size_t at : {size_t(0), size_t(7), logits.size() - 1})
      for (Sampling s : {Sampling{}, Sampling{1, 0, 1, 0},
                         Sampling{1, 100, 0.9, 0}, Sampling{1, 0, 0.5, 0}}) {
        std::vector<float> row = logits;
        row[at] = bad;
        EXPECT_EQ(sample_logits(row.data(), int64_t(row.size()), nullptr, s,
                                random, scratch.data()),
                  NOT_FINITE);
      }
  // Masked ones are not looked at; -INFINITY is never drawn.
  std::vector<float> row = {NAN, 1, -INFINITY, 0};
  uint32_t mask = 0b1110;
  for (int i = 0; i < 100; ++i)
    EXPECT_EQ(sample_logits(row.data(), 4, &mask, {1e3, 0, 1, 0}, random,
                            scratch.data()) %
                  2,
              1);
}

TEST(Sampling, SeedsRepeat) {
  Random a = {7}, b = {7}, c = {8};
  uint64_t first = a.next();
  EXPECT_EQ(first, b.next());
  EXPECT_NE(first, c.next());
  Random zero = {0};
  EXPECT_EQ(zero.next(),
            0xE220A8397B1DCDAFull); // the published first value of splitmix64
}

} // namespace
