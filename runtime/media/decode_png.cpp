// PNG by libpng, which sees what pixels need; what else a file says is read
// here from its chunks. Errors leave libpng by longjmp: over frames of plain
// data only.
#include "runtime/media/decode_codecs.h"

#include <algorithm>
#include <csetjmp>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <png.h>
#include <string_view>
#include <zlib.h>

namespace gm::media {
namespace {

constexpr size_t kSignature = 8;
// Of a text that is stored compressed.
constexpr size_t kMostText = size_t(1) << 20;

uint32_t number(const uint8_t *at) {
  return uint32_t(at[0]) << 24 | uint32_t(at[1]) << 16 | uint32_t(at[2]) << 8 |
         at[3];
}

std::string inflated(std::string_view packed) {
  std::string text(kMostText, '\0');
  uLongf size = text.size();
  const int rc =
      uncompress(reinterpret_cast<Bytef *>(text.data()), &size,
                 reinterpret_cast<const Bytef *>(packed.data()), packed.size());
  text.resize(rc == Z_OK ? size : 0);
  return text;
}

// What ImageMagick writes: a line break, a name, the length, then hex digits.
int raw_profile_orientation(std::string_view text) {
  for (int lines = 0; lines < 3; ++lines) {
    const size_t end = text.find('\n');
    if (end == text.npos)
      return 0;
    text.remove_prefix(end + 1);
  }
  std::vector<uint8_t> exif;
  int high = -1;
  for (const char c : text) {
    const int digit = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                             : -1;
    if (digit < 0)
      continue;
    if (high >= 0)
      exif.push_back(uint8_t(high << 4 | digit));
    high = high >= 0 ? -1 : digit;
  }
  return exif_orientation(exif.data(), exif.size(), 0);
}

// What stands in chunks and is no pixel.
struct Chunks {
  Bytes transparency; // the last tRNS before the pixels
  bool animated = false;
  int exif = 0, raw_profile = 0; // orientations, 0: none
  std::string xmp;
};

void take_text(std::string_view type, std::string_view data, Chunks &chunks) {
  const size_t end = data.find('\0');
  if (end == data.npos)
    return;
  const std::string_view key = data.substr(0, end);
  data.remove_prefix(end + 1);
  const bool xmp = key == "XML:com.adobe.xmp";
  if (!xmp && key != "Raw profile type exif")
    return;
  std::string text;
  if (type == "tEXt") {
    text = data;
  } else if (type == "zTXt") {
    text = inflated(data.substr(std::min<size_t>(1, data.size())));
  } else { // iTXt: compressed or not, method, language, translated key
    const bool packed = data.size() > 2 && data[0] == 1;
    data.remove_prefix(std::min<size_t>(2, data.size()));
    for (int names = 0; names < 2; ++names) {
      const size_t stop = data.find('\0');
      if (stop == data.npos)
        return;
      data.remove_prefix(stop + 1);
    }
    text = packed ? inflated(data) : std::string(data);
  }
  if (xmp)
    chunks.xmp = text;
  else
    chunks.raw_profile = raw_profile_orientation(text);
}

// Ends at IEND, or where not even a chunk's head is left, which Pillow takes
// for the end, too. BAD_INPUT where a chunk is cut.
Status walk(Bytes bytes, Chunks &chunks) {
  bool pixels = false;
  for (size_t at = kSignature; bytes.size() - at >= 8;) {
    const size_t length = number(&bytes[at]);
    const std::string_view type(reinterpret_cast<const char *>(&bytes[at + 4]),
                                4);
    if (type == "IEND")
      break;
    at += 8;
    if (length > bytes.size() - at || bytes.size() - at - length < 4)
      return failure(BAD_INPUT,
                     "a PNG picture that is cut: its chunk at %zu has %zu "
                     "bytes, the file ends after %zu",
                     at - 8, length, bytes.size() - at);
    const Bytes data = bytes.subspan(at, length);
    pixels |= type == "IDAT";
    if (type == "tRNS" && !pixels)
      chunks.transparency = data;
    else if (type == "acTL" && !pixels)
      chunks.animated = data.size() >= 8 && number(data.data()) > 1;
    else if (type == "eXIf")
      chunks.exif = exif_orientation(data.data(), data.size(), 0);
    else if (type == "tEXt" || type == "zTXt" || type == "iTXt")
      take_text(type,
                {reinterpret_cast<const char *>(data.data()), data.size()},
                chunks);
    at += length + 4;
  }
  return {};
}

// libpng's state and where it reads; all that it may leave by longjmp.
struct Reader {
  png_structp png = nullptr;
  png_infop info = nullptr;
  jmp_buf failed;
  const uint8_t *at = nullptr;
  size_t left = 0;
  bool cut = false, no_memory = false;
  char words[200] = "";

