// Files of sounds become what transformers' loader makes of them with
// libsndfile and soxr; hostile, cut and strange ones the right error.
#include "runtime/media/decode_sound.h"

#include "test/runtime/media_files.h"

using namespace gm::media;
using namespace media_files;
using namespace std::string_literals;

namespace {

gm::Status decode(Bytes bytes, std::vector<float> &mono) {
  SoundFacts facts;
  return decode_sound(bytes, {}, mono, facts);
}

void expectFailure(const std::vector<uint8_t> &bytes, gm::Code code,
                   const char *part) {
  std::vector<float> mono;
  const gm::Status s = decode(bytes, mono);
  EXPECT_EQ(s.code, code) << s.text;
  EXPECT_NE(std::string(s.text).find(part), std::string::npos) << s.text;
}

std::string little(uint64_t value, int width) {
  std::string out;
  for (int i = 0; i < width; ++i)
    out += char(value >> (8 * i));
  return out;
}

// A WAV file of `data`.
std::vector<uint8_t> wav(int tag, int channels, int rate, int width,
                         const std::string &data, int bits = 0) {
  const std::string format = little(uint64_t(tag), 2) +
                             little(uint64_t(channels), 2) +
                             little(uint64_t(rate), 4) + little(0, 4) +
                             little(uint64_t(channels * width), 2) +
                             little(uint64_t(bits ? bits : width * 8), 2);
  return of("RIFF" + little(36 + data.size(), 4) + "WAVEfmt " + little(16, 4) +
            format + "data" + little(data.size(), 4) + data);
}

// An Ogg file as a stream of another number, without the pages from `until` on.
std::vector<uint8_t> renumbered(const std::string &name, uint8_t serial,
                                int until = 1000) {
  auto file = bytes(name);
  size_t at = 0;
  for (int page = 0; at < file.size() && page < until; ++page) {
    size_t size = 27 + file[at + 26];
    for (size_t i = 0; i < file[at + 26]; ++i)
      size += file[at + 27 + i];
    file[at + 14] = serial;
    memset(&file[at + 22], 0, 4);
    uint32_t crc = 0;
    for (size_t i = 0; i < size; ++i) {
      crc ^= uint32_t(file[at + i]) << 24;
      for (int bit = 0; bit < 8; ++bit)
        crc = crc << 1 ^ (crc >> 31 ? 0x04C11DB7 : 0);
    }
    memcpy(&file[at + 22], &crc, 4);
    at += size;
  }
  file.resize(at);
  return file;
}

} // namespace

TEST(DecodeSound, EqualsTheReference) {
  for (const auto &row : cases()["sounds"]) {
    const std::string name = row["file"];
    std::vector<float> mono;
    SoundFacts facts;
    ASSERT_OK(decode_sound(bytes(name), {}, mono, facts)) << name;
    EXPECT_EQ(facts.rate, row["rate"]) << name;
    EXPECT_EQ(facts.channels, row["channels"]) << name;
    EXPECT_EQ(facts.samples, row["samples"]) << name;
    if (row.contains("sha256")) {
      const auto *begin = reinterpret_cast<const uint8_t *>(mono.data());
      EXPECT_EQ(
          nlohmann::json(media_cases::sha256({begin, begin + mono.size() * 4})),
          row["sha256"])
          << name;
      continue;
    }
    EXPECT_EQ(mono.size(), row["length"]) << name;
    const size_t step = row["step"];
    size_t at = 0;
    for (const float value : row["values"]) {
      ASSERT_LT(at, mono.size());
      EXPECT_NEAR(mono[at], value, 1e-6) << name << " " << at;
      at += step;
    }
  }
  EXPECT_GE(cases()["sounds"].size(), 28u);
}

TEST(DecodeSound, CutFilesAreErrors) {
  for (const auto &row : cases()["sounds"]) {
    const std::string name = row["file"];
    auto file = bytes(name);
    const auto whole = file;
    std::vector<float> mono, part;
    ASSERT_OK(decode(whole, mono));
    file.resize(file.size() / 2);
    const gm::Status s = decode(file, part);
    // It does not say how long it is.
    if (name == "no-size.wav") {
      ASSERT_OK(s) << name;
      EXPECT_LT(part.size(), mono.size());
    } else {
      EXPECT_EQ(s.code, gm::BAD_INPUT) << name;
    }
    // Nothing is read behind the end, wherever it is.
    for (size_t length = 0; length < 200; length += 3)
      (void)decode(std::vector(whole.begin(), whole.begin() + long(length)),
                   part);
  }
}

