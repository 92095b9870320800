// Bytes of a PNG, JPEG, WebP or GIF file as pictures, exactly those that Pillow
// 13 and transformers make of it (docs/model/vision.md#2): the one place that
// tells kinds of picture apart. The codecs stand behind it, in decode_*.cpp;
// nothing else of the runtime knows them. Knows no files.
//
// Hostile bytes cost at most 12 bytes of memory per pixel of the limits, and
// are an error, as are files that are cut. A decoder's own words come in the
// message; the caller adds what the file is called.
#pragma once

#include "runtime/media/film.h"
#include "runtime/media/kinds.h"
#include "runtime/media/limits.h"
#include "runtime/media/picture.h"

#include <functional>
#include <string>

namespace gm::media {

struct PictureOptions {
  // White also shows the keys of PNG (tRNS of grey and RGB) as Pillow does:
  // the low byte of a key is compared with the 8 bits that are shown. So keys
  // of 2 and 4 bits match where they are 0 only, and those of 16 bits seldom.
  Alpha alpha = Alpha::Drop;
  // Turned as EXIF says, else as XMP says. The reference does so with what
  // comes as file, URL or bytes; not with picture objects of its caller.
  bool upright = true;
  int64_t most_pixels = kMostPixels;
  // Ends the message about more pixels than that: what the caller's user can
  // do about it.
  const char *advice = "";
};
// USAGE for a picture, or a frame, that has more pixels, or sides that are none
// (picture.h).
Status check_picture(int64_t height, int64_t width,
                     const PictureOptions &options);

// What the caller might want to say about a picture.
struct PictureRemarks {
  bool transparent = false; // some of it is, and Alpha::Drop made it show
  bool animated = false;    // and this is the first frame
  std::string damaged;      // the decoder's words where it went on all the same
};

// The picture; of an animated one the first frame.
//
// USAGE for one that is too large, UNSUPPORTED for kinds that are not decoded,
// BAD_INPUT for bytes that are broken, cut or no picture, RESOURCES where a
// codec finds no memory.
Status decode_picture(Bytes bytes, const PictureOptions &options,
                      Picture &picture, PictureRemarks &remarks);

// An animated picture (GIF, WebP) as a film: what can be said without decoding
// it. Other pictures are a film of one frame of 0 ms.
struct Animation {
  int64_t height = 0, width = 0;     // pixels, as it lies
  std::vector<int64_t> milliseconds; // how long each frame is shown
};
// Errors as above; UNSUPPORTED for animated PNG, USAGE for frames of more than
// kMostFramePixels, more than kMostFrames of them, or more than kMostFilmPixels
// in all.
Status read_animation(Bytes bytes, const PictureOptions &options,
                      Animation &animation);

// Takes one frame after the other; not ok ends the decoding, with its status.
struct FrameTaker {
  std::function<bool(int64_t frame)> wants;
  std::function<Status(int64_t frame, Picture &picture)> take;
};
// All frames that are wanted, complete pictures: what is below a frame's
// transparent pixels, and what a frame before leaves, is Pillow's.
Status decode_animation(Bytes bytes, const PictureOptions &options,
                        const FrameTaker &taker, PictureRemarks &remarks);

} // namespace gm::media
