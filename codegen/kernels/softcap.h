// cap tanh(y / cap), the end of a logit, in one place: family logits (by
// softcap.body.cpp) and family top_scan must have the same bits. f32, no
// infinities. Freestanding, for body files only.
#ifndef GEMMAC_CODEGEN_KERNELS_SOFTCAP_H
#define GEMMAC_CODEGEN_KERNELS_SOFTCAP_H

#include "codegen/kernels/body.h"

namespace {

// exp of -80 .. 80; relative error below 2e-7.
GM_INLINE f32x16 expWide(f32x16 x) {
  const f32x16 whole = __builtin_elementwise_floor(x * 1.44269502f);
  const f32x16 r = fma(-whole, 0.693147182f, x), s = r * r;
  f32x16 odd = fma(s, 0.00031965933071842413f, 0.00848988645943932717f);
  odd = fma(s, odd, 0.16667983794100929562f);
  odd = fma(s, odd, 1.0f);
  f32x16 even = fma(s, 0.00119156835564003744f, 0.04160188091348320655f);
  even = fma(s, even, 0.49999899033463041098f);
  even = fma(s, even, 1.0f);
  const i32x16 power = __builtin_convertvector(whole, i32x16);
  return fma(r, odd, even) *
         __builtin_bit_cast(f32x16, (power << 23) + 0x3f800000);
}

// tanh(x) = (e^2x - 1) / (e^2x + 1); near 0, where that cancels, its series,
// which is exact to f32 there.
GM_INLINE f32x16 softcap(f32x16 y, float cap) {
  const float inverse = 1.0f / cap;
  const f32x16 x = y * inverse;
  f32x16 twice = y * (2 * inverse);
  twice = __builtin_elementwise_minnum(twice, f32x16(80.0f));
  twice = __builtin_elementwise_maxnum(twice, f32x16(-80.0f));
  const f32x16 e = expWide(twice);
  const f32x16 square = y * y, s = square * (inverse * inverse);
  f32x16 series = fma(-square, inverse * inverse * (17.0f / 315), 2.0f / 15);
  series = fma(s, series, -1.0f / 3);
  series = x * fma(s, series, 1.0f);
  return (magnitude(x) < 0.125f ? series : (e - 1.0f) / (e + 1.0f)) * cap;
}

} // namespace

#endif
