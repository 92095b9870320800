// Test data of the bodies' cases: random numbers, rounding, paged caches whose
// unseen places hold NaN, buffers with guards.
#pragma once

#include "targets/Layouts.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

namespace gemmac::test {

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
  std::vector<uint8_t> y(n / quantBlock * activationBlockBytes);
  uint8_t *to = y.data();
  for (size_t i = 0; i < n; i += quantBlock, to += activationBlockBytes) {
    float largest = 0;
    for (size_t j = i; j < i + quantBlock; ++j)
      largest = std::max(largest, std::fabs(x[j]));
    float scale = largest > 1e-30f ? largest * float(1.0 / 127.0) : 0;
    float inverse = scale > 0 ? 1 / scale : 0;
    int32_t word = 0;
    for (size_t j = 0; j < quantBlock; ++j) {
      int8_t code = int8_t(std::nearbyint(x[i + j] * inverse));
      memcpy(to + j, &code, 1);
      word -= 8 * code;
    }
    memcpy(to + 32, &scale, 4);
    memcpy(to + 36, &word, 4);
  }
  return y;
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
  explicit Buffer(size_t bytes) : bytes(bytes), memory(bytes + 3 * guard) {
    size_t skew = reinterpret_cast<uintptr_t>(memory.data()) % guard;
    start = guard + (guard - skew);
    memset(memory.data(), 0xa5, memory.size());
    memset(data(), 0xff, bytes);
  }
  uint8_t *data() { return memory.data() + start; }
  template <class T>
  T *as() {
    return reinterpret_cast<T *>(data());
  }
  bool intact() {
    for (size_t i = 0; i < memory.size(); ++i)
      if ((i < start || i >= start + bytes) && memory[i] != 0xa5)
        return false;
    return true;
  }
  const size_t bytes;

private:
  static constexpr size_t guard = 64;
  std::vector<uint8_t> memory;
  size_t start;
};

// text(...) like printf.
template <class... T>
std::string text(const char *format, T... values) {
  char out[400];
  snprintf(out, sizeof out, format, values...);
  return out;
}

// Page numbers of the cases start here, and pools are addressed that far before
// their memory, so that offsets pass 2^31.
inline const int32_t firstPage = 1 << 18;

inline uint8_t *poolOf(uint8_t *memory, int64_t pageBytes) {
  return reinterpret_cast<uint8_t *>(reinterpret_cast<uintptr_t>(memory) -
                                     firstPage * pageBytes);
}

inline const float notANumber = std::numeric_limits<float>::quiet_NaN();

} // namespace gemmac::test
