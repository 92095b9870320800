// What each codec of sounds offers to decode_sound.cpp, and nobody else.
#pragma once

#include "runtime/media/decode_sound.h"

namespace gm::media {

// Gathers a sound piece by piece as its mean over the channels.
class SoundSink {
public:
  explicit SoundSink(const SoundOptions &options) : options(options) {}

  // Before the first piece; USAGE for what is out of bounds.
  Status begin(int64_t rate, int64_t channels);
  // f32 (samples, channels).
  Status add(const float *interleaved, int64_t samples);
  // One array per channel.
  Status add(const float *const *planes, int64_t samples);

  SoundFacts facts;
  std::vector<float> mono; // at the file's rate

private:
  const SoundOptions &options;
  std::vector<float> piece;
};

// What a header says against what came: BAD_INPUT if it is less.
Status check_complete(const char *what, int64_t said, int64_t came);

Status decode_wav(Bytes bytes, SoundSink &sink);
Status decode_flac(Bytes bytes, SoundSink &sink);
Status decode_mp3(Bytes bytes, SoundSink &sink);
Status decode_vorbis(Bytes bytes, SoundSink &sink);

} // namespace gm::media
