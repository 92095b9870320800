// See mel.h.
#include "runtime/media/mel.h"

#include "runtime/media/limits.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace gm::media {
namespace {

constexpr int64_t kHop = 160, kFrame = 320; // samples
constexpr int64_t kReach = kFrame + 1;      // a frame is valid if it has these
constexpr int64_t kBatch = 128; // the reference pads sounds to multiples of it
constexpr int kPoints = 512, kHalf = kPoints / 2, kSpectrum = kHalf + 1;

// Frames whose last sample comes before `samples`, with half a frame of silence
// at the start.
int64_t frames_within(int64_t samples) {
  const int64_t room = samples + kFrame / 2 - kReach;
  return room < 0 ? 0 : room / kHop + 1;
}

// Magnitudes of the spectrum of 512 real numbers: 256 complex ones, transformed
// in 8 radix-2 steps from one buffer to the other, then taken apart.
class Spectrum {
public:
  Spectrum() {
    for (int i = 0; i < kHalf; ++i) {
      const double angle = 2 * std::numbers::pi * i / kPoints;
      cosine[i] = std::cos(angle);
      sine[i] = -std::sin(angle);
    }
  }

  // in (512) -> out (257)
  void magnitudes(const double *in, double *out) {
    for (int i = 0; i < kHalf; ++i) {
      re[0][i] = in[2 * i];
      im[0][i] = in[2 * i + 1];
    }
    int from = 0;
    for (int n = kHalf, stride = 1; n > 1; n /= 2, stride *= 2, from ^= 1)
      step(n, stride, re[from], im[from], re[from ^ 1], im[from ^ 1]);
    const double *zr = re[from], *zi = im[from];
    for (int k = 0; k <= kHalf; ++k) {
      const int a = k % kHalf, b = (kHalf - k) % kHalf;
      const double even_r = (zr[a] + zr[b]) / 2, even_i = (zi[a] - zi[b]) / 2;
      const double odd_r = (zi[a] + zi[b]) / 2, odd_i = (zr[b] - zr[a]) / 2;
      const double c = k == kHalf ? -1 : cosine[k],
                   s = k == kHalf ? 0 : sine[k];
      const double r = even_r + c * odd_r - s * odd_i;
      const double i = even_i + c * odd_i + s * odd_r;
      out[k] = std::sqrt(r * r + i * i);
    }
  }

private:
  // Pairs that are n / 2 apart become neighbours, `stride` transforms at once.
  void step(int n, int stride, const double *xr, const double *xi, double *yr,
            double *yi) const {
    const int half = n / 2;
    for (int p = 0; p < half; ++p) {
      const double c = cosine[p * (kPoints / n)], s = sine[p * (kPoints / n)];
      const double *ar = xr + stride * p, *ai = xi + stride * p;
      const double *br = ar + stride * half, *bi = ai + stride * half;
      double *sum_r = yr + stride * 2 * p, *sum_i = yi + stride * 2 * p;
      double *rest_r = sum_r + stride, *rest_i = sum_i + stride;
      for (int q = 0; q < stride; ++q) {
        const double r = ar[q] - br[q], i = ai[q] - bi[q];
        sum_r[q] = ar[q] + br[q];
        sum_i[q] = ai[q] + bi[q];
        rest_r[q] = r * c - i * s;
        rest_i[q] = r * s + i * c;
      }
    }
  }

  double cosine[kHalf], sine[kHalf]; // of -2 pi i / 512
  double re[2][kHalf], im[2][kHalf];
};

// Triangles between points equally far apart on the mel scale.
struct MelBank {
  struct Triangle {
    int begin = 0;
    std::vector<double> weights;
  };
  Triangle triangles[kMelBins];

  MelBank() {
    const double top = 2595 * std::log10(1 + 8000.0 / 700);
    auto edge = [&](int64_t i) {
      return 700 * (std::pow(10, top * double(i) / (kMelBins + 1) / 2595) - 1);
    };
    for (int64_t m = 0; m < kMelBins; ++m) {
      const double low = edge(m), middle = edge(m + 1), high = edge(m + 2);
      Triangle &t = triangles[m];
      for (int k = 0; k < kSpectrum; ++k) {
        const double hertz = 16000.0 / kPoints * k;
        const double w = std::min((hertz - low) / (middle - low),
                                  (high - hertz) / (high - middle));
        if (w <= 0)
          continue;
        if (t.weights.empty())
          t.begin = k;
        t.weights.push_back(w);
      }
    }
  }
};

} // namespace

SoundShape mel_shape(int64_t samples) {
  samples = std::clamp<int64_t>(samples, 0, kMostMelSamples);
  SoundShape shape;
  shape.frames = frames_within((samples + kBatch - 1) / kBatch * kBatch);
  shape.valid = frames_within(samples);
  // Two convolutions of stride 2 that pad.
  shape.tokens = ((shape.valid + 1) / 2 + 1) / 2;
  return shape;
}

Status log_mel(const float *sound, int64_t samples,
               std::vector<float> &features) {
  if (samples < 0 || samples > kMostMelSamples)
    return failure(USAGE,
                   "expects a sound of at most %lld samples (30 s), got %lld",
                   (long long)kMostMelSamples, (long long)samples);
  const SoundShape shape = mel_shape(samples);
  features.assign(size_t(shape.frames * kMelBins), 0);
  const MelBank bank;
  Spectrum spectrum;
  float window[kFrame];
  for (int n = 0; n < kFrame; ++n)
    window[n] =
        float(0.5 - 0.5 * std::cos(2 * std::numbers::pi * n / double(kFrame)));
  double frame[kPoints] = {}, magnitude[kSpectrum];
  float *to = features.data();
  for (int64_t t = 0; t < shape.valid; ++t) {
    for (int64_t n = 0; n < kFrame; ++n) {
      const int64_t at = t * kHop + n - kFrame / 2;
      frame[n] = at < 0 ? 0 : sound[at] * window[n];
    }
    spectrum.magnitudes(frame, magnitude);
    for (const MelBank::Triangle &triangle : bank.triangles) {
      double sum = 0;
      const double *m = magnitude + triangle.begin;
      for (double w : triangle.weights)
        sum += w * *m++;
      *to++ = float(std::log(sum + 0.001));
    }
  }
  return {};
}

int64_t raw_frame_count(int64_t samples, int64_t frame) {
  return (samples + frame - 1) / frame;
}

Status raw_frames(const float *sound, int64_t samples,
                  std::vector<float> &frames, int64_t frame) {
  if (samples < 0 || samples > kMostSamples)
    return failure(USAGE, "expects a sound of at most %lld samples, got %lld",
                   (long long)kMostSamples, (long long)samples);
  frames.assign(size_t(raw_frame_count(samples, frame) * frame), 0);
  std::copy(sound, sound + samples, frames.begin());
  return {};
}

int64_t stack_frames(const float *frames, int64_t count, int64_t columns,
                     int64_t stack, float *rows, int64_t stride,
                     int32_t *real) {
  const int64_t made = (count + stack - 1) / stack;
  for (int64_t r = 0; r < made; ++r, rows += stride) {
    real[r] = int32_t(std::min(stack, count - r * stack));
    std::fill(
        std::copy_n(frames + r * stack * columns, real[r] * columns, rows),
        rows + stride, 0.0f);
  }
  return made;
}

} // namespace gm::media
