// Reads films as YUV4MPEG2 (what `ffmpeg -f yuv4mpegpipe` writes) from a stream
// of bytes that may be anything: it never asks for more memory than arrived,
// but for what a whole frame of at most kMostFramePixels needs. Knows no files.
#pragma once

#include "runtime/media/film.h"
#include "runtime/media/picture.h"

namespace gm::media {

class ByteSource {
public:
  virtual ~ByteSource() = default;
  // Up to `count` (at least 1) bytes; how many came, 0 at the end, negative
  // where reading failed.
  virtual int64_t read(uint8_t *to, size_t count) = 0;
};

// Which red and blue luma is made of. The stream does not say: films of more
// than 576 lines or 1280 and more columns are taken for BT.709, as players do.
enum class Matrix { Guess, Bt601, Bt709 };

class Y4mReader {
public:
  explicit Y4mReader(ByteSource &source, Matrix matrix = Matrix::Guess)
      : source(source), matrix(matrix) {}

  // Reads the header. BAD_INPUT for what is none, UNSUPPORTED for pixels of
  // more than 8 bits or with transparency, USAGE for frames that are too large.
  Status open();

  // After open.
  int64_t height() const { return rows; } // pixels
  int64_t width() const { return columns; }
  FrameRate rate() const { return frame_rate; } // 24 if the stream names none
  int64_t frames_read() const { return frames; }

  // The next frame, which `skip` does not keep; `more` is false at the end.
  // BAD_INPUT for a frame that is cut off or begins wrongly, or more than
  // kMostFrames of them; RUN_ERROR where the source fails. After a failure
  // nothing may be read.
  //
  // Chroma is repeated, not smoothed; Y'CbCr of limited range (of full range if
  // the stream says so) becomes RGB by integers of 16 fractional bits, rounded
  // once, the same on every machine.
  Status next(Picture &frame, bool &more);
  Status skip(bool &more);

private:
  struct Layout {
    int across = 2, down = 2; // luma samples per chroma sample; 0: none
  };

  // One byte, -1 at the end, -2 where reading failed.
  int byte();
  // A line without its end, at most `most` bytes; `ended`: the stream ended
  // before its first byte.
  Status line(std::string &text, size_t most, bool &ended);
  Status field(const std::string &text);
  Status begin_frame(bool &more);
  Status read_planes(bool keep);
  void to_rgb(Picture &frame) const;

  ByteSource &source;
  Matrix matrix;
  std::vector<uint8_t> buffer;
  size_t begin = 0, end = 0; // of what is buffered
  int64_t rows = 0, columns = 0, frames = 0;
  FrameRate frame_rate;
  Layout layout;
  bool full_range = false;
  int64_t frame_bytes = 0;
  std::vector<uint8_t> planes;
};

} // namespace gm::media
