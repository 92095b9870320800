#include "codegen/Quantize.h"

#include "codegen/Dequantize.h"

#include <bit>
#include <cassert>
#include <cmath>
#include <cstring>

namespace gemmac {

uint16_t floatToHalf(float x) {
  uint32_t bits = std::bit_cast<uint32_t>(x), sign = bits >> 16 & 0x8000;
  float magnitude = std::fabs(x);
  if (!(magnitude < 65504.0f))
    return sign | 0x7bff;
  if (magnitude < 0x1p-14f) // subnormal: a multiple of 2^-24
    return sign | uint32_t(std::nearbyint(magnitude * 0x1p24f));
  bits = std::bit_cast<uint32_t>(magnitude);
  bits += 0xfff + (bits >> 13 & 1);
  return sign | ((bits >> 13) - (112 << 10));
}

static float scaleValue(bool half, uint16_t bits) {
  return half ? halfToFloat(bits) : bf16ToFloat(bits);
}
static uint16_t scaleBits(bool half, float scale) {
  return half ? floatToHalf(scale) : floatToBf16(scale);
}

// The nearest integer in [low, high]; of NaN: low.
static inline float nearest(float x, float low, float high) {
  x = x > low ? x : low;
  x = x < high ? x : high;
  const float magic = 12582912.0f; // 1.5 * 2^23
  return (x + magic) - magic;
}

static QuantBlock encodeBlock(const float *values, uint16_t bits, float scale,
                              float low, float high) {
  QuantBlock block;
  block.scale = bits;
  float inverse = scale != 0 ? 1 / scale : 0;
  for (int i = 0; i < quantBlock; ++i)
    block.codes[i] = int8_t(nearest(values[i] * inverse, low, high));
  return block;
}

// Whether every value is exactly code * scale with a code in [-8, 7].
static bool isExact(const float *values, float scale) {
  for (int i = 0; i < quantBlock; ++i) {
    float code = nearest(values[i] / scale, -8, 7);
    if (code * scale != values[i])
      return false;
  }
  return true;
}

// The scale of 4-bit codes for `values`, whose largest magnitude has `peak`.
__attribute__((target_clones("default", "avx2", "avx512f"))) static float
searchScale(const float *values, float peak) {
  float best = 0, bestScale = 0;
  // The largest value at -8 (all codes in use) or at 7, and around.
  for (float top : {-6.8f, -7.0f, -7.2f, -7.4f, -7.6f, -7.8f, -8.0f, -8.2f,
                    -8.4f, -8.6f, -8.9f, 6.4f, 6.7f, 7.0f, 7.3f, 7.6f}) {
    const float inverse = top / peak;
    float product[16] = {}, square[16] = {};
    for (int i = 0; i < quantBlock; i += 16)
      for (int l = 0; l < 16; ++l) {
        float value = values[i + l], code = nearest(value * inverse, -8, 7);
        product[l] += code * value;
        square[l] += code * code;
      }
    float products = 0, squares = 0;
    for (int l = 0; l < 16; ++l) {
      products += product[l];
      squares += square[l];
    }
    // The best scale of these codes leaves sum(x^2) - products^2 / squares.
    if (squares > 0 && products * products > best * squares) {
      best = products * products / squares;
      bestScale = products / squares;
    }
  }
  return bestScale;
}

QuantBlock quantize(const std::string &format, const float *values) {
  const bool eight = format == "q8_0", half = format != "q4_bf";
  float peak = 0;
  for (int i = 0; i < quantBlock; ++i)
    if (std::fabs(values[i]) > std::fabs(peak))
      peak = values[i];
  if (eight) {
    uint16_t bits = floatToHalf(std::fabs(peak) / 127);
    return encodeBlock(values, bits, halfToFloat(bits), -127, 127);
  }
  if (peak == 0 || !std::isfinite(peak))
    return encodeBlock(values, 0, 0, -8, 7);
  for (int code = 8; code >= 1; --code)
    for (float scale : {peak / float(-code), peak / float(code)})
      if (scaleValue(half, scaleBits(half, scale)) == scale &&
          isExact(values, scale))
        return encodeBlock(values, scaleBits(half, scale), scale, -8, 7);
  uint16_t bits = scaleBits(half, searchScale(values, peak));
  return encodeBlock(values, bits, scaleValue(half, bits), -8, 7);
}

float quantValue(const std::string &format, const QuantBlock &block, int i) {
  return scaleValue(format != "q4_bf", block.scale) * float(block.codes[i]);
}

// One block at its place among `group` rows.
static void store(const Layout &layout, const QuantBlock &block, int64_t row,
                  uint8_t *to) {
  if (layout.rowGroup == 1) { // as GGUF has it
    memcpy(to, &block.scale, 2);
    if (layout.format == "q8_0")
      memcpy(to + 2, block.codes, quantBlock);
    else
      for (int64_t i = 0; i < quantBlock / 2; ++i)
        to[2 + i] = uint8_t((block.codes[i] + 8) |
                            (block.codes[i + quantBlock / 2] + 8) << 4);
    return;
  }
  memcpy(to + layout.blockBytes - 32 + row * 2, &block.scale, 2);
  for (int64_t i = 0; i < quantBlock; ++i) {
    int code = block.codes[i];
    if (layout.format == "q8_0")
      to[i / 4 * 64 + row * 4 + i % 4] = uint8_t(code + 128);
    else
      to[i % 16 / 4 * 64 + row * 4 + i % 4] |=
          uint8_t((code + 8) << (i < 16 ? 0 : 4));
  }
}

QuantError packQuantized(const Layout &layout, const float *const *rows,
                         int64_t cols, uint8_t *to) {
  assert(layout.blockBytes && cols % quantBlock == 0);
  if (layout.format == "q8_0")
    return packBytes(layout, rows, cols, to);
  QuantError error;
  memset(to, 0, size_t(cols / quantBlock * layout.blockBytes));
  const QuantBlock zero = {};
  for (int64_t row = 0; row < layout.rowGroup; ++row)
    for (int64_t at = 0; at < cols; at += quantBlock) {
      uint8_t *place = to + at / quantBlock * layout.blockBytes;
      if (!rows[row]) {
        store(layout, zero, row, place);
        continue;
      }
      const float *values = rows[row] + at;
      QuantBlock block = quantize(layout.format, values);
      store(layout, block, row, place);
      float scale = scaleValue(layout.format != "q4_bf", block.scale);
      for (int i = 0; i < quantBlock; ++i) {
        double d = std::fabs(scale * float(block.codes[i]) - values[i]);
        error.largest = std::max(error.largest, d);
        error.squares += d * d;
      }
      error.values += quantBlock;
    }
  return error;
}

} // namespace gemmac
