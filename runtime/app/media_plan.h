// What the pictures, sounds and films of a prompt need of the memory plan: one
// place, so that what `info` prints for some numbers of them is what the
// commands that take them reserve. Knows no files and no decoders but their
// bounds.
#pragma once

#include "runtime/app/cli.h"
#include "runtime/gemma.h"
#include "runtime/media/limits.h"

#include <cstdint>
#include <string>
#include <vector>

namespace gm {

// Most soft rows of a sound: 30 s.
inline constexpr int64_t kMostSoundRows = 750;
// Of a picture unless --image-pixels says more: 4096 x 4096.
inline constexpr int64_t kUsualPixels = int64_t(1) << 24;

// Most media of a prompt, and how large.
struct MediaCounts {
  int64_t images = 0, sounds = 0, frames = 0; // frames: of all films
  int64_t image_tokens = 0; // of a picture; 0: the checkpoint's
  int64_t image_pixels = kUsualPixels;
  // Of what is named by its own bytes (data: URLs, base64): all the names, and
  // the longest once more, which is decoded in two steps.
  int64_t name_bytes = 0;

  void add_names(const std::vector<std::string> &names);

private:
  int64_t longest_name = 0;
};

// --image-tokens and --image-pixels.
Flag image_tokens_flag(int64_t &tokens);
Flag image_pixels_flag(int64_t &pixels);

// Options::media_bytes with room for pictures (frames), and for sounds.
int64_t media_bytes(bool pictures, bool sounds, int64_t image_pixels);
// Most soft rows of a picture.
int64_t image_budget(const File &file, int64_t image_tokens);
// Room for them in `options`. UNSUPPORTED if the program cannot see or hear,
// USAGE for a budget that is none.
Status reserve_media(const File &file, const MediaCounts &counts,
                     Options &options);

} // namespace gm
