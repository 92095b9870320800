// GIF: giflib takes blocks and codes apart; how frames lie over each other is
// Pillow's rule (its strategy RGB_AFTER_FIRST), which shows in what a frame
// leaves behind.
#include "runtime/media/decode_codecs.h"

#include <algorithm>
#include <cstring>
#include <gif_lib.h>

namespace gm::media {
namespace {

struct Rgba {
  uint8_t bytes[4];
};

// The colours of a frame; numbers beyond them are black. Without any, and where
// entry i is the grey i throughout, numbers are greys.
struct Colours {
  bool grey = true;
  int count = 0;
  uint8_t rgb[256][3] = {};

  void take(const ColorMapObject *map) {
    count = map ? std::min(map->ColorCount, 256) : 0;
    memset(rgb, 0, sizeof rgb);
    grey = true;
    for (int i = 0; i < count; ++i) {
      const GifColorType &entry = map->Colors[i];
      const uint8_t colour[] = {entry.Red, entry.Green, entry.Blue};
      memcpy(rgb[i], colour, 3);
      for (uint8_t value : colour)
        grey &= value == i;
    }
    if (grey)
      for (int i = 0; i < 256; ++i)
        memset(rgb[i], i, 3);
  }
  Rgba at(int number, uint8_t alpha) const {
    const uint8_t *colour = rgb[number];
    return {{colour[0], colour[1], colour[2], alpha}};
  }
  // As Pillow fills with them: the first for what is beyond.
  Rgba fill(int number, uint8_t alpha) const {
    return at(!grey && number >= count ? 0 : number, alpha);
  }
};

struct Box {
  int64_t top = 0, left = 0, height = 0, width = 0;
  int64_t bottom() const { return top + height; }
  int64_t right() const { return left + width; }
};

// RGBA over which frames are laid.
class Canvas {
public:
  int64_t height = 0, width = 0;

  void grow(int64_t to_height, int64_t to_width, Rgba colour) {
    if (to_height == height && to_width == width)
      return;
    std::vector<Rgba> larger(size_t(to_height * to_width), colour);
    for (int64_t y = 0; y < height; ++y)
      std::copy_n(&pixels[size_t(y * width)], width,
                  &larger[size_t(y * to_width)]);
    pixels.swap(larger);
    height = to_height;
    width = to_width;
  }
  void fill(const Box &box, Rgba colour) {
    for (int64_t y = box.top; y < box.bottom(); ++y)
      std::fill_n(at(y, box.left), box.width, colour);
  }
  // What lies in the box; nothing beyond the canvas.
  std::vector<Rgba> copy(const Box &box) const {
    std::vector<Rgba> out(size_t(box.height * box.width), Rgba{});
    const int64_t columns = std::min(box.right(), width) - box.left;
    for (int64_t y = box.top; y < std::min(box.bottom(), height); ++y)
      if (columns > 0)
        std::copy_n(&pixels[size_t(y * width + box.left)], columns,
                    &out[size_t((y - box.top) * box.width)]);
    return out;
  }
  void paste(const Box &box, const std::vector<Rgba> &from) {
    for (int64_t y = 0; y < box.height; ++y)
      std::copy_n(&from[size_t(y * box.width)], box.width,
                  at(box.top + y, box.left));
  }
  Rgba *at(int64_t y, int64_t x) { return &pixels[size_t(y * width + x)]; }
  const uint8_t *data() const { return pixels.data()->bytes; }

private:
  std::vector<Rgba> pixels;
};

class Reader {
public:
  explicit Reader(Bytes bytes) : bytes(bytes) {}
  Reader(const Reader &) = delete;
  ~Reader() {
    if (gif)
      DGifCloseFile(gif, nullptr);
  }

  Status open() {
    int code = 0;
    gif = DGifOpen(this, read, &code);
    if (!gif)
      return failure(code == D_GIF_ERR_NOT_ENOUGH_MEM ? RESOURCES : BAD_INPUT,
                     "a broken GIF picture: %s", words(code));
    height = gif->SHeight;
    width = gif->SWidth;
    return {};
  }

