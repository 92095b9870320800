// See decode_sound.h.
#include "runtime/media/decode_sound.h"

#include "runtime/media/decode_sounds.h"
#include "runtime/media/sound.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace gm::media {

Status SoundSink::begin(int64_t rate, int64_t channels) {
  facts.rate = rate;
  facts.channels = channels;
  if (rate < kLeastRate || rate > kMostRate)
    return failure(
        USAGE, "a sound of %lld samples a second: expects %lld to %lld",
        (long long)rate, (long long)kLeastRate, (long long)kMostRate);
  if (channels < 1 || channels > kMostChannels)
    return failure(USAGE, "a sound of %lld channels: expects 1 to %lld",
                   (long long)channels, (long long)kMostChannels);
  mono.reserve(size_t(options.kept_seconds * rate)); // never twice
  return {};
}

Status SoundSink::add(const float *interleaved, int64_t samples) {
  facts.samples += samples;
  if (facts.samples > options.most_samples ||
      facts.samples * facts.channels > options.most_values)
    return failure(USAGE,
                   "a sound of more than %lld samples in %lld channels: "
                   "expects at most %lld in one and %lld in all, make it "
                   "shorter",
                   (long long)(facts.samples - samples),
                   (long long)facts.channels, (long long)options.most_samples,
                   (long long)options.most_values);
  if (Status s = to_mono(interleaved, samples, facts.channels, piece); !s.ok())
    return s;
  for (size_t i = 0; i < piece.size(); ++i)
    if (!std::isfinite(piece[i]))
      return failure(BAD_INPUT, "a broken sound: its sample %lld is no number",
                     (long long)(facts.samples - samples + int64_t(i)));
  const int64_t left =
      options.kept_seconds
          ? options.kept_seconds * facts.rate - int64_t(mono.size())
          : samples;
  mono.insert(mono.end(), piece.begin(),
              piece.begin() + std::clamp<int64_t>(left, 0, samples));
  return {};
}

Status SoundSink::add(const float *const *planes, int64_t samples) {
  std::vector<float> interleaved(size_t(samples * facts.channels));
  for (int64_t i = 0; i < samples; ++i)
    for (int64_t c = 0; c < facts.channels; ++c)
      interleaved[size_t(i * facts.channels + c)] = planes[c][i];
  return add(interleaved.data(), samples);
}

Status check_complete(const char *what, int64_t said, int64_t came) {
  if (came >= said)
    return {};
  return failure(BAD_INPUT,
                 "%s that is cut or broken: it says %lld samples and has %lld",
                 what, (long long)said, (long long)came);
}

Status decode_samples(Bytes bytes, const SoundOptions &options,
                      std::vector<float> &mono, SoundFacts &facts) {
  SoundSink sink(options);
  Status s;
  switch (const KindName kind = kind_of(bytes); kind.kind) {
  case Kind::Wav:
    s = decode_wav(bytes, sink);
    break;
  case Kind::Flac:
    s = decode_flac(bytes, sink);
    break;
  case Kind::Mp3:
    s = decode_mp3(bytes, sink);
    break;
  case Kind::Vorbis:
    s = decode_vorbis(bytes, sink);
    break;
  default:
    return refused_kind(kind, "sound");
  }
  if (!s.ok())
    return s;
  facts = sink.facts;
  if (facts.samples == 0)
    return failure(BAD_INPUT, "a sound without a sample");
  mono = std::move(sink.mono);
  return {};
}

Status decode_sound(Bytes bytes, const SoundOptions &options,
                    std::vector<float> &mono, SoundFacts &facts) {
  std::vector<float> samples;
  if (Status s = decode_samples(bytes, options, samples, facts); !s.ok())
    return s;
  return resample(samples.data(), int64_t(samples.size()), facts.rate, mono);
}

} // namespace gm::media
