// Log-mel features and raw frames against recorded results of the reference and
// plain loops.
#include "runtime/media/limits.h"
#include "runtime/media/mel.h"

#include "test/runtime/media_cases.h"

#include <complex>

using namespace gm::media;
using namespace media_cases;

namespace {

std::vector<float> soundOf(const Tensors &tensors, const std::string &name) {
  std::vector<float> out;
  for (int16_t sample : tensors.values<int16_t>(name))
    out.push_back(float(sample) / 32768);
  return out;
}

// docs/model/audio.md#2 as it stands there: one valid frame.
std::vector<double> plainMel(const std::vector<float> &sound, int64_t t) {
  std::vector<double> features;
  std::vector<std::complex<double>> spectrum(257);
  for (int k = 0; k <= 256; ++k)
    for (int64_t n = 0; n < 320; ++n) {
      const int64_t at = t * 160 + n - 160;
      const double x = at < 0 ? 0 : sound[size_t(at)];
      const double w =
          0.5 - 0.5 * std::cos(2 * std::numbers::pi * double(n) / 320);
      spectrum[size_t(k)] += std::polar(x * w, -2 * std::numbers::pi *
                                                   double(k) * double(n) / 512);
    }
  auto edge = [](int i) {
    const double top = 2595 * std::log10(1 + 8000.0 / 700);
    return 700 * (std::pow(10, top * i / 129 / 2595) - 1);
  };
  for (int m = 0; m < 128; ++m) {
    double sum = 0;
    for (int k = 0; k <= 256; ++k) {
      const double up = (31.25 * k - edge(m)) / (edge(m + 1) - edge(m));
      const double down =
          (edge(m + 2) - 31.25 * k) / (edge(m + 2) - edge(m + 1));
      sum += std::abs(spectrum[size_t(k)]) * std::max(0.0, std::min(up, down));
    }
    features.push_back(std::log(sum + 0.001));
  }
  return features;
}

} // namespace

TEST(Mel, EqualsTheReference) {
  const Tensors tensors("audio.safetensors");
  for (const auto &row : cases()["clips"]) {
    const std::string name = row["clip"];
    const std::vector<float> sound = soundOf(tensors, name + ".samples");
    const SoundShape shape = mel_shape(int64_t(sound.size()));
    EXPECT_EQ(shape.frames, row["frames"]) << name;
    EXPECT_EQ(shape.valid, row["valid_frames"]) << name;
    EXPECT_EQ(shape.tokens, row["tokens"]) << name;
    std::vector<float> features;
    ASSERT_OK(log_mel(sound.data(), int64_t(sound.size()), features));
    ASSERT_EQ(int64_t(features.size()), shape.frames * kMelBins);
    const auto expected = tensors.values<float>(name + ".features");
    const size_t step = row["step"];
    for (size_t i = 0; i < expected.size(); ++i) {
      const float got = features[i / 128 * step * 128 + i % 128];
      ASSERT_NEAR(got, expected[i], 2e-6)
          << name << " row " << i / 128 * step << " bin " << i % 128;
    }
    for (size_t i = size_t(shape.valid * kMelBins); i < features.size(); ++i)
      ASSERT_EQ(features[i], 0) << name;
  }
}

TEST(Mel, EqualsPlainLoops) {
  const std::vector<float> sound = noise(1000);
  std::vector<float> features;
  ASSERT_OK(log_mel(sound.data(), 1000, features));
  ASSERT_EQ(mel_shape(1000).valid, 6);
  for (int64_t t = 0; t < 6; ++t) {
    const std::vector<double> expected = plainMel(sound, t);
    for (size_t m = 0; m < 128; ++m)
      ASSERT_NEAR(features[size_t(t) * 128 + m], expected[m], 2e-6)
          << t << " " << m;
  }
  EXPECT_FLOAT_EQ(features[0], -6.907755f); // no bin below the first triangle
}

