// Divergence of logits, and files of reference logits: values known by hand or
// by other formulas, and every broken file.
#include "runtime/app/divergence.h"
#include "runtime/app/reference_file.h"
#include "runtime/app/tensor_file.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <random>
#include <stdlib.h>
#include <unistd.h>

using namespace gm;

namespace {

using Logits = std::vector<float>;

RowCheck add(Divergence &d, const Logits &reference, const Logits &own,
             int32_t target = -1) {
  EXPECT_EQ(reference.size(), own.size());
  return d.add(reference.data(), own.data(), int64_t(own.size()), target);
}

TEST(Divergence, TwoOutcomes) {
  // p = (3/4, 1/4), q = (1/2, 1/2), any shift of the logits.
  for (float shift : {0.f, 80.f, -1000.f}) {
    Divergence d;
    EXPECT_EQ(add(d, {std::log(3.f) + shift, shift}, {1 - shift, 1 - shift}, 1),
              RowCheck::Fine);
    double kl = 0.75 * std::log(0.75 / 0.5) + 0.25 * std::log(0.25 / 0.5);
    EXPECT_NEAR(d.mean(), kl, 1e-5);
    EXPECT_EQ(d.same_top(), 1);
    EXPECT_NEAR(d.nll(), std::log(2), 1e-6);
    EXPECT_NEAR(d.perplexity_ratio(), 2.0 / 4.0, 1e-5);
  }
}

TEST(Divergence, EqualRowsHaveNone) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal(0, 8);
  for (size_t n : {1, 2, 1000, 100000}) {
    Logits row(n);
    for (float &x : row)
      x = normal(random);
    Divergence d;
    EXPECT_EQ(add(d, row, row, 0), RowCheck::Fine);
    EXPECT_GE(d.mean(), 0);
    EXPECT_LT(d.mean(), 1e-13);
    EXPECT_EQ(d.perplexity_ratio(), 1);
  }
}

// Small divergences against the sum of the terms p log(p/q) - p + q, none of
// which is negative, in long double.
TEST(Divergence, SmallOnes) {
  std::mt19937 random(2);
  std::normal_distribution<float> normal(0, 4);
  for (float noise : {1e-1f, 1e-3f, 1e-4f}) {
    Logits a(5000), b(5000);
    for (size_t i = 0; i < a.size(); ++i) {
      a[i] = normal(random);
      b[i] = a[i] + noise * normal(random);
    }
    long double za = 0, zb = 0, kl = 0;
    for (size_t i = 0; i < a.size(); ++i) {
      za += std::exp((long double)a[i]);
      zb += std::exp((long double)b[i]);
    }
    for (size_t i = 0; i < a.size(); ++i) {
      long double p = std::exp((long double)a[i]) / za,
                  q = std::exp((long double)b[i]) / zb;
      kl += p * std::log(p / q) - p + q;
    }
    Divergence d;
    EXPECT_EQ(add(d, a, b), RowCheck::Fine);
    EXPECT_NEAR(d.mean() / double(kl), 1, noise > 1e-3f ? 1e-12 : 1e-6);
  }
}

TEST(Divergence, ManyRows) {
  // Rows of divergence log 2, 0, 0: the reference is sure where q is even.
  Divergence d;
  EXPECT_EQ(add(d, {0, -1e4f}, {1, 1}), RowCheck::Fine);
  EXPECT_EQ(add(d, {5, 5}, {1, 1}), RowCheck::Fine);
  EXPECT_EQ(add(d, {0, 1}, {1, 2}), RowCheck::Fine);
  EXPECT_EQ(d.rows(), 3u);
  EXPECT_NEAR(d.mean(), std::log(2) / 3, 1e-12);
  EXPECT_NEAR(d.quantile(0), 0, 1e-12);
  EXPECT_NEAR(d.quantile(0.5), 0, 1e-12);
  EXPECT_NEAR(d.quantile(0.75), std::log(2) / 2, 1e-12); // between the last two
  EXPECT_NEAR(d.quantile(1), std::log(2), 1e-12);
  EXPECT_EQ(d.same_top(), 1);
  EXPECT_EQ(add(d, {0, 1}, {1, 0}), RowCheck::Fine);
  EXPECT_EQ(d.same_top(), 0.75);
  Divergence none;
  EXPECT_EQ(none.mean(), 0);
  EXPECT_EQ(none.quantile(0.99), 0);
  EXPECT_EQ(none.perplexity_ratio(), 1);
}

