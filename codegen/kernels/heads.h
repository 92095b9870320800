// Norm and two-dimensional rotation of a head of one row, shared by the
// families heads_q and heads_kv. Heads are stored in `headLanes` lanes, zeros
// behind gm_hd. Freestanding, for body files only.
#ifndef GEMMAC_CODEGEN_KERNELS_HEADS_H
#define GEMMAC_CODEGEN_KERNELS_HEADS_H

#include "codegen/kernels/vectors.h"

extern "C" {
extern const int32_t gm_heads, gm_hd, gm_cache_bf16;
extern const float gm_eps;
}

GM_INLINE int32_t headLanes() { return roundUp(gm_hd, 32); }

// Scratch of one row. Vectors may end 16 lanes behind what they are about.
struct HeadScratch {
  float *head, *weight, *turned, *cosine, *sine;
};
#define GM_HEAD_SCRATCH                                                        \
  {GM_WORDS(float, headLanes() + 32), GM_WORDS(float, headLanes() + 32),       \
   GM_WORDS(float, headLanes() + 32), GM_WORDS(float, headLanes() + 32),       \
   GM_WORDS(float, headLanes() + 32)}

// cos and sin of a row's table [hd / 2][2].
GM_INLINE void takeTurns(const HeadScratch &s, const float *rope) {
  for (int32_t i = 0; i < gm_hd / 2; ++i)
    s.cosine[i] = rope[2 * i], s.sine[i] = rope[2 * i + 1];
}

// to = norm of the head at `x`, zeros behind it to a multiple of 32; `w` null:
// weightless.
GM_INLINE void normHead(float *to, const float *x, const float *w,
                        const Bounds &clip) {
  takeRow(to, x, gm_hd, clip);
  const float scale = inverseRms(to, gm_hd, gm_eps);
  for (int32_t i = 0; i < gm_hd; i += 16) {
    const f32x16 y = load<f32x16>(to + i) * scale;
    store(to + i, w ? y * load<f32x16>(w + i) : y);
  }
}

// s.turned = the head at `x` after norm and rotation. Quarters are written in
// ascending order: what a vector writes behind one is overwritten.
GM_INLINE void normAndTurn(const HeadScratch &s, const float *x,
                           const Bounds &clip) {
  normHead(s.head, x, s.weight, clip);
  const int32_t quarter = gm_hd / 4;
  for (int32_t half = 0; half < 2; ++half) {
    const float *a = s.head + half * 2 * quarter, *b = a + quarter;
    const float *c = s.cosine + half * quarter, *d = s.sine + half * quarter;
    float *to = s.turned + half * 2 * quarter;
    for (int32_t i = 0; i < quarter; i += 16)
      store(to + i, fma(load<f32x16>(a + i), load<f32x16>(c + i),
                        -(load<f32x16>(b + i) * load<f32x16>(d + i))));
    for (int32_t i = 0; i < quarter; i += 16)
      store(to + quarter + i, fma(load<f32x16>(b + i), load<f32x16>(c + i),
                                  load<f32x16>(a + i) * load<f32x16>(d + i)));
  }
  for (int32_t i = gm_hd; i < headLanes(); ++i)
    s.turned[i] = 0;
}

#endif