// docs/model/audio.md#9.2
TEST(Mel, OfATone) {
  const std::vector<float> sound = sine(16000, 440, 4000);
  std::vector<float> features;
  ASSERT_OK(log_mel(sound.data(), 4000, features));
  const int bins[] = {0, 10, 20, 60, 127, 24};
  const double first[] = {-6.907755, 0.049630,  1.607834,
                          -1.103960, -2.153037, 2.837567};
  const double twelfth[] = {-6.907755, -3.884099, -0.334960,
                            -6.396014, -6.902620, 3.527376};
  for (int i = 0; i < 6; ++i) {
    EXPECT_NEAR(features[size_t(bins[i])], first[i], 1e-4);
    EXPECT_NEAR(features[size_t(12 * 128 + bins[i])], twelfth[i], 1e-4);
  }
}

TEST(Mel, CountsTokensAsTheReference) {
  for (const auto &row : cases()["token_counts"])
    EXPECT_EQ(mel_shape(row[0]).tokens, row[1]) << row;
  EXPECT_EQ(mel_shape(-5).tokens, 0);
  EXPECT_EQ(mel_shape(INT64_MAX).tokens, 750);
  EXPECT_EQ(mel_shape(481234).frames, 2999);
}

TEST(Mel, LeavesCuttingToItsCaller) {
  std::vector<float> features;
  const std::vector<float> sound(size_t(kMostMelSamples + 1));
  EXPECT_EQ(log_mel(sound.data(), kMostMelSamples + 1, features).code,
            gm::USAGE);
  ASSERT_OK(log_mel(sound.data(), kMostMelSamples, features));
  EXPECT_EQ(features.size(), 2999u * 128);
  EXPECT_FLOAT_EQ(features.back(), -6.907755f);
  EXPECT_EQ(log_mel(nullptr, -1, features).code, gm::USAGE);
  ASSERT_OK(log_mel(nullptr, 0, features));
  EXPECT_TRUE(features.empty());
}

TEST(RawFrames, AreTheSound) {
  const std::vector<float> sound = noise(1300);
  std::vector<float> frames;
  ASSERT_OK(raw_frames(sound.data(), 1300, frames));
  ASSERT_EQ(frames.size(), 3u * 640);
  EXPECT_TRUE(std::equal(sound.begin(), sound.end(), frames.begin()));
  for (size_t i = 1300; i < frames.size(); ++i)
    EXPECT_EQ(frames[i], 0);
  EXPECT_EQ(raw_frame_count(0), 0);
  EXPECT_EQ(raw_frame_count(640), 1);
  EXPECT_EQ(raw_frame_count(900 * 640 + 1), 901);        // no cap
  ASSERT_OK(raw_frames(sound.data(), 1300, frames, 33)); // of other sizes
  ASSERT_EQ(frames.size(), 40u * 33);
  EXPECT_TRUE(std::equal(sound.begin(), sound.end(), frames.begin()));
  EXPECT_EQ(raw_frame_count(1300, 33), 40);
  EXPECT_EQ(raw_frames(nullptr, kMostSamples + 1, frames).code, gm::USAGE);
}

TEST(StackFrames, FillsTheLastRow) {
  const float frames[5 * 2] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
  std::vector<float> rows(2 * 3 * 2 + 1, -1);
  int32_t real[3] = {-1, -1, -1};
  ASSERT_EQ(stack_frames(frames, 5, 2, 3, rows.data(), 6, real), 2);
  EXPECT_EQ(rows,
            (std::vector<float>{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 0, 0, -1}));
  EXPECT_EQ(real[0], 3);
  EXPECT_EQ(real[1], 2);
  EXPECT_EQ(real[2], -1);
  int32_t each[5];
  EXPECT_EQ(stack_frames(frames, 5, 2, 1, rows.data(), 2, each), 5);
  EXPECT_EQ(rows[10], 0);
  EXPECT_EQ(each[4], 1);
  EXPECT_EQ(stack_frames(frames, 0, 2, 3, rows.data(), 6, real), 0);
  rows.assign(2 * 8, -1); // rows apart
  EXPECT_EQ(stack_frames(frames, 5, 2, 3, rows.data(), 8, real), 2);
  EXPECT_EQ(rows, (std::vector<float>{1, 2, 3, 4, 5, 6, 0, 0, 7, 8, 9, 10, 0, 0,
                                      0, 0}));
}
