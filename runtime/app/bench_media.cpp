// See bench_media.h.
#include "runtime/app/bench_media.h"
#include "runtime/app/media_plan.h"
#include "runtime/app/tower_rows.h"
#include "runtime/manifest_generated.h"
#include "runtime/media/mel.h"
#include "runtime/media/resize.h"
#include "runtime/media/sound.h"
#include "runtime/media/target_size.h"

#include <algorithm>
#include <cstdio>

namespace gm {
namespace mf = gemmac::manifest;

std::string MediaTest::name() const {
  return seconds
             ? "audio " + std::to_string(seconds) + "s"
             : "image " + std::to_string(width) + "x" + std::to_string(height);
}

// The words between commas.
static std::vector<std::string>
words_of(const std::optional<std::string> &text) {
  std::vector<std::string> words;
  for (size_t at = 0; text && at <= text->size();) {
    const size_t comma = std::min(text->find(',', at), text->size());
    words.push_back(text->substr(at, comma - at));
    at = comma + 1;
  }
  return words;
}

// As `format` reads all of it, which skips blanks and signs.
template <typename... Numbers>
static bool scan(const std::string &word, const char *format,
                 Numbers... numbers) {
  int used = 0;
  return word.find_first_not_of("0123456789x") == word.npos &&
         sscanf(word.c_str(), format, numbers..., &used) ==
             sizeof...(numbers) &&
         size_t(used) == word.size();
}

Status parse_media_tests(const std::optional<std::string> &images,
                         const std::optional<std::string> &audios,
                         std::vector<MediaTest> &tests) {
  for (const std::string &word : words_of(images)) {
    // Few digits, so that no number is too large for its type.
    long long width = 0, height = 0;
    if (!scan(word, "%6lldx%6lld%n", &width, &height) ||
        !media::check_sides(height, width).ok())
      return failure(USAGE,
                     "--image expects WIDTHxHEIGHT, each 1 to %lld and %lld "
                     "pixels in all, separated by commas, got '%.100s'",
                     (long long)media::kMostSide, (long long)media::kMostPixels,
                     images->c_str());
    tests.push_back({.height = height, .width = width});
  }
  const long long most = media::kMostMelSamples / media::kRate;
  for (const std::string &word : words_of(audios)) {
    long long seconds = 0;
    if (!scan(word, "%3lld%n", &seconds) || seconds < 1 || seconds > most)
      return failure(USAGE,
                     "--audio expects whole seconds from 1 to %lld, separated "
                     "by commas, got '%.100s'",
                     most, audios->c_str());
    tests.push_back({.seconds = seconds});
  }
  return {};
}

Status reserve_tests(const File &file, const std::vector<MediaTest> &tests,
                     int64_t image_tokens, Options &options) {
  MediaCounts counts;
  counts.image_tokens = image_tokens;
  for (const MediaTest &test : tests) {
    (test.seconds ? counts.sounds : counts.images) = 1;
    counts.image_pixels =
        std::max(counts.image_pixels, test.height * test.width);
  }
  return reserve_media(file, counts, options);
}

MediaBench::MediaBench(Program &program, const MediaTest &test,
                       int64_t image_tokens)
    : program(program), test(test), image_tokens(image_tokens) {
  Random random{20261130};
  if (test.seconds) {
    for (int64_t i = 0; i < test.seconds * media::kRate; ++i)
      sound.push_back(float(random.uniform() - 0.5));
    return;
  }
  picture = {test.height, test.width, {}};
  picture.rgb.resize(size_t(test.height * test.width * 3));
  for (uint8_t &value : picture.rgb)
    value = uint8_t(random.next());
}

Status MediaBench::picture_once() {
  const mf::Medium &m = *medium_of(program.file, "image");
  media::TargetSize size;
  if (Status s = media::target_size(
          test.height, test.width,
          {m.patch(), m.pool(),
           image_budget(program.file, image_tokens) * m.pool() * m.pool()},
          size);
      !s.ok())
    return s;
  media::Picture scaled;
  if (Status s = media::resize(picture, size.height, size.width, scaled);
      !s.ok())
    return s;
  if (Status s = fill_picture(*program.engine, m, scaled); !s.ok())
    return s;
  const PictureRows rows = picture_rows(m, scaled);
  in = rows.patches, out = rows.tokens;
  return encode_picture(*program.engine, in, 0);
}

Status MediaBench::sound_once() {
  const mf::Medium &m = *medium_of(program.file, "audio");
  const auto count = int64_t(sound.size());
  if (Status s = fill_sound(*program.engine, m, sound.data(), count); !s.ok())
    return s;
  in = out = sound_rows(m, count);
  return encode_sound(*program.engine, in, 0);
}

Status MediaBench::once() {
  return test.seconds ? sound_once() : picture_once();
}

std::vector<MediaBench::Ran> MediaBench::ran() const {
  if (test.seconds)
    return {{"audio", in}};
  if (in == out)
    return {{"image", out}};
  return {{"patches", in}, {"image", out}};
}

} // namespace gm
