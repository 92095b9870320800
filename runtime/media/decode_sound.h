// Bytes of a WAV, FLAC, MP3 or Ogg Vorbis file as what models hear: mono f32 at
// 16 kHz, as transformers' loader gives it (docs/model/audio.md#2). The codecs
// stand behind it, in decode_*.cpp; nothing else of the runtime knows them.
// Knows no files.
//
// WAV: PCM of 8 bits, (x - 128) / 128, to 32 bits, floats of 32 and 64 bits,
// A-law and mu-law, plain or extensible, also as RF64; nothing is clipped. FLAC
// plain or in Ogg. MP3 without the encoder's delay and padding where its LAME
// tag says them; within 1e-6 of mpg123, as is Vorbis of libsndfile's. The
// others are exact before resampling.
//
// Hostile bytes cost at most 16 bytes of memory per sample of the limits and
// are an error, as are files that have less sound than they say. A decoder's
// own words come in the message; the caller adds what the file is called.
#pragma once

#include "runtime/media/kinds.h"
#include "runtime/media/limits.h"

#include <vector>

namespace gm::media {

struct SoundOptions {
  int64_t most_samples = kMostSamples; // of one channel, as the file has them
  int64_t most_values = kMostSoundValues;
  // Only so much of the beginning is given, the rest is checked and counted; 0:
  // all. All but the last 0.2 s of that are what they would be in the whole.
  int64_t kept_seconds = 0;
};

// What the file had.
struct SoundFacts {
  int64_t rate = 0;     // Hz
  int64_t channels = 0; // of which `mono` is the mean
  int64_t samples = 0;  // of one channel, at `rate`; all that there are
};

// USAGE for a sound that is too long, or of rates and channels out of bounds;
// UNSUPPORTED for kinds that are not decoded, Opus among them; BAD_INPUT for
// bytes that are broken, cut, no sound, or one without a sample.
Status decode_sound(Bytes bytes, const SoundOptions &options,
                    std::vector<float> &mono, SoundFacts &facts);
// The same at the rate of the file.
Status decode_samples(Bytes bytes, const SoundOptions &options,
                      std::vector<float> &mono, SoundFacts &facts);

} // namespace gm::media