  png_uint_32 height = 0, width = 0;
  int depth = 0, colour = 0, channels = 0, passes = 1;
  png_size_t row_bytes = 0;
  const png_color *palette = nullptr;
  int palette_size = 0;

  ~Reader() { png_destroy_read_struct(&png, &info, nullptr); }
};

[[noreturn]] void on_error(png_structp png, png_const_charp words) {
  Reader &reader = *static_cast<Reader *>(png_get_error_ptr(png));
  snprintf(reader.words, sizeof reader.words, "%s", words);
  longjmp(reader.failed, 1);
}

void on_warning(png_structp, png_const_charp) {}

void on_read(png_structp png, png_bytep to, png_size_t count) {
  Reader &reader = *static_cast<Reader *>(png_get_io_ptr(png));
  if (count > reader.left) {
    reader.cut = true;
    png_error(png, "the file ends");
  }
  memcpy(to, reader.at, count);
  reader.at += count;
  reader.left -= count;
}

png_voidp on_malloc(png_structp png, png_alloc_size_t size) {
  void *memory = malloc(size);
  if (!memory)
    static_cast<Reader *>(png_get_mem_ptr(png))->no_memory = true;
  return memory;
}

void on_free(png_structp, png_voidp memory) { free(memory); }

// Everything before the pixels, and how they shall come: a byte per channel,
// palettes and grey of few bits as numbers, grey of 16 bits as it is.
bool read_head(Reader &reader) {
  if (setjmp(reader.failed))
    return false;
  reader.png =
      png_create_read_struct_2(PNG_LIBPNG_VER_STRING, &reader, on_error,
                               on_warning, &reader, on_malloc, on_free);
  if (!reader.png)
    return false;
  reader.info = png_create_info_struct(reader.png);
  if (!reader.info)
    return false;
  png_structp png = reader.png;
  png_set_read_fn(png, &reader, on_read);
  png_set_user_limits(png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
  png_set_crc_action(png, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
  // Nothing but IHDR, PLTE and IDAT.
  static const png_byte kTransparency[] = "tRNS";
  png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, nullptr, -1);
  png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, kTransparency, 1);
  png_read_info(png, reader.info);
  png_get_IHDR(png, reader.info, &reader.width, &reader.height, &reader.depth,
               &reader.colour, nullptr, nullptr, nullptr);
  png_colorp palette = nullptr;
  if (png_get_PLTE(png, reader.info, &palette, &reader.palette_size))
    reader.palette = palette;
  if (reader.depth < 8)
    png_set_packing(png);
  if (reader.depth == 16 && reader.colour == PNG_COLOR_TYPE_GRAY)
    png_set_swap(png);
  else if (reader.depth == 16)
    png_set_strip_16(png);
  reader.passes = png_set_interlace_handling(png);
  png_read_update_info(png, reader.info);
  reader.channels = png_get_channels(png, reader.info);
  reader.row_bytes = png_get_rowbytes(png, reader.info);
  return true;
}

// All rows of a pass into `rows`, row_bytes apart.
bool read_rows(Reader &reader, uint8_t *rows, png_uint_32 count) {
  if (setjmp(reader.failed))
    return false;
  for (png_uint_32 y = 0; y < count; ++y)
    png_read_row(reader.png, rows + y * reader.row_bytes, nullptr);
  return true;
}

Status why(const Reader &reader) {
  if (reader.no_memory || !reader.png || !reader.info)
    return failure(RESOURCES, "no memory left to decode a PNG picture");
  if (reader.cut)
    return failure(BAD_INPUT, "a PNG picture that is cut: the file ends before "
                              "its pixels do");
  return failure(BAD_INPUT, "a broken PNG picture: %s", reader.words);
}

// Rows as libpng gives them to RGB, with what tRNS says.
class Colours {
public:
  Colours(const Reader &reader, Bytes transparency,
          const PictureOptions &options, bool &shows)
      : reader(reader), white(options.alpha == Alpha::White), shows(shows) {
    const bool grey = reader.colour == PNG_COLOR_TYPE_GRAY;
    if (reader.colour == PNG_COLOR_TYPE_PALETTE) {
      // Numbers beyond the palette are black.
      for (int i = 0; i < std::min(reader.palette_size, 256); ++i) {
        const png_color &entry = reader.palette[i];
        const uint8_t rgb[] = {entry.red, entry.green, entry.blue};
        memcpy(palette[i], rgb, 3);
      }
      for (size_t i = 0; i < 256; ++i)
        palette[i][3] = i < transparency.size() ? transparency[i] : 255;
    } else if (grey || reader.colour == PNG_COLOR_TYPE_RGB) {
      const size_t numbers = grey ? 1 : 3;
      has_key = transparency.size() >= numbers * 2;
      for (size_t i = 0; has_key && i < 3; ++i)
        key[i] = transparency[(grey ? 0 : i) * 2 + 1];
      if (grey && reader.depth == 1 && has_key)
        for (uint8_t &value : key)
          value = transparency[0] || transparency[1] ? 255 : 0;
    }
  }

