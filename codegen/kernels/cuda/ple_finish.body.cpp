// Family ple_finish: per-layer embeddings. A warp does the slice of a layer of
// a row at a time.
#include "codegen/kernels/cuda/device.h"

extern "C" {
extern const int32_t gm_p, gm_format_f32, gm_format_bf16, gm_format_q8_0,
    gm_format_q4_bf;
extern const float gm_eps, gm_token_scale, gm_scale;
}

enum { Threads = 256, Warps = Threads / WarpLanes };

// Bytes of a slice of the gathered rows.
GM_INLINE int64_t tokenBytes() {
  const int64_t blocks = gm_p / blockValues;
  return gm_format_f32    ? int64_t(gm_p) * 4
         : gm_format_bf16 ? int64_t(gm_p) * 2
         : gm_format_q8_0 ? blocks * int64_t(sizeof(RowBlock8))
                          : blocks * int64_t(sizeof(RowBlock4));
}

// Element `j` of a gathered slice.
GM_INLINE float tokenValue(const uint8_t *token, int32_t j) {
  if (gm_format_f32)
    return reinterpret_cast<const float *>(token)[j];
  if (gm_format_bf16)
    return fromBf16(reinterpret_cast<const uint16_t *>(token)[j]);
  const int32_t i = j % blockValues;
  if (gm_format_q8_0) {
    const auto &block =
        reinterpret_cast<const RowBlock8 *>(token)[j / blockValues];
    return float(int32_t(block.codes[i])) * fromF16(block.scale);
  }
  const auto &block =
      reinterpret_cast<const RowBlock4 *>(token)[j / blockValues];
  const int32_t both = block.codes[i % halfBlock],
                code = (i < halfBlock ? both & 15 : both >> 4) - 8;
  return float(code) *
         (gm_format_q4_bf ? fromBf16(block.scale) : fromF16(block.scale));
}

// The warp does the slice of `layer` in row `row`.
GM_INLINE void finishSlice(const float *context, const uint8_t *token,
                           const float *w, float *y, int64_t row, int32_t layer,
                           int32_t layers) {
  const int64_t at =
      row * paddedColumns(int64_t(layers) * gm_p) + int64_t(layer) * gm_p;
  context += at, y += at;
  token += (row * layers + layer) * tokenBytes();
  float sum = 0;
  for (int32_t j = laneOf(); j < gm_p; j += WarpLanes)
    sum = fma(context[j], context[j], sum);
  const float rms =
      1.0f / squareRoot(sumOfWarp(sum) * (1.0f / float(gm_p)) + gm_eps);
  for (int32_t j = laneOf(); j < gm_p; j += WarpLanes)
    y[j] = (context[j] * rms * w[j] + tokenValue(token, j) * gm_token_scale) *
           gm_scale;
}

// Unit = layer.
GM_ENTRY(gm_few, Threads, 0, 1, 0)
(const float *context, const uint8_t *token, const float *w, float *y,
 const gm_numbers *step, int32_t layers, int32_t begin, int32_t end) {
  waitForLaunches();
  const int32_t layer = begin + blockX();
  if (layer < end)
    for (int32_t row = warpOf(); row < step->rows; row += Warps)
      finishSlice(context, token, w, y, row, layer, layers);
}

// Unit = row.
GM_ENTRY(gm_many, Threads, 0, 1, 0)
(const float *context, const uint8_t *token, const float *w, float *y,
 const gm_numbers *step, int32_t layers, int32_t begin, int32_t end) {
  waitForLaunches();
  const int32_t row = begin + blockX();
  if (row < end && row < step->rows)
    for (int32_t layer = warpOf(); layer < layers; layer += Warps)
      finishSlice(context, token, w, y, row, layer, layers);
}
