// The encoder of q8_0: rows of f32 to blocks of 32 codes and a scale, as
// `quantize` says, but fast: whole tables pass through it.
#include "codegen/Dequantize.h"
#include "codegen/Quantize.h"

#include <cassert>
#include <cmath>
#include <cstring>

namespace gemmac {

namespace {

constexpr int lanes = 16; // of the vectors that loops over them become

struct Codes {
  int8_t codes[quantBlock];
  uint16_t scale;
};

struct Squares {
  double lane[lanes] = {};
  float largest[lanes] = {};
};

} // namespace

// NaN is ignored by the choice of the scale and becomes code -127.
__attribute__((target_clones("default", "avx2", "avx512f"))) static void
encode(const float *values, Codes &to, Squares &squares) {
  float m[lanes];
  for (int l = 0; l < lanes; ++l) {
    float a = std::fabs(values[l]), b = std::fabs(values[l + lanes]);
    a = a > 0 ? a : 0; // not NaN
    m[l] = b > a ? b : a;
  }
  for (int n = lanes / 2; n >= 1; n /= 2)
    for (int l = 0; l < n; ++l)
      m[l] = m[l] > m[l + n] ? m[l] : m[l + n];
  to.scale = floatToHalf(m[0] / 127);
  const float scale = halfToFloat(to.scale);
  const float inverse = scale != 0 ? 1 / scale : 0;
  for (int half = 0; half < quantBlock; half += lanes)
    for (int l = 0; l < lanes; ++l) {
      const float value = values[half + l];
      float x = value * inverse;
      x = x > -127.0f ? x : -127.0f;
      x = x < 127.0f ? x : 127.0f;
      const float magic = 12582912.0f; // 1.5 * 2^23: to the nearest integer
      const float code = (x + magic) - magic;
      to.codes[half + l] = int8_t(int(code));
      const float d = std::fabs(scale * code - value);
      squares.largest[l] = d > squares.largest[l] ? d : squares.largest[l];
      squares.lane[l] += double(d) * double(d);
    }
}

QuantError packBytes(const Layout &layout, const float *const *rows,
                     int64_t cols, uint8_t *to) {
  assert(layout.format == "q8_0" && cols % quantBlock == 0);
  Squares squares;
  QuantError error;
  const bool isGroup = layout.rowGroup > 1;
  for (int64_t row = 0; row < layout.rowGroup; ++row)
    for (int64_t at = 0; at < cols; at += quantBlock) {
      uint8_t *place = to + at / quantBlock * layout.blockBytes;
      Codes block = {};
      if (rows[row])
        encode(rows[row] + at, block, squares);
      if (!isGroup) {
        memcpy(place, &block.scale, 2);
        memcpy(place + 2, block.codes, quantBlock);
        continue;
      }
      memcpy(place + layout.blockBytes - 32 + row * 2, &block.scale, 2);
      for (int64_t i = 0; i < quantBlock; i += 4) {
        uint32_t codes;
        memcpy(&codes, block.codes + i, 4);
        codes ^= 0x80808080; // + 128
        memcpy(place + i * 16 + row * 4, &codes, 4);
      }
    }
  for (int64_t row = 0; row < layout.rowGroup; ++row)
    error.values += rows[row] ? cols : 0;
  for (int l = 0; l < lanes; ++l) {
    error.largest = std::max(error.largest, double(squares.largest[l]));
    error.squares += squares.lane[l];
  }
  return error;
}

} // namespace gemmac
