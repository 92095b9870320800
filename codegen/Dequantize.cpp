// The layouts are GGML's; d and m are f16 scale and minimum. Must not know
// tensors, files or what is packed from them.
#include "codegen/Dequantize.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstring>
#include <iterator>

// A product that meets a sum must be rounded on its own.
#pragma STDC FP_CONTRACT OFF

namespace gemmac {

float halfToFloat(uint16_t h) {
  uint32_t sign = uint32_t(h & 0x8000) << 16, exponent = h >> 10 & 31,
           mantissa = h & 1023;
  if (exponent == 31)
    return std::bit_cast<float>(sign | 0x7f800000 | mantissa << 13);
  if (exponent != 0)
    return std::bit_cast<float>(sign | (exponent + 112) << 23 | mantissa << 13);
  float value = float(mantissa) * 0x1p-24f; // zero or subnormal: exact in f32
  return sign ? -value : value;
}

float bf16ToFloat(uint16_t h) {
  return std::bit_cast<float>(uint32_t(h) << 16);
}

uint16_t floatToBf16(float x) {
  uint32_t bits = std::bit_cast<uint32_t>(x);
  if ((bits & 0x7fffffff) > 0x7f800000)
    return bits >> 16 | 0x40;
  return (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}

namespace {

float half(const uint8_t *at) {
  uint16_t bits;
  memcpy(&bits, at, 2);
  return halfToFloat(bits);
}

void f32(const uint8_t *b, float *to) { memcpy(to, b, 4); }
void f16(const uint8_t *b, float *to) { *to = half(b); }
void bf16(const uint8_t *b, float *to) {
  uint16_t bits;
  memcpy(&bits, b, 2);
  *to = bf16ToFloat(bits);
}

// d, int8[32].
void q8_0(const uint8_t *b, float *to) {
  float d = half(b);
  for (int j = 0; j < 32; ++j)
    to[j] = float(int8_t(b[2 + j])) * d;
}

// d, nibbles[16]: byte j holds value j low and value j + 16 high.
void q4_0(const uint8_t *b, float *to) {
  float d = half(b);
  for (int j = 0; j < 16; ++j) {
    to[j] = float((b[2 + j] & 15) - 8) * d;
    to[j + 16] = float((b[2 + j] >> 4) - 8) * d;
  }
}

// d, m, nibbles[16].
void q4_1(const uint8_t *b, float *to) {
  float d = half(b), m = half(b + 2);
  for (int j = 0; j < 16; ++j) {
    float low = float(b[4 + j] & 15) * d, high = float(b[4 + j] >> 4) * d;
    to[j] = low + m;
    to[j + 16] = high + m;
  }
}

// Value j of 32 with 5 bits: nibbles[16] and, in bit j of `top`, bit 4.
int fiveBits(uint32_t top, const uint8_t *nibbles, int j) {
  int low = j < 16 ? nibbles[j] & 15 : nibbles[j - 16] >> 4;
  return low | int(top >> j & 1) << 4;
}

// d, bit 4 of 32 values, nibbles[16].
void q5_0(const uint8_t *b, float *to) {
  float d = half(b);
  uint32_t top;
  memcpy(&top, b + 2, 4);
  for (int j = 0; j < 32; ++j)
    to[j] = float(fiveBits(top, b + 6, j) - 16) * d;
}

// d, m, bit 4 of 32 values, nibbles[16].
void q5_1(const uint8_t *b, float *to) {
  float d = half(b), m = half(b + 2);
  uint32_t top;
  memcpy(&top, b + 4, 4);
  for (int j = 0; j < 32; ++j) {
    float product = float(fiveBits(top, b + 8, j)) * d;
    to[j] = product + m;
  }
}

struct GroupScale {
  int scale, minimum;
};

// Scale and minimum of group g (0..7) of 32 values: 6 bits each, in 12 bytes.
// The first four groups have theirs in the low 6 bits of bytes g and g + 4, the
// others their low 4 bits in byte g + 4 and their high 2 above the first four.
GroupScale groupScale(const uint8_t *s, int g) {
  if (g < 4)
    return {s[g] & 63, s[g + 4] & 63};
  return {(s[g + 4] & 15) | (s[g - 4] >> 6) << 4, (s[g + 4] >> 4) | (s[g] >> 6)
                                                                        << 4};
}

// d, dmin, 12 bytes of scales, nibbles[128]: 32 bytes hold group 2p low and
// group 2p + 1 high; with `top` (32 bytes) bit g of byte j is bit 4 of value j
// of group g.
void kGroups(const uint8_t *b, const uint8_t *top, const uint8_t *nibbles,
             float *to) {
  float d = half(b), least = half(b + 2);
  for (int g = 0; g < 8; ++g) {
    auto [scale, minimum] = groupScale(b + 4, g);
    float ds = d * float(scale), dm = least * float(minimum);
    for (int j = 0; j < 32; ++j) {
      int byte = nibbles[g / 2 * 32 + j], q = g % 2 ? byte >> 4 : byte & 15;
      if (top)
        q |= (top[j] >> g & 1) << 4;
      float product = ds * float(q);
      to[g * 32 + j] = product - dm;
    }
  }
}

void q4_k(const uint8_t *b, float *to) { kGroups(b, nullptr, b + 16, to); }
void q5_k(const uint8_t *b, float *to) { kGroups(b, b + 16, b + 48, to); }

// Low 4 bits [128], high 2 bits [64], int8 scales [16] for 16 values each, d.
// Each half of 128 values is four rows of 32: rows 0 and 1 have their low bits
// in the low nibbles of 64 bytes, rows 2 and 3 in the high ones; row r has its
// high bits at bit 2 r of 32 bytes.
void q6_k(const uint8_t *b, float *to) {
  float d = half(b + 208);
  const uint8_t *scales = b + 192;
  for (int i = 0; i < 256; ++i) {
    int h = i / 128, r = i % 128 / 32, j = i % 32;
    int byte = b[h * 64 + r % 2 * 32 + j];
    int q = (r < 2 ? byte & 15 : byte >> 4) | (b[128 + h * 32 + j] >> 2 * r & 3)
                                                  << 4;
    float ds = d * float(int8_t(scales[i / 16]));
    to[i] = ds * float(q - 32);
  }
}

// `n` blocks one after the other.
using Decoder = void (*)(const uint8_t *from, int64_t n, float *to);
template <void block(const uint8_t *, float *), int values, int bytes>
void each(const uint8_t *from, int64_t n, float *to) {
  for (int64_t i = 0; i < n; ++i)
    block(from + i * bytes, to + i * values);
}

struct Type {
  const char *word;  // null: no weights
  int values, bytes; // of a block
  Decoder decode;
};
template <void block(const uint8_t *, float *), int values, int bytes>
constexpr Type weights(const char *word) {
  return {word, values, bytes, each<block, values, bytes>};
}

const Type &typeOf(SourceType type) {
  static const Type all[] = {
      weights<f32, 1, 4>("f32"),       weights<f16, 1, 2>("f16"),
      weights<bf16, 1, 2>("bf16"),     {nullptr, 1, 8, nullptr}, // I64
      weights<q8_0, 32, 34>("q8_0"),   weights<q4_0, 32, 18>("q4_0"),
      weights<q4_1, 32, 20>("q4_1"),   weights<q5_0, 32, 22>("q5_0"),
      weights<q5_1, 32, 24>("q5_1"),   weights<q4_k, 256, 144>("q4_k"),
      weights<q5_k, 256, 176>("q5_k"), weights<q6_k, 256, 210>("q6_k"),
      {nullptr, 1, 1, nullptr}}; // Other
  static_assert(std::size(all) == size_t(SourceType::Other) + 1);
  return all[size_t(type)];
}

} // namespace

const char *sourceWord(SourceType type) { return typeOf(type).word; }

bool isBlockType(SourceType type) { return typeOf(type).values > 1; }

int64_t blockElements(SourceType type) { return typeOf(type).values; }

int64_t sourceBytes(SourceType type, int64_t n) {
  assert(type != SourceType::Other && "a type without values");
  assert(n % typeOf(type).values == 0);
  return n / typeOf(type).values * typeOf(type).bytes;
}

void dequantizeRow(SourceType type, const uint8_t *from, int64_t n, float *to) {
  assert(typeOf(type).decode && "a type without f32 values");
  assert(n % typeOf(type).values == 0);
  typeOf(type).decode(from, n / typeOf(type).values, to);
}

// Of `n` numbers, `stride` bytes apart, the first whose `exponent` is all ones.
template <typename Bits>
static int64_t firstSpecial(const uint8_t *from, int64_t n, int64_t stride,
                            Bits exponent) {
  auto isSpecial = [&](int64_t i) {
    Bits bits;
    memcpy(&bits, from + i * stride, sizeof bits);
    return (bits & exponent) == exponent;
  };
  bool any = false; // without a branch: a loop of vectors
  for (int64_t i = 0; i < n; ++i)
    any |= isSpecial(i);
  if (!any)
    return -1;
  int64_t i = 0;
  while (!isSpecial(i))
    ++i;
  return i;
}

int64_t firstNonFinite(SourceType type, const uint8_t *from, int64_t n) {
  constexpr uint16_t half = 0x7c00, bf16 = 0x7f80;
  constexpr uint32_t single = 0x7f800000;
  if (type == SourceType::F32)
    return firstSpecial(from, n, 4, single);
  if (!isBlockType(type))
    return firstSpecial(from, n, 2, type == SourceType::BF16 ? bf16 : half);
  // Only scales and minima can be infinite or no numbers.
  const auto &size = typeOf(type);
  const bool hasMinimum = type == SourceType::Q4_1 ||
                          type == SourceType::Q5_1 ||
                          type == SourceType::Q4_K || type == SourceType::Q5_K;
  const int64_t count = n / size.values;
  const int64_t scale = firstSpecial(
      from + (type == SourceType::Q6_K ? 208 : 0), count, size.bytes, half);
  const int64_t minimum =
      hasMinimum ? firstSpecial(from + 2, count, size.bytes, half) : -1;
  const int64_t first = scale < 0     ? minimum
                        : minimum < 0 ? scale
                                      : std::min(scale, minimum);
  return first < 0 ? -1 : first * size.values;
}

} // namespace gemmac
