// What each codec of pictures offers to decode_picture.cpp, and nobody else.
#pragma once

#include "runtime/media/decode_picture.h"

namespace gm::media {

// What a file has beside its pixels.
struct Metadata {
  // 0 if it says nothing of how the picture lies.
  int orientation = 0;
  // Its XMP text, asked if orientation is 0.
  std::string xmp;
};

// In a taker's words, and with the limits of `options`; pictures as they lie.
Status decode_png(Bytes bytes, const PictureOptions &options, Picture &picture,
                  Metadata &metadata, PictureRemarks &remarks);
Status decode_jpeg(Bytes bytes, const PictureOptions &options, Picture &picture,
                   Metadata &metadata, PictureRemarks &remarks);
Status decode_webp(Bytes bytes, const PictureOptions &options, Picture &picture,
                   Metadata &metadata, PictureRemarks &remarks);
Status decode_gif(Bytes bytes, const PictureOptions &options, Picture &picture,
                  PictureRemarks &remarks);

Status read_webp_animation(Bytes bytes, Animation &animation);
Status decode_webp_animation(Bytes bytes, const PictureOptions &options,
                             const FrameTaker &taker, Metadata &metadata,
                             PictureRemarks &remarks);
Status read_gif_animation(Bytes bytes, Animation &animation);
Status decode_gif_animation(Bytes bytes, const PictureOptions &options,
                            const FrameTaker &taker, PictureRemarks &remarks);

// Of a film: frames of this size.
Status check_animation(int64_t height, int64_t width, int64_t frames);

// RGB out of RGBA, uint8 (height, width, 4); notes transparency that shows.
void from_rgba(const uint8_t *rgba, int64_t height, int64_t width,
               const PictureOptions &options, Picture &picture,
               PictureRemarks &remarks);

} // namespace gm::media