  // On to the head of the next frame; false at the end. `height` and `width`
  // are then what all frames so far need.
  Status next(bool &more) {
    more = false;
    transparent = -1;
    milliseconds = 0;
    for (;;) {
      GifRecordType record;
      if (DGifGetRecordType(gif, &record) == GIF_ERROR) {
        if (at == bytes.size()) // Pillow misses no end
          return {};
        if (gif->Error != D_GIF_ERR_WRONG_RECORD)
          return broken();
        continue; // stray bytes
      }
      if (record == TERMINATE_RECORD_TYPE)
        return {};
      if (record == EXTENSION_RECORD_TYPE) {
        if (Status s = extension(); !s.ok())
          return s;
      } else if (record == IMAGE_DESC_RECORD_TYPE) {
        break;
      }
    }
    if (DGifGetImageDesc(gif) == GIF_ERROR)
      return broken();
    const GifImageDesc &image = gif->Image;
    box = {image.Top, image.Left, image.Height, image.Width};
    if (box.height < 1 || box.width < 1)
      return failure(BAD_INPUT,
                     "a broken GIF picture: frame %lld has no "
                     "pixels",
                     (long long)(frame + 1));
    colours.take(image.ColorMap ? image.ColorMap : gif->SColorMap);
    height = std::max(height, box.bottom());
    width = std::max(width, box.right());
    more = true;
    ++frame;
    return {};
  }

  // The numbers of the frame's pixels, row by row.
  Status pixels(std::vector<uint8_t> &numbers) {
    numbers.resize(size_t(box.height * box.width));
    static constexpr int kFirst[] = {0, 4, 2, 1}, kStep[] = {8, 8, 4, 2};
    const bool interlaced = gif->Image.Interlace;
    for (int pass = 0; pass < (interlaced ? 4 : 1); ++pass)
      for (int64_t y = interlaced ? kFirst[pass] : 0; y < box.height;
           y += interlaced ? kStep[pass] : 1)
        if (DGifGetLine(gif, &numbers[size_t(y * box.width)], int(box.width)) ==
            GIF_ERROR)
          return broken();
    return {};
  }
  Status skip() {
    int size = 0;
    GifByteType *block = nullptr;
    if (DGifGetCode(gif, &size, &block) == GIF_ERROR)
      return broken();
    while (block)
      if (DGifGetCodeNext(gif, &block) == GIF_ERROR)
        return broken();
    return {};
  }

  int64_t height = 0, width = 0; // pixels
  int64_t frame = -1;            // the last that next came to
  Box box;
  Colours colours;
  int transparent = -1;     // a number, -1: none
  int disposal = 0;         // stays until another is said
  int64_t milliseconds = 0; // how long it is shown
  int background() const { return gif->SColorMap ? gif->SBackGroundColor : 0; }

private:
  static int read(GifFileType *gif, GifByteType *to, int count) {
    Reader &reader = *static_cast<Reader *>(gif->UserData);
    const size_t size =
        std::min(size_t(count), reader.bytes.size() - reader.at);
    if (size)
      memcpy(to, &reader.bytes[reader.at], size);
    reader.at += size;
    return int(size);
  }
  static const char *words(int code) {
    const char *text = GifErrorString(code);
    return text ? text : "it cannot be read";
  }
  Status broken() const {
    if (gif->Error == D_GIF_ERR_NOT_ENOUGH_MEM)
      return failure(RESOURCES, "no memory left to decode a GIF picture");
    if (at == bytes.size())
      return failure(BAD_INPUT, "a GIF picture that is cut: the file ends "
                                "before its pixels do");
    return failure(BAD_INPUT, "a broken GIF picture: %s", words(gif->Error));
  }
  Status extension() {
    int code = 0;
    GifByteType *block = nullptr; // its length and its bytes
    if (DGifGetExtension(gif, &code, &block) == GIF_ERROR)
      return broken();
    if (code == GRAPHICS_EXT_FUNC_CODE && block && block[0] >= 4) {
      if (block[1] & 1)
        transparent = block[4];
      if (const int method = block[1] >> 2 & 7)
        disposal = method;
      milliseconds = (block[2] | block[3] << 8) * 10;
    }
    while (block)
      if (DGifGetExtensionNext(gif, &block) == GIF_ERROR)
        return broken();
    return {};
  }

  Bytes bytes;
  size_t at = 0;
  GifFileType *gif = nullptr;
};

// Lays the frames of a reader over each other.
class Layers {
public:
  // Draws the frame that the reader has come to.
  Status draw(Reader &reader) {
    if (Status s = reader.pixels(numbers); !s.ok())
      return s;
    const Box &box = reader.box;
    const Colours &colours = reader.colours;
    const int clear = reader.transparent;
    const bool first = reader.frame == 0;
    dispose();
    if (first) {
      clear_of_first = clear;
      grey = colours.grey;
      has_alpha = clear >= 0;
      canvas.grow(reader.height, reader.width,
                  colours.at(std::max(clear, 0), clear >= 0 ? 0 : 255));
    }
    prepare_disposal(reader);
    if (!first &&
        (canvas.height != reader.height || canvas.width != reader.width)) {
      has_alpha = clear >= 0;
      canvas.grow(reader.height, reader.width,
                  clear >= 0 ? Rgba{} : colours.at(0, 255));
    }
    const uint8_t *number = numbers.data();
    for (int64_t y = box.top; y < box.bottom(); ++y) {
      Rgba *to = canvas.at(y, box.left);
      for (int64_t x = 0; x < box.width; ++x, ++to, ++number)
        if (*number != clear)
          *to = colours.at(*number, 255);
        else if (first)
          *to = colours.at(*number, 0);
    }
    return {};
  }

