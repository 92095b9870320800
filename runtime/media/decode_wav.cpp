// WAV: the kinds of samples that are stored as they are, and the two laws of
// telephones. What is coded further is refused by its name.
#include "runtime/media/decode_sounds.h"

#include <algorithm>
#include <cstring>
#include <string_view>

namespace gm::media {
namespace {

// Recorders that do not know a length write one that no file has.
constexpr uint64_t kNoSize = 0x7FFFF000;
constexpr int64_t kPiece = 4096; // samples

enum Tag : unsigned {
  kPcm = 1,
  kFloat = 3,
  kALaw = 6,
  kMuLaw = 7,
  kExtensible = 0xFFFE,
};

uint64_t little(const uint8_t *at, int width) {
  uint64_t value = 0;
  for (int i = width - 1; i >= 0; --i)
    value = value << 8 | at[i];
  return value;
}

struct Format {
  unsigned tag = 0, channels = 0, rate = 0;
  unsigned width = 0; // bytes of a sample
  bool given = false;
};

const char *name_of(unsigned tag) {
  switch (tag) {
  case 2:
    return "Microsoft ADPCM";
  case 0x11:
    return "IMA ADPCM";
  case 0x31:
    return "GSM 6.10";
  case 0x50:
  case 0x55:
    return "MPEG audio";
  case 0xFF:
    return "AAC";
  case 0x161:
    return "Windows Media";
  }
  return "samples of an unknown kind";
}

Status read_format(Bytes data, Format &format) {
  if (data.size() < 16)
    return failure(BAD_INPUT,
                   "a broken WAV sound: its format has %zu bytes, expects 16",
                   data.size());
  format.tag = unsigned(little(&data[0], 2));
  format.channels = unsigned(little(&data[2], 2));
  format.rate = unsigned(little(&data[4], 4));
  const unsigned frame = unsigned(little(&data[12], 2)),
                 bits = unsigned(little(&data[14], 2));
  if (format.tag == kExtensible && data.size() >= 26)
    format.tag = unsigned(little(&data[24], 2));
  const bool law = format.tag == kALaw || format.tag == kMuLaw;
  if (format.tag != kPcm && format.tag != kFloat && !law)
    return failure(UNSUPPORTED,
                   "a WAV sound of %s (format 0x%x), which is not decoded: "
                   "convert it to PCM (for example: ffmpeg -i FILE out.wav)",
                   name_of(format.tag), format.tag);
  if (format.channels == 0 || frame % format.channels != 0 || bits == 0)
    return failure(BAD_INPUT,
                   "a broken WAV sound: %u channels in %u bytes of %u bits",
                   format.channels, frame, bits);
  // Fewer bits stand at the upper end of their bytes.
  format.width = frame / format.channels;
  const bool good = format.tag == kFloat
                        ? format.width == 4 || format.width == 8
                    : law ? format.width == 1
                          : format.width >= 1 && format.width <= 4;
  if (!good || bits > format.width * 8)
    return failure(UNSUPPORTED,
                   "a WAV sound of %u bits in %u bytes: expects PCM of 8 to 32 "
                   "bits or floats of 32 or 64",
                   bits, format.width);
  format.given = true;
  return {};
}

// ITU-T G.711: 16-bit numbers out of sign, exponent and 4 bits.
int a_law(uint8_t code) {
  code ^= 0x55;
  const int exponent = code >> 4 & 7, low = (code & 15) << 4 | 8;
  const int value = exponent ? (low | 0x100) << (exponent - 1) : low;
  return code & 0x80 ? value : -value;
}

int mu_law(uint8_t code) {
  code = uint8_t(~code);
  const int value = (((code & 15) << 3 | 0x84) << (code >> 4 & 7)) - 0x84;
  return code & 0x80 ? -value : value;
}

float number(const uint8_t *at, const Format &format) {
  if (format.tag == kALaw)
    return float(a_law(*at)) / 32768;
  if (format.tag == kMuLaw)
    return float(mu_law(*at)) / 32768;
  if (format.tag == kFloat && format.width == 4) {
    float value;
    memcpy(&value, at, sizeof value);
    return value;
  }
  if (format.tag == kFloat) {
    double value;
    memcpy(&value, at, sizeof value);
    return float(value);
  }
  if (format.width == 1)
    return float(int(*at) - 128) / 128;
  const auto wide =
      uint32_t(little(at, int(format.width)) << (32 - 8 * format.width));
  return float(double(int32_t(wide)) / 2147483648.0);
}

// A list of chunks; the first "data" is the sound.
Status find(Bytes bytes, Format &format, Bytes &sound) {
  uint64_t long_size = 0; // that of RF64
  for (size_t at = 12; bytes.size() - at >= 8;) {
    const std::string_view name(reinterpret_cast<const char *>(&bytes[at]), 4);
    uint64_t size = little(&bytes[at + 4], 4);
    at += 8;
    const uint64_t left = bytes.size() - at;
    if (name == "data") {
      if (size == 0xFFFFFFFF && long_size)
        size = long_size;
      else if (size >= kNoSize)
        size = left;
      if (!format.given)
        return failure(BAD_INPUT,
                       "a broken WAV sound: its samples begin before a format");
      if (size > left)
        return failure(BAD_INPUT,
                       "a WAV sound that is cut: it says %llu bytes of samples "
                       "and has %llu",
                       (unsigned long long)size, (unsigned long long)left);
      sound = bytes.subspan(at, size);
      return {};
    }
    if (size > left)
      break;
    const Bytes data = bytes.subspan(at, size);
    if (name == "fmt ") {
      if (Status s = read_format(data, format); !s.ok())
        return s;
    } else if (name == "ds64" && data.size() >= 16) {
      long_size = little(&data[8], 8);
    }
    at += std::min(size + (size & 1), left);
  }
  return failure(BAD_INPUT, "a WAV sound that is cut: it has no samples");
}

} // namespace

Status decode_wav(Bytes bytes, SoundSink &sink) {
  Format format;
  Bytes sound;
  if (bytes.size() < 12)
    return failure(BAD_INPUT, "a WAV sound that is cut: it has no samples");
  if (Status s = find(bytes, format, sound); !s.ok())
    return s;
  if (Status s = sink.begin(format.rate, format.channels); !s.ok())
    return s;
  const size_t channels = format.channels, frame = channels * format.width;
  std::vector<float> piece(size_t(kPiece) * channels);
  int64_t left = int64_t(sound.size() / frame);
  for (const uint8_t *at = sound.data(); left > 0;) {
    const int64_t count = std::min(left, kPiece);
    for (size_t i = 0; i < size_t(count) * channels; ++i, at += format.width)
      piece[i] = number(at, format);
    if (Status s = sink.add(piece.data(), count); !s.ok())
      return s;
    left -= count;
  }
  return {};
}

} // namespace gm::media