  void convert(const uint8_t *row, uint8_t *to) {
    for (png_uint_32 x = 0; x < reader.width; ++x, to += 3) {
      uint8_t rgba[4] = {0, 0, 0, 255};
      take(row, x, rgba);
      if (has_key && !memcmp(rgba, key, 3))
        rgba[3] = 0;
      if (rgba[3] != 255 && white)
        for (int c = 0; c < 3; ++c)
          rgba[c] = over_white(rgba[c], rgba[3]);
      shows |= rgba[3] != 255 && !white;
      memcpy(to, rgba, 3);
    }
  }

private:
  void take(const uint8_t *row, png_uint_32 x, uint8_t *rgba) const {
    switch (reader.colour) {
    case PNG_COLOR_TYPE_PALETTE:
      memcpy(rgba, palette[row[x]], 4);
      break;
    case PNG_COLOR_TYPE_GRAY: {
      unsigned value = row[x];
      if (reader.depth == 16) { // which saturates
        uint16_t wide;
        memcpy(&wide, row + x * 2, 2);
        value = std::min<unsigned>(wide, 255);
      } else if (reader.depth < 8) {
        value = value * 255 / ((1u << reader.depth) - 1);
      }
      memset(rgba, int(value), 3);
      break;
    }
    case PNG_COLOR_TYPE_GRAY_ALPHA:
      memset(rgba, row[x * 2], 3);
      rgba[3] = row[x * 2 + 1];
      break;
    case PNG_COLOR_TYPE_RGB:
      memcpy(rgba, row + x * 3, 3);
      break;
    default:
      memcpy(rgba, row + x * 4, 4);
    }
  }

  const Reader &reader;
  const bool white;
  bool &shows; // transparency that is dropped
  bool has_key = false;
  uint8_t key[3] = {};
  uint8_t palette[256][4] = {};
};

} // namespace

Status decode_png(Bytes bytes, const PictureOptions &options, Picture &picture,
                  Metadata &metadata, PictureRemarks &remarks) {
  Reader reader;
  reader.at = bytes.data();
  reader.left = bytes.size();
  if (!read_head(reader))
    return why(reader);
  if (Status s = check_picture(reader.height, reader.width, options); !s.ok())
    return s;
  Chunks chunks;
  if (Status s = walk(bytes, chunks); !s.ok())
    return s;
  remarks.animated = chunks.animated;
  metadata.orientation = chunks.exif ? chunks.exif : chunks.raw_profile;
  metadata.xmp = std::move(chunks.xmp);

  // Passes of an interlaced picture fill it bit by bit.
  const bool whole = reader.passes > 1;
  std::vector<uint8_t> rows(reader.row_bytes * (whole ? reader.height : 1));
  for (int pass = 0; whole && pass < reader.passes; ++pass)
    if (!read_rows(reader, rows.data(), reader.height))
      return why(reader);
  picture.height = reader.height;
  picture.width = reader.width;
  picture.rgb.resize(size_t(reader.height) * reader.width * 3);
  Colours colours(reader, chunks.transparency, options, remarks.transparent);
  for (size_t y = 0; y < reader.height; ++y) {
    if (!whole && !read_rows(reader, rows.data(), 1))
      return why(reader);
    colours.convert(rows.data() + (whole ? y * reader.row_bytes : 0),
                    picture.rgb.data() + y * reader.width * 3);
  }
  return {};
}

} // namespace gm::media
