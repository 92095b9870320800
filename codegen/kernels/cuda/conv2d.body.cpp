// Family conv2d: a step of the subsampling of sounds. A warp does a bin of a
// frame of outputs, whose channels it norms.
#include "codegen/kernels/cuda/device.h"

extern "C" {
extern const int32_t gm_g, gm_channels_in, gm_channels_out, gm_bins;
extern const float gm_eps;
}

namespace {

enum { Threads = 256, Warps = Threads / WarpLanes };
// Channels of a lane: the family has at most 128.
enum { MostOwn = 4 };

GM_INLINE int32_t frameNumbers() { return gm_bins * gm_channels_in; }

// f(j, channel) for the channels of this lane.
template <class F>
GM_INLINE void forChannels(F f) {
  GM_UNROLL for (int32_t j = 0; j < MostOwn;
                 ++j) if (laneOf() + j * WarpLanes < gm_channels_out)
      f(j, laneOf() + j * WarpLanes);
}

// Sums of a bin of outputs from the frames at x[0 .. 2], null where there is
// none.
GM_INLINE void convolve(float (&acc)[MostOwn], const float *const (&x)[3],
                        const float *w, int32_t bin) {
  GM_UNROLL for (int32_t frame = 0; frame < 3; ++frame) for (int32_t b = 0;
                                                             b < 3; ++b) {
    const int32_t from = 2 * bin + b - 1;
    if (!x[frame] || from < 0)
      continue;
    const float *numbers = x[frame] + from * gm_channels_in;
    for (int32_t i = 0; i < gm_channels_in; ++i)
      forChannels([&](int32_t j, int32_t o) GM_LAMBDA {
        acc[j] = fma(w[(o * gm_channels_in + i) * 9 + frame * 3 + b],
                     numbers[i], acc[j]);
      });
  }
}

// Norm over the channels of a bin, and what is above 0.
GM_INLINE void finish(const float (&acc)[MostOwn], const float *norm,
                      float *y) {
  const float each = 1.0f / float(gm_channels_out);
  float sum = 0, squares = 0;
  forChannels([&](int32_t j, int32_t) GM_LAMBDA { sum += acc[j]; });
  const float mean = sumOfWarp(sum) * each;
  forChannels([&](int32_t j, int32_t) GM_LAMBDA {
    squares = fma(acc[j] - mean, acc[j] - mean, squares);
  });
  const float scale = 1.0f / squareRoot(sumOfWarp(squares) * each + gm_eps);
  forChannels([&](int32_t j, int32_t o) GM_LAMBDA {
    const float value = (acc[j] - mean) * scale * norm[o];
    y[o] = value < 0.0f ? 0.0f : value; // what is no number stays none
  });
}

} // namespace

// Unit = row.
GM_ENTRY(gm_body, Threads, 0, 1, 0)
(const float *x, const int32_t *frames, const float *w, const float *norm,
 float *y, const gm_numbers *step, int32_t begin, int32_t end) {
  waitForLaunches();
  const int64_t row = begin + blockX();
  if (row >= end || row >= step->rows)
    return;
  const int32_t bins = gm_bins / 2;
  const int64_t stride = paddedColumns(gm_g * frameNumbers());
  y += row * paddedColumns(gm_g / 2 * bins * gm_channels_out);
  for (int32_t i = warpOf(); i < gm_g / 2 * bins; i += Warps) {
    const int32_t j = i / bins;
    float acc[MostOwn] = {};
    float *to = y + i * gm_channels_out;
    if (2 * j >= (frames[row] * gm_g + 3) / 4) {
      forChannels([&](int32_t, int32_t o) GM_LAMBDA { to[o] = 0; });
      continue;
    }
    const float *own = x + row * stride + 2 * j * frameNumbers();
    const float *const from[3] = {j     ? own - frameNumbers()
                                  : row ? x + (row - 1) * stride +
                                              (gm_g - 1) * frameNumbers()
                                        : nullptr,
                                  own, own + frameNumbers()};
    convolve(acc, from, w, i % bins);
    finish(acc, norm, to);
  }
}
