// Family add_norm3. `out` may be `h`, as in add_norm.
#include "codegen/kernels/cuda/rows.h"

struct Inputs {
  const float *h, *dense, *experts, *wDense, *wExperts, *w;
};

// `s` null: 1.
GM_INLINE void addNorm3(Inputs in, const float *s, float *out, int64_t row) {
  const int64_t at = row * paddedColumns(gm_k);
  const float *h = in.h + at, *dense = in.dense + at,
              *experts = in.experts + at;
  out += at;
  const float rmsDense = inverseRms(dense, 0),
              rmsExperts = inverseRms(experts, 1);
  // Computed again where it is needed: its parts are in the cache.
  auto sum = [&](int32_t i) GM_LAMBDA {
    return dense[i] * rmsDense * in.wDense[i] +
           experts[i] * rmsExperts * in.wExperts[i];
  };
  const float rms = inverseRms(sum, 2);
  forColumns([&](int32_t i) GM_LAMBDA {
    const float total = h[i] + sum(i) * rms * in.w[i];
    out[i] = s ? total * *s : total;
  });
}

// Unit = row.
GM_ENTRY(gm_body, Threads, 3 * RmsBytes, 1, 0)
(const float *h, const float *dense, const float *experts, const float *wDense,
 const float *wExperts, const float *w, const float *s, float *out,
 const gm_numbers *step, int32_t begin, int32_t end) {
  if (const int64_t row = rowOfBlock(step, begin, end); row >= 0)
    addNorm3({h, dense, experts, wDense, wExperts, w}, s, out, row);
}

GM_ENTRY(gm_bare, Threads, 3 * RmsBytes, 1, 0)
(const float *h, const float *dense, const float *experts, const float *wDense,
 const float *wExperts, const float *w, float *out, const gm_numbers *step,
 int32_t begin, int32_t end) {
  if (const int64_t row = rowOfBlock(step, begin, end); row >= 0)
    addNorm3({h, dense, experts, wDense, wExperts, w}, nullptr, out, row);
}
