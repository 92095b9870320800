// Test data of the bodies' cases: random numbers, rounding, paged caches whose
// unseen places hold NaN, buffers with guards.
#pragma once

#include "targets/Layouts.h"
#include "test/codegen/kernels/live_memory.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <limits>
#include <random>
#include <string>
#include <vector>

namespace gemmac::test {

// Byte offsets in a page (targets/blocks.h) of lane `d` of key `key` of head
// `head`, and of the scales of a page of format q8.
inline int64_t keyAddress(const std::string &format, int64_t dim, int64_t head,
                          int64_t key, int64_t d) {
  const CacheShape &c = cacheShapeOf(format);
  int32_t word = keyWord(c, int32_t(dim), int32_t(key), int32_t(d) / c.perWord);
  return keyPageBytes(format, head, dim) +
         (word * c.perWord + d % c.perWord) * c.bytes;
}
inline int64_t valueAddress(const std::string &format, int64_t dim,
                            int64_t head, int64_t key, int64_t d) {
  const CacheShape &c = cacheShapeOf(format);
  return valuePageBytes(format, head, dim) +
         valueElement(c, int32_t(key), int32_t(d)) * c.bytes;
}
inline int64_t keyScaleAddress(int64_t dim, int64_t head, int64_t key,
                               int64_t d) {
  return head * keyPageBytes(cacheQ8, int32_t(dim)) +
         keyScaleAt(int32_t(dim), int32_t(key), int32_t(d));
}
inline int64_t valueScaleAddress(int64_t dim, int64_t head, int64_t key) {
  return head * valuePageBytes(cacheQ8, int32_t(dim)) +
         valueScaleAt(int32_t(dim), int32_t(key));
}

inline uint16_t roundToBf16(float x) {
  uint32_t bits;
  memcpy(&bits, &x, 4);
  if (x != x)
    return 0x7fc0;
  return (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}

inline float widenBf16(uint16_t x) {
  uint32_t bits = uint32_t(x) << 16;
  float f;
  memcpy(&f, &bits, 4);
  return f;
}

// Rounds to "bf16" or "f32".
inline float rounded(const std::string &format, float x) {
  return format == "bf16" ? widenBf16(roundToBf16(x)) : x;
}

inline void put(const std::string &format, void *at, float x) {
  uint16_t b = roundToBf16(x);
  format == "bf16" ? memcpy(at, &b, 2) : memcpy(at, &x, 4);
}

inline float get(const std::string &format, const void *at) {
  uint16_t b;
  float f;
  if (format == "bf16")
    return memcpy(&b, at, 2), widenBf16(b);
  return memcpy(&f, at, 4), f;
}

// Rows of encoding q8 (targets/Layouts.h) of `n` numbers.
inline std::vector<uint8_t> quantizedRows(const float *x, size_t n) {
  std::vector<uint8_t> y(n / blockValues * sizeof(ActivationBlock));
  uint8_t *to = y.data();
  for (size_t i = 0; i < n; i += blockValues, to += sizeof(ActivationBlock)) {
    float largest = 0;
    for (size_t j = i; j < i + blockValues; ++j)
      largest = std::max(largest, std::fabs(x[j]));
    float scale = largest > 1e-30f ? largest * float(1.0 / 127.0) : 0;
    float inverse = scale > 0 ? 1 / scale : 0;
    int32_t sum = 0;
    for (size_t j = 0; j < blockValues; ++j) {
      int8_t code = int8_t(std::nearbyint(x[i + j] * inverse));
      memcpy(to + j, &code, 1);
      sum += code;
    }
    const int32_t start = startOf(sum);
    memcpy(to + 32, &scale, 4);
    memcpy(to + 36, &start, 4);
  }
  return y;
}

// Keys and values in pages of every format: `n` numbers of key `key` of head
// `h`, and what is read back.
inline void putCodes(uint8_t *page, const float *x, int64_t lanes, float *scale,
                     uint8_t offset,
                     const std::function<int64_t(int64_t)> &at) {
  float largest = 0;
  bool number = true;
  for (int64_t d = 0; d < lanes; ++d) {
    largest = std::max(largest, std::fabs(x[d]));
    number &= x[d] == x[d];
  }
  float s = largest * float(1.0 / 127.0);
  for (int64_t d = 0; d < lanes; ++d)
    page[at(d)] = number ? uint8_t(int(std::nearbyint(x[d] / s)) + offset) : 77;
  s = number ? s : std::numeric_limits<float>::quiet_NaN();
  memcpy(scale, &s, 4);
}

inline void putKey(const std::string &format, uint8_t *page, int64_t hd,
                   int64_t h, int64_t key, const std::vector<float> &x) {
  const int64_t lanes = format == "q8" ? keyBlock(hd) : 1;
  for (int64_t d = 0; d < hd; d += lanes)
    if (format == "q8")
      putCodes(page, &x[d], lanes,
               (float *)(page + keyScaleAddress(hd, h, key, d)), 128,
               [&](int64_t i) { return keyAddress("q8", hd, h, key, d + i); });
    else
      put(format, page + keyAddress(format, hd, h, key, d), x[d]);
}

inline void putValue(const std::string &format, uint8_t *page, int64_t hd,
                     int64_t h, int64_t key, const std::vector<float> &x) {
  if (format == "q8")
    return putCodes(
        page, x.data(), hd, (float *)(page + valueScaleAddress(hd, h, key)), 0,
        [&](int64_t d) { return valueAddress("q8", hd, h, key, d); });
  for (int64_t d = 0; d < hd; ++d)
    put(format, page + valueAddress(format, hd, h, key, d), x[d]);
}

inline float getKey(const std::string &format, const uint8_t *page, int64_t hd,
                    int64_t h, int64_t key, int64_t d) {
  const uint8_t *at = page + keyAddress(format, hd, h, key, d);
  return format == "q8" ? float(*at - 128) *
                              get("f32", page + keyScaleAddress(hd, h, key, d))
                        : get(format, at);
}

inline float getValue(const std::string &format, const uint8_t *page,
                      int64_t hd, int64_t h, int64_t key, int64_t d) {
  const uint8_t *at = page + valueAddress(format, hd, h, key, d);
  return format == "q8" ? float(int8_t(*at)) *
                              get("f32", page + valueScaleAddress(hd, h, key))
                        : get(format, at);
}

// Lane `d` of row `i` of heads of `hd` lanes, as family rope_q stores them.
inline float getQuery(const std::string &format, const uint8_t *q, int64_t hd,
                      int64_t i, int64_t d) {
  if (format != "q8")
    return get(format, q + (i * hd + d) * elementBytes(format));
  const uint8_t *block =
      q + (i * hd + d) / blockValues * sizeof(ActivationBlock);
  return float(int8_t(block[d % blockValues])) * get("f32", block + 32);
}

inline void putQuery(const std::string &format, uint8_t *q, int64_t hd,
                     int64_t i, const std::vector<float> &x) {
  const int64_t lanes = keyBlock(hd);
  for (int64_t d = 0; d < hd; d += blockValues) {
    uint8_t *block = q + (i * hd + d) / blockValues * sizeof(ActivationBlock);
    if (format != "q8") {
      for (int64_t j = d; j < d + blockValues; ++j)
        put(format, q + (i * hd + j) * elementBytes(format), x[j]);
      continue;
    }
    float largest = 0;
    for (int64_t j = d / lanes * lanes; j < d / lanes * lanes + lanes; ++j)
      largest = std::max(largest, std::fabs(x[j]));
    float scale = largest * float(1.0 / 127.0);
    int32_t sum = 0;
    for (int64_t j = 0; j < blockValues; ++j) {
      int code = int(std::nearbyint(x[d + j] / scale));
      block[j] = uint8_t(code);
      sum += code;
    }
    memcpy(block + 32, &scale, 4);
    const int32_t start = startOf(sum);
    memcpy(block + 36, &start, 4);
  }
}

// Normally distributed, the same on every machine.
class Random {
public:
  explicit Random(uint64_t seed) : engine(seed * 2 + 1) {}
  uint32_t below(uint32_t n) { return uint32_t((engine() >> 33) % n); }
  float uniform() { return float(engine() >> 40) / float(1 << 24); }
  float normal() {
    float sum = 0;
    for (int i = 0; i < 12; ++i)
      sum += uniform();
    return sum - 6;
  }

private:
  std::mt19937_64 engine;
};

// Bytes with 0xff (NaN in every format) inside and guards around, 64-byte
// aligned.
class Buffer {
public:
  explicit Buffer(size_t bytes)
      : bytes(bytes), memory(bytes + 2 * guard, 0xa5) {
    memset(data(), 0xff, bytes);
  }
  uint8_t *data() { return memory.data() + guard; }
  template <class T>
  T *as() {
    return reinterpret_cast<T *>(data());
  }
  bool intact() {
    for (size_t i = 0; i < memory.size(); ++i)
      if ((i < guard || i >= guard + bytes) && memory[i] != 0xa5)
        return false;
    return true;
  }
  const size_t bytes;

private:
  static constexpr size_t guard = 64;
  Array<uint8_t> memory;
};

// text(...) like printf.
template <class... T>
std::string text(const char *format, T... values) {
  char out[400];
  snprintf(out, sizeof out, format, values...);
  return out;
}

// Page numbers of the cases start here, and pools are addressed that far before
// their memory (in an Array or Buffer), so that offsets pass 2^31.
inline const int32_t firstPage = 1 << 18;

inline uint8_t *poolOf(uint8_t *memory, int64_t pageBytes) {
  auto *pool = reinterpret_cast<uint8_t *>(reinterpret_cast<uintptr_t>(memory) -
                                           firstPage * pageBytes);
  if (auto place = LiveMemory::instance().find(memory))
    LiveMemory::instance().alias(pool, place->begin);
  return pool;
}

inline const float notANumber = std::numeric_limits<float>::quiet_NaN();

} // namespace gemmac::test
