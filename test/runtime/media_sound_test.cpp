// Sound of any rate and number of channels becomes 16 kHz mono, against soxr's
// recorded results.
#include "runtime/media/limits.h"
#include "runtime/media/sound.h"

#include "test/runtime/media_cases.h"

using namespace gm::media;
using namespace media_cases;

TEST(Mono, IsTheMeanOfTheChannels) {
  const float stereo[] = {1, 0, -0.5f, 0.25f, 0.1f, 0.2f};
  std::vector<float> mono;
  ASSERT_OK(to_mono(stereo, 3, 2, mono));
  EXPECT_EQ(mono, (std::vector<float>{0.5f, -0.125f, (0.1f + 0.2f) / 2}));
  ASSERT_OK(to_mono(stereo, 2, 3, mono));
  EXPECT_EQ(mono, (std::vector<float>{(1.0f + 0 - 0.5f) / 3,
                                      (0.25f + 0.1f + 0.2f) / 3}));
  ASSERT_OK(to_mono(stereo, 6, 1, mono));
  EXPECT_EQ(mono, std::vector<float>(stereo, stereo + 6));
  EXPECT_EQ(to_mono(stereo, 3, 0, mono).code, gm::USAGE);
  EXPECT_EQ(to_mono(stereo, 3, kMostChannels + 1, mono).code, gm::USAGE);
  EXPECT_EQ(to_mono(stereo, kMostSamples + 1, 1, mono).code, gm::USAGE);
}

// Full-scale noise that begins at once, at the start, in the middle and at the
// end. soxr's own arithmetic is f32.
TEST(Resample, EqualsTheReference) {
  const Tensors tensors("resampled.safetensors");
  for (int64_t rate :
       {4000,  8000,  9600,  11025, 12000,  12800,  17000,  20000,
        22050, 24000, 25000, 25600, 32000,  44056,  44100,  48000,
        56000, 64000, 88200, 96000, 144000, 176400, 192000, 384000}) {
    const std::vector<float> sound = noise(rate / 4 + 7);
    const int64_t samples = int64_t(sound.size());
    std::vector<float> got;
    ASSERT_OK(resample(sound.data(), samples, rate, got));
    const int64_t length = (samples * 16000 + rate - 1) / rate;
    ASSERT_EQ(int64_t(got.size()), length);
    EXPECT_EQ(resampled_length(samples, rate), length);
    const auto expected = tensors.values<float>(std::to_string(rate));
    ASSERT_EQ(expected.size(), 120u);
    const int64_t begins[] = {0, length / 2 - 20, length - 40};
    for (int64_t i = 0; i < 120; ++i)
      ASSERT_NEAR(got[size_t(begins[i / 40] + i % 40)], expected[size_t(i)],
                  1e-5)
          << rate << " " << i;
  }
}

TEST(Resample, HasALastSampleOfSilenceWhereTheReferenceHas) {
  // 442 * 16000 / 44100 = 160.36: the reference makes 160 of them, not 161.
  const std::vector<float> sound(442, 0.75f);
  std::vector<float> got;
  ASSERT_OK(resample(sound.data(), 442, 44100, got));
  ASSERT_EQ(got.size(), 161u);
  EXPECT_EQ(got[160], 0);
  EXPECT_NE(got[159], 0);
  // 440 make 159.64.
  ASSERT_OK(resample(sound.data(), 440, 44100, got));
  ASSERT_EQ(got.size(), 160u);
  EXPECT_NE(got[159], 0);
}

// A tone below the edge of the band keeps its height and place, one above it
// vanishes.
TEST(Resample, KeepsTheBandAndNothingElse) {
  for (int64_t rate : {2000, 8000, 44100, 48000, 96000}) {
    std::vector<float> low, high;
    const double nyquist = double(std::min<int64_t>(rate, 16000)) / 2;
    const std::vector<float> in = sine(rate, 0.6 * nyquist, rate);
    ASSERT_OK(resample(in.data(), rate, rate, low));
    const std::vector<float> expected = sine(16000, 0.6 * nyquist, 16000);
    for (size_t i = 1000; i < 15000; ++i)
      ASSERT_NEAR(low[i], expected[i], 3e-5) << rate << " " << i;
    if (rate <= 16000)
      continue;
    const std::vector<float> out = sine(rate, 8100, rate);
    ASSERT_OK(resample(out.data(), rate, rate, high));
    for (size_t i = 1000; i < 15000; ++i)
      ASSERT_NEAR(high[i], 0, 2e-6) << rate << " " << i;
  }
}

TEST(Resample, OfShortAndEqualSounds) {
  std::vector<float> got;
  const std::vector<float> sound = noise(50);
  ASSERT_OK(resample(sound.data(), 50, 16000, got));
  EXPECT_EQ(got, sound);
  for (int64_t rate : {kLeastRate, int64_t(8000), int64_t(44100), kMostRate}) {
    ASSERT_OK(resample(nullptr, 0, rate, got));
    EXPECT_TRUE(got.empty());
    ASSERT_OK(resample(sound.data(), 1, rate, got));
    EXPECT_EQ(int64_t(got.size()), std::max<int64_t>(1, 16000 / rate));
  }
}

TEST(Resample, RefusesWhatIsOutOfBounds) {
  std::vector<float> got;
  EXPECT_EQ(resample(nullptr, 1, kLeastRate - 1, got).code, gm::USAGE);
  EXPECT_EQ(resample(nullptr, 1, kMostRate + 1, got).code, gm::USAGE);
  EXPECT_EQ(resample(nullptr, kMostSamples + 1, 48000, got).code, gm::USAGE);
  EXPECT_EQ(resample(nullptr, -1, 48000, got).code, gm::USAGE);
  // Within bounds before, not after.
  EXPECT_EQ(resample(nullptr, kMostSamples, 8000, got).code, gm::USAGE);
}