// Sums and the most are of all rows, other quantiles of a part of them.
TEST(Divergence, MoreRowsThanAreKept) {
  Divergence d;
  const uint64_t rows = 5 * Divergence::KEPT / 2 + 3;
  for (uint64_t i = 0; i < rows; ++i) // most rows differ by nothing
    add(d,
        {i == rows - 1 ? -1e4f
         : i % 4 < 2   ? 0
                       : 1.f,
         0},
        {0, i % 4 == 1 ? 0.5f : 0});
  EXPECT_EQ(d.rows(), rows);
  EXPECT_EQ(d.quantile(0), 0);
  EXPECT_NEAR(d.quantile(1), std::log(2), 1e-12);
  // Every fourth row: 0, or the divergence of (e, 1) from (1, 1).
  const double p = 1 / (1 + std::exp(-1.0)),
               kl = p * std::log(2 * p) + (1 - p) * std::log(2 * (1 - p));
  EXPECT_GT(d.mean(), kl / 2);
  EXPECT_TRUE(d.quantile(0.5) == 0 || std::abs(d.quantile(0.5) - kl) < 1e-9);
}

TEST(Divergence, NotFinite) {
  const float inf = INFINITY, nan = NAN;
  Divergence d;
  EXPECT_EQ(add(d, {0, -inf, 0}, {0, -5, 0}),
            RowCheck::Fine); // never predicted
  EXPECT_TRUE(std::isfinite(d.mean()));
  EXPECT_EQ(add(d, {0, nan}, {0, 0}), RowCheck::ReferenceNotFinite);
  EXPECT_EQ(add(d, {nan, 0}, {0, 0}), RowCheck::ReferenceNotFinite);
  EXPECT_EQ(add(d, {0, inf}, {0, 0}), RowCheck::ReferenceNotFinite);
  EXPECT_EQ(add(d, {-inf, -inf}, {0, 0}), RowCheck::ReferenceNotFinite);
  EXPECT_EQ(add(d, {0, 0}, {0, nan}), RowCheck::NotFinite);
  EXPECT_EQ(add(d, {0, 0}, {-inf, 0}), RowCheck::NotFinite);
  EXPECT_EQ(d.rows(), 1u);
}

//===-- files -------------------------------------------------------------===//

class Reference : public testing::Test {
protected:
  void SetUp() override {
    char name[] = "/tmp/reference-test-XXXXXX";
    ASSERT_TRUE(mkdtemp(name));
    folder = name;
    path = folder + "/ref";
  }
  void TearDown() override {
    unlink(path.c_str());
    rmdir(folder.c_str());
  }

  void write(const std::string &header, const std::string &data,
             uint64_t length = 0) {
    std::ofstream file(path, std::ios::binary);
    length = length ? length : header.size();
    file.write(reinterpret_cast<char *>(&length), 8);
    file << header << data;
  }

  // Opens with ids 7, 9 and a vocabulary of 3, reads both rows.
  std::string problem(std::vector<float> *values = nullptr) {
    ReferenceFile file;
    Status s = file.open(path, 2, 3);
    for (int32_t id : {7, 9})
      if (s.ok())
        s = file.check_ids({id});
    for (int r = 0; r < 2 && s.ok(); ++r) {
      const float *row;
      s = file.next_row(row);
      if (s.ok() && values)
        values->insert(values->end(), row, row + 3);
    }
    EXPECT_TRUE(s.ok() || s.code == BAD_INPUT) << s.text;
    return s.text;
  }

  std::string folder, path;
};

template <typename T>
std::string bytesOf(const std::vector<T> &values) {
  return {reinterpret_cast<const char *>(values.data()),
          values.size() * sizeof(T)};
}

const std::vector<float> rows = {1, 2, 3, 4, 5, 6};
const std::string ids32 = bytesOf<int32_t>({7, 9}),
                  ids64 = bytesOf<int64_t>({7, 9}), values = bytesOf(rows);
const std::string head =
    R"({"input_ids":{"dtype":"I32","shape":[2],"data_offsets":[0,8]},)"
    R"("logits":{"dtype":"F32","shape":[2,3],"data_offsets":[8,32]}})";

TEST_F(Reference, WhatEvalWrites) {
  const std::vector<int32_t> ids = {7, 9};
  TensorFile file;
  ASSERT_TRUE(file.create(path, "logits", 2, 3, true).ok());
  ASSERT_TRUE(file.write_ids(ids).ok());
  ASSERT_TRUE(file.write_row(rows.data()).ok());
  ASSERT_TRUE(file.write_row(rows.data() + 3).ok());
  ASSERT_TRUE(file.finish().ok());
  std::vector<float> got;
  EXPECT_EQ(problem(&got), "");
  EXPECT_EQ(got, rows);
}