  void show(const PictureOptions &options, Picture &picture,
            PictureRemarks &remarks) const {
    PictureOptions shown = options;
    PictureRemarks seen;
    if (!has_alpha)
      shown.alpha = Alpha::Drop;
    from_rgba(canvas.data(), canvas.height, canvas.width, shown, picture, seen);
    remarks.transparent |= has_alpha && seen.transparent;
  }

private:
  enum class After { Nothing, Fill, Restore };

  void dispose() {
    if (after == After::Fill)
      canvas.fill(after_box, after_colour);
    else if (after == After::Restore)
      canvas.paste(after_box, after_pixels);
  }

  // What happens to the frame's box before the next is drawn.
  void prepare_disposal(const Reader &reader) {
    after = After::Nothing;
    after_box = reader.box;
    if (reader.disposal < 2)
      return;
    // A picture of greys keeps the first frame's transparent number.
    int clear = reader.transparent;
    if (grey && clear_of_first >= 0)
      clear = clear_of_first;
    const bool first = reader.frame == 0;
    if (reader.disposal == 2 || first) {
      if (reader.disposal != 2 && clear < 0)
        return;
      after = After::Fill;
      const int number = clear >= 0 ? clear : reader.background();
      const uint8_t alpha = clear >= 0 ? 0 : 255;
      after_colour = first ? reader.colours.at(number, alpha)
                           : reader.colours.fill(number, alpha);
      return;
    }
    after = After::Restore;
    after_pixels = canvas.copy(reader.box);
  }

  Canvas canvas;
  bool has_alpha = false, grey = false;
  int clear_of_first = -1;
  After after = After::Nothing;
  Box after_box;
  Rgba after_colour = {};
  std::vector<Rgba> after_pixels;
  std::vector<uint8_t> numbers;
};

Status no_frames() {
  return failure(BAD_INPUT, "a GIF picture without a frame");
}

} // namespace

Status decode_gif(Bytes bytes, const PictureOptions &options, Picture &picture,
                  PictureRemarks &remarks) {
  Reader reader(bytes);
  if (Status s = reader.open(); !s.ok())
    return s;
  bool more = false;
  if (Status s = reader.next(more); !s.ok())
    return s;
  if (!more)
    return no_frames();
  if (Status s = check_picture(reader.height, reader.width, options); !s.ok())
    return s;
  Layers layers;
  if (Status s = layers.draw(reader); !s.ok())
    return s;
  layers.show(options, picture, remarks);
  remarks.animated = reader.next(more).ok() && more;
  return {};
}

Status read_gif_animation(Bytes bytes, Animation &animation) {
  Reader reader(bytes);
  if (Status s = reader.open(); !s.ok())
    return s;
  for (;;) {
    bool more = false;
    if (Status s = reader.next(more); !s.ok())
      return s;
    if (!more)
      break;
    if (Status s =
            check_animation(reader.height, reader.width, reader.frame + 1);
        !s.ok())
      return s;
    if (Status s = reader.skip(); !s.ok())
      return s;
    animation.milliseconds.push_back(reader.milliseconds);
  }
  animation.height = reader.height;
  animation.width = reader.width;
  return animation.milliseconds.empty() ? no_frames() : Status();
}

Status decode_gif_animation(Bytes bytes, const PictureOptions &options,
                            const FrameTaker &taker, PictureRemarks &remarks) {
  Animation animation;
  if (Status s = read_gif_animation(bytes, animation); !s.ok())
    return s;
  Reader reader(bytes);
  if (Status s = reader.open(); !s.ok())
    return s;
  Layers layers;
  Picture picture;
  for (bool more = true;;) {
    if (Status s = reader.next(more); !s.ok())
      return s;
    if (!more)
      return {};
    if (Status s = layers.draw(reader); !s.ok())
      return s;
    if (!taker.wants(reader.frame))
      continue;
    layers.show(options, picture, remarks);
    if (Status s = taker.take(reader.frame, picture); !s.ok())
      return s;
  }
}

} // namespace gm::media
