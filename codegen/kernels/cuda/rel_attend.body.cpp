// Family rel_attend: attention of a conformer to the last `window` rows, with a
// vector per distance beside the keys. A warp does a head.
#include "codegen/kernels/cuda/softcap.h"
#include "codegen/kernels/cuda/tower.h"

extern "C" {
extern const int32_t gm_heads, gm_hd, gm_window, gm_act_bf16, gm_act_q8;
extern const float gm_cap;
}

namespace {

enum { Threads = 256, Warps = Threads / WarpLanes };
// Distances of a lane: the family has at most 64.
enum { MostOwn = 2 };

// log(1 + exp(x)).
GM_INLINE float softplus(float x) {
  const float e = expWide(larger(-magnitude(x), -80.0f));
  // log(1 + e) = 2 artanh(z), z = e / (2 + e) of 0 .. 1/3.
  const float z = e / (e + 2.0f), square = z * z;
  float y = 1.0f / 15;
  GM_UNROLL for (int32_t i = 13; i > 0; i -= 2) y =
      fma(y, square, 1.0f / float(i));
  return fma(z + z, y, x > 0 ? x : 0.0f);
}

struct Operands {
  const float *q, *k, *v, *positions, *scale;
  Bounds clipQ, clipK, clipV, clip;
  uint8_t *y;
};

GM_INLINE int32_t columns() { return gm_heads * gm_hd; }

// A row of results, then a query for each warp.
GM_INLINE int32_t sharedFloats() { return columns() + Warps * gm_hd; }

// weights[j] of distances lane + 32 j, which sum up to the result. `query`: of
// the head in columns [at, at + hd).
GM_INLINE float weigh(float (&weights)[MostOwn], const Operands &x,
                      const float *query, int64_t row, int64_t stride,
                      int32_t at, int32_t count) {
  const float factor = 1.8946269f; // log(1 + e) / log(2)
  for (int32_t d = 0; d < count; ++d) {
    const float *k = x.k + (row - d) * stride + at,
                *r = x.positions + d * stride + at;
    float sum = 0;
    for (int32_t i = laneOf(); i < gm_hd; i += WarpLanes)
      sum = fma(fma(x.clipK(k[i]), factor, r[i]), query[i], sum);
    sum = softcap(sumOfWarp(sum), gm_cap);
    GM_UNROLL for (int32_t j = 0; j < MostOwn;
                   ++j) if (d == laneOf() + j * WarpLanes) weights[j] = sum;
  }
  float top = GM_LOWEST, sum = 0;
  GM_UNROLL for (int32_t j = 0; j < MostOwn;
                 ++j) if (laneOf() + j * WarpLanes < count) top =
      larger(top, weights[j]);
  top = mostOfWarp(top);
  GM_UNROLL for (int32_t j = 0; j < MostOwn; ++j) {
    const bool isThere = laneOf() + j * WarpLanes < count;
    weights[j] = isThere ? weightOf(weights[j] - top) : 0.0f;
    sum += weights[j];
  }
  return sumOfWarp(sum);
}

// Unit = row.
GM_INLINE void attend(const Operands &x, const gm_numbers *step, int32_t begin,
                      int32_t end) {
  waitForLaunches();
  const int32_t row = begin + blockX();
  if (row >= end || row >= step->rows)
    return;
  const int64_t stride = paddedColumns(columns());
  const float all = 1.44269504f / squareRoot(float(gm_hd));
  const int32_t count = smaller(row + 1, gm_window);
  auto *out = reinterpret_cast<float *>(sharedMemory()),
       *query = out + columns() + warpOf() * gm_hd;
  for (int32_t head = warpOf(); head < gm_heads; head += Warps) {
    const int32_t at = head * gm_hd;
    syncWarp();
    for (int32_t i = laneOf(); i < gm_hd; i += WarpLanes)
      query[i] =
          x.clipQ(x.q[row * stride + at + i]) * (softplus(x.scale[i]) * all);
    syncWarp();
    float weights[MostOwn] = {};
    const float sum = weigh(weights, x, query, row, stride, at, count);
    for (int32_t first = 0; first < gm_hd; first += WarpLanes) {
      const int32_t i = first + laneOf();
      float o = 0;
      for (int32_t d = count - 1; d >= 0; --d) {
        const float w = shuffleFrom(weights[d >= WarpLanes], d % WarpLanes);
        if (i < gm_hd)
          o = fma(x.clipV(x.v[(row - d) * stride + at + i]), w, o);
      }
      if (i < gm_hd)
        out[at + i] = x.clip(o / sum);
    }
  }
  syncBlock();
  uint8_t *y = x.y + row * rowBytes(gm_act_q8, gm_act_bf16, columns());
  for (int32_t i = threadOf(); i < columns(); i += Threads)
    storeElement(gm_act_q8, gm_act_bf16, y, i, out[i]);
}

} // namespace

GM_RESIDENT(gm_body, 4)
GM_ENTRY(gm_body, Threads, sharedFloats() * int32_t(sizeof(float)), 1, 0)
(const float *q, const float *k, const float *v, const float *positions,
 const float *scale, const float *qLo, const float *qHi, const float *kLo,
 const float *kHi, const float *vLo, const float *vHi, const float *inLo,
 const float *inHi, uint8_t *y, const gm_numbers *step, int32_t begin,
 int32_t end) {
  attend({q, k, v, positions, scale, boundsOf(qLo, qHi), boundsOf(kLo, kHi),
          boundsOf(vLo, vHi), boundsOf(inLo, inHi), y},
         step, begin, end);
}

GM_RESIDENT(gm_bare, 4)
GM_ENTRY(gm_bare, Threads, sharedFloats() * int32_t(sizeof(float)), 1, 0)
(const float *q, const float *k, const float *v, const float *positions,
 const float *scale, uint8_t *y, const gm_numbers *step, int32_t begin,
 int32_t end) {
  attend({q, k, v, positions, scale, noBounds(), noBounds(), noBounds(),
          noBounds(), y},
         step, begin, end);
}
