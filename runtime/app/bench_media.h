// What `bench --image` and `bench --audio` measure: a picture or a sound that
// is made up, from decoded samples to soft rows. Knows what stands in front of
// the towers; must not know how results are shown.
#pragma once

#include "runtime/app/program.h"
#include "runtime/media/picture.h"

#include <optional>
#include <string>
#include <vector>

namespace gm {

struct MediaTest {
  int64_t height = 0, width = 0; // of a picture
  int64_t seconds = 0;           // of a sound; 0: a picture

  std::string name() const; // "image 768x768", "audio 30s"
};

// "768x768,1024x512" and "10,30".
Status parse_media_tests(const std::optional<std::string> &images,
                         const std::optional<std::string> &audios,
                         std::vector<MediaTest> &tests);
// Room for any one of them. Of pictures: `image_tokens` as the flag.
Status reserve_tests(const File &file, const std::vector<MediaTest> &tests,
                     int64_t image_tokens, Options &options);

// One test; the program is started with room for it.
class MediaBench {
public:
  MediaBench(Program &program, const MediaTest &test, int64_t image_tokens);

  // Scales and cuts the picture, or makes log-mel of the sound, and encodes.
  Status once();
  // After once.
  int64_t rows() const { return in; }    // in front of the tower
  int64_t tokens() const { return out; } // soft tokens
  // The segments that ran, and the rows of each.
  struct Ran {
    const char *segment;
    int64_t rows;
  };
  std::vector<Ran> ran() const;

private:
  Status picture_once();
  Status sound_once();

  Program &program;
  const MediaTest test;
  const int64_t image_tokens;
  media::Picture picture;
  std::vector<float> sound;
  int64_t in = 0, out = 0;
};

} // namespace gm
