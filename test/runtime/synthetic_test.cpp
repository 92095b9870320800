// Synthetic weights: what numbers they are, that they are made where they
// belong without a file, and what a program can do that has no others.
#include "runtime/host/synthetic.h"
#include "test/runtime/fake_model.h"

#include "runtime/abi.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <gtest/gtest.h>
#include <set>
#include <unistd.h>

using namespace gm;

namespace {

std::vector<uint8_t> numbers(const char *format, uint64_t at, size_t bytes) {
  std::vector<uint8_t> made(bytes);
  synthesize(synthetic_words(format), at, made.data(), bytes);
  return made;
}

uint16_t half(const std::vector<uint8_t> &bytes, size_t at) {
  uint16_t x;
  memcpy(&x, bytes.data() + at, 2);
  return x;
}

double f32_of(uint32_t bits) { return std::bit_cast<float>(bits); }

// Neither infinite nor NaN nor subnormal.
double f16_of(uint16_t bits) {
  const int exponent = bits >> 10 & 31;
  EXPECT_TRUE(exponent > 0 && exponent < 31) << bits;
  return (bits >> 15 ? -1 : 1) *
         std::ldexp(1 + (bits & 1023) / 1024.0, exponent - 15);
}

TEST(Synthetic, AllNumbersOfAFormatAreInItsRange) {
  const size_t bytes = 1 << 16;
  const double least = std::ldexp(1, -11), most = std::ldexp(1, -7);
  std::vector<uint8_t> q8 = numbers("q8_0", 0, bytes),
                       q4 = numbers("q4_bf", 0, bytes),
                       bf16 = numbers("bf16", 0, bytes),
                       f32 = numbers("f32", 0, bytes);
  std::set<uint8_t> codes;
  int negative[2] = {};
  for (size_t i = 0; i < bytes; i += 2) {
    const double q8_scale = f16_of(half(q8, i)),
                 q4_scale = f32_of(uint32_t(half(q4, i)) << 16),
                 value = f32_of(uint32_t(half(bf16, i)) << 16);
    EXPECT_TRUE(q8_scale >= least && q8_scale < most) << q8_scale;
    EXPECT_TRUE(q4_scale >= least && q4_scale < most) << q4_scale;
    EXPECT_TRUE(std::abs(value) >= most && std::abs(value) < 4 * most) << value;
    negative[0] += value < 0;
    codes.insert(q8[i]);
  }
  EXPECT_EQ(codes.size(), 256u);
  for (size_t i = 0; i < bytes; i += 4) {
    uint32_t bits;
    memcpy(&bits, f32.data() + i, 4);
    const double value = f32_of(bits);
    EXPECT_TRUE(std::abs(value) >= 0.5 && std::abs(value) < 1) << value;
    negative[1] += value < 0;
  }
  EXPECT_NEAR(negative[0], double(bytes) / 4, 500);
  EXPECT_NEAR(negative[1], double(bytes) / 8, 500);
}

TEST(Synthetic, OtherQuantisedFormatsHaveScalesOfF16) {
  const std::vector<uint8_t> q8 = numbers("q8_0", 64, 256);
  for (const char *format : {"q4_0", "q8_0_split", "q8_0_low"})
    EXPECT_EQ(numbers(format, 64, 256), q8) << format;
}

TEST(Synthetic, ANumberDependsOnItsPlaceAlone) {
  const std::vector<uint8_t> all = numbers("q4_0", 1024, 256);
  for (uint64_t at : {0, 1, 2, 3, 34, 101})
    for (size_t bytes : {0, 1, 2, 3, 4, 7, 130})
      EXPECT_EQ(numbers("q4_0", 1024 + at, bytes),
                std::vector<uint8_t>(all.begin() + ptrdiff_t(at),
                                     all.begin() + ptrdiff_t(at + bytes)));
  // Beyond 16 GiB they come again.
  EXPECT_EQ(numbers("q4_0", (uint64_t(4) << 32) + 1024, 256), all);
}

//===- programs -----------------------------------------------------------===//

class Weightless : public testing::Test {
protected:
  void SetUp() override {
    path = "/tmp/gm_synthetic_test." + std::to_string(getpid());
  }
  void TearDown() override {
    stop(engine);
    close_file(file);
    unlink(path.c_str());
  }
  Status open(const fake::Change &change, bool weights = true) {
    close_file(file);
    fake::write_file(path, fake::program_bytes(change));
    return open_file(path.c_str(), file, weights);
  }
  Status begin(Load load) {
    Options options;
    options.threads = 3;
    options.load = load;
    if (Status s = make_plan(file, options, plan); !s.ok())
      return s;
    return start(file, gm_model, options, plan, engine);
  }

  std::string path;
  File file;
  Plan plan;
  Engine *engine = nullptr;
};

TEST_F(Weightless, OnlySyntheticOnesStart) {
  Status s = open([](auto &p) { p.weightless = true; });
  ASSERT_TRUE(s.ok()) << s.text;
  EXPECT_LT(file.weights_fd, 0);
  s = begin(Load::Auto);
  EXPECT_EQ(s.code, UNSUPPORTED);
  EXPECT_NE(strstr(s.text, "--weights=none"), nullptr) << s.text;
  s = begin(Load::Synthetic);
  EXPECT_TRUE(s.ok()) << s.text;
}

TEST_F(Weightless, HasNoneInAFile) {
  Status s = open([](auto &p) {
    p.weightless = true;
    p.external = true;
    p.external_name = "w";
  });
  EXPECT_EQ(s.code, BAD_INPUT);
  EXPECT_NE(strstr(s.text, "says that it has none"), nullptr) << s.text;
}

// Every weight, from the first to the last byte and nothing between them; the
// PLE table stays away.
TEST_F(Weightless, WeightsAreMade) {
  Status s = open([](auto &p) {
    p.weightless = true;
    fake::add_weights(p);
  });
  ASSERT_TRUE(s.ok()) << s.text;
  ASSERT_TRUE(begin(Load::Synthetic).ok());
  const gemmac::manifest::Program &p = *file.manifest;
  const uint8_t *made = loaded(*engine).weights;
  uint64_t end = 0;
  for (const gemmac::manifest::Weight *w : *p.weights()) {
    if (is_ple_table(p, *w)) {
      end = w->offset() + w->bytes();
      continue;
    }
    for (; end < w->offset(); ++end)
      ASSERT_EQ(made[end], 0) << end;
    std::vector<uint8_t> want(w->bytes());
    synthesize(synthetic_words(*w), end, want.data(), want.size());
    EXPECT_EQ(memcmp(made + end, want.data(), want.size()), 0)
        << w->name()->c_str();
    end += w->bytes();
  }
}

// The file is not asked for them, nor for rows of the table.
TEST_F(Weightless, AlsoWhereTheFileHasThem) {
  const fake::Change change = [](auto &p) {
    fake::add_weights(p);
    p.external = true;
    p.external_name = "none";
  };
  EXPECT_EQ(open(change).code, BAD_INPUT);
  Status s = open(change, false);
  ASSERT_TRUE(s.ok()) << s.text;
  ASSERT_TRUE(begin(Load::Synthetic).ok());
  const Row rows[] = {{5, 0, 0, true}, {7, 0, 1, true}};
  Job job;
  job.rows = rows;
  job.count = 2;
  job.ask.output = Output::Hidden;
  s = step(*engine, job);
  EXPECT_TRUE(s.ok()) << s.text;
  // The fake model knows what bytes its own table has.
  EXPECT_NE(fake::complaints(), "");
}

} // namespace
