// Family conv2d: a step of the subsampling of sounds. Outputs are vectors: the
// weight is transposed into scratch once per call. Freestanding.
#include "codegen/kernels/vectors.h"

extern "C" {
extern const int32_t gm_g, gm_channels_in, gm_channels_out, gm_bins;
extern const float gm_eps;
}

namespace {

// Bins and vectors of channels whose sums are in registers together.
enum { TileBins = GM_PAIRS, TileVectors = GM_VECTORS };

GM_INLINE int32_t binsOut() { return gm_bins / 2; }
GM_INLINE int32_t frameNumbers() { return gm_bins * gm_channels_in; }

// to[frame][bin][in][out] of from[out][in][frame][bin].
GM_INLINE void transpose(float *to, const float *from) {
  for (int32_t o = 0; o < gm_channels_out; ++o)
    for (int32_t i = 0; i < gm_channels_in; ++i)
      for (int32_t at = 0; at < 9; ++at)
        to[(at * gm_channels_in + i) * gm_channels_out + o] =
            from[(o * gm_channels_in + i) * 9 + at];
}

// Sums of bins [bin, bin + N) and 16 V channels of a frame of outputs from the
// frames at x[0 .. 2], null where there is none; `w` from the first channel on.
template <int N, int V>
GM_INLINE void convolve(const float *const (&x)[3], const float *w, float *y,
                        int32_t bin) {
  f32x16 acc[N][V] = {};
  for (int32_t frame = 0; frame < 3; ++frame) {
    if (!x[frame])
      continue;
    for (int32_t b = 0; b < 3; ++b) {
      // Bin -1, which only the first has, is 0: nothing is added to its sums.
      const int32_t from = 2 * bin + b - 1, skip = from < 0 ? 1 : 0;
      const float *numbers = x[frame] + from * gm_channels_in;
      const float *by = w + (frame * 3 + b) * gm_channels_in * gm_channels_out;
      for (int32_t i = 0; i < gm_channels_in; ++i, by += gm_channels_out) {
        f32x16 weight[V];
        GM_UNROLL
        for (int32_t j = 0; j < V; ++j)
          weight[j] = load<f32x16>(by + j * 16);
        GM_UNROLL
        for (int32_t n = 0; n < N; ++n) {
          const float number =
              numbers[(n == 0 && skip ? 2 : 2 * n) * gm_channels_in + i];
          const f32x16 all = n == 0 && skip ? 0.0f : number;
          GM_UNROLL
          for (int32_t j = 0; j < V; ++j)
            acc[n][j] = fma(weight[j], all, acc[n][j]);
        }
      }
    }
  }
  GM_UNROLL
  for (int32_t n = 0; n < N; ++n)
    GM_UNROLL
  for (int32_t j = 0; j < V; ++j)
    store(y + (bin + n) * gm_channels_out + j * 16, acc[n][j]);
}

template <int N>
GM_INLINE void convolveAll(const float *const (&x)[3], const float *w, float *y,
                           int32_t bin) {
  int32_t o = 0;
  for (; o + 16 * TileVectors <= gm_channels_out; o += 16 * TileVectors)
    convolve<N, TileVectors>(x, w + o, y + o, bin);
  for (; o < gm_channels_out; o += 16)
    convolve<N, 1>(x, w + o, y + o, bin);
}

// Norm over the channels of a bin, and what is above 0.
GM_INLINE void finish(float *y, const float *norm) {
  const float each = 1.0f / float(gm_channels_out);
  f32x16 sum = 0, squares = 0;
  for (int32_t o = 0; o < gm_channels_out; o += 16)
    sum += load<f32x16>(y + o);
  const float mean = sumLanes(sum) * each;
  for (int32_t o = 0; o < gm_channels_out; o += 16) {
    const f32x16 z = load<f32x16>(y + o) - mean;
    squares = fma(z, z, squares);
  }
  const float scale =
      1.0f / __builtin_elementwise_sqrt(sumLanes(squares) * each + gm_eps);
  for (int32_t o = 0; o < gm_channels_out; o += 16)
    store(y + o,
          larger((load<f32x16>(y + o) - mean) * scale * load<f32x16>(norm + o),
                 f32x16(0)));
}

} // namespace

// Unit = row.
extern "C" void gm_many(const float *x, const int32_t *frames, const float *w,
                        const float *norm, float *y, int32_t rows,
                        int32_t begin, int32_t end) {
  float *weight = GM_WORDS(float, 9 * gm_channels_in * gm_channels_out);
  if (begin < end)
    transpose(weight, w);
  const int32_t out = binsOut() * gm_channels_out;
  const int64_t xStride = rowBytes(0, 0, gm_g * frameNumbers()) / 4,
                yStride = rowBytes(0, 0, gm_g / 2 * out) / 4;
  for (int64_t row = begin; row < end; ++row)
    for (int32_t j = 0; j < gm_g / 2; ++j) {
      float *to = y + row * yStride + j * out;
      if (2 * j >= (frames[row] * gm_g + 3) / 4) {
        for (int32_t i = 0; i < out; i += 16)
          store(to + i, f32x16(0));
        continue;
      }
      const float *own = x + row * xStride + 2 * j * frameNumbers();
      const float *const from[3] = {j     ? own - frameNumbers()
                                    : row ? x + (row - 1) * xStride +
                                                (gm_g - 1) * frameNumbers()
                                          : nullptr,
                                    own, own + frameNumbers()};
      int32_t bin = 0;
      for (; bin + TileBins <= binsOut(); bin += TileBins)
        convolveAll<TileBins>(from, weight, to, bin);
      for (; bin < binsOut(); ++bin)
        convolveAll<1>(from, weight, to, bin);
      for (bin = 0; bin < binsOut(); ++bin)
        finish(to + bin * gm_channels_out, norm);
    }
}
