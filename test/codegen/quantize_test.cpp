// Blocks of quantised weights: values on a grid are kept bit by bit, others are
// never worse than by the plain rule, source blocks are taken over as they are.
#include "codegen/Quantize.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

using namespace gemmac;

namespace {

// The value of column `col` of row `row` of a packed matrix, from the bytes.
float packedValue(const Layout &layout, const std::vector<uint8_t> &bytes,
                  int64_t row, int64_t col, int64_t cols) {
  const uint8_t *block = bytes.data() + layout.address(row, col, cols);
  int64_t r = row % 16, i = col % 32;
  uint16_t scale;
  memcpy(&scale, block + layout.blockBytes - 32 + r * 2, 2);
  float s = layout.format == "q4_bf" ? bf16ToFloat(scale) : halfToFloat(scale);
  if (layout.format == "q8_0")
    return float(block[i / 4 * 64 + r * 4 + i % 4] - 128) * s;
  int byte = block[i % 16 / 4 * 64 + r * 4 + i % 4];
  return float((i < 16 ? byte & 15 : byte >> 4) - 8) * s;
}

// Whether two values are the same bits.
bool same(float a, float b) { return memcmp(&a, &b, 4) == 0; }

// The squared error of the largest magnitude at 127, or at 7 of 4 bits, with a
// scale of the format's digits.
double plainError(const std::string &format, const float *values) {
  float peak = 0;
  for (int i = 0; i < blockValues; ++i)
    peak = std::max(peak, std::fabs(values[i]));
  int exponent, digits = format == "q4_bf" ? 8 : 11;
  double mantissa =
      std::frexp(peak / (format == "q8_0" ? 127.0 : 7.0), &exponent);
  double scale = std::ldexp(std::nearbyint(std::ldexp(mantissa, digits)),
                            exponent - digits);
  double error = 0;
  for (int i = 0; i < blockValues; ++i) {
    double code = scale != 0 ? std::nearbyint(values[i] / scale) : 0;
    error += std::pow(code * scale - values[i], 2);
  }
  return error;
}

double errorOf(const std::string &format, const QuantBlock &block,
               const float *values) {
  double error = 0;
  for (int i = 0; i < blockValues; ++i)
    error += std::pow(double(quantValue(format, block, i)) - values[i], 2);
  return error;
}

class Formats : public testing::TestWithParam<const char *> {
protected:
  std::string format = GetParam();
  int low = format == "q8_0" ? -127 : -8, high = format == "q8_0" ? 127 : 7;
  std::mt19937 random{7};
};

INSTANTIATE_TEST_SUITE_P(All, Formats, testing::Values("q8_0", "q4_0", "q4_bf"),
                         [](auto &info) { return std::string(info.param); });

TEST_P(Formats, CodesStayInRangeAndErrorsBelowThePlainRule) {
  std::normal_distribution<float> normal;
  std::student_t_distribution<float> wide(2);
  for (int trial = 0; trial < 2000; ++trial) {
    float values[blockValues];
    for (float &v : values)
      v = (trial % 2 ? normal(random) : wide(random)) * 0.03f;
    QuantBlock block = quantize(format, values);
    for (int8_t code : block.codes) {
      EXPECT_GE(code, low);
      EXPECT_LE(code, high);
    }
    // Of 4 bits the best scale is rounded after the choice.
    EXPECT_LE(errorOf(format, block, values),
              plainError(format, values) * (format == "q8_0" ? 1.0001 : 1.01));
  }
}

TEST_P(Formats, ZerosAndNothingElse) {
  float values[blockValues] = {};
  QuantBlock block = quantize(format, values);
  for (int i = 0; i < blockValues; ++i)
    EXPECT_EQ(quantValue(format, block, i), 0.0f);
  // One value of each sign and a block of equal ones are exact but for the
  // rounding of the scale.
  for (float x : {0.5f, -0.5f, 1.0f, -3.0f, 0x1p-10f}) {
    values[11] = x;
    block = quantize(format, values);
    for (int i = 0; i < blockValues; ++i)
      EXPECT_NEAR(quantValue(format, block, i), values[i], std::fabs(x) / 512);
  }
}

TEST_P(Formats, WhatIsNotFiniteStaysDefined) {
  const float inf = std::numeric_limits<float>::infinity();
  for (float bad : {inf, -inf, std::nanf(""), -std::nanf(""),
                    std::numeric_limits<float>::max()}) {
    float values[blockValues] = {0.25f, -0.5f, bad};
    QuantBlock block = quantize(format, values);
    for (int i = 0; i < blockValues; ++i) {
      EXPECT_GE(block.codes[i], low);
      EXPECT_LE(block.codes[i], high);
      EXPECT_TRUE(std::isfinite(quantValue(format, block, i)));
    }
  }
}

TEST_P(Formats, TinyValuesBecomeTinyOnes) {
  for (float magnitude :
       {0x1p-149f, 0x1p-140f, 0x1p-126f, 0x1p-30f, 0x1p-22f}) {
    float values[blockValues];
    for (int i = 0; i < blockValues; ++i)
      values[i] = magnitude * float(i % 5 - 2);
    QuantBlock block = quantize(format, values);
    for (int i = 0; i < blockValues; ++i) {
      // f16 scales are multiples of 2^-24.
      float step = format == "q4_bf" ? 0 : 0x1p-25f * float(high);
      EXPECT_NEAR(quantValue(format, block, i), values[i],
                  std::max(2 * magnitude, step));
    }
  }
}

// Values that are code * scale come back bit by bit, whatever codes are in use.
TEST_P(Formats, AGridIsKept) {
  bool half = format != "q4_bf";
  for (int trial = 0; trial < 4000; ++trial) {
    float scale = std::ldexp(float(int(128 + random() % 128)), -15);
    if (half) // 11 bits
      scale = std::ldexp(float(int(1024 + random() % 1024)), -18);
    if (trial & 1)
      scale = -scale;
    int kind = trial / 2 % 4; // all codes; up to 7; with -8; few codes
    float values[blockValues];
    for (float &v : values) {
      int code = int(random() % 16) - 8;
      if (kind == 1)
        code = std::max(code, -7);
      if (kind == 3)
        code = code % 3 + 1;
      v = float(code) * scale;
    }
    if (kind == 2)
      values[trial % 32] = -8 * scale;
    QuantBlock block = quantize(format, values);
    for (int i = 0; i < blockValues; ++i)
      ASSERT_EQ(quantValue(format, block, i), values[i])
          << "trial " << trial << " column " << i;
  }
}

// bf16 values that are code * scale rounded to bf16: the grid is found, so that
// rounding the packed values gives every one of them.
TEST_P(Formats, ARoundedGridIsFound) {
  for (int trial = 0; trial < 4000; ++trial) {
    float scale = std::ldexp(float(int(128 + random() % 128)), -15);
    if (format != "q4_bf")
      scale = std::ldexp(float(int(1024 + random() % 1024)), -18);
    if (trial & 1)
      scale = -scale;
    float values[blockValues];
    for (float &v : values)
      v = bf16ToFloat(floatToBf16(float(int(random() % 16) - 8) * scale));
    QuantBlock block = quantize(format, values);
    for (int i = 0; i < blockValues; ++i)
      ASSERT_EQ(bf16ToFloat(floatToBf16(quantValue(format, block, i))),
                values[i])
          << "trial " << trial << " column " << i;
  }
}

//===-- source blocks -----------------------------------------------------===//

struct Kept {
  const char *format;
  SourceType type;
};

// Random bytes are blocks too: every code, scales that are subnormal, infinite
// or no number.
TEST(Packed, SourceBlocksKeepEveryValue) {
  std::mt19937 random(11);
  for (Kept kept : {Kept{"q8_0", SourceType::Q8_0},
                    {"q8_0", SourceType::Q4_0},
                    {"q8_0", SourceType::Q5_0},
                    {"q4_0", SourceType::Q4_0}}) {
    ASSERT_TRUE(keepsBits(kept.format, kept.type));
    const Layout &layout = matrixLayout(kept.format);
    const int64_t cols = 96, rows = 13; // the others are padding
    int64_t stride = sourceBytes(kept.type, cols);
    std::vector<uint8_t> source(rows * stride);
    for (uint8_t &byte : source)
      byte = uint8_t(random());
    QuantRow packed[16] = {};
    for (int64_t row = 0; row < rows; ++row)
      packed[row] = {kept.type, source.data() + row * stride};
    std::vector<uint8_t> bytes(layout.bytes(16, cols), 0xee);
    StoredError errors[16];
    packQuantized(layout, packed, cols, bytes.data(), errors);
    for (int64_t row = 0; row < 16; ++row) {
      std::vector<float> values(cols, 0.0f);
      if (row < rows)
        dequantizeRow(kept.type, source.data() + row * stride, cols,
                      values.data());
      for (int64_t col = 0; col < cols; ++col) {
        float got = packedValue(layout, bytes, row, col, cols);
        EXPECT_TRUE(same(got, values[col]) ||
                    (std::isnan(got) && std::isnan(values[col])))
            << kept.format << " row " << row << " column " << col << ": " << got
            << ", expected " << values[col];
      }
      EXPECT_EQ(errors[row].largest, 0);
      EXPECT_EQ(errors[row].exactBlocks, row < rows ? 3 : 0);
    }
  }
}

// Rows of a table: GGUF's blocks, whether encoded here or taken over; those
// that are encoded have the plain scale.
TEST(Packed, TableRowsAreBlocksOfGguf) {
  std::mt19937 random(12);
  std::normal_distribution<float> normal;
  const int64_t cols = 96;
  for (Kept kept :
       {Kept{"q8_0", SourceType::Q8_0}, {"q4_0", SourceType::Q4_0}}) {
    const Layout &layout = rowsLayout(kept.format);
    const int64_t size = sourceBytes(kept.type, cols);
    ASSERT_EQ(layout.bytes(1, cols), size);
    for (int magnitude = -12; magnitude < 8; magnitude += 4) {
      std::vector<float> values(cols), got(cols);
      for (int64_t i = 0; i < cols; ++i)
        values[i] = i < 32 ? 0 : std::ldexp(normal(random), magnitude);
      QuantRow row = {SourceType::F32, values.data()};
      std::vector<uint8_t> bytes(size, 0xee), again(size, 0xee);
      StoredError error, none;
      packQuantized(layout, &row, cols, bytes.data(), &error);
      dequantizeRow(kept.type, bytes.data(), cols, got.data());
      for (int64_t i = 0; i < cols; ++i) {
        QuantBlock block = quantize(kept.format, &values[i / 32 * 32], false);
        EXPECT_TRUE(same(got[i], quantValue(kept.format, block, int(i % 32))))
            << kept.format << " column " << i;
      }
      EXPECT_GT(error.largest, 0);
      row = {kept.type, bytes.data()};
      packQuantized(layout, &row, cols, again.data(), &none);
      EXPECT_EQ(again, bytes);
      EXPECT_EQ(none.largest, 0);
    }
  }
}

// The same with bf16 scales: nibbles low, then high.
TEST(Packed, TableRowsOfTheTrainedGrid) {
  const Layout &layout = rowsLayout("q4_bf");
  ASSERT_EQ(layout.bytes(1, 32), 18);
  float values[32];
  for (int i = 0; i < 32; ++i)
    values[i] = float(i % 16 - 8) * 0.75f;
  QuantRow row = {SourceType::F32, values};
  uint8_t bytes[18];
  StoredError error;
  packQuantized(layout, &row, 32, bytes, &error);
  EXPECT_EQ(error.largest, 0);
  float scale = bf16ToFloat(uint16_t(bytes[0] | bytes[1] << 8));
  for (int i = 0; i < 32; ++i) {
    int code = (i < 16 ? bytes[2 + i] & 15 : bytes[2 + i - 16] >> 4) - 8;
    EXPECT_EQ(scale * float(code), values[i]) << i;
  }
}

TEST(Packed, OnlyWhatFitsIsKept) {
  EXPECT_FALSE(keepsBits("q4_bf", SourceType::Q4_0)); // f16 scales
  EXPECT_FALSE(keepsBits("q4_0", SourceType::Q8_0));
  EXPECT_FALSE(keepsBits("q4_0", SourceType::Q5_0));
  EXPECT_FALSE(keepsBits("q8_0", SourceType::Q5_1)); // a minimum
  EXPECT_FALSE(keepsBits("q8_0", SourceType::Q6_K)); // two scales in 32
  EXPECT_FALSE(keepsBits("bf16", SourceType::Q8_0));
}

// Errors are those of the values in the bytes; blocks are counted as exact.
TEST(Packed, ErrorsAreMeasured) {
  for (const char *format : {"q8_0", "q4_0", "q4_bf"}) {
    const Layout &layout = matrixLayout(format);
    const int64_t cols = 64;
    std::vector<float> values(cols);
    for (int64_t i = 0; i < 32; ++i) // a grid, then none
      values[i] = float(i % 16 - 8) * 0.25f;
    for (int64_t i = 32; i < 64; ++i)
      values[i] = std::sin(float(i)) * 0.1f;
    QuantRow rows[16] = {};
    rows[5] = {SourceType::F32, values.data()};
    std::vector<uint8_t> bytes(layout.bytes(16, cols));
    StoredError errors[16];
    packQuantized(layout, rows, cols, bytes.data(), errors);
    double largest = 0, squares = 0;
    for (int64_t i = 0; i < cols; ++i) {
      double d = double(packedValue(layout, bytes, 5, i, cols)) - values[i];
      largest = std::max(largest, std::fabs(d));
      squares += d * d;
    }
    EXPECT_GT(largest, 0);
    EXPECT_NEAR(errors[5].largest, largest, 1e-9);
    EXPECT_NEAR(errors[5].squares, squares, 1e-9);
    EXPECT_EQ(errors[5].values, 64);
    EXPECT_EQ(errors[5].blocks, 2);
    EXPECT_EQ(errors[5].exactBlocks, 1);
    EXPECT_EQ(errors[4].values, 0);
  }
}

} // namespace
