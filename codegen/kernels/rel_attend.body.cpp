// Family rel_attend: attention of a conformer to the last `window` rows, with a
// vector per distance beside the keys.
#include "codegen/kernels/vectors.h"

extern "C" {
extern const int32_t gm_heads, gm_hd, gm_window, gm_act_bf16, gm_act_q8;
extern const float gm_cap;
}

namespace {

// log(1 + exp(x)).
GM_INLINE f32x16 softplus(f32x16 x) {
  const f32x16 size = -magnitude(x);
  const f32x16 e = expWide(size > -80.0f ? size : f32x16(-80.0f));
  // log(1 + e) = 2 artanh(z), z = e / (2 + e) of 0 .. 1/3.
  const f32x16 z = e / (e + 2.0f), square = z * z;
  f32x16 y = 1.0f / 15;
  for (int32_t i = 13; i > 0; i -= 2)
    y = fma(y, square, f32x16(1.0f / float(i)));
  return fma(z + z, y, x > 0 ? x : f32x16(0));
}

struct Operands {
  const float *q, *k, *v, *positions;
  Bounds clipQ, clipK, clipV, clip;
};

// Scores of the head at `at` of row `row` by distance.
GM_INLINE void scores(float *s, const Operands &x, const float *query,
                      int64_t row, int64_t stride, int32_t at, int32_t count) {
  const float factor = 1.8946269f; // log(1 + e) / log(2)
  for (int32_t d = 0; d < count; ++d) {
    const float *k = x.k + (row - d) * stride + at,
                *r = x.positions + d * stride + at;
    f32x16 sum = 0;
    forVectors(gm_hd, [&](int32_t i, auto lanes) GM_LAMBDA {
      const f32x16 key =
          fma(x.clipK(get(k + i, lanes)), f32x16(factor), get(r + i, lanes));
      sum = fma(only(key, lanes), load<f32x16>(query + i), sum);
    });
    s[d] = sumLanes(sum);
  }
}

// Makes scores weights; gives their sum.
GM_INLINE float weights(float *s, int32_t count) {
  f32x16 most = GM_LOWEST;
  for (int32_t d = 0; d < count; d += 16) {
    const f32x16 x = softcap(load<f32x16>(s + d), gm_cap);
    store(s + d, x);
    most = larger(most, counting() + d < count ? x : f32x16(GM_LOWEST));
  }
  const float top = maxLanes(most);
  f32x16 sum = 0;
  for (int32_t d = 0; d < count; d += 16) {
    const f32x16 w = weightOf(load<f32x16>(s + d) - top);
    store(s + d, w);
    sum += counting() + d < count ? w : f32x16(0);
  }
  return sumLanes(sum);
}

// Unit = row.
GM_INLINE void attend(const Operands &x, const float *scale, uint8_t *y,
                      int32_t begin, int32_t end) {
  const int32_t lanes = roundUp(gm_hd, 16), columns = gm_heads * gm_hd;
  float *factor = GM_WORDS(float, lanes), *query = GM_WORDS(float, lanes),
        *out = GM_WORDS(float, roundUp(columns, 32) + 16),
        *s = GM_WORDS(float, roundUp(gm_window, 16));
  const float all = 1.44269504f / __builtin_elementwise_sqrt(float(gm_hd));
  forVectors(gm_hd, [&](int32_t i, auto part) GM_LAMBDA {
    store(factor + i, only(softplus(get(scale + i, part)) * all, part));
  });
  for (int32_t i = 0; i < roundUp(gm_window, 16); i += 16)
    store(s + i, f32x16(0));
  for (int32_t i = columns & -16; i < roundUp(columns, 32); i += 16)
    store(out + i, f32x16(0));
  const int64_t stride = rowBytes(0, 0, columns) / 4,
                bytes = rowBytes(gm_act_q8, gm_act_bf16, columns);
  for (int64_t row = begin; row < end; ++row) {
    const int32_t count = row < gm_window ? int32_t(row) + 1 : gm_window;
    for (int32_t at = 0; at < columns; at += gm_hd) {
      forVectors(gm_hd, [&](int32_t i, auto part) GM_LAMBDA {
        store(query + i, x.clipQ(get(x.q + row * stride + at + i, part)) *
                             load<f32x16>(factor + i));
      });
      scores(s, x, query, row, stride, at, count);
      const float sum = weights(s, count);
      forVectors(gm_hd, [&](int32_t i, auto part) GM_LAMBDA {
        f32x16 o = 0;
        for (int32_t d = count - 1; d >= 0; --d)
          o = fma(x.clipV(get(x.v + (row - d) * stride + at + i, part)),
                  f32x16(s[d]), o);
        put(out + at + i, x.clip(o / sum), part);
      });
    }
    storeRow(gm_act_q8, gm_act_bf16, y + row * bytes, out, columns);
  }
}

} // namespace

extern "C" void gm_many(const float *q, const float *k, const float *v,
                        const float *positions, const float *scale,
                        const float *qLo, const float *qHi, const float *kLo,
                        const float *kHi, const float *vLo, const float *vHi,
                        const float *inLo, const float *inHi, uint8_t *y,
                        int32_t rows, int32_t begin, int32_t end) {
  attend({q, k, v, positions, bounds(qLo, qHi), bounds(kLo, kHi),
          bounds(vLo, vHi), bounds(inLo, inHi)},
         scale, y, begin, end);
}

extern "C" void gm_bare(const float *q, const float *k, const float *v,
                        const float *positions, const float *scale, uint8_t *y,
                        int32_t rows, int32_t begin, int32_t end) {
  attend({q, k, v, positions, noBounds(), noBounds(), noBounds(), noBounds()},
         scale, y, begin, end);
}
