#include "codegen/Quantize.h"

#include "codegen/Dequantize.h"

#include <bit>
#include <cassert>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

namespace gemmac {

// Round to nearest, ties to even; what is too large becomes the largest half.
static uint16_t floatToHalf(float x) {
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

// Whether every value is code * scale with a code in [-8, 7]; if `rounded`,
// once that is rounded to bf16.
static bool isOnGrid(const float *values, float scale, bool rounded) {
  for (int i = 0; i < quantBlock; ++i) {
    float value = nearest(values[i] / scale, -8, 7) * scale;
    if ((rounded ? bf16ToFloat(floatToBf16(value)) : value) != values[i])
      return false;
  }
  return true;
}

// Whether there are few enough magnitudes for 4-bit codes. Of values that are
// on no grid this needs to look at ten or so.
static bool hasFewMagnitudes(const float *values) {
  float found[9]; // 0 to 8 times the scale
  int count = 0;
  for (int i = 0; i < quantBlock; ++i) {
    float magnitude = std::fabs(values[i]);
    bool known = false;
    for (int j = 0; j < count; ++j)
      known |= found[j] == magnitude;
    if (known)
      continue;
    if (count == 9)
      return false;
    found[count++] = magnitude;
  }
  return true;
}

// The scale of which all values are multiples, exactly or (those of a trained
// 4-bit grid that was saved as bf16) rounded to bf16; 0: there is none. It
// divides the value of largest magnitude.
static float gridScale(const float *values, float peak, bool half) {
  if (!hasFewMagnitudes(values))
    return 0;
  for (int code = 8; code >= 1; --code)
    for (float scale : {peak / float(-code), peak / float(code)})
      if (scaleValue(half, scaleBits(half, scale)) == scale &&
          isOnGrid(values, scale, false))
        return scale;
  // A bf16 value stands for an interval of 2^-8 of it: one scale or two of
  // bf16, up to nine of f16.
  const int around = half ? 5 : 1;
  for (int code = 8; code >= 1; --code)
    for (float near : {peak / float(-code), peak / float(code)})
      for (int step = -around; step <= around; ++step) {
        float scale = scaleValue(half, scaleBits(half, near) + step);
        if (scale != 0 && std::isfinite(scale) && isOnGrid(values, scale, true))
          return scale;
      }
  return 0;
}

// The scale of 4-bit codes for `values`, whose largest magnitude has `peak`, of
// least squared error.
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

// The f16 scale of 8-bit codes of least squared error. Larger codes than the
// plain rule's cost little, and each scale rounds the values anew: among
// seventeen one is some 20 % better.
__attribute__((target_clones("default", "avx2", "avx512f"))) static float
searchScale8(const float *values, float peak) {
  float best = std::numeric_limits<float>::infinity();
  float bestScale = 0;
  for (float top = 128.25f; top > 118; top -= 0.625f) {
    const float scale = halfToFloat(floatToHalf(std::fabs(peak) / top));
    const float inverse = scale != 0 ? 1 / scale : 0;
    float error[16] = {};
    for (int i = 0; i < quantBlock; i += 16)
      for (int l = 0; l < 16; ++l) {
        float value = values[i + l];
        float d = nearest(value * inverse, -127, 127) * scale - value;
        error[l] += d * d;
      }
    float sum = 0;
    for (int l = 0; l < 16; ++l)
      sum += error[l];
    if (sum < best) {
      best = sum;
      bestScale = scale;
    }
  }
  return bestScale;
}

QuantBlock quantize(const std::string &format, const float *values,
                    bool search) {
  const bool eight = format == "q8_0", half = format != "q4_bf";
  float peak = 0;
  bool finite = true;
  for (int i = 0; i < quantBlock; ++i) {
    finite &= std::isfinite(values[i]);
    if (std::fabs(values[i]) > std::fabs(peak))
      peak = values[i];
  }
  // Below that nothing is left of f16 scales, and products would underflow.
  if (!finite || std::fabs(peak) < 0x1p-40f)
    return QuantBlock();
  const bool large = std::fabs(peak) > 0x1p40f; // for sums of squares
  const float low = eight ? -127 : -8, high = eight ? 127 : 7;
  float scale = gridScale(values, peak, half);
  if (scale == 0 && eight && search && !large)
    scale = searchScale8(values, peak);
  else if (scale == 0)
    scale = eight   ? std::fabs(peak) / 127
            : large ? peak / -8
                    : searchScale(values, peak);
  uint16_t bits = scaleBits(half, scale);
  return encodeBlock(values, bits, scaleValue(half, bits), low, high);
}

float quantValue(const std::string &format, const QuantBlock &block, int i) {
  return scaleValue(format != "q4_bf", block.scale) * float(block.codes[i]);
}

bool keepsBits(const std::string &format, SourceType type) {
  if (format == "q4_0")
    return type == SourceType::Q4_0;
  return format == "q8_0" &&
         (type == SourceType::Q8_0 || type == SourceType::Q4_0 ||
          type == SourceType::Q5_0);
}

// The codes and the f16 scale of a block of Q8_0, Q4_0 or Q5_0.
static QuantBlock sourceBlock(SourceType type, const uint8_t *from) {
  QuantBlock block;
  memcpy(&block.scale, from, 2);
  from += 2;
  if (type == SourceType::Q8_0) {
    memcpy(block.codes, from, quantBlock);
    return block;
  }
  uint32_t fifth = 0; // bit i: 16 of code i
  if (type == SourceType::Q5_0) {
    memcpy(&fifth, from, 4);
    from += 4;
  }
  const int offset = type == SourceType::Q5_0 ? 16 : 8, half = quantBlock / 2;
  for (int i = 0; i < quantBlock; ++i) {
    int low = i < half ? from[i] & 15 : from[i - half] >> 4;
    block.codes[i] = int8_t((low | int(fifth >> i & 1) << 4) - offset);
  }
  return block;
}

// One block at its place among `group` rows.
static void store(const Layout &layout, const QuantBlock &block, int64_t row,
                  uint8_t *to) {
  if (layout.rowGroup == 1) {
    memcpy(to, &block.scale, 2);
    memcpy(to + 2, block.codes, quantBlock);
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

void packQuantized(const Layout &layout, const QuantRow *rows, int64_t cols,
                   uint8_t *to, StoredError *errors) {
  assert(layout.blockBytes && cols % quantBlock == 0);
  memset(to, 0, size_t(cols / quantBlock * layout.blockBytes));
  const QuantBlock zero;
  std::vector<float> stored(size_t(cols), 0);
  for (int64_t row = 0; row < layout.rowGroup; ++row) {
    StoredError &error = errors[row];
    const SourceType type = rows[row].type;
    for (int64_t at = 0; at < cols; at += quantBlock) {
      uint8_t *place = to + at / quantBlock * layout.blockBytes;
      if (!rows[row].data) {
        store(layout, zero, row, place);
        continue;
      }
      if (type != SourceType::F32) {
        auto *from = static_cast<const uint8_t *>(rows[row].data);
        from += sourceBytes(type, at);
        store(layout, sourceBlock(type, from), row, place);
        ++error.blocks;
        ++error.exactBlocks;
        continue;
      }
      const float *values = static_cast<const float *>(rows[row].data) + at;
      // Tables of embeddings are large, and a row is read for its own token.
      QuantBlock block = quantize(layout.format, values, layout.rowGroup > 1);
      store(layout, block, row, place);
      float scale = scaleValue(layout.format != "q4_bf", block.scale);
      bool exact = true, zero = true;
      for (int i = 0; i < quantBlock; ++i) {
        float value = scale * float(block.codes[i]);
        stored[size_t(at + i)] = value;
        exact &=
            value == values[i] || bf16ToFloat(floatToBf16(value)) == values[i];
        zero &= values[i] == 0;
      }
      error.blocks += !zero;
      error.exactBlocks += exact && !zero;
    }
    if (!rows[row].data)
      continue;
    if (type == SourceType::F32)
      measureError(static_cast<const float *>(rows[row].data), stored.data(),
                   cols, error);
    else
      addExact(cols, error);
  }
}

} // namespace gemmac
