#include "codegen/Quantize.h"

#include "codegen/Dequantize.h"

#include <bit>
#include <cassert>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

// Packed bytes must not depend on whether this machine multiplies and adds at
// once (functions below are compiled for several).
#pragma STDC FP_CONTRACT OFF

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

static bool isHalf(const Format &format) {
  return format.scale == Format::Scale::F16;
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

// 4-bit codes.
static QuantBlock encodeBlock(const float *values, uint16_t bits, float scale) {
  QuantBlock block;
  block.scale = bits;
  float inverse = scale != 0 ? 1 / scale : 0;
  for (int i = 0; i < blockValues; ++i)
    block.codes[i] = int8_t(nearest(values[i] * inverse, -8, 7));
  return block;
}

// Whether every value is code * scale with a code in [-8, 7]; if `rounded`,
// once that is rounded to bf16.
static bool isOnGrid(const float *values, float scale, bool rounded) {
  for (int i = 0; i < blockValues; ++i) {
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
  for (int i = 0; i < blockValues; ++i) {
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

// Both searches try `scalesTried` scales side by side, so that the sums over
// a block are vectors and nothing is added across one.
constexpr int scalesTried = 16;

// The scale of 4-bit codes for `values`, whose largest magnitude has `peak`,
// of least squared error.
__attribute__((target_clones("default", "avx2", "avx512f"))) static float
searchScale(const float *values, float peak) {
  // The largest value at -8 (all codes in use) or at 7, and around.
  static const float tops[scalesTried] = {
      -6.8f, -7.0f, -7.2f, -7.4f, -7.6f, -7.8f, -8.0f, -8.2f,
      -8.4f, -8.6f, -8.9f, 6.4f,  6.7f,  7.0f,  7.3f,  7.6f};
  float inverse[scalesTried], products[scalesTried] = {},
                              squares[scalesTried] = {};
  for (int c = 0; c < scalesTried; ++c)
    inverse[c] = tops[c] / peak;
  for (int i = 0; i < blockValues; ++i)
    for (int c = 0; c < scalesTried; ++c) {
      float code = nearest(values[i] * inverse[c], -8, 7);
      products[c] += code * values[i];
      squares[c] += code * code;
    }
  float best = 0, bestScale = 0;
  for (int c = 0; c < scalesTried; ++c)
    // The best scale of these codes leaves sum(x^2) - products^2 / squares.
    if (squares[c] > 0 && products[c] * products[c] > best * squares[c]) {
      best = products[c] * products[c] / squares[c];
      bestScale = products[c] / squares[c];
    }
  return bestScale;
}

// The f16 scale of 8-bit codes of least squared error. Scales a little above
// the plain rule's cost little, and each rounds the values anew: the best of
// them is some 20 % better.
__attribute__((target_clones("default", "avx2", "avx512f"))) static float
searchScale8(const float *values, float peak) {
  float scale[scalesTried], inverse[scalesTried], errors[scalesTried] = {};
  for (int c = 0; c < scalesTried; ++c) {
    // The first is the plain one, the second cuts the largest value.
    float top = c == 0 ? 127.0f : 128.0f - 0.5f * float(c - 1);
    scale[c] = halfToFloat(floatToHalf(std::fabs(peak) / top));
    inverse[c] = scale[c] != 0 ? 1 / scale[c] : 0;
  }
  for (int i = 0; i < blockValues; ++i)
    for (int c = 0; c < scalesTried; ++c) {
      float d =
          nearest(values[i] * inverse[c], -127, 127) * scale[c] - values[i];
      errors[c] += d * d;
    }
  int best = 0;
  for (int c = 1; c < scalesTried; ++c)
    if (errors[c] < errors[best])
      best = c;
  return scale[best];
}

__attribute__((target_clones("default", "avx2", "avx512f"))) static void
encodeBytes(const float *values, float inverse, int8_t *codes) {
  for (int i = 0; i < blockValues; ++i)
    codes[i] = int8_t(int(nearest(values[i] * inverse, -127, 127)));
}

// Codes of 8 bits for the f16 nearest to `scale`.
static QuantBlock encodeBlock8(const float *values, float scale) {
  QuantBlock block;
  block.scale = floatToHalf(scale);
  scale = halfToFloat(block.scale);
  encodeBytes(values, scale != 0 ? 1 / scale : 0, block.codes);
  return block;
}

static QuantBlock quantize(const Format &format, const float *values,
                           bool search) {
  const bool eight = format.bits == 8, half = isHalf(format);
  float peak = 0;
  bool finite = true;
  for (int i = 0; i < blockValues; ++i) {
    finite &= std::isfinite(values[i]);
    if (std::fabs(values[i]) > std::fabs(peak))
      peak = values[i];
  }
  // Below that nothing is left of f16 scales, and products would underflow.
  if (!finite || std::fabs(peak) < 0x1p-40f)
    return QuantBlock();
  const bool large = std::fabs(peak) > 0x1p40f; // for sums of squares
  float scale = gridScale(values, peak, half);
  if (scale == 0 && eight)
    return search && !large ? encodeBlock8(values, searchScale8(values, peak))
                            : encodeBlock8(values, std::fabs(peak) / 127);
  if (scale == 0)
    scale = large ? peak / -8.1f : searchScale(values, peak);
  uint16_t bits = scaleBits(half, scale);
  return encodeBlock(values, bits, scaleValue(half, bits));
}

QuantBlock quantize(const std::string &format, const float *values,
                    bool search) {
  return quantize(formatOf(format), values, search);
}

float quantValue(const std::string &format, const QuantBlock &block, int i) {
  return scaleValue(isHalf(formatOf(format)), block.scale) *
         float(block.codes[i]);
}

bool keepsBits(const std::string &format, SourceType type) {
  const char *word = sourceWord(type);
  return word && isQuantized(word) &&
         (format == word || format == formatOf(word).within);
}

// The codes and the f16 scale of a block of Q8_0, Q4_0 or Q5_0.
static QuantBlock sourceBlock(SourceType type, const uint8_t *from) {
  QuantBlock block;
  memcpy(&block.scale, from, 2);
  from += 2;
  if (type == SourceType::Q8_0) {
    memcpy(block.codes, from, blockValues);
    return block;
  }
  uint32_t fifth = 0; // bit i: 16 of code i
  if (type == SourceType::Q5_0) {
    memcpy(&fifth, from, 4);
    from += 4;
  }
  const int offset = type == SourceType::Q5_0 ? 16 : 8, half = halfBlock;
  for (int i = 0; i < blockValues; ++i) {
    int low = i < half ? from[i] & 15 : from[i - half] >> 4;
    block.codes[i] = int8_t((low | int(fifth >> i & 1) << 4) - offset);
  }
  return block;
}

// Two codes of 0 .. 15 to a byte.
static uint8_t nibbles(int low, int high) { return uint8_t(low | high << 4); }

// Part of the bits of a q8_0 block.
static void storePart(const Layout &layout, const QuantBlock &block,
                      int64_t row, uint8_t *to) {
  auto code = [&](int i) { return block.codes[i] + 128; };
  if (layout.bits == Layout::LastFour) {
    auto &part = *reinterpret_cast<LowBlock *>(to);
    for (int i = 0; i < halfBlock; ++i)
      part.lower[i / stepValues][row][i % stepValues] =
          nibbles(code(i) & 15, code(i + halfBlock) & 15);
    return;
  }
  auto &part = *reinterpret_cast<SplitBlock *>(to);
  for (int i = 0; i < halfBlock; ++i)
    part.upper[i / stepValues][row][i % stepValues] =
        nibbles(code(i) >> 4, code(i + halfBlock) >> 4);
  for (int i = 0; i < blockValues; ++i)
    part.fifth[row][i % stepValues] |=
        uint8_t((code(i) >> 3 & 1) << i / stepValues);
  part.scales[row] = block.scale;
}

// The bound of a row in layout q8_0_split_16x32. A logit of n blocks is a sum
// of n products: rounding changes it, and the one of the first five bits, by at
// most (n + 2) 2^-24 times the norms of what is multiplied.
class ScanBound {
public:
  void add(const QuantBlock &block, float scale) {
    double lost = 0, all = 0;
    for (int code : block.codes) {
      const int rest = ((code + 128) & 7) - 4;
      lost += rest * rest, all += code * code;
    }
    lostSquares += lost * scale * scale, squares += all * scale * scale;
    ++blocks;
  }
  float value() const {
    const double lost = std::sqrt(lostSquares), whole = std::sqrt(squares);
    return float((lost + (blocks + 4) * 0x1p-22 * (lost + whole)) * (1 + 1e-6));
  }

private:
  double lostSquares = 0, squares = 0;
  int64_t blocks = 0;
};

// One block at its place among `group` rows, whose codes are zeros so far.
static void store(const Layout &layout, const QuantBlock &block, int64_t row,
                  uint8_t *to) {
  if (layout.bits != Layout::All)
    return storePart(layout, block, row, to);
  const bool isGroup = layout.rowGroup > 1;
  const int offset = isGroup && !layout.signedCodes ? 128 : 0;
  uint8_t codes[blockValues];
  int count = blockValues;
  if (layout.hasNibbles()) {
    count = halfBlock;
    for (int i = 0; i < halfBlock; ++i)
      codes[i] = nibbles(block.codes[i] + 8, block.codes[i + halfBlock] + 8);
  } else {
    for (int i = 0; i < blockValues; ++i)
      codes[i] = uint8_t(block.codes[i] + offset);
  }
  memcpy(to + layout.scalesAt + row * 2, &block.scale, 2);
  if (!isGroup)
    memcpy(to + layout.codesAt, codes, size_t(count));
  else
    for (int i = 0; i < count; i += stepValues)
      memcpy(to + i / stepValues * stepBytes + row * stepValues, codes + i,
             stepValues);
}

// Blocks of `values` that are not zero, and those that `stored` holds
// exactly.
static void countExact(const float *values, const float *stored, int64_t n,
                       StoredError &error) {
  for (int64_t at = 0; at < n; at += blockValues) {
    bool exact = true, zero = true;
    for (int64_t i = at; exact && i < at + blockValues; ++i) {
      zero &= values[i] == 0;
      exact = stored[i] == values[i] ||
              bf16ToFloat(floatToBf16(stored[i])) == values[i];
    }
    error.blocks += !zero || !exact;
    error.exactBlocks += exact && !zero;
  }
}

void packQuantized(const Layout &layout, const QuantRow *rows, int64_t cols,
                   uint8_t *to, StoredError *errors) {
  const Format &format = formatOf(layout.format);
  assert(layout.blockBytes && cols % blockValues == 0);
  const int64_t tail = cols / blockValues * layout.blockBytes;
  memset(to, 0, size_t(tail + layout.groupTail));
  std::vector<float> stored(size_t(cols), 0);
  for (int64_t row = 0; row < layout.rowGroup; ++row) {
    const SourceType type = rows[row].type;
    auto *blocks = static_cast<const uint8_t *>(rows[row].data);
    auto *values = static_cast<const float *>(rows[row].data);
    const bool kept = type != SourceType::F32;
    ScanBound bound;
    for (int64_t at = 0; at < cols; at += blockValues) {
      uint8_t *place = to + at / blockValues * layout.blockBytes;
      QuantBlock block; // zeros
      if (kept)
        block = sourceBlock(type, blocks + sourceBytes(type, at));
      else if (values) // rows of tables are many and serve one token each
        block = quantize(format, values + at, layout.rowGroup > 1);
      store(layout, block, row, place);
      float scale = scaleValue(isHalf(format), block.scale);
      for (int i = 0; i < blockValues; ++i)
        stored[size_t(at + i)] = scale * float(block.codes[i]);
      if (layout.groupTail)
        bound.add(block, scale);
    }
    if (layout.groupTail) {
      const float value = bound.value();
      memcpy(to + tail + row * 4, &value, 4);
    }
    if (kept) {
      addExact(cols, errors[row]);
      errors[row].blocks += cols / blockValues;
      errors[row].exactBlocks += cols / blockValues;
    } else if (values) {
      measureError(values, stored.data(), cols, errors[row]);
      countExact(values, stored.data(), cols, errors[row]);
    }
  }
}

} // namespace gemmac
