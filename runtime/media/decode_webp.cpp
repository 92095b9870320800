// WebP by libwebp: still pictures and single frames straight to where they lie,
// films by its animation decoder.
#include "runtime/media/decode_codecs.h"

#include <memory>
#include <webp/decode.h>
#include <webp/demux.h>

namespace gm::media {
namespace {

using Demuxer = std::unique_ptr<WebPDemuxer, decltype(&WebPDemuxDelete)>;
using Decoder =
    std::unique_ptr<WebPAnimDecoder, decltype(&WebPAnimDecoderDelete)>;

struct Frames {
  explicit Frames(const WebPDemuxer *demuxer)
      : good(WebPDemuxGetFrame(demuxer, 1, &frame)) {}
  ~Frames() { WebPDemuxReleaseIterator(&frame); }
  WebPIterator frame = {};
  bool good;
};

Status broken() {
  return failure(BAD_INPUT, "a WebP picture that is broken or cut");
}

Status open(Bytes bytes, Demuxer &demuxer) {
  const WebPData data = {bytes.data(), bytes.size()};
  WebPDemuxState state;
  demuxer.reset(WebPDemuxPartial(&data, &state));
  return demuxer && state == WEBP_DEMUX_DONE ? Status() : broken();
}

int64_t number(const Demuxer &demuxer, WebPFormatFeature feature) {
  return WebPDemuxGetI(demuxer.get(), feature);
}

// The bytes of a chunk beside the pixels.
std::string chunk(const Demuxer &demuxer, const char *name) {
  WebPChunkIterator found = {};
  std::string bytes;
  if (WebPDemuxGetChunk(demuxer.get(), name, 1, &found))
    bytes.assign(reinterpret_cast<const char *>(found.chunk.bytes),
                 found.chunk.size);
  WebPDemuxReleaseChunkIterator(&found);
  return bytes;
}

void read_metadata(const Demuxer &demuxer, Metadata &metadata) {
  const std::string exif = chunk(demuxer, "EXIF");
  metadata.orientation = exif_orientation(
      reinterpret_cast<const uint8_t *>(exif.data()), exif.size(), 0);
  metadata.xmp = chunk(demuxer, "XMP ");
}

} // namespace

// The first frame, on a canvas that is black and transparent.
Status decode_webp(Bytes bytes, const PictureOptions &options, Picture &picture,
                   Metadata &metadata, PictureRemarks &remarks) {
  Demuxer demuxer(nullptr, WebPDemuxDelete);
  if (Status s = open(bytes, demuxer); !s.ok())
    return s;
  const int64_t height = number(demuxer, WEBP_FF_CANVAS_HEIGHT),
                width = number(demuxer, WEBP_FF_CANVAS_WIDTH);
  if (Status s = check_picture(height, width, options); !s.ok())
    return s;
  Frames frames(demuxer.get());
  const WebPIterator &frame = frames.frame;
  if (!frames.good || !frame.complete)
    return broken();
  remarks.animated = number(demuxer, WEBP_FF_FRAME_COUNT) > 1;
  read_metadata(demuxer, metadata);

  const bool transparent =
      frame.has_alpha || frame.width != width || frame.height != height;
  const int channels = transparent ? 4 : 3;
  std::vector<uint8_t> pixels(size_t(height * width * channels));
  const int64_t stride = width * channels;
  WebPDecoderConfig config;
  if (!WebPInitDecoderConfig(&config))
    return failure(UNSUPPORTED, "another libwebp than this was built with");
  const int64_t begin = frame.y_offset * stride + frame.x_offset * channels;
  config.output.colorspace = transparent ? MODE_RGBA : MODE_RGB;
  config.output.is_external_memory = 1;
  config.output.u.RGBA.rgba = pixels.data() + begin;
  config.output.u.RGBA.stride = int(stride);
  config.output.u.RGBA.size = pixels.size() - size_t(begin);
  switch (WebPDecode(frame.fragment.bytes, frame.fragment.size, &config)) {
  case VP8_STATUS_OK:
    break;
  case VP8_STATUS_OUT_OF_MEMORY:
    return failure(RESOURCES, "no memory left to decode a WebP picture");
  case VP8_STATUS_UNSUPPORTED_FEATURE:
    return failure(UNSUPPORTED, "a WebP picture of a kind that libwebp does "
                                "not decode: convert it to PNG");
  default:
    return broken();
  }
  if (!transparent) {
    picture.height = height;
    picture.width = width;
    picture.rgb = std::move(pixels);
    return {};
  }
  from_rgba(pixels.data(), height, width, options, picture, remarks);
  return {};
}

Status read_webp_animation(Bytes bytes, Animation &animation) {
  Demuxer demuxer(nullptr, WebPDemuxDelete);
  if (Status s = open(bytes, demuxer); !s.ok())
    return s;
  animation.height = number(demuxer, WEBP_FF_CANVAS_HEIGHT);
  animation.width = number(demuxer, WEBP_FF_CANVAS_WIDTH);
  if (Status s = check_animation(animation.height, animation.width,
                                 number(demuxer, WEBP_FF_FRAME_COUNT));
      !s.ok())
    return s;
  Frames frames(demuxer.get());
  for (bool more = frames.good; more; more = WebPDemuxNextFrame(&frames.frame))
    animation.milliseconds.push_back(frames.frame.duration);
  return animation.milliseconds.empty() ? broken() : Status();
}

Status decode_webp_animation(Bytes bytes, const PictureOptions &options,
                             const FrameTaker &taker, Metadata &metadata,
                             PictureRemarks &remarks) {
  Animation animation;
  if (Status s = read_webp_animation(bytes, animation); !s.ok())
    return s;
  Demuxer demuxer(nullptr, WebPDemuxDelete);
  if (Status s = open(bytes, demuxer); !s.ok())
    return s;
  read_metadata(demuxer, metadata);
  WebPAnimDecoderOptions settings;
  if (!WebPAnimDecoderOptionsInit(&settings))
    return failure(UNSUPPORTED, "another libwebp than this was built with");
  settings.color_mode = MODE_RGBA;
  const WebPData data = {bytes.data(), bytes.size()};
  Decoder decoder(WebPAnimDecoderNew(&data, &settings), WebPAnimDecoderDelete);
  if (!decoder)
    return broken();
  Picture picture;
  const int64_t count = int64_t(animation.milliseconds.size());
  for (int64_t i = 0; i < count; ++i) {
    uint8_t *rgba = nullptr;
    int time = 0;
    if (!WebPAnimDecoderGetNext(decoder.get(), &rgba, &time))
      return failure(BAD_INPUT,
                     "a WebP picture whose frame %lld is broken or cut",
                     (long long)i);
    if (!taker.wants(i))
      continue;
    from_rgba(rgba, animation.height, animation.width, options, picture,
              remarks);
    if (Status s = taker.take(i, picture); !s.ok())
      return s;
  }
  return {};
}

} // namespace gm::media