TEST(DecodeSound, StrangeWav) {
  expectFailure(wav(2, 1, 16000, 1, "abcd", 4), gm::UNSUPPORTED,
                "Microsoft ADPCM (format 0x2)");
  expectFailure(wav(0x11, 1, 16000, 1, "abcd", 4), gm::UNSUPPORTED,
                "IMA ADPCM");
  expectFailure(wav(0x55, 1, 16000, 1, "abcd"), gm::UNSUPPORTED, "MPEG");
  expectFailure(wav(0x1234, 1, 16000, 1, "abcd"), gm::UNSUPPORTED,
                "samples of an unknown kind (format 0x1234)");
  expectFailure(wav(1, 1, 16000, 8, "abcdefgh"), gm::UNSUPPORTED,
                "64 bits in 8 bytes");
  expectFailure(wav(3, 1, 16000, 2, "abcd"), gm::UNSUPPORTED, "16 bits");
  expectFailure(wav(1, 0, 16000, 2, "abcd"), gm::BAD_INPUT, "0 channels");
  expectFailure(wav(1, 65, 16000, 1, std::string(65, 'x')), gm::USAGE,
                "65 channels: expects 1 to 64");
  expectFailure(wav(1, 1, 900, 2, "abcd"), gm::USAGE,
                "900 samples a second: expects 1000 to 768000");
  expectFailure(wav(1, 1, 800000, 2, "abcd"), gm::USAGE, "800000 samples");
  expectFailure(wav(1, 1, 16000, 2, ""), gm::BAD_INPUT, "without a sample");
  expectFailure(wav(3, 1, 16000, 4, "\0\0\x80\x7f"s), gm::BAD_INPUT,
                "sample 0 is no number");
  const auto good = wav(1, 1, 16000, 2, "abcd");
  expectFailure(changed(good, "data\4"s, "data\6"s), gm::BAD_INPUT,
                "it says 6 bytes of samples and has 4");
  expectFailure(changed(good, "fmt ", "fmx "), gm::BAD_INPUT,
                "begin before a format");
  expectFailure(changed(good, "data", "dato"), gm::BAD_INPUT, "has no samples");
  expectFailure(changed(good, "fmt \x10"s, "fmt \x08"s), gm::BAD_INPUT,
                "has 8 bytes, expects 16");
  // 3 bytes are one sample of 2, and the rest is none.
  std::vector<float> mono;
  ASSERT_OK(decode(wav(1, 1, 16000, 2, "\0\x40x"s), mono));
  EXPECT_EQ(mono, std::vector<float>{0.5f});
}

TEST(DecodeSound, BrokenFiles) {
  auto flac = bytes("s16.flac");
  for (size_t i = flac.size() / 2; i < flac.size() / 2 + 40; ++i)
    flac[i] ^= 0x55;
  expectFailure(flac, gm::BAD_INPUT, "FLAC sound that is cut or broken");
  expectFailure(of("fLaC\0\0\0\x22"s), gm::BAD_INPUT, "broken or cut");
  expectFailure(of("ID3\4\0\0\0\0\0\4abcd"s), gm::BAD_INPUT,
                "MP3 sound that is broken or cut");
  auto ogg = bytes("mono.ogg");
  auto hole = ogg;
  hole[hole.size() - 200] ^= 1;
  expectFailure(hole, gm::BAD_INPUT, "a Vorbis sound that is damaged");
  // Its second page, whole.
  const auto second =
      std::search(ogg.begin() + 4, ogg.end(), ogg.begin(), ogg.begin() + 4);
  const auto third =
      std::search(second + 4, ogg.end(), ogg.begin(), ogg.begin() + 4);
  ASSERT_NE(third, ogg.end());
  hole.assign(ogg.begin(), second);
  hole.insert(hole.end(), third, ogg.end());
  expectFailure(hole, gm::BAD_INPUT, "a Vorbis sound that is damaged");
  // What stands behind the end of the stream is none of it.
  auto behind = ogg;
  behind.insert(behind.end(), {'T', 'A', 'G', 0});
  std::vector<float> mono;
  ASSERT_OK(decode(behind, mono));
  ogg.resize(60);
  expectFailure(ogg, gm::BAD_INPUT, "Vorbis sound that is cut");
  expectFailure(renumbered("mono.ogg", 1, 1), gm::BAD_INPUT,
                "Vorbis sound that is broken or cut");
  // Two streams, one after the other, of other rates; of the same.
  auto two = renumbered("mono.ogg", 1);
  const auto more = two, other_rate = renumbered("stereo44100.ogg", 2);
  two.insert(two.end(), other_rate.begin(), other_rate.end());
  expectFailure(two, gm::UNSUPPORTED,
                "changes its rate or channels after 5000");
  two = renumbered("mono.ogg", 3);
  two.insert(two.end(), more.begin(), more.end());
  ASSERT_OK(decode(two, mono));
  EXPECT_EQ(mono.size(), 10000u);
  auto mp3 = bytes("mono.mp3");
  // Without the tag that counts its frames.
  mp3.erase(mp3.begin(), std::search(mp3.begin() + 4, mp3.end(), mp3.begin(),
                                     mp3.begin() + 2));
  const auto other = bytes("stereo44100.mp3");
  mp3.insert(mp3.end(), other.begin(), other.end());
  expectFailure(mp3, gm::UNSUPPORTED, "MP3 sound that changes");
}

