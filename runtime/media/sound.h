// Decoded sound of any rate and number of channels as the reference's loader
// gives it to a model: mono, 16 kHz, f32 (docs/model/audio.md#2). Knows no
// files and no codecs.
#pragma once

#include "runtime/gemma.h"

#include <vector>

namespace gm::media {

inline constexpr int64_t kRate = 16000; // Hz, what every model hears

// The mean of the channels, summed in f32 in their order and divided once.
// `interleaved` is f32 (samples, channels), `mono` f32 (samples). USAGE for
// channels that are not 1 to kMostChannels or more than kMostSamples samples.
Status to_mono(const float *interleaved, int64_t samples, int64_t channels,
               std::vector<float> &mono);

// Samples at 16 kHz of `samples` (at most kMostSamples) at `rate`: ceil(samples
// * 16000 / rate).
int64_t resampled_length(int64_t samples, int64_t rate);

// From `rate` Hz to 16 kHz: `from` f32 (samples), `to` f32
// (resampled_length(samples, rate)). Linear phase, no delay, silence assumed
// outside; a sound of 16 kHz is copied. Each output is a dot product in f32 (8
// running sums, the same on every machine) with a filter that is computed in
// double and rounded to f32 once.
//
// The result is that of soxr's quality HQ, which the reference uses, within
// 1e-4 for full-scale sounds of 4 kHz and more (3e-5 at most measured; below,
// where soxr has one more filter, some 5e-3 once the first 0.1 s are over):
// same band (0.9136 of the lower Nyquist frequency passes, nothing above it
// does), same slope between, same loss of up to 0.01 dB below it at ratios that
// are no small fractions. Where soxr gives one sample less, the last one is
// exactly 0, as in the reference.
//
// USAGE for a rate that is not kLeastRate to kMostRate, or more than
// kMostSamples samples before or after.
Status resample(const float *from, int64_t samples, int64_t rate,
                std::vector<float> &to);

} // namespace gm::media
