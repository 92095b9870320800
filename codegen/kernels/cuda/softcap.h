// cap tanh(y / cap), the end of a logit: the arithmetic of
// codegen/kernels/softcap.h, number by number. Freestanding, for body files
// only.
#ifndef GEMMAC_CODEGEN_KERNELS_CUDA_SOFTCAP_H
#define GEMMAC_CODEGEN_KERNELS_CUDA_SOFTCAP_H

#include "codegen/kernels/cuda/device.h"

// exp of -80 .. 80; relative error below 2e-7.
GM_INLINE float expWide(float x) {
  const float whole = __builtin_floorf(x * 1.44269502f);
  const float r = fma(-whole, 0.693147182f, x), s = r * r;
  float odd = fma(s, 0.00031965933071842413f, 0.00848988645943932717f);
  odd = fma(s, odd, 0.16667983794100929562f);
  odd = fma(s, odd, 1.0f);
  float even = fma(s, 0.00119156835564003744f, 0.04160188091348320655f);
  even = fma(s, even, 0.49999899033463041098f);
  even = fma(s, even, 1.0f);
  const uint32_t power = uint32_t(int32_t(whole));
  return fma(r, odd, even) * asFloat((power << 23) + 0x3f800000u);
}

// tanh(x) = (e^2x - 1) / (e^2x + 1); near 0, where that cancels, its series,
// which is exact to f32 there.
GM_INLINE float softcap(float y, float cap) {
  const float inverse = 1.0f / cap;
  const float x = y * inverse;
  const float e = expWide(larger(smaller(y * (2 * inverse), 80.0f), -80.0f));
  const float square = y * y, s = square * (inverse * inverse);
  float series = fma(-square, inverse * inverse * (17.0f / 315), 2.0f / 15);
  series = fma(s, series, -1.0f / 3);
  series = x * fma(s, series, 1.0f);
  return (magnitude(x) < 0.125f ? series : (e - 1.0f) / (e + 1.0f)) * cap;
}

#endif
