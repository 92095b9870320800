// Sound as the rows that models take: log-mel features for the conformer of
// E2B and E4B (docs/model/audio.md#2), raw frames for the 12B
// (docs/model/audio.md#7); and how many soft tokens a sound becomes. Input is
// mono f32 at 16 kHz (sound.h). Knows no files.
#pragma once

#include "runtime/gemma.h"

#include <vector>

namespace gm::media {

inline constexpr int64_t kMelBins = 128;
// 30 s: what the conformer's rows and the reference end at.
inline constexpr int64_t kMostMelSamples = 480000;
inline constexpr int64_t kRawFrame = 640; // samples of the 12B, 40 ms
// Frames of log-mel features that the conformer takes as one row.
inline constexpr int64_t kMelStack = 4;

struct SoundShape {
  int64_t frames = 0; // of 10 ms, as the reference pads them
  int64_t valid = 0;  // the first of them; the others reach beyond the sound
  int64_t tokens = 0; // soft tokens, at most 750
};
// Of the first kMostMelSamples of `samples`; negative ones count as 0.
SoundShape mel_shape(int64_t samples);

// f32 (frames, 128), rows from `valid` on 0. Sound and window are f32 and
// multiplied in f32 as the reference does; transform, magnitudes, filter bank
// and logarithm are double, rounded once: within 2e-6 of the reference's
// features. USAGE for more than kMostMelSamples samples, which the reference
// cuts: cutting is the caller's, who can say so.
Status log_mel(const float *sound, int64_t samples,
               std::vector<float> &features);

// Frames (and soft tokens) of models without a conformer, `frame` samples each:
// ceil(samples / frame), however many.
int64_t raw_frame_count(int64_t samples, int64_t frame = kRawFrame);
// f32 (raw_frame_count, frame): the sound itself, the last frame padded with 0.
// USAGE for more than kMostSamples samples.
Status raw_frames(const float *sound, int64_t samples,
                  std::vector<float> &frames, int64_t frame = kRawFrame);

// Frames, f32 (count, columns), as rows of `stack` of them each: `rows` f32
// (ceil(count / stack), stack * columns), `stride` numbers apart, where what is
// behind a row or missing in the last one is 0, and how many frames of each row
// are `real`. Gives the number of rows.
int64_t stack_frames(const float *frames, int64_t count, int64_t columns,
                     int64_t stack, float *rows, int64_t stride, int32_t *real);

} // namespace gm::media
