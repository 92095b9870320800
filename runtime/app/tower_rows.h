// Rows that towers read, of media that are decoded. Knows the manifest's media
// and the engine's inputs; must not know files.
#pragma once

#include "runtime/gemma.h"
#include "runtime/media/decode_picture.h"

namespace gm {

// Rows and soft tokens that a picture of a size that the model takes becomes
// (media::target_size). Equal where there is no tower.
struct PictureRows {
  int64_t patches = 0, tokens = 0;
};
PictureRows picture_rows(const gemmac::manifest::Medium &image,
                         const media::Picture &picture);
// Fills the input of the first segment that sees with them.
Status fill_picture(Engine &engine, const gemmac::manifest::Medium &image,
                    const media::Picture &picture);

// Rows, and soft tokens, that `samples` at 16 kHz become; 0: too few for one.
int64_t sound_rows(const gemmac::manifest::Medium &audio, int64_t samples);
// Fills the input of segment `audio` with them. USAGE for more samples than the
// model hears: cutting is the caller's.
Status fill_sound(Engine &engine, const gemmac::manifest::Medium &audio,
                  const float *sound, int64_t samples);

} // namespace gm
