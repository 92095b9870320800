// See decode_picture.h.
#include "runtime/media/decode_picture.h"

#include "runtime/media/decode_codecs.h"

#include <string_view>

namespace gm::media {
namespace {

// The digit behind the first tiff:Orientation=" or tiff:Orientation>, which is
// all that Pillow looks for in XMP; 1 if there is none.
int xmp_orientation(std::string_view xmp) {
  static constexpr std::string_view kName = "tiff:Orientation";
  for (size_t at = xmp.find(kName); at != xmp.npos; at = xmp.find(kName, at)) {
    at += kName.size();
    std::string_view rest = xmp.substr(at);
    if (rest.starts_with("=\""))
      rest.remove_prefix(2);
    else if (rest.starts_with(">"))
      rest.remove_prefix(1);
    else
      continue;
    if (!rest.empty() && rest[0] >= '0' && rest[0] <= '9')
      return rest[0] - '0';
  }
  return 1;
}

int orientation_of(const Metadata &metadata) {
  return metadata.orientation ? metadata.orientation
                              : xmp_orientation(metadata.xmp);
}

} // namespace

Status check_picture(int64_t height, int64_t width,
                     const PictureOptions &options) {
  if (Status s = check_sides(height, width); !s.ok())
    return s;
  if (height * width > options.most_pixels)
    return failure(USAGE,
                   "a picture of %lld x %lld pixels: expects at most %lld in "
                   "all, make it smaller%s",
                   (long long)width, (long long)height,
                   (long long)options.most_pixels, options.advice);
  return {};
}

Status check_animation(int64_t height, int64_t width, int64_t frames) {
  if (Status s = check_sides(height, width); !s.ok())
    return s;
  if (height * width > kMostFramePixels)
    return failure(USAGE,
                   "frames of %lld x %lld pixels: expects at most %lld in all, "
                   "make them smaller",
                   (long long)width, (long long)height,
                   (long long)kMostFramePixels);
  if (frames > kMostFrames || frames * height * width > kMostFilmPixels)
    return failure(USAGE,
                   "%lld frames of %lld x %lld pixels: expects at most %lld "
                   "frames and %lld pixels in all, make it shorter or smaller",
                   (long long)frames, (long long)width, (long long)height,
                   (long long)kMostFrames, (long long)kMostFilmPixels);
  return {};
}

void from_rgba(const uint8_t *rgba, int64_t height, int64_t width,
               const PictureOptions &options, Picture &picture,
               PictureRemarks &remarks) {
  // Sizes were checked before there were any pixels.
  (void)to_rgb({rgba, height, width, 4, width * 4}, options.alpha, picture);
  if (options.alpha == Alpha::White)
    return;
  for (int64_t i = 0; i < height * width && !remarks.transparent; ++i)
    remarks.transparent = rgba[i * 4 + 3] != 255;
}

Status decode_picture(Bytes bytes, const PictureOptions &options,
                      Picture &picture, PictureRemarks &remarks) {
  remarks = {};
  Metadata metadata;
  Status s;
  switch (const KindName kind = kind_of(bytes); kind.kind) {
  case Kind::Png:
    s = decode_png(bytes, options, picture, metadata, remarks);
    break;
  case Kind::Jpeg:
    s = decode_jpeg(bytes, options, picture, metadata, remarks);
    break;
  case Kind::Webp:
    s = decode_webp(bytes, options, picture, metadata, remarks);
    break;
  case Kind::Gif:
    s = decode_gif(bytes, options, picture, remarks);
    break;
  default:
    return refused_kind(kind, "picture");
  }
  if (s.ok() && options.upright)
    turn_upright(picture, orientation_of(metadata));
  return s;
}

Status read_animation(Bytes bytes, const PictureOptions &options,
                      Animation &animation) {
  animation = {};
  const Kind kind = kind_of(bytes).kind;
  if (kind == Kind::Webp)
    return read_webp_animation(bytes, animation);
  if (kind == Kind::Gif)
    return read_gif_animation(bytes, animation);
  Picture picture;
  PictureRemarks remarks;
  PictureOptions lying = options;
  lying.upright = false;
  if (Status s = decode_picture(bytes, lying, picture, remarks); !s.ok())
    return s;
  if (remarks.animated)
    return failure(UNSUPPORTED, "an animated PNG, whose frames are not "
                                "decoded: convert it to GIF or WebP");
  animation = {picture.height, picture.width, {0}};
  return {};
}

Status decode_animation(Bytes bytes, const PictureOptions &options,
                        const FrameTaker &taker, PictureRemarks &remarks) {
  remarks = {};
  const Kind kind = kind_of(bytes).kind;
  if (kind == Kind::Gif)
    return decode_gif_animation(bytes, options, taker, remarks);
  if (kind == Kind::Webp) {
    Metadata metadata;
    FrameTaker turned = taker;
    turned.take = [&](int64_t frame, Picture &picture) {
      if (options.upright)
        turn_upright(picture, orientation_of(metadata));
      return taker.take(frame, picture);
    };
    return decode_webp_animation(bytes, options, turned, metadata, remarks);
  }
  if (!taker.wants(0))
    return {};
  Picture picture;
  if (Status s = decode_picture(bytes, options, picture, remarks); !s.ok())
    return s;
  return taker.take(0, picture);
}

} // namespace gm::media