TEST_F(Reference, OtherOrdersAndTensors) {
  write(R"( {"__metadata__": {"a": "\"}", "b": ""},
    "other": {"dtype": "U8", "shape": [], "data_offsets": [40, 41]},
    "logits": {"data_offsets": [0, 24], "shape": [2, 3], "dtype": "F32"},
    "input_ids": {"dtype": "I64", "shape": [2], "more": [1, {"x": null}],
                  "data_offsets": [24, 40]} } )",
        values + ids64 + "x");
  std::vector<float> got;
  EXPECT_EQ(problem(&got), "");
  EXPECT_EQ(got, rows);
}

TEST_F(Reference, WrongShapesAndIds) {
  auto with = [&](const std::string &from, const std::string &to) {
    std::string header = head;
    header.replace(header.find(from), from.size(), to);
    write(header, ids32 + values);
    return problem();
  };
  auto has = [](const std::string &text, const std::string &part) {
    EXPECT_NE(text.find(part), std::string::npos) << text;
  };
  has(with("logits", "logit5"), "lacks the tensor logits");
  has(with("input_ids", "input_idx"), "lacks the tensor input_ids");
  has(with("\"F32\"", "\"F16\""), "expected F32 [2, 3]");
  has(with("[2,3]", "[3,3]"), "found F32 [3, 3]");
  has(with("[2,3]", "[2,4]"), "found F32 [2, 4]");
  has(with("[8,32]", "[8,28]"), "logits: expected");
  has(with("[2]", "[1]"), "input_ids: expected I32 [2], found I32 [1]");
  has(with("I32", "F32"), "input_ids: expected");
  has(with("[8,32]", "[32,8]"), "not as expected");
  has(with("[8,32]", "[8,32,1]"), "not as expected");
  has(with("[8,32]", "[12,36]"), "fewer than its header says");
  has(with("[2,3]", "[1e9,3]"), "not as expected");
  has(with("[2,3]", "[99999999999999999999,3]"), "not as expected");
  has(with("logits", "input_ids"), "not as expected"); // twice
  has(with("}}", "}"), "not as expected");
  write(head, bytesOf<int32_t>({7, 8}) + values);
  has(problem(), "expected id 9 as token 1, found 8");
}

TEST_F(Reference, BrokenFiles) {
  const std::string deep(1000, '[');
  for (std::string header :
       {std::string(""), std::string("{"), std::string("[]"),
        std::string("{\"a\""), std::string("{\"a\":}"),
        std::string("{\"a\":\"\\"), "{\"a\":" + deep, std::string("{}")}) {
    write(header, "");
    EXPECT_NE(problem(), "") << header;
  }
  for (uint64_t length : {uint64_t(1), uint64_t(1) << 20, uint64_t(1) << 62}) {
    write(head, ids32 + values, length);
    EXPECT_NE(problem(), "");
  }
  const std::string whole = head + ids32 + values;
  for (size_t cut = 0; cut < whole.size(); ++cut) {
    write(whole.substr(0, cut), "", head.size());
    EXPECT_NE(problem(), "") << cut;
  }
  unlink(path.c_str());
  EXPECT_NE(problem().find("cannot open"), std::string::npos);
}

TEST_F(Reference, Pipes) {
  auto through = [&](const std::string &bytes) {
    int ends[2];
    EXPECT_EQ(pipe(ends), 0);
    EXPECT_EQ(::write(ends[1], bytes.data(), bytes.size()),
              ssize_t(bytes.size()));
    close(ends[1]);
    const std::string before = path;
    path = "/dev/fd/" + std::to_string(ends[0]);
    std::string text = problem();
    path = before;
    close(ends[0]);
    return text;
  };
  uint64_t n = head.size();
  std::string start(reinterpret_cast<char *>(&n), 8);
  EXPECT_EQ(through(start + head + ids32 + values), "");
  EXPECT_NE(through(start + head + ids32 + values.substr(1)), "");
  std::string turned =
      R"({"logits":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},)"
      R"("input_ids":{"dtype":"I32","shape":[2],"data_offsets":[24,32]}})";
  n = turned.size();
  start.assign(reinterpret_cast<char *>(&n), 8);
  EXPECT_NE(through(start + turned + values + ids32).find("before its logits"),
            std::string::npos);
}

} // namespace
