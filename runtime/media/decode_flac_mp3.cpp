// FLAC (also in Ogg) and MP3 by the decoders of miniaudio, which are all of it
// that is compiled.
#include "runtime/media/decode_sounds.h"

#include <algorithm>
#include <cstring>
#include <memory>

#define MINIAUDIO_IMPLEMENTATION
#define MA_API static
#define MA_NO_DEVICE_IO
#define MA_NO_THREADING
#define MA_NO_ENCODING
#define MA_NO_WAV
#define MA_NO_GENERATION
#define MA_NO_RESOURCE_MANAGER
#define MA_NO_NODE_GRAPH
#define MA_NO_ENGINE
#define MA_DR_MP3_FLOAT_OUTPUT
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#include <miniaudio.h>
#pragma GCC diagnostic pop

namespace gm::media {
namespace {

constexpr int64_t kPiece = 4096; // samples

// Zeros behind an MP3 file, whose first frame may say that it has a tag where
// the bytes end.
constexpr size_t kBehind = 4096;

} // namespace

Status decode_flac(Bytes bytes, SoundSink &sink) {
  const std::unique_ptr<ma_dr_flac, decltype(&ma_dr_flac_close)> flac(
      ma_dr_flac_open_memory(bytes.data(), bytes.size(), nullptr),
      ma_dr_flac_close);
  if (!flac)
    return failure(BAD_INPUT, "a FLAC sound that is broken or cut");
  if (Status s = sink.begin(flac->sampleRate, flac->channels); !s.ok())
    return s;
  std::vector<int32_t> piece(size_t(kPiece) * flac->channels);
  std::vector<float> numbers(piece.size());
  const int64_t said = int64_t(flac->totalPCMFrameCount);
  for (;;) {
    const auto count = int64_t(
        ma_dr_flac_read_pcm_frames_s32(flac.get(), kPiece, piece.data()));
    if (count == 0)
      break;
    for (size_t i = 0; i < size_t(count) * flac->channels; ++i)
      numbers[i] = float(double(piece[i]) / 2147483648.0);
    if (Status s = sink.add(numbers.data(), count); !s.ok())
      return s;
  }
  return check_complete("a FLAC sound", said, sink.facts.samples);
}

Status decode_mp3(Bytes bytes, SoundSink &sink) {
  std::vector<uint8_t> padded(bytes.size() + kBehind);
  memcpy(padded.data(), bytes.data(), bytes.size());
  // Some 20 kB.
  const auto mp3 = std::make_unique<ma_dr_mp3>();
  if (!ma_dr_mp3_init_memory(mp3.get(), padded.data(), bytes.size(), nullptr))
    return failure(BAD_INPUT, "an MP3 sound that is broken or cut");
  const std::unique_ptr<ma_dr_mp3, decltype(&ma_dr_mp3_uninit)> closed(
      mp3.get(), ma_dr_mp3_uninit);
  if (Status s = sink.begin(mp3->sampleRate, mp3->channels); !s.ok())
    return s;
  std::vector<float> piece(size_t(MA_DR_MP3_MAX_SAMPLES_PER_FRAME) * 2);
  for (;;) {
    // The first sample alone, which decodes the frame that it stands in.
    if (ma_dr_mp3_read_pcm_frames_f32(mp3.get(), 1, piece.data()) == 0)
      break;
    if (mp3->mp3FrameChannels != mp3->channels ||
        mp3->mp3FrameSampleRate != mp3->sampleRate)
      return failure(UNSUPPORTED,
                     "an MP3 sound that changes its rate or channels after "
                     "%lld samples: convert it to WAV",
                     (long long)sink.facts.samples);
    const ma_uint64 rest = mp3->pcmFramesRemainingInMP3Frame;
    const auto count =
        1 + (rest ? ma_dr_mp3_read_pcm_frames_f32(mp3.get(), rest,
                                                  piece.data() + mp3->channels)
                  : 0);
    if (Status s = sink.add(piece.data(), int64_t(count)); !s.ok())
      return s;
  }
  if (mp3->totalPCMFrameCount == MA_UINT64_MAX)
    return {};
  // Some encoders count the frame of the tag, or one that never came.
  const int64_t slack =
      int64_t(mp3->delayInPCMFrames) + mp3->paddingInPCMFrames + 2 * 1152;
  return check_complete("an MP3 sound",
                        int64_t(mp3->totalPCMFrameCount) - slack,
                        sink.facts.samples);
}

} // namespace gm::media
