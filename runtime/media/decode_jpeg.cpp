// JPEG by libjpeg-turbo. Errors leave it by longjmp: over frames of plain data
// only.
#include "runtime/media/decode_codecs.h"

#include <algorithm>
#include <csetjmp>
#include <cstdio>
#include <cstring>
#include <string_view>
// Behind <cstdio>, which it needs.
#include <jerror.h>
#include <jpeglib.h>

namespace gm::media {
namespace {

using std::string_view;
using namespace std::string_view_literals;

// What libjpeg may hold, which for progressive pictures is all coefficients, 2
// bytes each, of up to 4 channels.
constexpr long kMostBytes = long(kMostPixels) * 8 + (64L << 20);

struct Reader {
  jpeg_decompress_struct jpeg = {};
  jpeg_error_mgr errors = {};
  jpeg_source_mgr source = {};
  jpeg_progress_mgr progress = {};
  jmp_buf failed;
  bool made = false, cut = false;
  int most_scans = 0;
  int code = 0; // of the error
  char words[JMSG_LENGTH_MAX] = "", damage[JMSG_LENGTH_MAX] = "";

  ~Reader() {
    if (made)
      jpeg_destroy_decompress(&jpeg);
  }
};

Reader &reader_of(j_common_ptr jpeg) {
  return *static_cast<Reader *>(jpeg->client_data);
}

[[noreturn]] void on_error(j_common_ptr jpeg) {
  Reader &reader = reader_of(jpeg);
  reader.code = jpeg->err->msg_code;
  jpeg->err->format_message(jpeg, reader.words);
  longjmp(reader.failed, 1);
}

// libjpeg goes on after what it warns of, as Pillow does; the first is kept.
void on_message(j_common_ptr jpeg, int level) {
  if (level < 0 && !jpeg->err->num_warnings++)
    jpeg->err->format_message(jpeg, reader_of(jpeg).damage);
}

void on_source(j_decompress_ptr) {}

[[noreturn]] void end_of_bytes(j_decompress_ptr jpeg) {
  Reader &reader = reader_of(reinterpret_cast<j_common_ptr>(jpeg));
  reader.cut = true;
  longjmp(reader.failed, 1);
}

boolean on_fill(j_decompress_ptr jpeg) { end_of_bytes(jpeg); }

void on_skip(j_decompress_ptr jpeg, long count) {
  if (count <= 0)
    return;
  if (size_t(count) > jpeg->src->bytes_in_buffer)
    end_of_bytes(jpeg);
  jpeg->src->next_input_byte += count;
  jpeg->src->bytes_in_buffer -= size_t(count);
}

void on_progress(j_common_ptr jpeg) {
  Reader &reader = reader_of(jpeg);
  if (reader.jpeg.input_scan_number <= reader.most_scans)
    return;
  snprintf(reader.words, sizeof reader.words,
           "more than %d scans of so many pixels", reader.most_scans);
  longjmp(reader.failed, 1);
}

bool read_head(Reader &reader, const uint8_t *bytes, size_t count) {
  if (setjmp(reader.failed))
    return false;
  jpeg_decompress_struct &jpeg = reader.jpeg;
  jpeg.err = jpeg_std_error(&reader.errors);
  reader.errors.error_exit = on_error;
  reader.errors.emit_message = on_message;
  jpeg.client_data = &reader;
  jpeg_create_decompress(&jpeg);
  reader.made = true;
  jpeg.mem->max_memory_to_use = kMostBytes;
  jpeg.src = &reader.source;
  reader.source.next_input_byte = bytes;
  reader.source.bytes_in_buffer = count;
  reader.source.init_source = on_source;
  reader.source.term_source = on_source;
  reader.source.fill_input_buffer = on_fill;
  reader.source.skip_input_data = on_skip;
  reader.source.resync_to_restart = jpeg_resync_to_restart;
  jpeg_save_markers(&jpeg, JPEG_APP0 + 1, 0xFFFF);
  jpeg_read_header(&jpeg, TRUE);
  return true;
}

bool start(Reader &reader) {
  if (setjmp(reader.failed))
    return false;
  jpeg_decompress_struct &jpeg = reader.jpeg;
  jpeg.out_color_space = jpeg.num_components == 1   ? JCS_GRAYSCALE
                         : jpeg.num_components == 3 ? JCS_RGB
                                                    : JCS_CMYK;
  jpeg.progress = &reader.progress;
  reader.progress.progress_monitor = on_progress;
  jpeg_start_decompress(&jpeg);
  return true;
}

bool read_row(Reader &reader, uint8_t *row) {
  if (setjmp(reader.failed))
    return false;
  while (jpeg_read_scanlines(&reader.jpeg, &row, 1) == 0) {
  }
  return true;
}

Status why(const Reader &reader) {
  if (reader.cut)
    return failure(BAD_INPUT, "a JPEG picture that is cut: the file ends "
                              "before its pixels do");
  switch (reader.code) {
  case JERR_OUT_OF_MEMORY:
  case JERR_NO_BACKING_STORE:
    return failure(RESOURCES, "no memory left to decode a JPEG picture");
  case JERR_IMAGE_TOO_BIG:
    return failure(USAGE,
                   "a JPEG picture that is too large (%s): make it "
                   "smaller",
                   reader.words);
  case JERR_BAD_PRECISION:
  case JERR_SOF_UNSUPPORTED:
  case JERR_CONVERSION_NOTIMPL:
  case JERR_ARITH_NOTIMPL:
  case JERR_NOT_COMPILED:
  case JERR_CCIR601_NOTIMPL:
  case JERR_FRACT_SAMPLE_NOTIMPL:
    return failure(UNSUPPORTED,
                   "a JPEG picture of a kind that is not decoded: %s; save it "
                   "as a common one or as PNG",
                   reader.words);
  }
  return failure(BAD_INPUT, "a broken JPEG picture: %s", reader.words);
}

// EXIF of all its segments together, and the last XMP.
void read_metadata(const Reader &reader, Metadata &metadata) {
  std::string exif;
  for (auto marker = reader.jpeg.marker_list; marker; marker = marker->next) {
    const string_view data(reinterpret_cast<const char *>(marker->data),
                           marker->data_length);
    constexpr string_view kExif = "Exif\0\0"sv,
                          kXmp = "http://ns.adobe.com/xap/1.0/\0"sv;
    if (data.starts_with(kExif))
      exif += data.substr(exif.empty() ? 0 : kExif.size());
    else if (data.starts_with(kXmp))
      metadata.xmp = data.substr(kXmp.size());
  }
  metadata.orientation = exif_orientation(
      reinterpret_cast<const uint8_t *>(exif.data()), exif.size(), 0);
}

// Of the inverted inks that files have: a product of two bytes over 255,
// rounded as Pillow does.
void from_cmyk(const uint8_t *row, int64_t width, uint8_t *to) {
  for (int64_t x = 0; x < width; ++x, row += 4)
    for (int c = 0; c < 3; ++c) {
      const int ink = 255 - row[c], light = row[3];
      const int product = ink * light + 128;
      *to++ = uint8_t(
          std::clamp(light - (((product >> 8) + product) >> 8), 0, 255));
    }
}

} // namespace

Status decode_jpeg(Bytes bytes, const PictureOptions &options, Picture &picture,
                   Metadata &metadata, PictureRemarks &remarks) {
  Reader reader;
  if (!read_head(reader, bytes.data(), bytes.size()))
    return why(reader);
  const int64_t height = reader.jpeg.image_height,
                width = reader.jpeg.image_width;
  if (Status s = check_picture(height, width, options); !s.ok())
    return s;
  const int channels = reader.jpeg.num_components;
  if (channels == 2 || channels > 4)
    return failure(UNSUPPORTED,
                   "a JPEG picture of %d channels: expects 1, 3 or 4",
                   channels);
  read_metadata(reader, metadata);
  reader.most_scans =
      int(std::min<int64_t>(1000, kMostPassPixels / (height * width)));
  if (!start(reader))
    return why(reader);
  picture.height = height;
  picture.width = width;
  picture.rgb.resize(size_t(height * width * 3));
  std::vector<uint8_t> row(size_t(width * channels));
  for (int64_t y = 0; y < height; ++y) {
    uint8_t *to = picture.rgb.data() + y * width * 3;
    if (!read_row(reader, channels == 3 ? to : row.data()))
      return why(reader);
    if (channels == 4)
      from_cmyk(row.data(), width, to);
    for (int64_t x = 0; channels == 1 && x < width; ++x)
      memset(to + x * 3, row[size_t(x)], 3);
  }
  remarks.damaged = reader.damage;
  return {};
}

} // namespace gm::media
