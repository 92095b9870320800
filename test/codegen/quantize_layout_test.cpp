// Packed blocks against `quantize`, block by block, in every layout; rows of a
// table are GGUF's blocks.
#include "codegen/Dequantize.h"
#include "codegen/Quantize.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

using namespace gemmac;

namespace {

constexpr int64_t cols = 96, groupRows = 16;

// Rows of several magnitudes; some blocks are zero, tiny, on a grid, infinite.
std::vector<float> makeValues(int64_t rows, bool finite) {
  std::mt19937 random(5);
  std::normal_distribution<float> normal;
  std::vector<float> values(size_t(rows * cols));
  for (int64_t i = 0; i < rows * cols; ++i)
    values[size_t(i)] = std::ldexp(normal(random), int(i / cols % 20) - 12);
  for (int64_t i = 0; i < 32; ++i) {
    values[size_t(cols + i)] = 0;
    values[size_t(2 * cols + i)] = i % 2 ? 1e-30f : -1e-30f;
    values[size_t(3 * cols + i)] = 0.25f * float(i % 15 - 8);
    values[size_t(4 * cols + i)] = i % 3 ? -0.0f : 127.0f;
  }
  if (!finite) {
    values[size_t(5 * cols + 7)] = std::numeric_limits<float>::infinity();
    values[size_t(6 * cols + 7)] = -1e9f;
    values[size_t(7 * cols)] = std::numeric_limits<float>::quiet_NaN();
  }
  return values;
}

// Code i of the block of row `row` in a packed group of rows.
int codeAt(const Layout &layout, const uint8_t *block, int64_t row, int i) {
  bool eight = layout.format == "q8_0";
  if (layout.rowGroup == 1)
    return eight ? int8_t(block[2 + i])
                 : (i < 16 ? block[2 + i] & 15 : block[2 + i - 16] >> 4) - 8;
  if (eight)
    return block[i / 4 * 64 + row * 4 + i % 4] - 128;
  uint8_t byte = block[i % 16 / 4 * 64 + row * 4 + i % 4];
  return (i < 16 ? byte & 15 : byte >> 4) - 8;
}

void check(const std::string &format, const Layout &layout, bool finite) {
  const int64_t rows = layout.rowGroup, last = rows == 1 ? rows : rows - 1;
  for (int64_t first = 0; first < groupRows; first += rows) {
    std::vector<float> values = makeValues(groupRows, finite);
    std::vector<const float *> pointers(size_t(rows), nullptr);
    for (int64_t r = 0; r < last; ++r) // the last row of a group is padding
      pointers[size_t(r)] = &values[size_t((first + r) * cols)];
    std::vector<uint8_t> packed(size_t(layout.bytes(rows, cols)), 0xab);
    std::vector<QuantRow> from;
    for (const float *row : pointers)
      from.push_back({SourceType::F32, row});
    std::vector<StoredError> errors(static_cast<size_t>(rows));
    packQuantized(layout, from.data(), cols, packed.data(), errors.data());
    StoredError error;
    for (const StoredError &e : errors)
      error.add(e);
    double largest = 0, squares = 0;
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t b = 0; b < cols / 32; ++b) {
        const uint8_t *block = &packed[size_t(b * layout.blockBytes)];
        uint16_t scale;
        memcpy(&scale,
               rows == 1 ? block : block + layout.blockBytes - 32 + r * 2, 2);
        QuantBlock want = {};
        if (pointers[size_t(r)])
          want = quantize(format, pointers[size_t(r)] + b * 32, rows > 1);
        ASSERT_EQ(scale, want.scale) << layout.name << ' ' << first + r;
        for (int i = 0; i < 32; ++i) {
          ASSERT_EQ(codeAt(layout, block, r, i), want.codes[i])
              << layout.name << " row " << first + r << " column "
              << b * 32 + i;
          if (!pointers[size_t(r)])
            continue;
          double d = std::abs(quantValue(format, want, i) -
                              double(pointers[size_t(r)][b * 32 + i]));
          largest = std::max(largest, d);
          squares += d * d;
        }
      }
    EXPECT_EQ(error.values, last * cols);
    if (finite) {
      EXPECT_NEAR(error.largest, largest, 1e-6 * largest);
      EXPECT_NEAR(error.squares, squares, 1e-5 * squares);
    }
  }
}

TEST(Quantize, PackedBlocks) {
  for (const char *format : {"q8_0", "q4_0", "q4_bf"})
    for (const Layout *layout : {&matrixLayout(format), &rowsLayout(format)})
      check(format, *layout, true);
  for (const Layout *layout : {&matrixLayout("q8_0"), &rowsLayout("q8_0")})
    check("q8_0", *layout, false);
}

// Without a search the codes are the nearest ones and no scale is larger than
// needed, but for its rounding to f16 (below 2^-14: to a multiple of 2^-24).
TEST(Quantize, EightBitsAreNearest) {
  std::vector<float> values = makeValues(groupRows, true);
  for (size_t at = 0; at < values.size(); at += 32) {
    QuantBlock block = quantize("q8_0", &values[at], false);
    double peak = 0, scale = halfToFloat(block.scale);
    for (int i = 0; i < 32; ++i)
      peak = std::max(peak, double(std::abs(values[at + size_t(i)])));
    bool exact = true;
    for (int i = 0; i < 32; ++i)
      exact &= quantValue("q8_0", block, i) == values[at + size_t(i)];
    if (exact) // on a grid
      continue;
    double rounding = std::max(peak / 127 / 2048, 0x1p-25) * 1.001;
    EXPECT_NEAR(scale, peak / 127, rounding);
    for (int i = 0; i < 32; ++i)
      EXPECT_LE(std::abs(scale * block.codes[i] - values[at + size_t(i)]),
                0.5001 * scale + 127 * rounding)
          << at << ' ' << i;
  }
}

TEST(Quantize, TableRowsAreGgufBlocks) {
  for (auto [format, type] : {std::pair("q8_0", SourceType::Q8_0),
                              std::pair("q4_0", SourceType::Q4_0)}) {
    const Layout &layout = rowsLayout(format);
    ASSERT_EQ(layout.bytes(1, cols), sourceBytes(type, cols));
    std::vector<float> values = makeValues(groupRows, true), got(cols);
    for (int64_t r = 0; r < groupRows; ++r) {
      const float *row = &values[size_t(r * cols)];
      std::vector<uint8_t> packed(size_t(layout.bytes(1, cols)));
      QuantRow from = {SourceType::F32, row};
      StoredError error;
      packQuantized(layout, &from, cols, packed.data(), &error);
      dequantizeRow(type, packed.data(), cols, got.data());
      for (int64_t i = 0; i < cols; ++i)
        ASSERT_EQ(got[size_t(i)],
                  quantValue(format, quantize(format, row + i / 32 * 32, false),
                             int(i % 32)))
            << format << ' ' << r << ' ' << i;
    }
  }
}

} // namespace