TEST(DecodeSound, LengthIsLimited) {
  std::vector<float> mono;
  SoundFacts facts;
  for (const char *name :
       {"pcm16.wav", "s16.flac", "mono.mp3", "mono.ogg", "six-channels.wav"}) {
    gm::Status s =
        decode_sound(bytes(name), {.most_samples = 150}, mono, facts);
    EXPECT_EQ(s.code, gm::USAGE) << name;
    EXPECT_NE(std::string(s.text).find("make it shorter"), std::string::npos);
    s = decode_sound(bytes(name), {.most_values = 400}, mono, facts);
    EXPECT_EQ(s.code, gm::USAGE) << name;
  }
}

// Of what is kept all but the end is what it is in the whole sound.
TEST(DecodeSound, TheBeginningIsKept) {
  for (const int rate : {8000, 16000, 44100}) {
    std::string data;
    for (int i = 0; i < 3 * rate; ++i)
      data += little(uint16_t(i * 7919), 2);
    const auto file = wav(1, 1, rate, 2, data);
    std::vector<float> whole, begin;
    SoundFacts all, kept;
    ASSERT_OK(decode_sound(file, {}, whole, all));
    ASSERT_OK(decode_sound(file, {.kept_seconds = 2}, begin, kept));
    EXPECT_EQ(kept.samples, all.samples);
    ASSERT_EQ(begin.size(), 2u * 16000);
    whole.resize(begin.size() - 3200);
    begin.resize(whole.size());
    EXPECT_EQ(begin, whole) << rate;
    ASSERT_OK(decode_sound(file, {.kept_seconds = 5}, begin, kept));
    ASSERT_OK(decode_sound(file, {}, whole, all));
    EXPECT_EQ(begin, whole) << rate;
  }
}

TEST(DecodeSound, OtherKindsAreRefusedByName) {
  const std::string page = "OggS"s + std::string(22, '\0') + "\1\x13"s;
  const struct {
    std::string begin;
    gm::Code code;
    const char *name;
  } rows[] = {
      {page + "OpusHead", gm::UNSUPPORTED, "an Opus sound"},
      {page + "Speex   ", gm::UNSUPPORTED, "a Speex sound"},
      {page + "\x80theora", gm::UNSUPPORTED, "an Ogg Theora film"},
      {page + "anything", gm::UNSUPPORTED, "an Ogg stream"},
      {"FORM\0\0\0\0AIFF"s, gm::UNSUPPORTED, "an AIFF sound"},
      {"RIFX\0\0\0\0WAVE"s, gm::UNSUPPORTED, "a big-endian WAV sound"},
      {".snd\0\0"s, gm::UNSUPPORTED, "an AU sound"},
      {"\xff\xf1\x50\x80"s, gm::UNSUPPORTED, "an AAC sound"},
      {"\xff\xfd\x50\x80"s, gm::UNSUPPORTED, "layer 1 or 2"},
      {"\0\0\0\x18"s + "ftypM4A ", gm::UNSUPPORTED, "an M4A sound"},
      {"\x1a\x45\xdf\xa3"s, gm::UNSUPPORTED, "take the sound out of it"},
      {"GIF89a", gm::BAD_INPUT, "a GIF picture, expects a sound"},
      {"hello", gm::BAD_INPUT, "no sound of a known kind"},
      {"", gm::BAD_INPUT, "no sound of a known kind"},
  };
  for (const auto &row : rows)
    expectFailure(of(row.begin), row.code, row.name);
}
