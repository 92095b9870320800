// Test data of kernels with quantised operands: matrices and activation rows of
// random codes and scales, with the numbers that they stand for.
#pragma once

#include "test/codegen/kernels/KernelRunner.h"

#include <cmath>
#include <cstring>

namespace gemmac {

inline double geluOf(double x) {
  return 0.5 * x *
         (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
}

// A matrix of random codes and scales, packed as targets/Layouts.h says.
struct Matrix {
  std::string format;
  int64_t rows, k;
  bool signedCodes; // 8-bit ones
  std::vector<double> values;
  Bytes packed;

  Matrix(const std::string &format, int64_t rows, int64_t k,
         std::mt19937 &random, const std::string &target = "x86-avx512")
      : format(format), rows(rows), k(k),
        signedCodes(matrixLayout(format, findTarget(target)->dot).signedCodes),
        values(size_t(rows * k)),
        packed(size_t(matrixLayout(format).bytes(rows, k)), 0) {
    const bool eight = format == "q8_0";
    std::uniform_int_distribution<int> code(eight ? -127 : -8, eight ? 127 : 7),
        mantissa(0, 127);
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t b = 0; b < k / 32; ++b) {
        // 1.mantissa * 2^-6, exact as f16 and as bf16.
        double scale = (1 + mantissa(random) / 128.0) / 64 *
                       (mantissa(random) % 2 ? 1 : -1);
        uint16_t bits = roundToBf16(float(scale));
        if (format != "q4_bf") { // sign, 15 + exponent, 10 bits of mantissa
          int m = int(std::round((std::abs(scale) * 64 - 1) * 1024));
          bits = uint16_t((scale < 0 ? 0x8000 : 0) | (15 - 6) << 10 | m);
        }
        for (int64_t i = 0; i < 32; ++i) {
          int c = code(random);
          values[size_t(r * k + b * 32 + i)] = c * scale;
          place(r, b, i, c);
        }
        memcpy(block(r, b) + blockBytes() - 32 + r % 16 * 2, &bits, 2);
      }
  }

  int64_t blockBytes() const { return format == "q8_0" ? 544 : 288; }
  uint8_t *block(int64_t r, int64_t b) {
    return &packed[size_t((r / 16 * (k / 32) + b) * blockBytes())];
  }
  void place(int64_t r, int64_t b, int64_t i, int code) {
    uint8_t *to = block(r, b) + r % 16 * 4 + i % 4;
    if (format == "q8_0")
      to[i / 4 * 64] = uint8_t(signedCodes ? code : code + 128);
    else
      to[i % 16 / 4 * 64] |= uint8_t((code + 8) << (i < 16 ? 0 : 4));
  }
};

// Rows of random codes and scales in encoding q8; the space is NaN.
struct Activations {
  int64_t rows, k;
  std::vector<double> values;
  Bytes bytes;

  Activations(int64_t rows, int64_t k, std::mt19937 &random)
      : rows(rows), k(k), values(size_t(rows * k)),
        bytes(makeNan(roundUp(rows, 8) * rowBytes("q8", k))) {
    std::uniform_int_distribution<int> code(-127, 127);
    std::uniform_real_distribution<float> scales(0.001f, 0.02f);
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t b = 0; b < k / 32; ++b) {
        uint8_t *to = &bytes[size_t((r * (k / 32) + b) * 40)];
        float scale = scales(random);
        int32_t sum = 0;
        for (int i = 0; i < 32; ++i) {
          int c = code(random);
          sum += c;
          to[i] = uint8_t(int8_t(c));
          values[size_t(r * k + b * 32 + i)] = double(scale) * c;
        }
        sum = startOf(sum);
        memcpy(to + 32, &scale, 4);
        memcpy(to + 36, &sum, 4);
      }
  }

  // Rows [first, first + count) with the space of `space` rows.
  Bytes slice(int64_t first, int64_t count, int64_t space) const {
    int64_t row = rowBytes("q8", k);
    Bytes part(bytes.begin() + first * row,
               bytes.begin() + (first + count) * row);
    part.resize(size_t(space * row), 0xff);
    return part;
  }
};

// The values of a stored q8 row; checks that the sums are those of the codes.
inline std::vector<double> decodeRow(const Bytes &bytes, int64_t row,
                                     int64_t stride, int64_t k,
                                     std::vector<double> *scales = nullptr) {
  std::vector<double> values;
  for (int64_t b = 0; b < k / 32; ++b) {
    const uint8_t *from = &bytes[size_t((row * stride / 32 + b) * 40)];
    float scale;
    int32_t start, sum = 0;
    memcpy(&scale, from + 32, 4);
    memcpy(&start, from + 36, 4);
    for (int i = 0; i < 32; ++i) {
      sum += int8_t(from[i]);
      values.push_back(double(scale) * int8_t(from[i]));
      if (scales)
        scales->push_back(scale);
    }
    EXPECT_EQ(start, startOf(sum)) << "row " << row << " block " << b;
  }
  return values;
}

} // namespace gemmac
